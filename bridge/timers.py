"""Named deadlines in media-stream milliseconds; asking costs one comparison while none is due."""

from enum import StrEnum

_NEVER = 1 << 62


class Timer(StrEnum):
    HELLO = "hello"  # the person has not spoken yet
    DECIDE = "decide"  # a long first utterance still has no transcript
    STILL_THERE = "still_there"
    GIVE_UP = "give_up"
    WRAP_UP = "wrap_up"
    HARD_END = "hard_end"
    GOODBYE = "goodbye"  # bound on the last words
    FAREWELL = "farewell"  # the model should have said goodbye by now (opt-out, human asked for)
    MODEL_STALL = "model_stall"
    REOPEN = "reopen"  # the next try to reach a lost model
    VOICEMAIL = "voicemail"  # bound on waiting for a greeting to end
    PLAYOUT_LATE = "playout_late"  # the phone should have acknowledged everything by now


class Timers:
    __slots__ = ("_at", "_next")

    def __init__(self) -> None:
        self._at: dict[Timer, int] = {}
        self._next = _NEVER

    def set(self, timer: Timer, at_ms: int) -> None:
        """Arms or moves a timer."""
        self._at[timer] = at_ms
        self._next = min(self._at.values())

    def cancel(self, *timers: Timer) -> None:
        for timer in timers:
            self._at.pop(timer, None)
        self._next = min(self._at.values(), default=_NEVER)

    def armed(self, timer: Timer) -> bool:
        return timer in self._at

    def due(self, at_ms: int) -> tuple[Timer, ...]:
        """Disarms and returns what is due, earliest first."""
        if at_ms < self._next:
            return ()
        fired = sorted((at, timer) for timer, at in self._at.items() if at <= at_ms)
        self.cancel(*(timer for _, timer in fired))
        return tuple(timer for _, timer in fired)
