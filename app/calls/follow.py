"""Follows a call as it happens: the row as it is now, then every change, until nothing more is to come.

The database is the truth and the live hints only say when to look: a lost hint costs at most one polling interval.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from callwright.app.accounts.actor import Actor
from callwright.app.calls.lifecycle import ENDED
from callwright.app.calls.models import Call, CallAttempt, TranscriptTurn
from callwright.app.calls.queries import attempts_of, get_call, transcripts_of
from callwright.app.clock import Clock
from callwright.app.database.sessions import Database
from callwright.app.events.live import LiveEvents

# How long a follower waits for the summary or the bridge's last word on a call that has ended.
SETTLING = timedelta(minutes=2)
# How long a turn waits for an earlier one whose words are still being recognised.
HOLD = timedelta(seconds=3)

Authorise = Callable[[], Awaitable[Actor]]
_WATCHED = (
    "status",
    "outcome",
    "goal_achieved",
    "interest_level",
    "waiting_reason",
    "failure_reason",
    "due_at",
    "attempt_count",
    "answered_at",
    "ended_at",
    "summarised_at",
    "duration_seconds",
    "cancel_requested_at",
    "estimated_cost_micros",
    "metered_cost_micros",
)


async def follow_call(
    database: Database, live: LiveEvents, clock: Clock, authorise: Authorise, call_id: UUID
) -> AsyncIterator[Call]:
    """The call now and after every change of its state, until it is over and summarised.

    `authorise` is asked before every look and raises when the follower may not go on. Raises `CallwrightError`
    (CALL_NOT_FOUND), also when the call is not the follower's.
    """
    last: tuple[object, ...] | None = None
    async with live.watch(call_id) as wakes:
        async for _ in wakes:
            async with database.tenant(await authorise()) as session:
                call = await get_call(session, call_id, field="callId")
            seen = tuple(getattr(call, name) for name in _WATCHED)
            if seen != last:
                last = seen
                yield call
            if is_settled(call, clock.now()):
                return


def is_settled(call: Call, now: datetime) -> bool:
    """True when the call's state will not change any more: it ended, and what was said is summarised."""
    if call.status not in ENDED:
        return False
    return call.answered_at is None or call.summarised_at is not None or _long_over(call, now)


async def follow_transcript(
    database: Database, live: LiveEvents, clock: Clock, authorise: Authorise, call_id: UUID
) -> AsyncIterator[TranscriptTurn]:
    """Every turn of the call once: those said so far, then each new one, until the call's last turn is stored.

    Turns come in the order in which they began. A turn whose words were recognised more than three seconds after a
    later one's comes after it; its `index` tells where it belongs. Raises as `follow_call` does.
    """
    order = TurnOrder()
    async with live.watch(call_id) as wakes:
        async for _ in wakes:
            async with database.tenant(await authorise()) as session:
                # Ended first, turns second: what is then read is complete.
                call = await get_call(session, call_id, field="callId")
                attempts = (await attempts_of(session, [call_id])).get(call_id, [])
                turns = (await transcripts_of(session, [call_id])).get(call_id, [])
            now = clock.now()
            complete = call.status in ENDED and (_long_over(call, now) or not any(map(_is_streaming, attempts)))
            numbers = {attempt.id: attempt.number for attempt in attempts}
            known = [(numbers[turn.attempt_id], turn) for turn in turns if turn.attempt_id in numbers]
            for turn in order.ready(known, now, complete=complete):
                yield turn
            if complete:
                return


def _is_streaming(attempt: CallAttempt) -> bool:
    return attempt.stream_started_at is not None and attempt.stream_ended_at is None


def _long_over(call: Call, now: datetime) -> bool:
    return call.ended_at is not None and now - call.ended_at > SETTLING


class TurnOrder:
    """Decides which stored turns may be told: each once, and not past a gap that may still be filled.

    Indexes have holes (noise that held no words), so a gap is only waited for, never required.
    """

    def __init__(self) -> None:
        self._told: set[tuple[int, int]] = set()
        self._first_seen: dict[tuple[int, int], datetime] = {}

    def ready(self, turns: list[tuple[int, TranscriptTurn]], now: datetime, *, complete: bool) -> list[TranscriptTurn]:
        """The next turns to tell. `turns` are all stored ones with their attempt's number, sorted by both."""
        ready: list[TranscriptTurn] = []
        newest_attempt = turns[-1][0] if turns else 0
        for number, turn in turns:
            place = (number, turn.index)
            if place in self._told:
                continue
            seen = self._first_seen.setdefault(place, now)
            follows = turn.index == 0 or (number, turn.index - 1) in self._told
            late = any(told[0] == number and told[1] > turn.index for told in self._told)
            if not (complete or follows or late or number < newest_attempt or now - seen >= HOLD):
                break
            self._told.add(place)
            ready.append(turn)
        return ready
