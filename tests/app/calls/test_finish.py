"""What follows an attempt's end: retries with backoff, final states, the summary asked for exactly once."""

from datetime import timedelta

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Usage
from callwright.app.calls.finish import attempt_ended, retry_delay, summarise_when_complete
from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus
from callwright.app.calls.locks import lock_attempt
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import move_attempt, move_call
from callwright.app.database.sessions import Database
from callwright.app.events.outbox import Job, jobs_of
from callwright.app.leads.models import Lead, LeadStatus
from callwright.app.settings import Settings
from tests.conftest import SettableClock
from tests.world import World


@hypothesis.given(
    tries=st.integers(1, 200),
    base=st.floats(0, 10_000),
    most=st.floats(0, 100_000),
    jitter=st.floats(0.5, 1.5),
)
def test_the_delay_doubles_up_to_its_maximum_and_jitters_by_half(
    tries: int, base: float, most: float, jitter: float
) -> None:
    rounding = timedelta(microseconds=2)
    plain = retry_delay(tries, base, most, 1.0)
    assert timedelta(0) <= plain <= timedelta(seconds=most)
    assert plain <= retry_delay(tries + 1, base, most, 1.0) <= 2 * plain + rounding
    if base <= most:
        assert plain >= timedelta(seconds=base)
    assert abs(retry_delay(tries, base, most, jitter) - plain * jitter) <= rounding


class Ending:
    """Lets attempts of one call end."""

    def __init__(self, database: Database, settings: Settings, clock: SettableClock, world: World) -> None:
        self.database, self.settings, self.clock, self.world = database, settings, clock, world

    async def ringing(self, call: Call) -> CallAttempt:
        """A new attempt of the call, which rings."""
        attempt = await self.world.attempt(call, status=AttemptStatus.RINGING)
        async with self.database.system() as session:
            stored = await session.get_one(Call, call.id)
            stored.status = CallStatus.RINGING
        return attempt

    async def end(
        self, attempt: CallAttempt, status: AttemptStatus, *, reason: str | None = None, code: int | None = None
    ) -> Call:
        async with self.database.system() as session:
            locked = await lock_attempt(session, attempt.id)
            assert locked is not None
            call, stored = locked
            stored.carrier_error_code = code
            move_attempt(session, stored, status, self.clock.now(), reason)
            await attempt_ended(session, self.settings, call, stored, self.clock.now())
        return call

    async def jobs(self, job: Job, call: Call) -> int:
        async with self.database.system() as session:
            return len(await jobs_of(session, job, call.id))


@pytest.fixture
def ending(database: Database, settings: Settings, clock: SettableClock, world: World) -> Ending:
    return Ending(database, settings, clock, world)


@pytest.fixture
async def call(world: World) -> Call:
    return await world.call()


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (AttemptStatus.BUSY, None, None),
        (AttemptStatus.NO_ANSWER, None, None),
        (AttemptStatus.FAILED, "never_placed", None),
        (AttemptStatus.FAILED, "carrier_throttled", None),
        (AttemptStatus.FAILED, None, 10004),
    ],
)
async def test_three_tries_with_growing_delays_then_not_reached(
    ending: Ending, call: Call, status: AttemptStatus, reason: str | None, code: int | None
) -> None:
    for tries in (1, 2):
        ended = await ending.end(await ending.ringing(call), status, reason=reason, code=code)
        assert ended.status is CallStatus.QUEUED
        wait = (ended.due_at - ending.clock.now()).total_seconds()
        assert 0.5 * 2 ** (tries - 1) <= wait <= 1.5 * 2 ** (tries - 1)  # the test's base is one second
        assert ended.waiting_reason is not None
        assert f"try {tries + 1} of 3" in ended.waiting_reason
        assert ended.outcome is None
    ended = await ending.end(await ending.ringing(call), status, reason=reason, code=code)
    assert ended.status.value == status.value
    assert ended.outcome is CallOutcome.NOT_REACHED
    assert (ended.duration_seconds, ended.metered_cost_micros) == (0, 0)
    assert await ending.jobs(Job.SUMMARISE, ended) == 0
    assert await ending.jobs(Job.AUDIT, ended) == 1


@pytest.mark.parametrize("code", [21211, 21610, 32021, 99999, None])
async def test_a_permanent_failure_is_not_tried_again(ending: Ending, call: Call, code: int | None) -> None:
    ended = await ending.end(await ending.ringing(call), AttemptStatus.FAILED, code=code)
    assert (ended.status, ended.outcome) == (CallStatus.FAILED, CallOutcome.NOT_REACHED)


@pytest.mark.parametrize("mark", ["voicemail_claimed_at", "cancel_requested_at"])
async def test_no_retry_after_a_voicemail_or_a_cancellation(ending: Ending, call: Call, mark: str) -> None:
    attempt = await ending.ringing(call)
    async with ending.database.system() as session:
        setattr(await session.get_one(Call, call.id), mark, ending.clock.now())
    ended = await ending.end(attempt, AttemptStatus.BUSY)
    assert ended.status is (CallStatus.CANCELED if mark == "cancel_requested_at" else CallStatus.BUSY)


async def test_an_unreached_person_makes_the_new_lead_unreachable(ending: Ending, world: World) -> None:
    call = await world.call(max_attempts=1)
    await ending.end(await ending.ringing(call), AttemptStatus.NO_ANSWER)
    async with ending.database.system() as session:
        lead = await session.get_one(Lead, call.lead_id)
    assert lead.status is LeadStatus.UNREACHABLE


@pytest.mark.parametrize("order", ["call first", "stream first", "no stream"])
async def test_the_summary_is_asked_for_once_when_call_and_stream_are_over(
    ending: Ending, call: Call, order: str
) -> None:
    attempt = await ending.ringing(call)
    now = ending.clock.now()

    async def stream_ends() -> None:
        async with ending.database.system() as session:
            locked = await lock_attempt(session, attempt.id)
            assert locked is not None
            locked[1].stream_ended_at = now
            await summarise_when_complete(session, *locked)

    async with ending.database.system() as session:
        locked = await lock_attempt(session, attempt.id)
        assert locked is not None
        move_attempt(session, locked[1], AttemptStatus.IN_PROGRESS, now)
        move_call(session, locked[0], CallStatus.IN_PROGRESS, now)
        locked[1].stream_started_at = None if order == "no stream" else now
        locked[1].duration_seconds = 42
    if order == "stream first":
        await stream_ends()
        assert await ending.jobs(Job.SUMMARISE, call) == 0
    await ending.end(attempt, AttemptStatus.COMPLETED)
    if order == "call first":
        assert await ending.jobs(Job.SUMMARISE, call) == 0
        await stream_ends()
    for _ in range(2):
        await stream_ends()
    assert await ending.jobs(Job.SUMMARISE, call) == 1
    async with ending.database.system() as session:
        usage = await session.scalar(select(Usage).where(col(Usage.business_id) == call.business_id))
    assert usage is not None
    assert (usage.calls, usage.seconds) == (1, 42)
