"""The end of a talk: last words that a barge-in cannot undo, then one hang-up at the carrier."""

from callwright.app.calls.conversation import EndCause
from callwright.bridge.actions import HangUp, Purpose
from callwright.bridge.stage import LATE_MARK_MS, Stage
from callwright.bridge.timers import Timer

_FIRST_WORD_MS = 8_000  # the model may take this long to begin the last words


class Ending:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.cause: EndCause | None = None
        self.end_reason: str | None = None
        self.hung_up = False

    @property
    def begun(self) -> bool:
        return self.cause is not None

    def say(self, words: str, cause: EndCause, end_reason: str | None, *, purpose: Purpose = Purpose.GOODBYE) -> None:
        """Ends the call after these last words, whatever the person does meanwhile."""
        if self._begin(cause, end_reason):
            self._stage.voice.say(purpose, words)

    def say_again(self, words: str, *, purpose: Purpose) -> None:
        """Begins the last words anew."""
        if not self.hung_up:
            self._stage.cut_off()
            self._stage.voice.say(purpose, words)
            self._stage.timers.set(Timer.GOODBYE, self._stage.at_ms + _FIRST_WORD_MS)

    def let_finish(self, cause: EndCause, end_reason: str | None) -> None:
        """Ends the call after what the agent is saying now."""
        if self._begin(cause, end_reason):
            self._stage.voice.withdraw()
            self.settle()

    def hang_up(self, cause: EndCause, end_reason: str | None = None) -> None:
        """Ends the call now. An ending already begun keeps its cause."""
        self._begin(cause, end_reason)
        if not self.hung_up:
            self.hung_up = True
            self._stage.voice.hush()
            self._stage.out.append(HangUp())

    def audio_sent(self) -> None:
        """More of the last words went to the phone: the bound moves with their expected end."""
        self._stage.timers.set(Timer.GOODBYE, self._stage.playout.ends_at(self._stage.at_ms) + LATE_MARK_MS)

    def settle(self) -> None:
        """Hangs up once everything has been said and heard."""
        if self.cause is not None and self._stage.floor_free:
            self.hang_up(self.cause)

    def bound_reached(self) -> None:
        if self.cause is not None:
            self.hang_up(self.cause)

    def _begin(self, cause: EndCause, end_reason: str | None) -> bool:
        if self.begun:
            return False
        stage = self._stage
        self.cause, self.end_reason = cause, end_reason
        stage.timers.cancel(
            Timer.HELLO, Timer.DECIDE, Timer.STILL_THERE, Timer.GIVE_UP, Timer.FAREWELL, Timer.WRAP_UP, Timer.VOICEMAIL
        )
        stage.note("call.ending", cause=cause.value, reason=end_reason)
        expected = stage.playout.ends_at(stage.at_ms)
        bound = expected + LATE_MARK_MS if stage.playout.audible else stage.at_ms + _FIRST_WORD_MS
        stage.timers.set(Timer.GOODBYE, bound)
        return True
