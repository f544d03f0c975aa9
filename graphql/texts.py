"""Which texts a client may send: those that PostgreSQL can store and UTF-8 can carry. Asked before anything runs."""

import re
from collections.abc import Iterator, Mapping

from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLError,
    ObjectFieldNode,
    StringValueNode,
    VariableDefinitionNode,
    Visitor,
    visit,
)
from strawberry.extensions import SchemaExtension

from callwright.app.errors import CallwrightError, ErrorCode

# NUL, which PostgreSQL's text cannot hold, and halves of surrogate pairs, which are no characters.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StorableTexts(SchemaExtension):
    """Refuses an operation with a text that cannot be stored, in a variable or in the document (INVALID_INPUT)."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if context.graphql_document is not None and not context.pre_execution_errors:
            places = [*_in_variables(context.variables or {}), *_in_document(context.graphql_document)]
            if places:
                context.pre_execution_errors = [_refusal(place) for place in dict.fromkeys(places)]
        yield


def _in_variables(variables: Mapping[str, object]) -> Iterator[str]:
    """Dotted names of the values, such as `input.objective`; a list's values have the list's."""
    # No recursion: JSON may be nested deeper than Python's stack.
    left: list[tuple[str, object]] = [*variables.items()][::-1]
    while left:
        place, value = left.pop()
        if isinstance(value, str):
            if _UNSTORABLE.search(value):
                yield place
        elif isinstance(value, dict):
            left += [(f"{place}.{name}", inner) for name, inner in [*value.items()][::-1]]
        elif isinstance(value, list):
            left += [(place, inner) for inner in value]


class _Literals(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def enter_string_value(
        self, node: StringValueNode, _key: object, parent: object, _path: object, ancestors: list[object]
    ) -> None:
        if _UNSTORABLE.search(node.value):
            around = [*ancestors, parent]
            names = [
                above.variable.name.value if isinstance(above, VariableDefinitionNode) else above.name.value
                for above in around
                if isinstance(above, ArgumentNode | ObjectFieldNode | VariableDefinitionNode)
            ]
            self.places.append(".".join(names))


def _in_document(document: DocumentNode) -> list[str]:
    literals = _Literals()
    visit(document, literals)
    return literals.places


def _refusal(place: str) -> GraphQLError:
    # The name is the client's own text; what of it cannot be written is left out.
    field = _UNSTORABLE.sub("", place)
    cause = CallwrightError(
        ErrorCode.INVALID_INPUT,
        "The text holds NUL or half a surrogate pair.",
        field=field,
        rule="storable_text",
        remedy="Leave such characters out.",
    )
    return GraphQLError(cause.message, original_error=cause)
