"""The bridge's three neighbours, scripted: a phone and a model on real sockets, and a desk in memory."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

import aiohttp
import orjson
import structlog
from openai import AsyncOpenAI
from prometheus_client.parser import text_string_to_metric_families
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from callwright.app.calls.conversation import CallBrief, CallReport, StreamRefused, Turn
from callwright.app.compliance.optout import is_opt_out
from callwright.app.telephony.tickets import TicketOffice
from callwright.bridge.core import OptOutTest
from callwright.bridge.server import BridgeServer
from callwright.bridge.services import Services
from callwright.bridge.settings import BridgeSettings
from callwright.bridge.spare import load_spare_lines
from tests.bridge.bench import BRIEF, SILENCE, SPEECH

PATIENCE = 20.0  # seconds a test waits for something that must happen
PUBLIC_URL = "wss://voice.example/media"
TOKEN = "twilio-auth-token"
SECRET = b"secret of the tests"


class Inbox:
    """Messages in the order they came; waiting for one looks at those not yet looked at."""

    def __init__(self) -> None:
        self.all: list[dict[str, object]] = []
        self._seen: dict[str, int] = {}
        self._news = asyncio.Condition()

    async def put(self, message: dict[str, object]) -> None:
        async with self._news:
            self.all.append(message)
            self._news.notify_all()

    async def until(self, done: Callable[[], bool]) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(done), PATIENCE)

    async def next(self, key: str, kind: str) -> dict[str, object]:
        """The first message not yet returned whose `key` is `kind`."""

        def fresh() -> list[dict[str, object]]:
            return [message for message in self.all if message.get(key) == kind][self._seen.get(kind, 0) :]

        await self.until(lambda: bool(fresh()))
        message = fresh()[0]
        self._seen[kind] = self._seen.get(kind, 0) + 1
        return message

    def of(self, key: str, kind: str) -> list[dict[str, object]]:
        return [message for message in self.all if message.get(key) == kind]


class Model:
    """Accepts sessions; says only what the test sends."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.requests: list[Request] = []
        self.refuse: HTTPStatus | None = None
        self.admits = asyncio.Event()  # handshakes wait for it
        self.admits.set()
        self.sessions = 0
        self.open_sockets = 0
        self.url = ""
        self._socket: ServerConnection | None = None
        self._changed = asyncio.Condition()

    @property
    def audio(self) -> bytes:
        """All audio appended so far."""
        parts = self.inbox.of("type", "input_audio_buffer.append")
        return b"".join(base64.b64decode(str(part["audio"])) for part in parts)

    async def has_heard(self, phone: "Phone") -> None:
        """Waits until the bridge has passed on all the phone has sent: the two sockets know no common order."""
        await self.inbox.until(lambda: 20 * len(self.inbox.of("type", "input_audio_buffer.append")) >= phone.at_ms)

    async def send(self, kind: str, **fields: object) -> None:
        assert self._socket is not None
        await self._socket.send(orjson.dumps({"type": kind, "event_id": "e", **fields}).decode())

    async def drop(self) -> None:
        assert self._socket is not None
        self._socket.transport.abort()

    async def speak(
        self, text: str, audio: bytes, response: str = "resp", item: str = "item", *, burst: int = 1_600
    ) -> None:
        """A whole response in bursts."""
        await self.send("response.created", response={"id": response})
        ids = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        for start in range(0, len(audio), burst):
            delta = base64.b64encode(audio[start : start + burst]).decode()
            await self.send("response.output_audio.delta", delta=delta, **ids)
        await self.send("response.output_audio_transcript.done", transcript=text, **ids)
        await self.send("response.done", response={"id": response, "status": "completed", "output": [], "usage": None})

    async def closed(self) -> None:
        """Waits until no session is open."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self.open_sockets == 0), PATIENCE)

    async def asked(self) -> None:
        """Waits until somebody wants a session."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: bool(self.requests)), PATIENCE)

    async def was_used(self) -> None:
        """Waits until there has been a session and none is open."""
        async with self._changed:
            done = self._changed.wait_for(lambda: self.sessions > 0 and self.open_sockets == 0)
            await asyncio.wait_for(done, PATIENCE)

    async def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        async with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        await self.admits.wait()
        return None if self.refuse is None else socket.respond(self.refuse, "no")

    async def session(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.open_sockets += 1
        self.sessions += 1
        try:
            await self.send("session.created", session={})
            async for raw in socket:
                message = orjson.loads(raw)
                if message["type"] == "session.update":
                    await self.send("session.updated", session=message["session"])
                await self.inbox.put(message)
        except ConnectionClosed:
            self._socket = None
        finally:
            async with self._changed:
                self.open_sockets -= 1
                self._changed.notify_all()


class Phone:
    """Sends frames as fast as it is told to; plays by counting the frames it has sent."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.inbox = Inbox()
        self.at_ms = 0
        self._unplayed = 0  # media whose marks have not been echoed
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def start(self, token: str = "good", call_sid: str = "CA1") -> None:
        await self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {"streamSid": "MZ1", "callSid": call_sid, "customParameters": {"token": token}}
        await self._send({"event": "start", "streamSid": "MZ1", "start": start})

    async def frame(self, audio: bytes) -> None:
        media = {"track": "inbound", "timestamp": str(self.at_ms), "payload": base64.b64encode(audio).decode()}
        await self._send({"event": "media", "streamSid": "MZ1", "media": media})
        self.at_ms += len(audio) // 8

    async def quiet(self, ms: int) -> None:
        for _ in range(ms // 20):
            await self.frame(SILENCE)

    async def noise(self, ms: int) -> None:
        for _ in range(ms // 20):
            await self.frame(SPEECH)

    async def hello(self) -> None:
        await self.quiet(200)
        await self.noise(400)
        await self.quiet(520)

    async def played(self, mark: str) -> None:
        self._unplayed -= 1
        await self.echo(mark)

    async def echo(self, mark: str) -> None:
        await self._send({"event": "mark", "streamSid": "MZ1", "mark": {"name": mark}})

    async def press(self, digit: str) -> None:
        await self._send({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": digit}})

    async def hang_up(self) -> None:
        await self._send({"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}})
        await self.socket.close()

    async def closed(self) -> None:
        await asyncio.wait_for(self._reader, PATIENCE)

    @property
    def heard(self) -> bytes:
        return b"".join(base64.b64decode(str(m["media"]["payload"])) for m in self.inbox.of("event", "media"))  # type: ignore[index]

    async def _send(self, message: dict[str, object]) -> None:
        await self.socket.send(orjson.dumps(message).decode())

    async def _read(self) -> None:
        try:
            async for raw in self.socket:
                message = orjson.loads(raw)
                if message["event"] == "mark" and not self._unplayed:
                    await self.echo(message["mark"]["name"])  # nothing is queued before it
                    continue
                self._unplayed += message["event"] == "media"
                if message["event"] == "clear":
                    self._unplayed = 0
                await self.inbox.put(message)
        except ConnectionClosed:
            return


class Desk:
    """Remembers what it was told. Tokens are good once; `failures` makes the next calls of a method fail."""

    def __init__(self, brief: CallBrief = BRIEF) -> None:
        self.brief = brief
        self.early_brief: CallBrief | None = None  # what `prepare` tells, when it differs
        self.preparations: list[UUID] = []
        self.tokens = {"good"}
        self.turns: dict[int, Turn] = {}
        self.events: list[tuple[str, int, Mapping[str, object]]] = []
        self.opt_outs: list[str] = []
        self.humans: list[str] = []
        self.questions: list[str] = []
        self.advice: str | None = "Say yes."
        self.claims = 0
        self.hung_up: list[str] = []
        self.hang_up_calls: Callable[[str], None] = self.hung_up.append
        self.failures: dict[str, int] = {}
        self.held = asyncio.Event()  # turns wait for it
        self.held.set()
        self.reports: asyncio.Queue[CallReport] = asyncio.Queue()

    async def prepare(self, attempt_id: UUID) -> CallBrief:
        self._maybe_fail("prepare")
        self.preparations.append(attempt_id)
        return self.early_brief or self.brief

    async def open(self, call_sid: str, token: str) -> CallBrief:
        self._maybe_fail("open")
        if token not in self.tokens:
            raise StreamRefused("token_unknown")
        self.tokens.discard(token)
        return self.brief

    async def turn(self, brief: CallBrief, turn: Turn) -> None:
        self._maybe_fail("turn")
        await self.held.wait()
        self.turns[turn.index] = turn

    async def event(self, brief: CallBrief, kind: str, at_ms: int, data: Mapping[str, object]) -> None:
        self.events.append((kind, at_ms, data))

    async def claim_voicemail(self, brief: CallBrief) -> bool:
        self._maybe_fail("claim_voicemail")
        self.claims += 1
        return self.claims == 1

    async def opt_out(self, brief: CallBrief, words: str) -> None:
        self.opt_outs.append(words)

    async def request_human(self, brief: CallBrief, reason: str) -> None:
        self.humans.append(reason)

    async def guidance(self, brief: CallBrief, question: str, transcript: Sequence[Turn]) -> str | None:
        self.questions.append(question)
        self._maybe_fail("guidance")
        return self.advice

    async def hang_up(self, brief: CallBrief, call_sid: str) -> None:
        self._maybe_fail("hang_up")
        self.hang_up_calls(call_sid)

    async def finished(self, brief: CallBrief, report: CallReport) -> None:
        self.reports.put_nowait(report)

    async def report(self) -> CallReport:
        return await asyncio.wait_for(self.reports.get(), PATIENCE)

    async def report_after(self, phone: Phone) -> CallReport:
        """The carrier's part: once told to hang up, it ends the phone's stream."""
        self.hang_up_calls = self._end(phone)
        return await self.report()

    def _end(self, phone: Phone) -> Callable[[str], None]:
        endings: set[asyncio.Task[None]] = set()

        def end(call_sid: str) -> None:
            self.hung_up.append(call_sid)
            endings.add(asyncio.get_running_loop().create_task(phone.hang_up()))

        if self.hung_up:
            endings.add(asyncio.get_running_loop().create_task(phone.hang_up()))
        return end

    def _maybe_fail(self, method: str) -> None:
        if self.failures.get(method, 0):
            self.failures[method] -= 1
            raise ConnectionError(method)


class Line:
    """A running bridge with its neighbours."""

    def __init__(self, model: Model, desk: Desk, services: Services, server: BridgeServer, port: int) -> None:
        self.model = model
        self.desk = desk
        self.services = services
        self.server = server
        self.port = port

    async def ring(self, attempt_id: UUID, *, ticket: str | None = None) -> int:
        """What the web process does while a phone rings; returns the bridge's HTTP status."""
        if ticket is None:
            ticket = TicketOffice(SECRET, time.time).issue(self.services.settings.bridge_id, attempt_id)
        url, headers = f"http://127.0.0.1:{self.port}/prepare", {"Authorization": f"Bearer {ticket}"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response.status

    async def metrics(self) -> dict[str, float]:
        """All samples by name and labels."""
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
            return {
                sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
                for family in families
                for sample in family.samples
            }

    async def dial(self, *, path: str = "/media", signature: str | None = None) -> Phone:
        """Opens a stream as Twilio does; raises websockets' InvalidStatus when refused."""
        signature = signature or RequestValidator(TOKEN).compute_signature(PUBLIC_URL, {})
        return Phone(
            await connect(
                f"ws://127.0.0.1:{self.port}{path}",
                additional_headers={"X-Twilio-Signature": signature},
                user_agent_header="Twilio.TmeWs/1.0",
                compression=None,
                proxy=None,
            )
        )


@asynccontextmanager
async def bridge_line(
    spool: Path, brief: CallBrief = BRIEF, opt_out: OptOutTest = is_opt_out, **changes: object
) -> AsyncIterator[Line]:
    """`changes` are fields of BridgeSettings."""
    model, desk = Model(), Desk(brief)
    async with serve(model.session, "127.0.0.1", 0, process_request=model.answer, compression=None) as listening:
        model.url = f"http://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}/v1"
        plain = BridgeSettings(PUBLIC_URL, TOKEN, "sk-test", spool, openai_base_url=model.url, port=0)
        settings = replace(plain, **changes)  # type: ignore[arg-type]
        client = AsyncOpenAI(api_key=settings.openai_api_key, base_url=settings.openai_base_url)
        loop, log = asyncio.get_running_loop(), structlog.get_logger("test")
        with ThreadPoolExecutor(1) as disk:
            services = Services(settings, desk, client, None, disk, opt_out, load_spare_lines(), loop.time, log)
            office = TicketOffice(SECRET, time.time)
            server = BridgeServer(services, office)
            port = await server.start()
            try:
                yield Line(model, desk, services, server, port)
            finally:
                await server.close()
                await client.close()
