"""The bridge's one port: phone streams (signed upgrades only), `/health`, and draining."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server
from twilio.request_validator import RequestValidator

from callwright.app.telephony.tickets import TicketOffice
from callwright.bridge.call import Call
from callwright.bridge.legs import PHONE_FRAME_BYTES
from callwright.bridge.metrics import CONTENT_TYPE, Metrics
from callwright.bridge.prepared import PreparedSessions
from callwright.bridge.services import Services
from callwright.bridge.session import ModelSession

_CHECK_SECONDS = 1.0
_LAG_SECONDS = 0.1  # how often the loop's lag is measured
_PARTING_SECONDS = 10.0  # for calls told to stop at the end of a drain

_Answer = WSListener | WSUpgradeResponseWithListener | None


class BridgeServer:
    """Use: `await start()`, later `await drain()`, then `await close()`.

    Without an `office` nothing is prepared: each call opens its session when it is answered. `on_load` is called
    whenever the bridge begins or ceases to take calls.
    """

    def __init__(
        self, services: Services, office: TicketOffice | None = None, on_load: Callable[[], None] = lambda: None
    ) -> None:
        self.services = services
        self.metrics = Metrics()
        self._office = office
        self._on_load = on_load
        self._prepared = PreparedSessions(services)
        settings = services.settings
        self._validator = RequestValidator(settings.twilio_auth_token)
        self._stream_path = urlsplit(settings.public_stream_url).path or "/"
        self._calls: set[Call] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False
        self._born = services.clock()
        self._server: asyncio.Server | None = None
        self._watches: list[asyncio.Task[None]] = []
        self.metrics.gauge("active_calls", "Calls on the line.", lambda: len(self._calls))
        self.metrics.gauge("prepared_sessions", "Model sessions waiting for a pick-up.", lambda: len(self._prepared))
        self.metrics.gauge("capacity", "Calls this process takes.", lambda: settings.max_calls)
        self.metrics.gauge(
            "errands_waiting",
            "Messages to the domain still to be carried out.",
            lambda: sum(call.errands_waiting for call in self._calls),
        )

    @property
    def active_calls(self) -> int:
        return len(self._calls)

    @property
    def prepared_sessions(self) -> int:
        return len(self._prepared)

    @property
    def takes_calls(self) -> bool:
        return not self._draining and len(self._calls) < self.services.settings.max_calls

    async def start(self) -> int:
        """Listens; returns the port."""
        settings = self.services.settings
        self._server = await ws_create_server(
            self._answer, settings.host, settings.port, max_frame_size=PHONE_FRAME_BYTES, backlog=1024
        )
        loop = asyncio.get_running_loop()
        self._watches = [loop.create_task(self._watch_calls()), loop.create_task(self._watch_loop())]
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def drain(self) -> None:
        """Takes no new call and waits for the others to end; those still up after `drain_seconds` are ended."""
        self._stop_taking()
        try:
            await asyncio.wait_for(self._empty.wait(), self.services.settings.drain_seconds)
        except TimeoutError:
            self.services.log.warning("drain_timed_out", calls=len(self._calls))
            for call in tuple(self._calls):
                call.shut_down()

    async def close(self) -> None:
        """Stops listening, after at most a few seconds for calls to part."""
        self._stop_taking()
        for call in tuple(self._calls):
            call.shut_down()
        try:
            await asyncio.wait_for(self._empty.wait(), _PARTING_SECONDS)
        except TimeoutError:
            self.services.log.error("calls_abandoned", calls=len(self._calls))
        for watch in self._watches:
            watch.cancel()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _answer(self, request: WSUpgradeRequest) -> _Answer:
        path = request.path.decode("latin-1")
        if path == "/health":
            body = orjson.dumps(self._health())
            return _respond(HTTPStatus.OK, body)
        if path == "/metrics":
            return _respond(HTTPStatus.OK, self.metrics.exposition(), CONTENT_TYPE)
        if path == "/prepare":
            return self._prepare(request)
        if path != self._stream_path:
            return None
        settings = self.services.settings
        signature = request.headers.get("X-Twilio-Signature")
        if signature is None or not self._validator.validate(settings.public_stream_url, {}, signature):
            self.services.log.warning("upgrade_refused", signed=signature is not None)
            return self._refuse(HTTPStatus.FORBIDDEN, "bad signature")
        if not self.takes_calls:
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "draining" if self._draining else "no capacity")
        return Call(self).phone_leg()

    def _prepare(self, request: WSUpgradeRequest) -> _Answer:
        """A phone rings: opens its model session. A GET, as picows takes no other; a ticket makes it happen once."""
        ticket = request.headers.get("Authorization", "").removeprefix("Bearer ")
        office = self._office
        attempt_id = None if office is None else office.redeem(self.services.settings.bridge_id, ticket)
        if attempt_id is None:
            return self._refuse(HTTPStatus.FORBIDDEN, "bad ticket")
        if not self.takes_calls or not self._prepared.prepare(attempt_id):
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "draining" if self._draining else "no capacity")
        return _respond(HTTPStatus.OK, b'{"status":"preparing"}')

    def _refuse(self, status: HTTPStatus, why: str) -> _Answer:
        self.metrics.refused(why.replace(" ", "_"))
        return _respond(status, orjson.dumps({"error": why}))

    def _health(self) -> dict[str, object]:
        return {
            "status": "draining" if self._draining else "ok",
            "activeCalls": len(self._calls),
            "uptime": round(self.services.clock() - self._born, 3),
        }

    def opened(self, call: Call) -> None:
        took = self.takes_calls
        self._calls.add(call)
        self._empty.clear()
        if self.takes_calls != took:
            self._on_load()

    def closed(self, call: Call) -> None:
        took = self.takes_calls
        self._calls.discard(call)
        if not self._calls:
            self._empty.set()
        if self.takes_calls != took:
            self._on_load()

    def prepared(self, attempt_id: UUID) -> ModelSession | None:
        return self._prepared.take(attempt_id)

    def _stop_taking(self) -> None:
        if not self._draining:
            self._draining = True
            self._prepared.close()
            self._on_load()

    async def _watch_calls(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            now = self.services.clock()
            for call in tuple(self._calls):
                call.check(now)
            self._prepared.check(now)

    async def _watch_loop(self) -> None:
        clock = self.services.clock
        while True:
            due = clock() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            self.metrics.lag(max(0.0, clock() - due))


def _respond(status: HTTPStatus, body: bytes, content_type: str = "application/json") -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
    if status is HTTPStatus.OK:
        response = WSUpgradeResponse.create_ok_response(body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)
