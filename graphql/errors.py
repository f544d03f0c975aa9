"""What a client is told of an error: a domain code and the client's own mistakes as they are, a fault only by an id."""

import traceback
from collections.abc import Iterator
from uuid import uuid4

import structlog
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult, StreamExecutionResult

from callwright.app.errors import CallwrightError

log = structlog.get_logger(__name__)

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_REQUEST = "BAD_REQUEST"
TOO_DEEP = "QUERY_TOO_DEEP"
TOO_MANY_ALIASES = "TOO_MANY_ALIASES"
TOO_COMPLEX = "QUERY_TOO_COMPLEX"
TIMED_OUT = "QUERY_TIMED_OUT"
TOO_MANY_OPERATIONS = "TOO_MANY_OPERATIONS"
INTERNAL = "INTERNAL"


def present(errors: list[GraphQLError]) -> list[GraphQLError]:
    """The errors as a client may see them; faults are logged here, once."""
    return [_present(error) for error in errors]


class PresentErrors(SchemaExtension):
    """Presents what goes out over a WebSocket. The HTTP endpoint calls `present` itself: its hooks run too early."""

    def on_stream_result(self, result: StreamExecutionResult) -> Iterator[None]:
        if isinstance(result, ExecutionResult) and result.errors:
            result.errors = present(result.errors)
        yield


def _present(error: GraphQLError) -> GraphQLError:
    if error.extensions and "code" in error.extensions:
        return error
    if isinstance(error, GraphQLSyntaxError):
        return _coded(error, error.message, PARSE_FAILED)
    cause = _cause(error)
    if cause is None:
        return _coded(error, error.message, VALIDATION_FAILED)
    if isinstance(cause, CallwrightError):
        return _coded(error, cause.message, cause.code, field=cause.field, rule=cause.rule, remedy=cause.remedy)
    if isinstance(cause, CannotGetOperationTypeError | InvalidOperationTypeError | MissingQueryError):
        return _coded(error, error.message or "There is no operation in the document.", BAD_REQUEST)
    if isinstance(cause, TimeoutError):
        return _coded(error, "The operation took too long. Ask for less at once.", TIMED_OUT)
    error_id = str(uuid4())
    # Neither the message nor the values: both may hold a person's data.
    frames = traceback.extract_tb(cause.__traceback__)[-8:]
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log.error("graphql.internal_error", error_id=error_id, error=type(cause).__name__, where=where)
    return _coded(error, "Something went wrong on our side.", INTERNAL, id=error_id)


def _cause(error: GraphQLError) -> Exception | None:
    """What was raised beneath graphql-core's wrapping; None when graphql-core itself refused the client's input."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _coded(error: GraphQLError, message: str, code: str, **more: str | None) -> GraphQLError:
    extensions = {"code": str(code), **{name: value for name, value in more.items() if value}}
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
