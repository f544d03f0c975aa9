"""Dialling over the wire: nobody is dialled twice and no call is lost, whatever the carrier answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from callwright.app.calls.dial import CARRIER_TRIES, dial
from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.compliance.models import Suppression, SuppressionSource
from callwright.app.events.outbox import Job, jobs_of
from callwright.app.settings import Settings
from callwright.app.state import open_state
from tests.app.telephony.desk import Desk
from tests.app.telephony.line import SandboxCarrier, lay_line, sandbox_process, until
from tests.conftest import SettableClock
from tests.world import World


@pytest.fixture
async def desk(sandbox: SandboxCarrier, settings: Settings, clock: SettableClock, world: World) -> AsyncIterator[Desk]:
    line = lay_line(sandbox, settings)
    async with open_state(line.settings, clock=clock) as state, line.answer(state):
        yield Desk(line, state, world, clock)


async def test_an_answered_call_is_followed_to_its_end(desk: Desk) -> None:
    call = await desk.place("+12125550100")
    await desk.until(call, CallStatus.IN_PROGRESS)
    await until(lambda: _streams(desk))
    (attempt,) = await desk.attempts(call)
    assert attempt.carrier_sid is not None
    assert attempt.ambiguous_since is None
    await desk.state.carrier.hang_up(attempt.carrier_sid)
    ended = await desk.until(call, CallStatus.COMPLETED)
    assert ended.outcome is None  # that is for the summary to say
    async with desk.state.database.system() as session:
        assert len(await jobs_of(session, Job.SUMMARISE, call.id)) == 1
    assert await desk.sandbox.posts_to("+12125550100") == 1


async def _streams(desk: Desk) -> bool:
    return bool(desk.line.streams)


@pytest.mark.parametrize(
    ("number", "status"), [("+12125550107", AttemptStatus.NO_ANSWER), ("+12125550108", AttemptStatus.BUSY)]
)
async def test_who_was_not_reached_is_tried_again_later(desk: Desk, number: str, status: AttemptStatus) -> None:
    call = await desk.place(number)
    waiting = await desk.until(call, CallStatus.QUEUED)
    assert waiting.due_at > desk.clock.now()
    assert await desk.admit() == []
    desk.clock.advance(10)
    assert len(await desk.admit()) == 1
    await desk.run_due()
    await desk.until(call, CallStatus.QUEUED)
    first, second = await desk.attempts(call)
    assert (first.status, second.status) == (status, status)
    assert first.carrier_sid != second.carrier_sid


async def test_a_refused_number_fails_and_is_not_tried_again(desk: Desk) -> None:
    call = await desk.place("+12125550109")
    ended = await desk.call(call)
    assert (ended.status, ended.outcome) == (CallStatus.FAILED, CallOutcome.NOT_REACHED)
    assert ended.failure_reason == "carrier_refused_21211"
    (attempt,) = await desk.attempts(call)
    assert attempt.carrier_error_code == 21211


async def test_a_throttled_attempt_is_placed_once(desk: Desk) -> None:
    call = await desk.place("+12125550117")
    for throttled in (1, 2):
        (attempt,) = await desk.attempts(call)
        assert (attempt.status, attempt.carrier_tries) == (AttemptStatus.DIALING, throttled)
        assert await desk.run_due() == 0  # the backoff is not over
        desk.clock.advance(4)
        assert await desk.run_due() == 1
    await desk.until(call, CallStatus.RINGING, CallStatus.IN_PROGRESS)
    assert len(await desk.attempts(call)) == 1
    assert len(await desk.sandbox.calls_to("+12125550117")) == 1
    assert await desk.sandbox.posts_to("+12125550117") == 3


async def test_a_carrier_that_stays_busy_costs_one_try(desk: Desk) -> None:
    await desk.sandbox.fault("status", status=429, times=CARRIER_TRIES)
    call = await desk.place("+13125550100")
    for _ in range(CARRIER_TRIES - 1):
        desk.clock.advance(60)
        assert await desk.run_due() == 1
    (attempt,) = await desk.attempts(call)
    assert (attempt.status, attempt.end_reason) == (AttemptStatus.FAILED, "carrier_throttled")
    assert (await desk.call(call)).status is CallStatus.QUEUED
    assert await desk.sandbox.calls_to("+13125550100") == []


async def test_a_lost_answer_is_adopted_from_the_first_webhook(desk: Desk) -> None:
    call = await desk.place("+12125550118")
    await desk.until(call, CallStatus.RINGING, CallStatus.IN_PROGRESS)
    (attempt,) = await desk.attempts(call)
    (placed,) = await desk.sandbox.calls_to("+12125550118")
    assert attempt.carrier_sid == placed["sid"]
    assert attempt.ambiguous_since is None
    await dial(desk.state, attempt.id)  # the job delivered once more
    assert await desk.sandbox.posts_to("+12125550118") == 1


async def test_many_deliveries_at_once_dial_once(desk: Desk) -> None:
    await desk.request("+14155550100")
    (attempt_id,) = await desk.admit()
    await asyncio.gather(*(dial(desk.state, attempt_id) for _ in range(6)))
    await dial(desk.state, attempt_id)
    assert await desk.sandbox.posts_to("+14155550100") == 1


async def test_a_process_that_dies_while_dialling_leaves_nothing_to_dial_again(desk: Desk) -> None:
    call = await desk.request("+16175550100")
    (attempt_id,) = await desk.admit()
    await desk.sandbox.fault("hang")
    dying = asyncio.create_task(dial(desk.state, attempt_id))

    async def claimed() -> bool:
        (attempt,) = await desk.attempts(call)
        return attempt.ambiguous_since is not None

    await until(claimed)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await dial(desk.state, attempt_id)
    (attempt,) = await desk.attempts(call)
    assert (attempt.status, attempt.carrier_tries) == (AttemptStatus.DIALING, 1)
    assert await desk.sandbox.posts_to("+16175550100") == 0


@pytest.mark.parametrize("change", ["cancel", "suppress"])
async def test_what_happened_after_admission_is_seen_before_dialling(desk: Desk, change: str) -> None:
    number = "+13035550100"
    before = await desk.sandbox.posts_to(number)
    call = await desk.request(number)
    (attempt_id,) = await desk.admit()
    async with desk.state.database.system() as session:
        if change == "cancel":
            (await session.get_one(Call, call.id)).cancel_requested_at = desk.clock.now()
        else:
            session.add(Suppression(phone_number=number, source=SuppressionSource.CONSUMER, reason="asked"))
    await desk.run_due()
    ended = await desk.call(call)
    assert ended.status is (CallStatus.CANCELED if change == "cancel" else CallStatus.FAILED)
    assert ended.outcome is CallOutcome.NOT_REACHED
    async with desk.state.database.system() as session:
        assert (await session.get_one(CallAttempt, attempt_id)).status is AttemptStatus.CANCELED
    assert await desk.sandbox.posts_to(number) == before


async def test_the_minute_is_exact_at_the_moment_of_dialling(
    sandbox: SandboxCarrier, settings: Settings, clock: SettableClock, world: World
) -> None:
    line = lay_line(sandbox, settings)
    limited = line.settings.model_copy(update={"max_dials_per_minute": 2, "max_concurrent_calls": 10})
    numbers = ["+12065550108", "+14045550108", "+15125550108", "+16025550108"]
    # Admission believed that there was room for four; the claims, all at once, know better.
    async with open_state(line.settings, clock=clock) as generous, open_state(limited, clock=clock) as state:
        calls = [await Desk(line, generous, world, clock).request(number) for number in numbers]
        ids = await Desk(line, generous, world, clock).admit()
        assert len(ids) == 4
        await asyncio.gather(*(dial(state, attempt_id) for attempt_id in ids))
        desk = Desk(line, state, world, clock)
        attempts = [(await desk.attempts(call))[0] for call in calls]
        dialed = [attempt for attempt in attempts if attempt.dialed_at is not None]
        kept = [attempt for attempt in attempts if attempt.dialed_at is None]
        assert (len(dialed), len(kept)) == (2, 2)
        assert {attempt.status for attempt in kept} == {AttemptStatus.ADMITTED}
        async with state.database.system() as session:
            for attempt in kept:
                jobs = await jobs_of(session, Job.DIAL, attempt.id)
                assert jobs[-1].due_at == clock.now() + timedelta(seconds=60)
                jobs[0].sent_at = clock.now()
        clock.advance(60)
        await asyncio.gather(*(dial(state, attempt.id) for attempt in kept))
        assert all([(await desk.attempts(call))[0].dialed_at is not None for call in calls])


async def test_shuffled_and_repeated_callbacks_end_the_calls_the_same(
    settings: Settings, clock: SettableClock, world: World
) -> None:
    expected = {"+12125550108": CallStatus.BUSY, "+13035550107": CallStatus.NO_ANSWER}
    with sandbox_process("--shuffle-callbacks", "--duplicate-callbacks", "--seed", "7") as sandbox:
        line = lay_line(sandbox, settings)
        async with open_state(line.settings, clock=clock) as state, line.answer(state):
            desk = Desk(line, state, world, clock)
            calls = {number: await desk.request(number, max_attempts=1) for number in expected}
            assert len(await desk.admit()) == 2
            assert await desk.run_due() == 2
            for number, status in expected.items():
                ended = await desk.until(calls[number], status)
                assert ended.outcome is CallOutcome.NOT_REACHED
                assert len(await desk.attempts(ended)) == 1
                assert await sandbox.posts_to(number) == 1
