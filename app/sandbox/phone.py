"""Twilio's Media Streams client: the WebSocket between a phone line and the customer's server (protocols A2-A5)."""

import asyncio
import base64
import binascii
import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import orjson

from callwright.app.sandbox.callee import FRAME_BYTES, FRAME_MS, SILENT, Step
from callwright.app.sandbox.ledger import Ledger

CONNECT_WITHIN = 10.0  # wall seconds for the WebSocket handshake
LONGEST_QUEUE_BYTES = 10 * 60 * 8000  # 10 minutes, then 31931
LONGEST_OUTBOX = 500  # messages (10 s of frames) the server may lag behind, then 31930
SILENT_PAYLOAD = base64.b64encode(SILENT).decode()
SHAPES: Mapping[str, frozenset[str]] = {
    "media": frozenset({"event", "streamSid", "media"}),
    "mark": frozenset({"event", "streamSid", "mark"}),
    "clear": frozenset({"event", "streamSid"}),
}
INNER = {"media": "payload", "mark": "name"}


@dataclass(slots=True)
class Clear:
    """One `clear`: when it came (ms since stream start), what it threw away, what was still played until the next."""

    at_ms: int
    dropped_bytes: int
    dropped_marks: int
    heard_after_bytes: int = 0


@dataclass(slots=True)
class Playback:
    """Audio waiting to be played at 8000 bytes a simulated second, and the marks between it."""

    queue: bytearray = field(default_factory=bytearray)
    marks: deque[tuple[int, str]] = field(default_factory=deque)
    received: int = 0  # bytes ever queued
    played: int = 0  # bytes ever played or dropped
    heard: int = 0  # bytes played
    clears: list[Clear] = field(default_factory=list)

    def add(self, audio: bytes) -> bool:
        """Queues audio; False when some of it was beyond ten minutes and is lost."""
        room = LONGEST_QUEUE_BYTES - len(self.queue)
        self.queue += audio[:room]
        self.received += min(room, len(audio))
        return len(audio) <= room

    def mark(self, name: str) -> list[str]:
        self.marks.append((self.received, name))
        return self.reached()

    def reached(self) -> list[str]:
        """Marks whose audio has been played, in order; each is given once."""
        names = []
        while self.marks and self.marks[0][0] <= self.played:
            names.append(self.marks.popleft()[1])
        return names

    def clear(self, at_ms: int) -> list[str]:
        self.clears.append(Clear(at_ms, len(self.queue), len(self.marks)))
        self.queue.clear()
        self.played = self.received
        return self.reached()

    def play(self) -> bytes:
        """The next 20 ms; silence fills what is missing."""
        if not self.queue:
            return SILENT
        frame = bytes(self.queue[:FRAME_BYTES])
        del self.queue[:FRAME_BYTES]
        self.played += len(frame)
        self.heard += len(frame)
        if self.clears:
            self.clears[-1].heard_after_bytes += len(frame)
        return frame.ljust(FRAME_BYTES, b"\xff")


class StreamFailed(Exception):
    """The media socket could not be opened; `code` is Twilio's (31901 to 31920)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    stream_sid: str
    account_sid: str
    call_sid: str
    parameters: tuple[tuple[str, str], ...]


class MediaStream:
    """Twilio's end of one bidirectional stream; `closed` is set when the socket is gone."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, identity: StreamIdentity, ledger: Ledger) -> None:
        self.identity = identity
        self.playback = Playback()
        self.closed = asyncio.Event()
        self.codes: list[int] = []
        self.marks_echoed = 0
        self.media_received = 0
        self.server_close_code: int | None = None
        self._stopping = False
        self._socket = socket
        self._ledger = ledger
        self._sequence = 0
        self._chunk = 0
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._outbox.put_nowait('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self._send("start", self._start())
        self._writer = asyncio.create_task(self._write())
        self._reader = asyncio.create_task(self._read())

    @property
    def ms(self) -> int:
        """Simulated milliseconds since the stream started."""
        return self._chunk * FRAME_MS

    def exchange(self, said: Step) -> bytes:
        if self.closed.is_set():
            return SILENT
        if said.digit:
            self._send("dtmf", {"track": "inbound_track", "digit": said.digit})
        self._chunk += 1
        if self._outbox.qsize() < LONGEST_OUTBOX:
            payload = SILENT_PAYLOAD if said.audio == SILENT else base64.b64encode(said.audio).decode()
            self._sequence += 1
            self._outbox.put_nowait(
                f'{{"event":"media","sequenceNumber":"{self._sequence}",'
                f'"media":{{"track":"inbound","chunk":"{self._chunk}","timestamp":"{self.ms}","payload":"{payload}"}},'
                f'"streamSid":"{self.identity.stream_sid}"}}'
            )
        else:
            self._flag(31930)
        frame = self.playback.play()
        self._echo(self.playback.reached())
        return frame

    async def stop(self) -> None:
        """The call is over or redirected: sends `stop`, then closes the socket."""
        self._stopping = True
        if not self.closed.is_set():
            self._send("stop", {"accountSid": self.identity.account_sid, "callSid": self.identity.call_sid})
            self._outbox.put_nowait(None)
            await asyncio.wait({self._writer}, timeout=1.0)
        self._writer.cancel()
        await self._socket.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, self._writer, return_exceptions=True)
        self.closed.set()

    def report(self) -> dict[str, object]:
        """Figures for `/sandbox/calls`; bytes are mu-law, 8 a millisecond."""
        play = self.playback
        return {
            "streamSid": self.identity.stream_sid,
            "mediaReceived": self.media_received,
            "bytesReceived": play.received,
            "bytesHeard": play.heard,
            "marksEchoed": self.marks_echoed,
            "marksOutstanding": len(play.marks),
            "clears": [
                {
                    "atMs": clear.at_ms,
                    "droppedBytes": clear.dropped_bytes,
                    "droppedMarks": clear.dropped_marks,
                    "heardAfterBytes": clear.heard_after_bytes,
                }
                for clear in play.clears
            ],
            "framesSent": self._chunk,
            "errors": list(self.codes),
            "serverCloseCode": self.server_close_code,
        }

    def _start(self) -> dict[str, object]:
        return {
            "streamSid": self.identity.stream_sid,
            "accountSid": self.identity.account_sid,
            "callSid": self.identity.call_sid,
            "tracks": ["inbound"],
            "customParameters": dict(self.identity.parameters),
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }

    def _send(self, event: str, body: Mapping[str, object]) -> None:
        self._sequence += 1
        message = {"event": event, "sequenceNumber": str(self._sequence), event: body}
        self._outbox.put_nowait(orjson.dumps({**message, "streamSid": self.identity.stream_sid}).decode())

    def _echo(self, names: list[str]) -> None:
        for name in names:
            self.marks_echoed += 1
            self._send("mark", {"name": name})

    def _flag(self, code: int) -> None:
        """Notes a protocol error, once per stream and code as Twilio does."""
        if code not in self.codes:
            self.codes.append(code)
            self._ledger.record("twilio", "stream.error", code=code, call=self.identity.call_sid)

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):  # the reader says how the socket ended
            while (message := await self._outbox.get()) is not None:
                await self._socket.send_str(message)

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._receive(message.data)
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self._flag(31950)
                elif message.type is aiohttp.WSMsgType.ERROR:
                    self._flag(31924)
        finally:
            if not self._stopping:
                self.server_close_code = self._socket.close_code
                if self.server_close_code in (None, 1006):
                    self._flag(31903)
                elif self.server_close_code != 1000:
                    self._flag(31921)
            self.closed.set()

    def _receive(self, text: str) -> None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            self._flag(31951)
            return
        event = message.get("event") if isinstance(message, dict) else None
        if not isinstance(event, str) or event not in SHAPES:
            self._flag(31951)
            return
        if message.keys() != SHAPES[event] or message["streamSid"] != self.identity.stream_sid:
            self._flag(31951)
            return
        if event == "clear":
            self._echo(self.playback.clear(self.ms))
            return
        inner = message[event]
        if not isinstance(inner, dict) or inner.keys() != {INNER[event]} or not isinstance(inner[INNER[event]], str):
            self._flag(31951)
        elif event == "mark":
            self._echo(self.playback.mark(inner["name"]))
        else:
            self._receive_media(inner["payload"])

    def _receive_media(self, payload: str) -> None:
        try:
            audio = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            self._flag(31951)
            return
        self.media_received += 1
        if not self.playback.add(audio):
            self._flag(31931)


async def open_stream(
    session: aiohttp.ClientSession, url: str, signature: str, identity: StreamIdentity, ledger: Ledger
) -> MediaStream:
    """Dials the media socket as Twilio does. Raises StreamFailed."""
    headers = {"User-Agent": "Twilio.TmeWs/1.0", "X-Twilio-Signature": signature}
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            socket = await session.ws_connect(url, headers=headers, compress=0, max_msg_size=0)
    except aiohttp.WSServerHandshakeError as error:
        raise StreamFailed(31920, f"upgrade answered with {error.status}") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise StreamFailed(31904, "host not found") from error
    except aiohttp.ClientSSLError as error:
        raise StreamFailed(31910, "TLS failure") from error
    except aiohttp.InvalidURL as error:
        raise StreamFailed(31923, "malformed URL") from error
    except TimeoutError as error:
        raise StreamFailed(31901, "connect timeout") from error
    except (aiohttp.ClientError, OSError) as error:
        raise StreamFailed(31902, "connection refused") from error
    return MediaStream(socket, identity, ledger)
