"""One live call: carries what the conversation core decides to the phone, the model, the disk and the domain."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from picows import WSMsgType, WSTransport

from callwright.app.calls.conversation import CallBrief, CallReport, StreamRefused
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge import realtime
from callwright.bridge.core import Conversation
from callwright.bridge.legs import PHONE_FRAME_BYTES, Leg, LegEvents
from callwright.bridge.liaison import Liaison
from callwright.bridge.metrics import Metrics
from callwright.bridge.playout import BYTES_PER_MS
from callwright.bridge.recent import Recent
from callwright.bridge.services import Services
from callwright.bridge.session import ModelSession, SessionOwner
from callwright.bridge.tape import Tape
from callwright.bridge.twilio import PhoneFrames, PhoneWire

_TEXT = WSMsgType.TEXT
_EARLY_EVENTS = 500  # 10 s of the phone kept while the desk is being reached; then the oldest is lost
_OPEN_SECONDS = 10.0
# A phone that reads slower than this has two minutes of the agent before it: it is gone.
_WRITE_BUFFER_BYTES = 2 << 20
_WALL_MARGIN_SECONDS = 60.0  # stream time should not lag the clock by more over a whole call


class Host(Protocol):
    """What a call needs of the process it lives in."""

    @property
    def services(self) -> Services: ...

    @property
    def metrics(self) -> Metrics: ...

    def opened(self, call: "Call") -> None:
        """The phone's socket is up; an upgrade may still fail before."""

    def closed(self, call: "Call") -> None:
        """The last word to the domain was said; told once, at the very end."""

    def prepared(self, attempt_id: UUID) -> ModelSession | None:
        """The session that was opened while this phone was ringing, to be taken over."""


class Call:
    """Lives from the phone's socket to the last word to the domain."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._services = services = host.services
        self._log = services.log
        self._phone_wire = PhoneWire()
        self._phone: WSTransport | None = None
        self._frames: PhoneFrames | None = None
        self._session: ModelSession | None = None
        self._call_sid = ""
        self._brief: CallBrief | None = None
        self._conversation: Conversation | None = None
        self._liaison: Liaison | None = None
        self._tape: Tape | None = None
        self._recent = Recent()
        self._early: deque[ev.PhoneEvent] = deque(maxlen=_EARLY_EVENTS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_ms = 0
        self._born = self._last_frame = services.clock()
        self._started: float | None = None  # when the stream's `start` came, until the model is ready
        self._frames_counted = (0, 0)
        self._frames_sent = 0
        self._close_by: float | None = None
        self._phone_gone = False
        self._over = False  # the core has finished
        self._closed = False

    @property
    def errands_waiting(self) -> int:
        """Messages to the domain that are still to be carried out."""
        return self._liaison.waiting if self._liaison is not None else 0

    # The phone

    def phone_leg(self) -> Leg:
        """The listener for the phone's socket."""
        events = LegEvents(self._phone_connected, self._phone_message, self._phone_disconnected, self._failed)
        return Leg(events, PHONE_FRAME_BYTES)

    def _phone_connected(self, transport: WSTransport) -> None:
        self._phone = transport
        self._host.opened(self)

    def _phone_message(self, raw: bytes) -> None:
        event = self._phone_wire.parse(raw)
        if event is None or self._over:
            return
        if isinstance(event, ev.StreamStarted):
            if self._frames is None:
                self._started = self._services.clock()
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
            self._recent.add(self._at_ms, event.audio)
            if self._session is not None:
                self._session.append(event.payload)
            if self._tape is not None:
                self._tape.person(event.start_ms, event.audio)
        self._tell(event)

    # The way in

    async def _open(self, token: str) -> None:
        try:
            brief = await asyncio.wait_for(self._services.desk.open(self._call_sid, token), _OPEN_SECONDS)
        except StreamRefused as refused:
            self._log.warning("stream_refused", code=refused.code)
            self._refuse(refused.code)
            return
        except Exception as error:  # the desk is away: without a brief there is nothing to say
            self._log.error("stream_not_opened", error=type(error).__name__)
            self._refuse("desk_away")
            return
        self._begin(brief)
        while self._early:
            self._phone_event(self._early.popleft())
        if self._phone_gone:
            self._tell(ev.PhoneGone(stopped=False))

    def _begin(self, brief: CallBrief) -> None:
        services, self._brief = self._services, brief
        self._log = self._log.bind(call_id=str(brief.call_id), attempt_id=str(brief.attempt_id))
        self._liaison = Liaison(
            services.desk,
            brief,
            self._call_sid,
            settings=services.settings,
            metrics=self._host.metrics,
            tell=self._tell,
            log=self._log,
        )
        self._tape = Tape(services.settings.spool_dir / f"{brief.attempt_id}.wav", services.disk, self._log)
        self._tape.record(0, on=brief.record)
        self._conversation = Conversation(brief, services.is_opt_out, services.spare.of(brief.language))
        self._perform(self._conversation.begin())
        warm = self._host.prepared(brief.attempt_id)
        self._host.metrics.pick_up(warm=warm is not None)
        self._log.info("call_opened", warm=warm is not None)
        self._take(ModelSession(services, brief) if warm is None else warm, brief)

    def _refuse(self, reason: str) -> None:
        self._host.metrics.refused(reason)
        self._drop()

    # The model

    def _take(self, session: ModelSession, brief: CallBrief) -> None:
        """Goes on with this session; the one before is closed and not listened to any more."""
        before, self._session = self._session, session
        if before is not None:
            before.close(graceful=False)
        session.adopt(SessionOwner(self._model_event, lambda why: self._tell(ev.ModelLost(why)), self._failed), brief)

    def _model_event(self, event: ev.ModelEvent) -> None:
        if self._over:
            return
        if self._started is not None and isinstance(event, ev.ModelReady):
            seconds, self._started = self._services.clock() - self._started, None
            self._host.metrics.ready_after(seconds)
            self._log.info("model_ready", after_ms=round(seconds * 1_000))
        self._tell(event)

    def _reopen(self, action: act.OpenModel) -> None:
        if self._brief is not None:
            heard = self._recent.since(action.from_ms)
            self._take(ModelSession(self._services, self._brief, action.turns, heard), self._brief)

    # The core's decisions

    def check(self, now: float) -> None:
        """Bounds that need the wall clock; called about once a second."""
        settings = self._services.settings
        self._count_frames()
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
        phone = self._phone
        if phone is not None and phone.underlying_transport.get_write_buffer_size() > _WRITE_BUFFER_BYTES:
            self._log.error("phone_reads_too_slowly")
            phone.disconnect(graceful=False)
        if self._session is not None:
            self._session.check()

    def _count_frames(self) -> None:
        before, now = self._frames_counted, (self._phone_wire.frames, self._frames_sent)
        self._frames_counted = now
        self._host.metrics.frames(received=now[0] - before[0], sent=now[1] - before[1])

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
            elif isinstance(action, act.Finish):
                self._over = True
                self._spawn(self._finish(action.report))
            elif isinstance(action, act.OpenModel):
                self._reopen(action)
            elif isinstance(action, act.HearOut):
                loop = asyncio.get_running_loop()
                loop.call_later(self._services.settings.hear_out_seconds, self._tell, ev.HearingOver())
            elif (message := realtime.message_of(action)) is not None:
                if self._session is not None:
                    self._session.send(message)
            elif not self._to_line(action) and self._liaison is not None:
                if isinstance(action, act.HangUp):
                    self._close_by = self._services.clock() + self._services.settings.hang_up_seconds
                self._liaison.carry_out(action)

    def _to_line(self, action: act.Action) -> bool:
        """Does what is meant for the phone's queue and its recording; false when the action is not."""
        if isinstance(action, act.ClearPhone):
            self._clear()
        elif isinstance(action, act.PlaysLate):
            if self._tape is not None:
                self._tape.delay(action.late_ms)
        elif isinstance(action, act.SetRecording):
            if self._tape is not None:
                self._tape.record(self._at_ms, on=action.on)
        else:
            return False
        return True

    def _play(self, action: act.Play) -> None:
        if self._phone is not None and self._frames is not None:
            if action.lead is not None:
                self._phone.send(_TEXT, self._frames.mark(action.lead))
            self._phone.send(_TEXT, self._frames.media(action.payload))
            self._phone.send(_TEXT, self._frames.mark(action.mark))
            self._frames_sent += 1
        if self._tape is not None:
            self._tape.agent(self._at_ms, action.audio)

    def _clear(self) -> None:
        if self._phone is not None and self._frames is not None:
            self._phone.send(_TEXT, self._frames.clear)
        if self._tape is not None:
            self._tape.cut(self._at_ms)

    # The way out

    async def _finish(self, report: CallReport) -> None:
        """Closes both sockets, ends the recording, reports. Bounded by the disk and the liaison's patience."""
        self._drop()
        self._count_frames()
        self._host.metrics.finished(report, gaps=self._phone_wire.gaps)
        tape, recording = self._tape, None
        if tape is not None:
            recording = await tape.close(self._at_ms)
            self._host.metrics.recording_lost(tape.dropped_bytes)
        length = tape.duration_ms if tape is not None and recording is not None else 0
        if self._liaison is not None:
            await self._liaison.close(replace(report, recording=recording, recording_ms=length))
        self._log.info(
            "call_finished",
            reason=report.reason.value,
            duration_ms=report.duration_ms,
            phone_gaps=self._phone_wire.gaps,
            phone_ignored=dict(self._phone_wire.ignored),
            model_ignored=self._session.ignored if self._session is not None else {},
            model_reconnects=report.model_reconnects,
            late_deltas=self._conversation.dropped_deltas if self._conversation else 0,
        )

    def _drop(self, *, graceful: bool = True) -> None:
        """Closes what is open. No model socket outlives its phone."""
        if self._phone is not None:
            self._phone.disconnect(graceful)
        if self._session is not None:
            self._session.close(graceful=graceful)

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
            self._host.closed(self)
