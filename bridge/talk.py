"""How the talk went, in figures: who spoke how long, how long nobody did, how long the person had to wait."""

from collections.abc import Sequence

from callwright.app.calls.conversation import TalkMetrics, Turn
from callwright.bridge.actions import Purpose
from callwright.bridge.playout import Marks


class Stopwatch:
    """From the person's last word until the agent's answer begins at the phone, and from pick-up to the first word.

    Audio sent to an idle phone begins when the mark that leads it comes back, not when it was sent.
    """

    def __init__(self) -> None:
        self.latencies_ms: list[int] = []
        self.first_word_ms: int | None = None
        self._person_until: int | None = None
        self._lead: tuple[str, int | None] | None = None  # the mark, and since when the person waits for the answer

    def person_stopped(self, last_voiced_ms: int) -> None:
        self._person_until = last_voiced_ms

    def agent_speaks(self, purpose: Purpose, marks: Marks, begins_ms: int) -> None:
        """The first audio of a response was sent. `begins_ms`: where it should begin if nothing leads it."""
        since = self._person_until if purpose is Purpose.REPLY else None
        self._person_until = None
        if marks.lead is None:
            self._began(since, begins_ms)
        else:
            self._lead = (marks.lead, since)

    def mark(self, name: str, at_ms: int) -> None:
        if self._lead is not None and self._lead[0] == name:
            self._began(self._lead[1], at_ms)
            self._lead = None

    def _began(self, since: int | None, at_ms: int) -> None:
        if self.first_word_ms is None:
            self.first_word_ms = at_ms
        if since is not None:
            self.latencies_ms.append(max(0, at_ms - since))


def measure(turns: Sequence[Turn], duration_ms: int, first_word_ms: int | None) -> TalkMetrics:
    """The figures of a call of `duration_ms` from its turns in order.

    A silence counts from the first word of the call on, also the one before its end.
    """
    spoken = {"agent": 0, "person": 0}
    longest = 0
    quiet_from: int | None = None
    for turn in sorted(turns, key=lambda turn: turn.start_ms):
        spoken[turn.speaker] += turn.end_ms - turn.start_ms
        if quiet_from is not None:
            longest = max(longest, turn.start_ms - quiet_from)
        quiet_from = max(turn.end_ms, quiet_from or 0)
    if quiet_from is not None:
        longest = max(longest, duration_ms - quiet_from)
    return TalkMetrics(spoken["agent"], spoken["person"], longest, first_word_ms)
