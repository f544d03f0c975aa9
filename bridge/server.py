"""The bridge's one port: phone streams (signed upgrades only), `/health`, and draining."""

import asyncio
from http import HTTPStatus
from urllib.parse import urlsplit

import orjson
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server
from twilio.request_validator import RequestValidator

from callwright.bridge.call import Call, Services
from callwright.bridge.legs import PHONE_FRAME_BYTES

_CHECK_SECONDS = 1.0
_PARTING_SECONDS = 10.0  # for calls told to stop at the end of a drain

_Answer = WSListener | WSUpgradeResponseWithListener | None


class BridgeServer:
    """Use: `await start()`, later `await drain()`, then `await close()`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._validator = RequestValidator(settings.twilio_auth_token)
        self._stream_path = urlsplit(settings.public_stream_url).path or "/"
        self._calls: set[Call] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False
        self._born = services.clock()
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def active_calls(self) -> int:
        return len(self._calls)

    async def start(self) -> int:
        """Listens; returns the port."""
        settings = self._services.settings
        self._server = await ws_create_server(
            self._answer, settings.host, settings.port, max_frame_size=PHONE_FRAME_BYTES, backlog=1024
        )
        self._watch = asyncio.get_running_loop().create_task(self._watch_calls())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def drain(self) -> None:
        """Takes no new call and waits for the others to end; those still up after `drain_seconds` are ended."""
        self._draining = True
        try:
            await asyncio.wait_for(self._empty.wait(), self._services.settings.drain_seconds)
        except TimeoutError:
            self._services.log.warning("drain_timed_out", calls=len(self._calls))
            for call in tuple(self._calls):
                call.shut_down()

    async def close(self) -> None:
        """Stops listening, after at most a few seconds for calls to part."""
        self._draining = True
        for call in tuple(self._calls):
            call.shut_down()
        try:
            await asyncio.wait_for(self._empty.wait(), _PARTING_SECONDS)
        except TimeoutError:
            self._services.log.error("calls_abandoned", calls=len(self._calls))
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _answer(self, request: WSUpgradeRequest) -> _Answer:
        path = request.path.decode("latin-1")
        if path == "/health":
            body = orjson.dumps(self._health())
            return _respond(HTTPStatus.OK, body)
        if path != self._stream_path:
            return None
        settings = self._services.settings
        signature = request.headers.get("X-Twilio-Signature")
        if signature is None or not self._validator.validate(settings.public_stream_url, {}, signature):
            self._services.log.warning("upgrade_refused", signed=signature is not None)
            return _respond(HTTPStatus.FORBIDDEN, b'{"error":"bad signature"}')
        if self._draining or len(self._calls) >= settings.max_calls:
            return _respond(HTTPStatus.SERVICE_UNAVAILABLE, b'{"error":"no capacity"}')
        return Call(self._services, self._call_opened, self._call_closed).phone_leg()

    def _health(self) -> dict[str, object]:
        return {
            "status": "draining" if self._draining else "ok",
            "activeCalls": len(self._calls),
            "uptime": round(self._services.clock() - self._born, 3),
        }

    def _call_opened(self, call: Call) -> None:
        self._calls.add(call)
        self._empty.clear()

    def _call_closed(self, call: Call) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._empty.set()

    async def _watch_calls(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            now = self._services.clock()
            for call in tuple(self._calls):
                call.check(now)


def _respond(status: HTTPStatus, body: bytes) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": "application/json"}
    if status is HTTPStatus.OK:
        response = WSUpgradeResponse.create_ok_response(body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)
