"""One session with the voice model: opened, configured, told what was said before, and warm until somebody speaks."""

import asyncio
import binascii
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from picows import WSMsgType, WSTransport, ws_connect

from callwright.app.calls.conversation import CallBrief, Turn
from callwright.bridge import events as ev
from callwright.bridge import realtime
from callwright.bridge.legs import MODEL_FRAME_BYTES, Leg, LegEvents
from callwright.bridge.services import Services

_TEXT = WSMsgType.TEXT
_BACKLOG_FRAMES = 500  # 10 s of audio kept until the session is ready; then the oldest is lost
_HANDSHAKE_SECONDS = 5.0
_TURNS = 200  # of the talk so far that a new session is told
_APPEND_BYTES = 8_000  # of audio heard again, a message: 1 s
# A model that reads slower than this is 20 s behind the talk: as good as lost.
_WRITE_BUFFER_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class SessionOwner:
    """Whoever the session belongs to. Nothing is told after `close`."""

    event: Callable[[ev.ModelEvent], None]
    lost: Callable[[str], None]  # why, in a short machine word; at most once
    failed: Callable[[Exception], None]  # a fault of ours while handling the model's message


class ModelSession:
    """Begins to open at once. Until `adopt` it is nobody's, and keeps what its owner has to know."""

    def __init__(self, services: Services, brief: CallBrief, turns: Sequence[Turn] = (), heard: bytes = b"") -> None:
        """`turns`: what was said before. `heard`: mu-law audio of the person to be heard first."""
        self._services = services
        self._brief = brief
        self._turns = turns[-_TURNS:]
        self._heard = heard
        self._wire = realtime.ModelWire()
        self._transport: WSTransport | None = None
        self._owner: SessionOwner | None = None
        self._backlog: deque[str] = deque(maxlen=_BACKLOG_FRAMES)
        self._closed = False
        self.ready = False
        self.lost: str | None = None
        self._opening = asyncio.get_running_loop().create_task(self._open())

    @property
    def ignored(self) -> dict[str, int]:
        """What the model sent that we do not know, by name."""
        return dict(self._wire.ignored)

    def adopt(self, owner: SessionOwner, brief: CallBrief) -> None:
        """From now on it is this owner's, whose call has this brief (it may have changed since the opening)."""
        if brief != self._brief:
            self._brief = brief
            if self._transport is not None:
                self._configure(self._transport)
        self._owner = owner
        if self.lost is not None:
            owner.lost(self.lost)
        elif self.ready:
            owner.event(ev.ModelReady())

    def append(self, payload: str) -> None:
        """The person's audio, in base64; kept while the session is not ready."""
        if self.ready and self._transport is not None:
            self._transport.send(_TEXT, realtime.append(payload))
        else:
            self._backlog.append(payload)

    def send(self, message: bytes) -> None:
        """Nothing is sent to a session that is not there: that it is lost is told to the owner."""
        if self._transport is not None:
            self._transport.send(_TEXT, message)

    def check(self) -> None:
        """Gives up a model that does not read; called about once a second."""
        transport = self._transport
        if transport is not None and transport.underlying_transport.get_write_buffer_size() > _WRITE_BUFFER_BYTES:
            self._services.log.error("model_reads_too_slowly")
            transport.disconnect(graceful=False)
            self._gone("slow")

    def close(self, *, graceful: bool = True) -> None:
        self._closed = True
        self._opening.cancel()
        if self._transport is not None:
            self._transport.disconnect(graceful)

    async def _open(self) -> None:
        url, headers = realtime.endpoint(self._services.client, self._brief.model)
        events = LegEvents(self._connected, self._message, lambda: self._gone("disconnected"), self._failed)
        try:
            await ws_connect(
                lambda: Leg(events, MODEL_FRAME_BYTES),
                url,
                ssl_context=self._services.tls,
                extra_headers=headers,
                enable_auto_ping=True,
                max_frame_size=MODEL_FRAME_BYTES,
                websocket_handshake_timeout=_HANDSHAKE_SECONDS,
            )
        except Exception as error:  # refused, unreachable, too slow, not a WebSocket: all the same to the call
            self._services.log.error("model_unreachable", error=type(error).__name__)
            self._gone("unreachable")

    def _connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self._closed:
            transport.disconnect()
            return
        self._configure(transport)
        for turn in self._turns:
            transport.send(_TEXT, realtime.said(turn))

    def _configure(self, transport: WSTransport) -> None:
        transport.send(_TEXT, realtime.session_update(self._brief, self._services.settings.transcription_model))

    def _message(self, raw: bytes) -> None:
        event = self._wire.parse(raw)
        if event is None or self._closed:
            return
        if isinstance(event, ev.ModelReady):
            if self.ready:
                return
            self._hear_out()
        if self._owner is not None:
            self._owner.event(event)
        elif isinstance(event, ev.ModelError):
            self._gone(event.code)  # what is wrong before anybody speaks will not get better

    def _hear_out(self) -> None:
        """The session is configured: what was said meanwhile is heard now, in order."""
        self.ready = True
        for start in range(0, len(self._heard), _APPEND_BYTES):
            piece = self._heard[start : start + _APPEND_BYTES]
            self.append(binascii.b2a_base64(piece, newline=False).decode())
        self._heard = b""
        while self._backlog:
            self.append(self._backlog.popleft())

    def _gone(self, why: str) -> None:
        self._transport, self.ready = None, False
        if self._closed or self.lost is not None:
            return
        self.lost = why
        if self._owner is not None:
            self._owner.lost(why)

    def _failed(self, error: Exception) -> None:
        if self._owner is not None:
            self._owner.failed(error)
        else:
            self._services.log.error("session_failed", error=type(error).__name__, exc_info=error)
            self.close()
