"""One live call: carries what the conversation core decides to the phone, the model, the disk and the domain."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from openai import AsyncOpenAI
from picows import WSMsgType, WSTransport, ws_connect

from callwright.app.calls.conversation import CallBrief, CallDesk, CallReport, StreamRefused
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge import realtime
from callwright.bridge.core import Conversation, OptOutTest
from callwright.bridge.legs import MODEL_FRAME_BYTES, PHONE_FRAME_BYTES, Leg, LegEvents
from callwright.bridge.liaison import Liaison
from callwright.bridge.playout import BYTES_PER_MS
from callwright.bridge.recorder import Recorder, SpoolFile
from callwright.bridge.settings import BridgeSettings
from callwright.bridge.twilio import PhoneFrames, PhoneWire

_TEXT = WSMsgType.TEXT
_BACKLOG_FRAMES = 500  # 10 s of audio kept while the desk and the model are being reached; then the oldest is lost
_OPEN_SECONDS = 10.0
_WRITE_BUFFER_BYTES = 4 << 20  # a peer that reads slower than this is gone
_WALL_MARGIN_SECONDS = 60.0  # stream time should not lag the clock by more over a whole call


@dataclass(frozen=True, slots=True)
class Services:
    """What all calls of a process share."""

    settings: BridgeSettings
    desk: CallDesk
    client: AsyncOpenAI
    tls: ssl.SSLContext | None  # one for all model sockets: each costs 0.9 MB
    disk: Executor
    is_opt_out: OptOutTest
    clock: Callable[[], float]  # seconds, monotonic
    log: structlog.stdlib.BoundLogger


class Call:
    """Lives from the phone's socket to the last word to the domain.

    `on_opened` is called when the socket is up (an upgrade may still fail before), `on_closed` once at the very end.
    """

    def __init__(
        self, services: Services, on_opened: Callable[["Call"], None], on_closed: Callable[["Call"], None]
    ) -> None:
        self._services = services
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._log = services.log
        self._phone_wire = PhoneWire()
        self._model_wire = realtime.ModelWire()
        self._phone: WSTransport | None = None
        self._model: WSTransport | None = None
        self._model_ready = False
        self._frames: PhoneFrames | None = None
        self._call_sid = ""
        self._brief: CallBrief | None = None
        self._conversation: Conversation | None = None
        self._liaison: Liaison | None = None
        self._recorder: Recorder | None = None
        self._spool: SpoolFile | None = None
        self._early: deque[ev.PhoneEvent] = deque(maxlen=_BACKLOG_FRAMES)
        self._backlog: deque[str] = deque(maxlen=_BACKLOG_FRAMES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_ms = 0
        self._born = self._last_frame = services.clock()
        self._close_by: float | None = None
        self._phone_gone = False
        self._over = False  # the core has finished
        self._closed = False

    # The phone

    def phone_leg(self) -> Leg:
        """The listener for the phone's socket."""
        events = LegEvents(self._phone_connected, self._phone_message, self._phone_disconnected, self._failed)
        return Leg(events, PHONE_FRAME_BYTES)

    def _phone_connected(self, transport: WSTransport) -> None:
        self._phone = transport
        self._on_opened(self)

    def _phone_message(self, raw: bytes) -> None:
        event = self._phone_wire.parse(raw)
        if event is None or self._over:
            return
        if isinstance(event, ev.StreamStarted):
            if self._frames is None:
                self._frames = PhoneFrames(event.stream_sid)
                self._call_sid = event.call_sid
                self._log = self._log.bind(call_sid=event.call_sid)
                self._spawn(self._open(event.parameters.get("token", "")))
        elif self._conversation is None:
            self._last_frame = self._services.clock()
            self._early.append(event)
        else:
            self._phone_event(event)

    def _phone_disconnected(self) -> None:
        self._phone, self._phone_gone = None, True
        if self._conversation is not None:
            self._tell(ev.PhoneGone(stopped=False))
        self._settle()

    def _phone_event(self, event: ev.PhoneEvent) -> None:
        if isinstance(event, ev.StreamStarted):
            return
        if isinstance(event, ev.PhoneAudio):
            self._last_frame = self._services.clock()
            self._at_ms = max(self._at_ms, event.start_ms + len(event.audio) // BYTES_PER_MS)
            if self._model_ready and self._model is not None:
                self._model.send(_TEXT, realtime.append(event.payload))
            else:
                self._backlog.append(event.payload)
            if self._recorder is not None:
                self._recorder.person(event.start_ms, event.audio)
        self._tell(event)

    # The way in

    async def _open(self, token: str) -> None:
        try:
            brief = await asyncio.wait_for(self._services.desk.open(self._call_sid, token), _OPEN_SECONDS)
        except StreamRefused as refused:
            self._log.warning("stream_refused", code=refused.code)
            self._drop()
            return
        except Exception as error:  # the desk is away: without a brief there is nothing to say
            self._log.error("stream_not_opened", error=type(error).__name__)
            self._drop()
            return
        self._brief = brief
        self._log = self._log.bind(call_id=str(brief.call_id), attempt_id=str(brief.attempt_id))
        self._liaison = Liaison(
            self._services.desk,
            brief,
            self._call_sid,
            settings=self._services.settings,
            tell=self._tell,
            log=self._log,
        )
        if brief.record:
            path = self._services.settings.spool_dir / f"{brief.attempt_id}.wav"
            self._spool = SpoolFile(path, self._services.disk)
            self._recorder = Recorder(self._spool.write)
        self._conversation = Conversation(brief, self._services.is_opt_out)
        self._perform(self._conversation.begin())
        self._spawn(self._connect_model(brief))
        while self._early:
            self._phone_event(self._early.popleft())
        if self._phone_gone:
            self._tell(ev.PhoneGone(stopped=False))

    async def _connect_model(self, brief: CallBrief) -> None:
        url, headers = realtime.endpoint(self._services.client, brief.model)
        events = LegEvents(self._model_connected, self._model_message, self._model_disconnected, self._failed)
        try:
            transport, _ = await ws_connect(
                lambda: Leg(events, MODEL_FRAME_BYTES),
                url,
                ssl_context=self._services.tls,
                extra_headers=headers,
                enable_auto_ping=True,
                max_frame_size=MODEL_FRAME_BYTES,
                websocket_handshake_timeout=_OPEN_SECONDS,
            )
        except Exception as error:  # refused, unreachable, too slow, not a WebSocket: all the same to the call
            self._log.error("model_unreachable", error=type(error).__name__)
            self._tell(ev.ModelLost("unreachable"))
            return
        if self._over:
            transport.disconnect()

    # The model

    def _model_connected(self, transport: WSTransport) -> None:
        self._model = transport
        if self._brief is not None:
            transport.send(_TEXT, realtime.session_update(self._brief, self._services.settings.transcription_model))

    def _model_message(self, raw: bytes) -> None:
        event = self._model_wire.parse(raw)
        if event is None or self._over:
            return
        if isinstance(event, ev.ModelReady):
            if self._model_ready or self._model is None:
                return
            self._model_ready = True
            while self._backlog:
                self._model.send(_TEXT, realtime.append(self._backlog.popleft()))
        self._tell(event)

    def _model_disconnected(self) -> None:
        self._model = None
        self._tell(ev.ModelLost("disconnected"))

    # The core's decisions

    def check(self, now: float) -> None:
        """Bounds that need the wall clock; called about once a second."""
        settings = self._services.settings
        if self._over:  # asked to close already: a peer that does not answer is not waited for
            self._drop(graceful=False)
            return
        if self._close_by is not None and now >= self._close_by:
            self._drop()
            return
        longest = (self._brief.max_seconds if self._brief else 0) + _WALL_MARGIN_SECONDS
        stalled = now - self._last_frame > settings.stall_seconds or now - self._born > longest
        if stalled and self._conversation is not None:
            self._tell(ev.PhoneStalled())
        elif stalled:
            self._drop()
        for leg in (self._phone, self._model):
            if leg is not None and leg.underlying_transport.get_write_buffer_size() > _WRITE_BUFFER_BYTES:
                self._log.error("peer_reads_too_slowly")
                leg.disconnect(graceful=False)

    def shut_down(self) -> None:
        if self._conversation is None:
            self._drop()
        else:
            self._tell(ev.ShuttingDown())

    def _failed(self, error: Exception) -> None:
        """A fault of ours: this call ends properly, no other is touched."""
        self._log.error("call_failed", error=type(error).__name__, exc_info=error)
        if self._conversation is None:
            self._drop()
        elif not self._over:
            self._perform(self._conversation.abort())

    def _tell(self, event: ev.Event) -> None:
        if self._conversation is None or self._over:
            return
        try:
            actions = self._conversation.handle(event, self._at_ms)
            if actions:
                self._perform(actions)
        except Exception as error:  # whoever told us is not to suffer for it
            self._failed(error)

    def _perform(self, actions: Sequence[act.Action]) -> None:
        for action in actions:
            if isinstance(action, act.Play):
                self._play(action)
            elif isinstance(action, act.ClearPhone):
                self._clear()
            elif isinstance(action, act.PlaysLate):
                if self._recorder is not None:
                    self._recorder.delay(action.late_ms)
            elif isinstance(action, act.Finish):
                self._over = True
                self._spawn(self._finish(action.report))
            elif isinstance(action, act.HearOut):
                loop = asyncio.get_running_loop()
                loop.call_later(self._services.settings.hear_out_seconds, self._tell, ev.HearingOver())
            elif not self._to_model(action) and self._liaison is not None:
                if isinstance(action, act.HangUp):
                    self._close_by = self._services.clock() + self._services.settings.hang_up_seconds
                self._liaison.carry_out(action)

    def _play(self, action: act.Play) -> None:
        if self._phone is not None and self._frames is not None:
            if action.lead is not None:
                self._phone.send(_TEXT, self._frames.mark(action.lead))
            self._phone.send(_TEXT, self._frames.media(action.payload))
            self._phone.send(_TEXT, self._frames.mark(action.mark))
        if self._recorder is not None:
            self._recorder.agent(self._at_ms, action.audio)

    def _clear(self) -> None:
        if self._phone is not None and self._frames is not None:
            self._phone.send(_TEXT, self._frames.clear)
        if self._recorder is not None:
            self._recorder.cut(self._at_ms)

    def _to_model(self, action: act.Action) -> bool:
        """Sends what is meant for the model; false when the action is not. A lost model is the core's to notice."""
        if isinstance(action, act.CreateResponse):
            message = realtime.response_create(action)
        elif isinstance(action, act.CancelResponse):
            message = realtime.response_cancel(action.response_id)
        elif isinstance(action, act.TruncateItem):
            message = realtime.truncate(action.item_id, action.audio_end_ms)
        elif isinstance(action, act.AnswerTool):
            message = realtime.tool_output(action.call_id, action.output)
        elif isinstance(action, act.TellModel):
            message = realtime.user_text(action.text)
        elif isinstance(action, act.CommitSpeech):
            message = realtime.COMMIT
        else:
            return False
        if self._model is not None:
            self._model.send(_TEXT, message)
        return True

    # The way out

    async def _finish(self, report: CallReport) -> None:
        """Closes both sockets, ends the recording, reports. Bounded by the disk and the liaison's patience."""
        self._drop()
        recording, length = await self._end_recording(), 0
        if recording is not None and self._recorder is not None:
            length = self._recorder.duration_ms
        if self._liaison is not None:
            await self._liaison.close(replace(report, recording=recording, recording_ms=length))
        self._log.info(
            "call_finished",
            reason=report.reason.value,
            duration_ms=report.duration_ms,
            phone_gaps=self._phone_wire.gaps,
            phone_ignored=dict(self._phone_wire.ignored),
            model_ignored=dict(self._model_wire.ignored),
            late_deltas=self._conversation.dropped_deltas if self._conversation else 0,
        )

    async def _end_recording(self) -> Path | None:
        if self._recorder is None or self._spool is None:
            return None
        try:
            self._recorder.close(self._at_ms)
            return await asyncio.wrap_future(self._spool.close())
        except OSError as error:
            self._log.error("recording_failed", error=type(error).__name__)
            return None

    def _drop(self, *, graceful: bool = True) -> None:
        """Closes what is open. No model socket outlives its phone."""
        for leg in (self._phone, self._model):
            if leg is not None:
                leg.disconnect(graceful)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
        self._settle()

    def _settle(self) -> None:
        """Gone for good once the phone is, and nothing is left to do."""
        finished = self._over or self._conversation is None
        if self._phone_gone and finished and not self._tasks and not self._closed:
            self._closed = True
            self._on_closed(self)
