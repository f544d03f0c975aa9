"""Admission: priority, schedules, limits over all and for each business, and the gate once more."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Business
from callwright.app.calls.admission import admit_due
from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus, CallType
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.compliance.models import Consent, Suppression, SuppressionSource
from callwright.app.events.outbox import Job, jobs_of
from callwright.app.settings import Settings
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.world import World


@pytest.fixture(autouse=True)
def _after_the_world_was_made(clock: SettableClock) -> None:
    """The world dates its rows by the machine's clock; the test happens after that."""
    clock.advance(60)


async def admit(state: AppState, **limits: int) -> list[Call]:
    """One pass; the calls it admitted, in order."""
    settings: Settings = state.settings.model_copy(update=limits)
    ids = await admit_due(state.database, settings, state.clock, state.calling_clock, 50)
    return [await call_of(state, attempt_id) for attempt_id in ids]


async def call_of(state: AppState, attempt_id: UUID) -> Call:
    async with state.database.system() as session:
        return await session.get_one(Call, (await session.get_one(CallAttempt, attempt_id)).call_id)


async def set_dialed(state: AppState, calls: Sequence[Call], *, ended: bool = True) -> None:
    """Lets the admitted attempts of the calls be dialled now, and perhaps be over."""
    async with state.database.system() as session:
        attempts = select(CallAttempt).where(col(CallAttempt.call_id).in_([call.id for call in calls]))
        for attempt in await session.scalars(attempts):
            attempt.dialed_at = state.clock.now()
            attempt.status = AttemptStatus.BUSY if ended else AttemptStatus.RINGING


async def test_urgent_kinds_first_then_the_longest_due(state: AppState, world: World, clock: SettableClock) -> None:
    expected: list[UUID] = []
    order = [
        CallType.CONFIRM_APPOINTMENT,
        CallType.CONSUMER_CALLBACK,
        CallType.QUALIFY_LEAD,
        CallType.FOLLOW_UP,
    ]
    made: dict[CallType, list[Call]] = {kind: [] for kind in order}
    for minutes in (5, 10):
        for kind in reversed(order):
            due = clock.now() - timedelta(minutes=minutes)
            made[kind].insert(0, await world.call(call_type=kind, due_at=due))
    for kind in order:
        expected += [call.id for call in made[kind]]
    admitted = await admit(state, max_concurrent_calls=6, max_dials_per_minute=100)
    assert [call.id for call in admitted] == expected[:6]
    assert all(call.status is CallStatus.DIALING for call in admitted)
    waiting = await world.reload(Call, expected[6])
    assert waiting.waiting_reason == "All 6 lines are in use."


async def test_an_admitted_call_has_one_attempt_and_one_job(state: AppState, world: World) -> None:
    call = await world.call()
    assert len(await admit(state)) == 1
    assert await admit(state) == []
    async with state.database.system() as session:
        attempts = (await session.scalars(select(CallAttempt).where(col(CallAttempt.call_id) == call.id))).all()
        jobs = await jobs_of(session, Job.DIAL, attempts[0].id)
    assert [attempt.status for attempt in attempts] == [AttemptStatus.ADMITTED]
    assert len(jobs) == 1


async def test_a_scheduled_call_waits_for_its_time(state: AppState, world: World, clock: SettableClock) -> None:
    due = clock.now() + timedelta(hours=2)
    call = await world.call(status=CallStatus.SCHEDULED, due_at=due)
    assert await admit(state) == []
    assert (await world.reload(Call, call.id)).status is CallStatus.SCHEDULED
    clock.advance(2 * 3600)
    assert [admitted.id for admitted in await admit(state)] == [call.id]


async def test_dials_a_minute_are_counted_by_rows(state: AppState, world: World, clock: SettableClock) -> None:
    for _ in range(5):
        await world.call()
    limits = {"max_concurrent_calls": 10, "max_dials_per_minute": 2}
    first = await admit(state, **limits)
    assert len(first) == 2  # admitted, though not dialled yet: they have taken their places
    assert await admit(state, **limits) == []
    await set_dialed(state, first)
    assert await admit(state, **limits) == []
    clock.advance(59.9)
    assert await admit(state, **limits) == []
    clock.advance(0.1)
    assert len(await admit(state, **limits)) == 2


async def test_many_dispatchers_at_once_admit_no_more_than_one_would(state: AppState, world: World) -> None:
    for _ in range(12):
        await world.call()
    rounds = await asyncio.gather(*(admit(state) for _ in range(8)))
    admitted = [call.id for calls in rounds for call in calls]
    assert len(admitted) == len(set(admitted)) == 5


async def test_one_business_at_its_limit_does_not_hold_up_another(state: AppState, world: World) -> None:
    greedy, modest = await world.business(), await world.business()
    async with state.database.system() as session:
        (await session.get_one(Business, greedy.id)).max_concurrent_calls = 1
    for _ in range(3):
        await world.call(await world.lead(greedy), call_type=CallType.CONFIRM_APPOINTMENT)
    late = await world.call(await world.lead(modest), call_type=CallType.FOLLOW_UP)
    admitted = await admit(state, max_concurrent_calls=5)
    assert [call.business_id for call in admitted] == [greedy.id, modest.id]
    assert admitted[1].id == late.id
    async with state.database.system() as session:
        reasons = await session.scalars(
            select(col(Call.waiting_reason)).where(
                col(Call.business_id) == greedy.id, col(Call.status) == CallStatus.QUEUED
            )
        )
    assert set(reasons) == {"All 1 lines of the business are in use."}


async def test_a_number_is_called_by_one_at_a_time(state: AppState, world: World) -> None:
    consumer = await world.consumer()
    first, second = [await world.call(await world.lead(consumer=consumer)) for _ in range(2)]
    assert [call.id for call in await admit(state)] == [first.id]
    assert (await world.reload(Call, second.id)).waiting_reason == "Another call to this number is under way."
    await set_dialed(state, [first])
    assert [call.id for call in await admit(state)] == [second.id]


@pytest.mark.parametrize("rule", ["suppression", "consent"])
async def test_what_changed_since_the_request_is_refused_now(state: AppState, world: World, rule: str) -> None:
    call = await world.call()
    async with state.database.system() as session:
        if rule == "suppression":
            session.add(
                Suppression(phone_number=call.phone_number, source=SuppressionSource.ADMIN, reason="asked in writing")
            )
        else:
            for consent in await session.scalars(select(Consent)):
                consent.withdrawn_at = state.clock.now()
    assert await admit(state) == []
    ended = await world.reload(Call, call.id)
    assert (ended.status, ended.failure_reason, ended.outcome) == (CallStatus.FAILED, rule, CallOutcome.NOT_REACHED)


async def test_a_wait_carries_its_end_and_its_reason(state: AppState, world: World, clock: SettableClock) -> None:
    consumer = await world.consumer()
    for _ in range(3):
        await world.attempt(
            await world.call(await world.lead(consumer=consumer), status=CallStatus.BUSY), status=AttemptStatus.BUSY
        )
    call = await world.call(await world.lead(consumer=consumer))
    assert await admit(state) == []
    waiting = await world.reload(Call, call.id)
    assert waiting.status is CallStatus.QUEUED
    assert waiting.due_at > clock.now() + timedelta(hours=23)
    assert waiting.waiting_reason == "The number was already dialled 3 times in 24 hours."


async def test_a_call_that_cannot_be_judged_does_not_hold_up_the_others(
    state: AppState, world: World, clock: SettableClock
) -> None:
    broken = await world.call(call_type=CallType.CONFIRM_APPOINTMENT)
    await world.attempt(broken, status=AttemptStatus.BUSY)
    async with state.database.system() as session:
        (await session.get_one(Call, broken.id)).attempt_count = 0  # its next attempt's number is taken
    healthy = await world.call(call_type=CallType.FOLLOW_UP)
    assert [call.id for call in await admit(state)] == [healthy.id]
    put_off = await world.reload(Call, broken.id)
    assert (put_off.status, put_off.attempt_count) == (CallStatus.QUEUED, 0)
    assert put_off.due_at == clock.now() + timedelta(minutes=5)


async def test_a_paused_business_admits_nothing(state: AppState, world: World) -> None:
    call = await world.call()
    async with state.database.system() as session:
        (await session.get_one(Business, call.business_id)).max_dials_per_minute = 0
    assert await admit(state) == []
    assert (await world.reload(Call, call.id)).waiting_reason == "The 0 dials a minute of the business are used up."
