"""`/graphql`: operations by HTTP POST and over WebSocket (`graphql-transport-ws`), GraphiQL in development."""

import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

from cross_web import HTTPException
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.exceptions import NonJsonMessageReceived
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage
from strawberry.types import ExecutionResult

from callwright.app.settings import Environment
from callwright.app.state import AppState
from callwright.graphql.context import Context
from callwright.graphql.errors import BAD_REQUEST, TOO_MANY_OPERATIONS, present
from callwright.graphql.graphiql import NODE_MODULES, GraphiQL
from callwright.graphql.limits import Limits
from callwright.graphql.schema import build_schema

PATH = "/graphql"
_HANDSHAKE = timedelta(seconds=10)


def graphql_routes(state: AppState, limits: Limits | None = None, node_modules: Path = NODE_MODULES) -> list[BaseRoute]:
    """The routes of the GraphQL API, for HTTP and for WebSocket, and in development of GraphiQL's files."""
    endpoint = GraphQLEndpoint(state, limits or Limits(), node_modules)
    files = endpoint.graphiql.routes() if endpoint.graphiql else []
    return [Route(PATH, endpoint), WebSocketRoute(PATH, endpoint), *files]


class _Socket(ASGIWebSocketAdapter):
    """Closes the connection (4400) on a message that is not of the protocol's shape, before Strawberry reads it."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        async for message in super().iter_json(ignore_parsing_errors=ignore_parsing_errors):
            if not _is_message(message):
                raise NonJsonMessageReceived
            yield message


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    if message["type"] != "subscribe":
        return "id" not in message or isinstance(message["id"], str)
    payload = message.get("payload")
    return (
        isinstance(message.get("id"), str)
        and isinstance(payload, dict)
        and isinstance(payload.get("query"), str)
        and isinstance(payload.get("variables"), dict | None)
        and isinstance(payload.get("operationName"), str | None)
    )


class _Operations(BaseGraphQLTransportWSHandler[Context, None]):
    """Refuses an operation too many with a code, which Strawberry's own refusal lacks."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        limit = self.max_subscriptions_per_connection
        is_new = self.connection_acknowledged and message["id"] not in self.operations
        if limit is None or not is_new or len(self.operations) < limit:
            await super().handle_subscribe(message)
            return
        error = GraphQLError(
            f"The connection has {limit} operations under way, which is the limit. End one first.",
            extensions={"code": TOO_MANY_OPERATIONS, "limit": limit},
        )
        await self.send_message({"id": message["id"], "type": "error", "payload": [error.formatted]})


class GraphQLEndpoint(GraphQL[Context, None]):
    """The ASGI application behind both routes."""

    websocket_adapter_class = _Socket
    graphql_transport_ws_handler_class = _Operations

    def __init__(self, state: AppState, limits: Limits, node_modules: Path) -> None:
        production = state.settings.environment is Environment.PRODUCTION
        super().__init__(
            build_schema(limits, production=production),
            graphql_ide=None if production else "graphiql",
            allow_queries_via_get=False,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=_HANDSHAKE,
            max_subscriptions_per_connection=limits.subscriptions,
        )
        self._state = state
        self._limits = limits
        self.graphiql = None if production else GraphiQL(PATH, node_modules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self.run(Request(scope, self._limited(receive)))
        except HTTPException as refused:
            error = {"message": refused.reason, "extensions": {"code": BAD_REQUEST}}
            # ASCII: the reason may quote half a surrogate pair of the client's.
            response = Response(json.dumps({"errors": [error]}), refused.status_code, media_type="application/json")
        await response(scope, receive, send)

    async def render_graphql_ide(self, request: Request) -> Response:
        assert self.graphiql is not None, "Strawberry asks only where graphql_ide is set"
        return self.graphiql.page(request)

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limits.body_bytes:
                raise HTTPException(413, f"The request is larger than {self._limits.body_bytes} bytes.")
            return message

        return limited

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        address = request.client.host if request.client else "unknown"
        return Context(self._state, address, request.headers.get("authorization"))

    def decode_json(self, data: str | bytes) -> object:
        """Raises `JSONDecodeError` also for what Python's parser fails on otherwise: size, depth, encoding, NUL."""
        if len(data) > self._limits.body_bytes:
            raise json.JSONDecodeError("too large", "", 0)
        try:
            return json.loads(data)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(type(error).__name__, "", 0) from None

    def parse_json(self, data: str | bytes) -> object:
        value = super().parse_json(data)
        if not isinstance(value, dict | list):
            raise HTTPException(400, "The request must be a JSON object.")
        return value

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        if result.errors:
            result.errors = present(result.errors)
        return await super().process_result(request, result)
