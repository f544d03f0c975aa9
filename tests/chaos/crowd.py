"""Hundreds of callees and one model service for them all, scripted, on real sockets, faster than life."""

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_connect, ws_create_server
from twilio.request_validator import RequestValidator

from tests.bridge.bench import FRAME_MS, SILENCE, SPEECH
from tests.bridge.peers import PUBLIC_URL, TOKEN

PATIENCE = 60.0
QUIET = base64.b64encode(SILENCE)
LOUD = base64.b64encode(SPEECH)
CHUNK_MS = 200
CHUNKS = 8
AGENT = b"\x20" * (CHUNK_MS * 8)
_DELTA = base64.b64encode(AGENT)


class ModelSession(WSListener):
    """Hears speech by its very bytes, says the same 1.6 s whenever it is asked to, at once."""

    def __init__(self, service: "ModelService") -> None:
        self._service = service
        self._speaking = False
        self._quiet = 0
        self._number: int | None = None  # of the callee, who tells it with the first frame
        self._utterances = 0
        self._responses = 0
        self._response: bytes | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._service.open += 1
        self._send(transport, b'{"type":"session.created","session":{}}')

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._service.open -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.TEXT:
            if frame.msg_type is WSMsgType.CLOSE:
                transport.disconnect()
            return
        raw = frame.get_payload_as_bytes()
        if b"input_audio_buffer.append" in raw:
            if self._number is None:
                self._number = int.from_bytes(base64.b64decode(orjson.loads(raw)["audio"])[-4:], "big")
            self._hear(transport, loud=LOUD in raw)
        elif b'"session.update"' in raw:
            self._send(transport, b'{"type":"session.updated","session":{}}')
        elif b'"response.create"' in raw:
            self._speak(transport)
        elif b'"response.cancel"' in raw and self._response is not None:
            self._end(transport, b"cancelled")

    def _hear(self, transport: WSTransport, *, loud: bool) -> None:
        item = b'"item_id":"u%d"' % self._utterances
        if loud:
            self._quiet = 0
            if not self._speaking:
                self._speaking = True
                self._utterances += 1
                item = b'"item_id":"u%d"' % self._utterances
                started = b'{"type":"input_audio_buffer.speech_started","audio_start_ms":0,' + item + b"}"
                self._send(transport, started)
                assert self._number is not None
                self._service.noticed(self._number)
        elif self._speaking:
            self._quiet += FRAME_MS
            if self._quiet >= 500:
                self._speaking = False
                for kind, more in (
                    (b"input_audio_buffer.speech_stopped", b'"audio_end_ms":0,'),
                    (b"input_audio_buffer.committed", b""),
                    (b"conversation.item.input_audio_transcription.completed", b'"transcript":"Tell me more.",'),
                ):
                    self._send(transport, b'{"type":"' + kind + b'",' + more + item + b"}")

    def _speak(self, transport: WSTransport) -> None:
        self._responses += 1
        name = self._response = b"r%d" % self._responses
        self._send(transport, b'{"type":"response.created","response":{"id":"' + name + b'"}}')
        ids = b'"response_id":"' + name + b'","item_id":"i' + name + b'","output_index":0,"content_index":0'
        for _ in range(CHUNKS):
            self._send(transport, b'{"type":"response.output_audio.delta",' + ids + b',"delta":"' + _DELTA + b'"}')
        words = b',"transcript":"one two three four"}'
        self._send(transport, b'{"type":"response.output_audio_transcript.done",' + ids + words)
        self._end(transport, b"completed")

    def _end(self, transport: WSTransport, status: bytes) -> None:
        assert self._response is not None
        response = b'{"id":"' + self._response + b'","status":"' + status + b'","output":[],"usage":null}'
        self._response = None
        self._send(transport, b'{"type":"response.done","response":' + response + b"}")

    @staticmethod
    def _send(transport: WSTransport, message: bytes) -> None:
        transport.send(WSMsgType.TEXT, message)


@dataclass
class ModelService:
    url: str = ""
    open: int = 0
    utterances: dict[int, int] = field(default_factory=dict)  # by callee, as far as noticed
    _news: dict[int, asyncio.Event] = field(default_factory=dict)

    def noticed(self, number: int) -> None:
        self.utterances[number] = self.utterances.get(number, 0) + 1
        self._news.setdefault(number, asyncio.Event()).set()

    async def until_noticed(self, number: int, utterance: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.utterances.get(number, 0) < utterance:
                news = self._news.setdefault(number, asyncio.Event())
                news.clear()
                await news.wait()


@asynccontextmanager
async def model_service() -> AsyncIterator[ModelService]:
    service = ModelService()

    def admit(request: WSUpgradeRequest) -> WSListener:
        return ModelSession(service)

    server = await ws_create_server(admit, "127.0.0.1", 0, backlog=1_024)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield service
    finally:
        server.close()
        await server.wait_closed()


@dataclass
class Heard:
    """What one phone got: bytes of audio, clears, and bytes that came for a line it had hung up."""

    audio: bytearray = field(default_factory=bytearray)
    clears: int = 0


class Callee(WSListener):
    """A phone that plays at the pace of its own frames and echoes marks when the audio before them has played."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.heard = Heard()
        self.at_ms = 0
        self._utterances = 0
        self._transport: WSTransport | None = None
        self._line: deque[tuple[bytes | None, int]] = deque()  # marks, and bytes of audio still to be played
        self._news = asyncio.Event()
        self.gone = asyncio.Event()

    async def dial(self, port: int) -> None:
        signature = RequestValidator(TOKEN).compute_signature(PUBLIC_URL, {})
        headers = {"X-Twilio-Signature": signature}
        await ws_connect(lambda: self, f"ws://127.0.0.1:{port}/media", extra_headers=headers)
        sid, call = b"MZ%d" % self.number, b"CA%d" % self.number
        self._send(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        token = b'{"token":"%d"}' % self.number
        start = b'{"streamSid":"' + sid + b'","callSid":"' + call + b'","customParameters":' + token + b"}"
        self._send(b'{"event":"start","streamSid":"' + sid + b'","start":' + start + b"}")

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self.gone.set()
        self._news.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
            return
        message = orjson.loads(frame.get_payload_as_bytes())
        assert message["streamSid"] == f"MZ{self.number}", "cross-talk"
        if message["event"] == "media":
            audio = base64.b64decode(message["media"]["payload"])
            self.heard.audio += audio
            self._line.append((None, len(audio)))
        elif message["event"] == "mark":
            self._line.append((message["mark"]["name"].encode(), 0))
            self._play(0)
        else:
            self.heard.clears += 1
            for mark, _ in self._line:
                self._echo(mark)
            self._line.clear()
        self._news.set()

    async def frames(self, ms: int, payload: bytes) -> None:
        for _ in range(ms // FRAME_MS):
            media = b'{"track":"inbound","timestamp":"%d","payload":"' % self.at_ms + payload + b'"}}'
            self._send(b'{"event":"media","streamSid":"MZ%d","media":' % self.number + media)
            self.at_ms += FRAME_MS
            self._play(FRAME_MS * 8)
            await asyncio.sleep(0)

    async def says(self, ms: int, model: "ModelService") -> None:
        """Speech and the pause after it; the pause waits until the model has noticed, as in life."""
        self._utterances += 1
        await self.frames(ms, LOUD)
        await model.until_noticed(self.number, self._utterances)
        await asyncio.sleep(0.02)
        await self.frames(540, QUIET)

    async def until_audible(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self._line:
                self._news.clear()
                assert self._transport is not None, "the line is gone"
                await self._news.wait()

    async def listen(self) -> None:
        """Silent until all that the model says in one go has come and been played."""
        await self.until_audible()
        async with asyncio.timeout(PATIENCE):
            while self._line or len(self.heard.audio) % (len(AGENT) * CHUNKS):
                if self._line:
                    await self.frames(FRAME_MS, QUIET)
                else:
                    await self.until_audible()

    async def hang_up(self) -> None:
        """Leaves the closing to the bridge: a socket closed on unread audio would take the `stop` with it."""
        self._send(b'{"event":"stop","streamSid":"MZ%d","stop":{}}' % self.number)
        await asyncio.wait_for(self.gone.wait(), PATIENCE)

    def _play(self, room: int) -> None:
        while self._line:
            mark, size = self._line[0]
            if size > room:
                self._line[0] = (mark, size - room)
                return
            room -= size
            self._line.popleft()
            self._echo(mark)

    def _echo(self, mark: bytes | None) -> None:
        if mark is not None:
            self._send(b'{"event":"mark","streamSid":"MZ%d","mark":{"name":"' % self.number + mark + b'"}}')

    def _send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, message)


async def whole_call(number: int, port: int, model: ModelService) -> Callee:
    """Hello, the opening, a question, an answer that is talked over, one that is not, and the person hangs up."""
    callee = Callee(number)
    await callee.dial(port)
    await callee.frames(FRAME_MS, base64.b64encode(SILENCE[4:] + number.to_bytes(4, "big")))
    await callee.frames(180, QUIET)
    await callee.says(400, model)
    await callee.listen()
    await callee.says(600, model)
    await callee.until_audible()
    await callee.frames(600, QUIET)
    await callee.frames(FRAME_MS, LOUD)
    await model.until_noticed(number, 3)
    for frame in range(45):  # hardly anything is left of the answer then
        if callee.heard.clears:
            break
        await callee.frames(FRAME_MS, LOUD)
        await asyncio.sleep(0.005 if frame < 20 else 0.1)  # a busy bridge gets time to react
    await callee.frames(540, QUIET)
    await callee.listen()
    await callee.frames(200, QUIET)
    await callee.hang_up()
    return callee
