"""The endpoints Twilio talks to. Whatever is not signed with our token gets 403, and nothing changes."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callwright.app.calls.callbacks import WebhookKind, answer_call, receive
from callwright.app.state import AppState
from callwright.app.telephony.credentials import carrier_credentials
from callwright.app.telephony.signatures import Fields, ForgedRequest, signed_fields

log = structlog.get_logger(__name__)

# Twilio's forms are below 4 KiB; nobody else has anything to say here.
LARGEST_BODY = 64 * 1024


class _TooLarge(Exception):
    pass


def carrier_routes() -> list[Route]:
    """`/twiml/call/{call_id}` and the webhooks; the application must keep its AppState in `state.callwright`."""
    return [
        Route("/twiml/call/{call_id:uuid}", _twiml, methods=["POST"]),
        *(Route(f"/webhooks/twilio/{kind}", _webhook(kind), methods=["POST"]) for kind in WebhookKind),
    ]


async def _twiml(request: Request) -> Response:
    fields = await _verified(request)
    if isinstance(fields, Response):
        return fields
    attempt_id = _attempt_id(request)
    call_id: UUID = request.path_params["call_id"]
    document = None if attempt_id is None else await answer_call(_state(request), call_id, attempt_id, fields)
    if document is None:
        return Response(status_code=404)
    return Response(document, media_type="text/xml")


def _webhook(kind: WebhookKind) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        fields = await _verified(request)
        if isinstance(fields, Response):
            return fields
        # The carrier does not mind a 403 for what it sends twice; somebody who captured a request learns nothing.
        is_new = await receive(_state(request), kind, _attempt_id(request), fields)
        return Response(status_code=204 if is_new else 403)

    return endpoint


def _state(request: Request) -> AppState:
    state: AppState = request.app.state.callwright
    return state


def _attempt_id(request: Request) -> UUID | None:
    try:
        return UUID(request.query_params.get("attempt", ""))
    except ValueError:
        return None


async def _verified(request: Request) -> Fields | Response:
    settings = _state(request).settings
    # The public URL is configured: what a proxy says about host and scheme is not what Twilio signed.
    url = settings.public_url.rstrip("/") + request.scope["path"]
    query = request.scope["query_string"].decode("latin-1")
    try:
        body = await _body(request)
        token = carrier_credentials(settings).auth_token
        return signed_fields(token, f"{url}?{query}" if query else url, request.headers, body)
    except _TooLarge:
        return Response(status_code=413)
    except ForgedRequest as forged:
        log.warning("webhook.forged", path=request.scope["path"], why=str(forged))
        return Response(status_code=403)


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise _TooLarge
    return body
