"""The ledger of agent audio at the phone: what was sent, what the person has heard, what an interruption takes away.

The phone plays what it is sent in order and at real time, and echoes each mark when the audio before it has played. An
echo of a mark flushed by `clear` looks the same, so mark names carry a generation that rises with every clear.
"""

from collections import deque
from dataclasses import dataclass

from callwright.bridge.actions import Purpose

BYTES_PER_MS = 8  # mu-law, 8 kHz


@dataclass(slots=True)
class SpokenItem:
    """One conversation item of the model, as far as its audio came."""

    item_id: str
    response_id: str
    purpose: Purpose
    start_ms: int
    received: int = 0  # bytes
    played: int = 0  # bytes acknowledged
    complete: bool = False  # no more audio will come

    @property
    def received_ms(self) -> int:
        return self.received // BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class Cut:
    """What a clear left of an item. `truncate`: the model must be told, it believes more was heard."""

    item_id: str
    response_id: str
    purpose: Purpose
    start_ms: int
    heard_ms: int
    received_ms: int
    truncate: bool


@dataclass(slots=True)
class _Chunk:
    seq: int
    item: SpokenItem
    size: int


@dataclass(frozen=True, slots=True)
class Marks:
    """`lead` goes before the audio (None: audio is still playing, it simply follows), `end` behind it."""

    lead: str | None
    end: str


class Playout:
    def __init__(self) -> None:
        self._generation = 0
        self._seq = 0
        self._queue: deque[_Chunk] = deque()
        self._queued = 0  # bytes in the queue
        self._front_ms = 0  # stream time at which the first queued chunk began to play
        self._sent_ms = 0  # stream time at which audio was last sent to an idle phone
        self._lead: str | None = None  # the mark before it
        self._items: dict[str, SpokenItem] = {}

    @property
    def audible(self) -> bool:
        """Whether the phone still owes an acknowledgement, so the person may be hearing the agent."""
        return bool(self._queue)

    @property
    def responses(self) -> frozenset[str]:
        """The responses of which something may still be played."""
        return frozenset(item.response_id for item in self._items.values())

    def ends_at(self, at_ms: int) -> int:
        """Stream time at which all queued audio should have played."""
        return max(at_ms, self._front_ms + self._queued // BYTES_PER_MS) if self._queue else at_ms

    def push(self, response_id: str, item_id: str, purpose: Purpose, size: int, at_ms: int) -> Marks:
        """Adds a chunk of `size` bytes that is now sent; returns the names of the marks to send around it."""
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = SpokenItem(item_id, response_id, purpose, self.ends_at(at_ms))
        lead = None
        if not self._queue:
            # Echoed at once by an idle phone: tells when the audio behind it really begins, however long the line.
            self._front_ms = self._sent_ms = at_ms
            lead = self._lead = self._enqueue(item, 0)
        item.received += size
        return Marks(lead, self._enqueue(item, size))

    def late_ms(self, mark: str, at_ms: int) -> int:
        """How much later than when it was sent the audio begins that this mark leads, 0 if it leads none; ask before
        `acknowledge`.
        """
        return max(0, at_ms - self._sent_ms) if mark == self._lead and self._queue else 0

    def acknowledge(self, mark: str, at_ms: int) -> list[SpokenItem]:
        """The phone reached a mark. Returns the items now heard to their end; stale, repeated and foreign marks
        change nothing.
        """
        generation, _, seq = mark.partition(":")
        if not (generation.isdecimal() and seq.isdecimal() and int(generation) == self._generation):
            return []
        number = int(seq)
        if number > self._seq or not self._queue or number < self._queue[0].seq:
            return []
        return self._play_through(number, at_ms)

    def complete(self, response_id: str) -> list[SpokenItem]:
        """The response brings no more audio. Returns its items that are already heard to their end."""
        items = [item for item in self._items.values() if item.response_id == response_id]
        for item in items:
            item.complete = True
        return [self._items.pop(item.item_id) for item in items if item.played == item.received]

    def assume_played(self, at_ms: int) -> list[SpokenItem]:
        """The acknowledgements are overdue: takes everything queued as heard."""
        return self._play_through(self._seq, at_ms) if self._queue else []

    def clear(self, at_ms: int) -> list[Cut]:
        """Flushes the ledger as `clear` flushes the phone: acknowledged audio plus what has played since counts as
        heard.
        """
        elapsed = max(0, at_ms - self._front_ms) * BYTES_PER_MS
        for chunk in self._queue:
            share = min(chunk.size, elapsed)
            elapsed -= share
            chunk.item.played += share
        cuts = [
            Cut(
                item.item_id,
                item.response_id,
                item.purpose,
                item.start_ms,
                item.played // BYTES_PER_MS,
                item.received_ms,
                truncate=not item.complete or item.played < item.received,
            )
            for item in self._items.values()
        ]
        self._items.clear()
        self._queue.clear()
        self._queued = 0
        self._generation += 1
        return cuts

    def _enqueue(self, item: SpokenItem, size: int) -> str:
        self._seq += 1
        self._queue.append(_Chunk(self._seq, item, size))
        self._queued += size
        return f"{self._generation}:{self._seq}"

    def _play_through(self, seq: int, at_ms: int) -> list[SpokenItem]:
        ended: list[SpokenItem] = []
        while self._queue and self._queue[0].seq <= seq:
            chunk = self._queue.popleft()
            self._queued -= chunk.size
            chunk.item.played += chunk.size
            if chunk.item.complete and chunk.item.played == chunk.item.received:
                ended.append(self._items.pop(chunk.item.item_id))
        self._front_ms = at_ms
        return ended
