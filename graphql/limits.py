"""What one operation may ask for, measured before it is validated or run.

Every fragment is measured once, however often it is spread, so that a small document of nested fragments cannot make
the measuring itself expensive (Strawberry's own depth and alias limiters walk each spread anew).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType as StrawberryOperationType

from callwright.app.pagination import DEFAULT_PAGE, LONGEST_PAGE
from callwright.graphql.errors import TOO_COMPLEX, TOO_DEEP, TOO_MANY_ALIASES

# The rows a list without `first` is taken to have: attempts, turns, events.
LIST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """`complexity` counts fields: each once for every row it may be resolved for, a connection's by its `first`."""

    depth: int = 10
    aliases: int = 15
    tokens: int = 2000
    complexity: int = 10_000
    body_bytes: int = 256 * 1024
    query_seconds: float = 10.0
    mutation_seconds: float = 30.0
    subscriptions: int = 20


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of a selection: levels of fields, aliases, fields times rows."""

    depth: int = 0
    aliases: int = 0
    complexity: int = 0

    def beside(self, other: "Measure") -> "Measure":
        return Measure(max(self.depth, other.depth), self.aliases + other.aliases, self.complexity + other.complexity)


def measure(document: DocumentNode, schema: GraphQLSchema, variables: Mapping[str, object]) -> Measure:
    """The sum of all operations of the document. Takes documents that are not valid, too."""
    return _Measuring(document, schema, variables).total()


class _Measuring:
    def __init__(self, document: DocumentNode, schema: GraphQLSchema, variables: Mapping[str, object]) -> None:
        self._schema = schema
        self._variables = variables
        self._document = document
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._measured: dict[str, Measure] = {}

    def total(self) -> Measure:
        result = Measure()
        for node in self._document.definitions:
            if isinstance(node, OperationDefinitionNode):
                result = result.beside(self._selection(node.selection_set, self._root(node.operation)))
        return result

    def _root(self, operation: OperationType) -> GraphQLNamedType | None:
        return self._schema.get_root_type(operation)

    def _selection(self, selection: SelectionSetNode, parent: GraphQLNamedType | None) -> Measure:
        result = Measure()
        for node in selection.selections:
            if isinstance(node, FieldNode):
                result = result.beside(self._field(node, parent))
            elif isinstance(node, FragmentSpreadNode):
                result = result.beside(self._fragment(node.name.value))
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                kind = self._schema.get_type(condition.name.value) if condition else parent
                result = result.beside(self._selection(node.selection_set, kind))
        return result

    def _fragment(self, name: str) -> Measure:
        if name not in self._measured:
            # Also what a fragment that spreads itself counts as; validation refuses it.
            self._measured[name] = Measure()
            node = self._fragments.get(name)
            if node is not None:
                kind = self._schema.get_type(node.type_condition.name.value)
                self._measured[name] = self._selection(node.selection_set, kind)
        return self._measured[name]

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Measure:
        name = node.name.value
        aliases = int(node.alias is not None)
        if name.startswith("__") or node.selection_set is None:
            return Measure(1, aliases, 1)
        field = None
        if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            field = parent.fields.get(name)
        inner = self._selection(node.selection_set, get_named_type(field.type) if field else None)
        return Measure(inner.depth + 1, aliases + inner.aliases, 1 + self._rows(node, field, parent) * inner.complexity)

    def _rows(self, node: FieldNode, field: GraphQLField | None, parent: GraphQLNamedType | None) -> int:
        if field is None:
            return 1
        if "first" in field.args:
            return self._first(node)
        of_connection = parent is not None and parent.name.endswith("Connection")
        return LIST_ROWS if _is_list(field.type) and not of_connection else 1

    def _first(self, node: FieldNode) -> int:
        value: object = DEFAULT_PAGE
        for argument in node.arguments or ():
            if argument.name.value == "first":
                if isinstance(argument.value, IntValueNode):
                    value = int(argument.value.value)
                elif isinstance(argument.value, VariableNode):
                    value = self._variables.get(argument.value.name.value, LONGEST_PAGE)
        return max(1, value) if isinstance(value, int) else 1


def _is_list(kind: GraphQLType) -> bool:
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)


def measuring(limits: Limits, schema: Callable[[], GraphQLSchema]) -> type[SchemaExtension]:
    """The extension that refuses an operation over the limits before graphql-core validates it."""

    class QueryLimits(SchemaExtension):
        def on_validate(self) -> Iterator[None]:
            context = self.execution_context
            if context.graphql_document is not None:
                size = measure(context.graphql_document, schema(), context.variables or {})
                if errors := _excesses(size, limits):
                    context.pre_execution_errors = errors
            yield

    return QueryLimits


def _excesses(size: Measure, limits: Limits) -> list[GraphQLError]:
    found: tuple[tuple[int, int, str, Callable[[int, int], str]], ...] = (
        (size.depth, limits.depth, TOO_DEEP, "Fields are nested {} deep; {} levels are allowed.".format),
        (size.aliases, limits.aliases, TOO_MANY_ALIASES, "The document has {} aliases; {} are allowed.".format),
        (
            size.complexity,
            limits.complexity,
            TOO_COMPLEX,
            "The operation may resolve {} fields; {} are allowed. Ask for fewer rows or fields.".format,
        ),
    )
    return [
        GraphQLError(say(actual, allowed), extensions={"code": code, "limit": allowed})
        for actual, allowed, code, say in found
        if actual > allowed
    ]


def deadline(limits: Limits) -> type[SchemaExtension]:
    """The extension that stops a query or mutation that takes too long; its statement is cancelled in Postgres, too."""

    class Deadline(SchemaExtension):
        async def on_execute(self) -> AsyncIterator[None]:
            kind = self.execution_context.operation_type
            if kind is StrawberryOperationType.SUBSCRIPTION:
                yield
                return
            seconds = limits.query_seconds if kind is StrawberryOperationType.QUERY else limits.mutation_seconds
            async with asyncio.timeout(seconds):
                yield

    return Deadline
