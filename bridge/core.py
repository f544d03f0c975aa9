"""One call's conversation without I/O: events in, actions out, time is the phone's media stream.

`Conversation` routes what happens to the parts that decide: `Greeting` (who answered), `TurnTaking` (who speaks),
`Voicemail`, `Tools`, `Ending`. They share a `Stage`. Nothing here waits, reads a clock or knows a wire format.
"""

from collections.abc import Callable, Sequence
from typing import Any

from callwright.app.calls.conversation import AnsweredBy, CallBrief, CallReport, EndCause
from callwright.bridge import events as ev
from callwright.bridge.actions import Action, CommitSpeech, Finish, HearOut, PlaysLate, Purpose, SetRecording
from callwright.bridge.ending import Ending
from callwright.bridge.greeting import Greeting, Verdict
from callwright.bridge.keypad import Keypad
from callwright.bridge.reconnect import Reconnection
from callwright.bridge.spare import SpareLine
from callwright.bridge.stage import Stage
from callwright.bridge.talk import measure
from callwright.bridge.timers import Timer
from callwright.bridge.tools import Tools
from callwright.bridge.turntaking import TurnTaking
from callwright.bridge.voicemail import Voicemail

OptOutTest = Callable[[str, str], bool]  # (words, language) -> the person wants no more calls

_MODEL_OPENING_MS = 4_000
_MODEL_SILENT_MS = 5_000  # without any sign of the response that is owed
_FAILURES = 3  # responses in a row that failed before the call is given up
_NOTHING: tuple[Action, ...] = ()


class Conversation:
    """`handle` is given every event with the stream time and returns what to do, in order. After `Finish` it returns
    nothing.
    """

    def __init__(self, brief: CallBrief, is_opt_out: OptOutTest, spare: SpareLine) -> None:
        self._stage = stage = Stage(brief)
        self._is_opt_out = is_opt_out
        self._ending = Ending(stage)
        self._greeting = Greeting(stage)
        self._turns = TurnTaking(stage, self._greeting, self._ending)
        self._voicemail = Voicemail(stage, self._ending)
        self._keypad = Keypad(stage, self._greeting, self._ending)
        self._tools = Tools(stage, self._ending)
        self._model = Reconnection(stage, self._turns, self._greeting, self._voicemail, self._ending, spare)
        self._recording = brief.record
        self._failures = 0
        self._gone: EndCause | None = None  # set once the phone is gone
        self._finished = False
        self.dropped_deltas = 0
        self._handlers: dict[type, Callable[[Any], None]] = {
            ev.PhoneAudio: self._phone_audio,
            ev.MarkReached: self._mark,
            ev.DigitPressed: self._digit,
            ev.PhoneGone: self._phone_gone,
            ev.PhoneStalled: self._phone_stalled,
            ev.ModelReady: self._model_ready,
            ev.ModelLost: self._model_lost,
            ev.SpeechStarted: self._speech_started,
            ev.SpeechStopped: self._speech_stopped,
            ev.SpeechCommitted: self._committed,
            ev.Transcribed: self._transcribed,
            ev.ResponseCreated: self._response_created,
            ev.AudioDelta: self._audio_delta,
            ev.TranscriptDelta: self._transcript_delta,
            ev.TranscriptDone: self._transcript_done,
            ev.ToolCalled: self._tool_called,
            ev.ResponseDone: self._response_done,
            ev.ModelError: self._model_error,
            ev.VoicemailClaimed: self._voicemail_claimed,
            ev.GuidanceGiven: self._guided,
            ev.RecordingWanted: self._recording_wanted,
            ev.HearingOver: self._hearing_over,
            ev.ShuttingDown: self._shutting_down,
        }
        self._after_phone = (ev.Transcribed, ev.HearingOver, ev.ModelLost, ev.ResponseDone, ev.ShuttingDown)

    def begin(self) -> Sequence[Action]:
        """The media stream has started (stream time 0)."""
        stage = self._stage
        self._greeting.begin()
        stage.timers.set(Timer.WRAP_UP, stage.brief.wrap_up_seconds * 1_000)
        stage.timers.set(Timer.HARD_END, stage.brief.max_seconds * 1_000)
        stage.timers.set(Timer.MODEL_STALL, _MODEL_OPENING_MS)
        stage.note("stream.started")
        return self._take()

    def handle(self, event: ev.Event, at_ms: int) -> Sequence[Action]:
        """`at_ms`: end of the last frame heard from the phone; it never runs backwards."""
        stage = self._stage
        if self._finished or (self._gone is not None and not isinstance(event, self._after_phone)):
            return _NOTHING
        stage.at_ms = max(stage.at_ms, at_ms)
        self._handlers[type(event)](event)
        for timer in stage.timers.due(stage.at_ms):
            self._timer(timer)
        return self._take() if stage.out else _NOTHING

    def abort(self) -> Sequence[Action]:
        """The bridge itself failed: hangs up and reports what is known."""
        if not self._finished:
            self._stage.line_closed()
            self._ending.hang_up(EndCause.BRIDGE_FAILED)
            self._finish(EndCause.BRIDGE_FAILED)
        return self._take()

    # The phone

    def _phone_audio(self, event: ev.PhoneAudio) -> None:
        stage = self._stage
        watching = self._greeting.watching
        beeps = self._voicemail.active or (watching and not stage.opening_heard)
        stage.acoustics.hear(event.audio, stage.at_ms, tones=beeps)
        if watching:
            self._judge(self._greeting.frame())
        if self._voicemail.active:
            self._voicemail.frame()
        else:
            self._turns.frame()

    def _mark(self, event: ev.MarkReached) -> None:
        stage = self._stage
        stage.stopwatch.mark(event.name, stage.at_ms)
        late_ms = stage.playout.late_ms(event.name, stage.at_ms)
        if late_ms:
            stage.out.append(PlaysLate(late_ms))
        stage.heard(stage.playout.acknowledge(event.name, stage.at_ms))
        if not stage.playout.audible:
            stage.timers.cancel(Timer.PLAYOUT_LATE)
            self._turns.quiet()

    def _digit(self, event: ev.DigitPressed) -> None:
        stage = self._stage
        stage.note("digit.pressed", digit=event.digit)
        if not self._voicemail.active:
            self._keypad.pressed(event.digit)

    def _phone_gone(self, event: ev.PhoneGone) -> None:
        stage = self._stage
        self._gone = EndCause.PERSON_HUNG_UP if event.stopped else EndCause.PHONE_LOST
        stage.line_closed()
        if not stage.transcript.unheard or self._voicemail.active:
            self._finish(self._gone)
            return
        if stage.person_speaking:
            stage.out.append(CommitSpeech())
        stage.out.append(HearOut())

    def _phone_stalled(self, _: ev.PhoneStalled) -> None:
        self._stage.line_closed()
        self._ending.hang_up(EndCause.PHONE_STALLED)
        self._finish(EndCause.PHONE_STALLED)

    # The model

    def _model_ready(self, _: ev.ModelReady) -> None:
        self._stage.timers.cancel(Timer.MODEL_STALL)
        self._stage.ready_ms = self._stage.at_ms
        self._model.ready()
        self._stage.voice.ready()
        self._watch_model()

    def _model_lost(self, event: ev.ModelLost) -> None:
        if self._gone is not None:
            self._finish(self._gone)
        else:
            self._model.lost(event.detail)

    def _speech_started(self, event: ev.SpeechStarted) -> None:
        self._turns.speech_started(event.item_id)

    def _speech_stopped(self, event: ev.SpeechStopped) -> None:
        self._turns.speech_stopped(event.item_id)
        self._stage.stopwatch.person_stopped(min(self._stage.acoustics.last_voiced_ms, self._stage.at_ms))

    def _committed(self, event: ev.SpeechCommitted) -> None:
        if not self._voicemail.active:
            self._turns.committed(event.item_id)
            self._watch_model()

    def _transcribed(self, event: ev.Transcribed) -> None:
        stage = self._stage
        stage.usage += event.usage
        turn = stage.transcript.person_heard(event.item_id, event.text, stage.at_ms)
        if turn is not None:
            stage.publish(turn)
            if self._greeting.watching and self._gone is None:
                self._judge(self._greeting.words(turn.text))
            if self._voicemail.active:
                self._voicemail.words(turn.text)
            elif self._is_opt_out(turn.text, stage.brief.language):
                stage.opt_out(turn.text)
        if self._gone is not None and not stage.transcript.unheard:
            self._finish(self._gone)
        self._watch_model()

    def _response_created(self, event: ev.ResponseCreated) -> None:
        unasked = not (self._voicemail.active or self._ending.begun)
        if self._stage.voice.created(event.response_id, unasked=unasked):
            self._greeting.settle()  # the talk is under way
        self._model_moved()

    def _audio_delta(self, event: ev.AudioDelta) -> None:
        stage = self._stage
        response = stage.voice.living(event.response_id)
        if response is None or self._ending.hung_up or not event.audio:
            self.dropped_deltas += 1
            return
        purpose, begins_ms = response.wish.purpose, stage.playout.ends_at(stage.at_ms)
        first, response.spoke = not response.spoke, True
        if first:
            self._turns.agent_speaks(purpose)
        marks = stage.play(event.response_id, event.item_id, purpose, event.payload, event.audio)
        if first:
            stage.stopwatch.agent_speaks(purpose, marks, begins_ms)
        self._model_moved()
        if self._ending.begun:
            self._ending.audio_sent()

    def _transcript_delta(self, event: ev.TranscriptDelta) -> None:
        if self._stage.voice.living(event.response_id) is not None:
            self._stage.transcript.agent_words(event.item_id, event.text, whole=False)

    def _transcript_done(self, event: ev.TranscriptDone) -> None:
        if self._stage.voice.living(event.response_id) is not None:
            self._stage.transcript.agent_words(event.item_id, event.text, whole=True)

    def _tool_called(self, event: ev.ToolCalled) -> None:
        alive = self._stage.voice.living(event.response_id) is not None and not self._ending.begun
        self._tools.called(event, alive=alive)
        self._watch_model()

    def _response_done(self, event: ev.ResponseDone) -> None:
        stage = self._stage
        stage.usage += event.usage
        if self._gone is not None:
            return
        for call in event.tool_calls:
            self._tool_called(call)
        response = stage.voice.done(event.response_id)
        stage.heard(stage.playout.complete(event.response_id))
        if response is not None and not response.dead:
            if event.status == "failed" and not response.spoke:
                self._failed(response.wish.purpose, response.wish.words)
            else:
                self._failures = 0
        self._watch_model()
        self._turns.quiet()

    def _model_error(self, event: ev.ModelError) -> None:
        stage = self._stage
        if event.code == "session_expired":
            self._model_lost(ev.ModelLost(event.code))
            return
        occupied = event.code == "conversation_already_has_active_response"
        if event.code != "response_cancel_not_active":  # it was just done when we cancelled it: no news
            stage.note("model.error", code=event.code)
        if event.event_id is not None and stage.voice.refused(event.event_id, occupied=occupied) and not occupied:
            self._count_failure()
        self._watch_model()

    def _failed(self, purpose: Purpose, words: str | None) -> None:
        if self._count_failure():
            self._stage.voice.say(purpose, words)

    def _count_failure(self) -> bool:
        """One more response failed; true while it is worth trying again."""
        self._failures += 1
        if self._failures < _FAILURES:
            return True
        self._model.give_up(EndCause.MODEL_FAILED)
        return False

    def _model_moved(self) -> None:
        self._stage.timers.set(Timer.MODEL_STALL, self._stage.at_ms + _MODEL_SILENT_MS)

    def _watch_model(self) -> None:
        """The model owes us something exactly while a response is asked for or under way."""
        stage = self._stage
        if not stage.voice.waiting_for_model:
            if stage.voice.is_ready:
                stage.timers.cancel(Timer.MODEL_STALL)
        elif not stage.timers.armed(Timer.MODEL_STALL):
            self._model_moved()

    # Decisions and deadlines

    def _judge(self, verdict: Verdict | None) -> None:
        if verdict is None:
            return
        stage = self._stage
        if verdict.evidence is not None:
            self._voicemail.begin(verdict.evidence, takes_message=verdict.takes_message)
        elif verdict.answered_by is AnsweredBy.SCREENING:
            stage.cut_off()
            stage.voice.say(Purpose.SCREENING, stage.brief.screening_line)
        elif not self._ending.begun:
            self._turns.open()
        self._model.judged()
        self._watch_model()

    def _guided(self, event: ev.GuidanceGiven) -> None:
        if self._stage.voice.awaits_tool(event.call_id):  # else the session that asked is gone
            self._tools.guided(event)

    def _recording_wanted(self, event: ev.RecordingWanted) -> None:
        if event.on is not self._recording:
            self._recording = event.on
            self._stage.note("recording.on" if event.on else "recording.off")
            self._stage.out.append(SetRecording(event.on))

    def _voicemail_claimed(self, event: ev.VoicemailClaimed) -> None:
        self._voicemail.claimed(event.granted)

    def _timer(self, timer: Timer) -> None:
        stage = self._stage
        if timer in (Timer.HELLO, Timer.DECIDE):
            self._judge(self._greeting.timer(timer))
        elif timer is Timer.HARD_END:
            self._ending.hang_up(EndCause.MAX_DURATION)
        elif timer is Timer.GOODBYE:
            self._ending.bound_reached()
        elif timer is Timer.MODEL_STALL:
            self._model.lost("stalled", EndCause.MODEL_STALLED)
        elif timer is Timer.REOPEN:
            self._model.reopen()
        elif timer is Timer.VOICEMAIL:
            self._voicemail.too_long()
        elif timer is Timer.PLAYOUT_LATE:
            stage.heard(stage.playout.assume_played(stage.at_ms))
            self._turns.quiet()
        elif timer is Timer.FAREWELL:
            self._farewell()
        elif timer is Timer.GIVE_UP and (verdict := self._greeting.no_reply()) is not None:
            self._judge(verdict)
        elif not self._ending.begun:
            self._turns.timer(timer)
        self._watch_model()

    def _farewell(self) -> None:
        """The person asked to be let go and the model has not ended the call by itself."""
        stage = self._stage
        if self._ending.begun or self._voicemail.active:
            return
        opted = stage.opted_out
        cause, reason = (EndCause.OPTED_OUT, "do_not_call") if opted else (EndCause.HUMAN_REQUESTED, "human_requested")
        knows = self._tools.model_knows_opt_out or not opted
        if knows and stage.playout.audible and stage.transcript.agent_spoke_last:
            self._ending.let_finish(cause, reason)
        else:
            stage.cut_off()
            self._ending.say(stage.brief.goodbye_line, cause, reason)

    def _hearing_over(self, _: ev.HearingOver) -> None:
        if self._gone is not None:
            self._finish(self._gone)

    def _shutting_down(self, _: ev.ShuttingDown) -> None:
        if self._gone is not None:
            self._finish(self._gone)
        else:
            self._ending.hang_up(EndCause.SHUTDOWN)

    def _finish(self, cause: EndCause) -> None:
        stage, ending = self._stage, self._ending
        self._finished = True
        report = CallReport(
            reason=ending.cause or cause,
            duration_ms=stage.at_ms,
            answered_by=self._greeting.answered_by,
            end_reason=ending.end_reason or ("do_not_call" if stage.opted_out else None),
            usage=stage.usage,
            interruptions=stage.interruptions,
            truncations=stage.truncations,
            voicemail=stage.voicemail,
            voicemail_left=stage.voicemail_left,
            opted_out=stage.opted_out,
            human_requested=stage.human_requested,
            response_latencies_ms=tuple(stage.stopwatch.latencies_ms),
            talk=measure(stage.transcript.turns, stage.at_ms, stage.stopwatch.first_word_ms),
            model_reconnects=self._model.restored,
        )
        stage.note("stream.ended", cause=report.reason.value)
        stage.out.append(Finish(report))

    def _take(self) -> Sequence[Action]:
        actions = tuple(self._stage.out)
        self._stage.out.clear()
        return actions
