"""Stand-in for the OpenAI Realtime service (GA) over WebSocket, at `/v1/realtime?model=…`.

The voice model hears what arrived as the `Ear` recognises it, thinks with `brain`, speaks with eSpeak NG.
Faults on cue (`ledger`): "status" refuses the upgrade, "drop" aborts the socket, "stall" goes silent.
"""

import asyncio
import itertools
import time

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from callwright.app.sandbox.brain import Brain
from callwright.app.sandbox.brain_intents import load_intents
from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.ledger import Ledger
from callwright.app.sandbox.realtime_config import Json, JsonObject
from callwright.app.sandbox.realtime_session import RealtimeSession, Tools
from callwright.app.sandbox.speech import Speaker

PACE = 8.0
"""Audio is produced this many times faster than real time, so that a sandbox phone at --speed 4 never starves."""

MAX_SESSION_S = 3600.0
_MAX_MESSAGE_BYTES = 24 * 1024 * 1024
_BETA_REFUSED = 4000


def routes(
    speaker: Speaker, ear: Ear, ledger: Ledger, *, pace: float = PACE, max_session_s: float = MAX_SESSION_S
) -> list[web.RouteDef]:
    """The service's one endpoint. A session is ended by `session_expired` after `max_session_s`."""
    tools = Tools(speaker, ear, ledger, Brain(load_intents()), pace)
    numbers = itertools.count(1)

    async def connect(request: web.Request) -> web.StreamResponse:
        refusal = _refusal(request, ledger)
        if refusal is not None:
            return refusal
        model = request.query["model"]
        ledger.record("realtime", "connect", model=model)
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        if "OpenAI-Beta" in request.headers:
            await _refuse_beta(socket)
            return socket
        connection = _Connection(request, socket, ledger)
        session = RealtimeSession(
            tools, connection.send, f"{next(numbers):06d}", model, int(time.time() + max_session_s)
        )
        try:
            async with asyncio.timeout(max_session_s):
                await session.open()
                await connection.read(session)
        except TimeoutError:
            await session.expire()
            message = b"Your session hit the maximum duration of 60 minutes."
            await socket.close(code=WSCloseCode.GOING_AWAY, message=message)
        finally:
            await session.close()
            ledger.record("realtime", "disconnect", appended_ms=session.appended_ms)
        return socket

    return [web.get("/v1/realtime", connect)]


class _Connection:
    """The socket of one session, and the faults it is to show."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, ledger: Ledger) -> None:
        self._request = request
        self._socket = socket
        self._ledger = ledger
        self._mute = False

    async def send(self, event: JsonObject) -> None:
        """Sends a server event; nothing when stalled or when the client has gone."""
        if self._mute or self._socket.closed:
            return
        try:
            await self._socket.send_frame(orjson.dumps(event), WSMsgType.TEXT)
        except ConnectionResetError:
            self._mute = True

    async def read(self, session: RealtimeSession) -> None:
        """Client events until the socket ends."""
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if self._struck(session.appended_ms):
                return
            await session.handle(_parsed(message.data))

    def _struck(self, at_ms: int) -> bool:
        """Shows a scripted fault that is due; True if the socket is gone."""
        fault = self._ledger.take_fault("realtime", "drop", "stall", at_ms=at_ms)
        if fault is None:
            return False
        self._mute = True
        if fault.fault == "drop" and self._request.transport is not None:
            self._request.transport.abort()
            return True
        return False


def _parsed(text: str) -> Json:
    """None for what is no JSON, which no event can be."""
    try:
        event: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return event


def _refusal(request: web.Request, ledger: Ledger) -> web.Response | None:
    fault = ledger.take_fault("realtime", "status")
    if fault is not None:
        return _refused(fault.status, "server_error", "scripted_fault", "The sandbox was told to refuse.")
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not key.strip() or key.strip() == "sk-invalid":
        ledger.record("realtime", "refused", status=401)
        return _refused(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
    if not request.query.get("model"):
        ledger.record("realtime", "refused", status=400)
        message = "You must provide a model parameter."
        return _refused(400, "invalid_request_error", "missing_model", message)
    return None


def _refused(status: int, kind: str, code: str, message: str) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


async def _refuse_beta(socket: web.WebSocketResponse) -> None:
    message = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."
    error = {"type": "invalid_request_error", "code": "beta_api_shape_disabled", "message": message, "param": None}
    await socket.send_json({"type": "error", "event_id": "event_beta", "error": error})
    await socket.close(code=_BETA_REFUSED, message=b"invalid_request_error.beta_api_shape_disabled")
