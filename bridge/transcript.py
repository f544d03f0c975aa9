"""Who said what and when, as heard: the person's words by transcription, the agent's cut to the audio that was
played.
"""

from dataclasses import dataclass

from callwright.app.calls.conversation import Turn


@dataclass(slots=True)
class _Utterance:
    index: int
    start_ms: int
    end_ms: int | None = None


class Transcript:
    def __init__(self) -> None:
        self._next_index = 0
        self._turns: dict[int, Turn] = {}
        self._person: dict[str, _Utterance] = {}
        self._agent: dict[str, int] = {}  # items that began to play, and their index
        self._words: dict[str, str] = {}  # of items of the agent; words may come before their audio
        self.agent_spoke_last = False  # whether the turn begun last is the agent's

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The settled turns in the order they began."""
        return tuple(self._turns[index] for index in sorted(self._turns))

    @property
    def so_far(self) -> tuple[Turn, ...]:
        """The settled turns, and with their words up to now those that the agent is in."""
        going_on = {
            index: Turn(index, "agent", words, 0, 0)
            for item_id, index in self._agent.items()
            if (words := self._words.get(item_id, "").strip())
        }
        turns = self._turns | going_on
        return tuple(turns[index] for index in sorted(turns))

    @property
    def unheard(self) -> bool:
        """Whether words of the person are still to come."""
        return bool(self._person)

    def person_began(self, item_id: str, start_ms: int) -> None:
        if item_id not in self._person:
            self._person[item_id] = _Utterance(self._take_index(), start_ms)
            self.agent_spoke_last = False

    def person_ended(self, item_id: str, end_ms: int) -> None:
        utterance = self._person.get(item_id)
        if utterance is not None:
            utterance.end_ms = max(end_ms, utterance.start_ms)

    def person_start(self, item_id: str) -> int | None:
        utterance = self._person.get(item_id)
        return utterance.start_ms if utterance else None

    def forget_unheard(self) -> int | None:
        """Gives up the utterances whose words will not come; returns where the first of them began."""
        starts = [utterance.start_ms for utterance in self._person.values()]
        self._person.clear()
        return min(starts, default=None)

    def person_heard(self, item_id: str, text: str, at_ms: int) -> Turn | None:
        """The words of an utterance; None when there were none or the item is unknown or already settled."""
        utterance = self._person.pop(item_id, None)
        words = text.strip()
        if utterance is None or not words:
            return None
        end_ms = at_ms if utterance.end_ms is None else utterance.end_ms
        return self._settle(Turn(utterance.index, "person", words, utterance.start_ms, end_ms))

    def agent_began(self, item_id: str) -> None:
        """The item's first audio went to the phone."""
        if item_id not in self._agent:
            self._agent[item_id] = self._take_index()
            self.agent_spoke_last = True

    def agent_words(self, item_id: str, text: str, *, whole: bool) -> None:
        """A piece of the item's text, or with `whole` all of it."""
        self._words[item_id] = text if whole else self._words.get(item_id, "") + text

    def agent_ended(
        self, item_id: str, start_ms: int, heard_ms: int, received_ms: int, *, interrupted: bool
    ) -> Turn | None:
        """Settles an item. An interrupted one keeps the share of its words that its heard audio bears; None when
        that is nothing.
        """
        index = self._agent.pop(item_id, None)
        text = self._words.pop(item_id, "").strip()
        if index is None:
            return None
        if interrupted:
            words = text.split()
            text = " ".join(words[: len(words) * heard_ms // max(1, received_ms)])
        if not text:
            return None
        return self._settle(Turn(index, "agent", text, start_ms, start_ms + heard_ms, interrupted))

    def _settle(self, turn: Turn) -> Turn:
        self._turns[turn.index] = turn
        return turn

    def _take_index(self) -> int:
        self._next_index += 1
        return self._next_index - 1
