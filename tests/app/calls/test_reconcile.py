"""The sweeps: whatever was lost on the way (answers, callbacks, jobs) is found and settled, and never redialled."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlmodel import col

from callwright.app.accounts.models import Role
from callwright.app.calls.callbacks import WebhookKind, answer_call, apply_stored, receive
from callwright.app.calls.cancel import cancel_call
from callwright.app.calls.check import check_call
from callwright.app.calls.dial import dial
from callwright.app.calls.lifecycle import AttemptStatus, CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.reconcile import LOOKS, Reconciler
from callwright.app.events.models import Outbox, WebhookInbox
from callwright.app.events.outbox import Job, enqueue, jobs_of
from callwright.app.identifiers import new_id
from callwright.app.settings import Settings
from callwright.app.state import open_state
from callwright.app.telephony.carrier import CreateCall
from tests.app.telephony.desk import Desk
from tests.app.telephony.line import SandboxCarrier, lay_line, until
from tests.conftest import SettableClock
from tests.world import World


@pytest.fixture
async def deaf(sandbox: SandboxCarrier, settings: Settings, clock: SettableClock, world: World) -> AsyncIterator[Desk]:
    """A desk whose webhooks never arrive: nobody answers at its public URL."""
    line = lay_line(sandbox, settings)
    line.socket.close()
    async with open_state(line.settings, clock=clock) as state:
        yield Desk(line, state, world, clock)


@pytest.fixture
async def desk(sandbox: SandboxCarrier, settings: Settings, clock: SettableClock, world: World) -> AsyncIterator[Desk]:
    line = lay_line(sandbox, settings)
    async with open_state(line.settings, clock=clock) as state, line.answer(state):
        yield Desk(line, state, world, clock)


async def ended_at_carrier(desk: Desk, number: str) -> None:
    """Waits until the carrier's calls to the number are over."""

    async def over() -> bool:
        calls = await desk.sandbox.calls_to(number)
        live = {"queued", "initiated", "ringing", "in-progress"}
        return bool(calls) and not any(call["status"] in live for call in calls)

    await until(over)


async def test_a_lost_answer_without_any_webhook_is_adopted_from_the_carriers_list(deaf: Desk) -> None:
    number = "+13125550118"
    call = await deaf.place(number)
    assert (await deaf.attempts(call))[0].carrier_sid is None
    deaf.clock.advance(6)
    await Reconciler(deaf.state).sweep()
    (attempt,) = await deaf.attempts(call)
    (placed,) = await deaf.sandbox.calls_to(number)
    assert attempt.carrier_sid == placed["sid"]
    assert await deaf.sandbox.posts_to(number) == 1


async def test_what_the_carrier_does_not_know_after_several_looks_was_never_placed(deaf: Desk) -> None:
    await deaf.sandbox.fault("drop")
    call = await deaf.place("+13125550101")
    reconciler = Reconciler(deaf.state)
    for _ in range(LOOKS):
        deaf.clock.advance(6)
        await reconciler.sweep()
        assert (await deaf.attempts(call))[0].status is AttemptStatus.DIALING
    deaf.clock.advance(6)
    await reconciler.sweep()
    (attempt,) = await deaf.attempts(call)
    assert (attempt.status, attempt.end_reason) == (AttemptStatus.FAILED, "never_placed")
    assert (await deaf.call(call)).status is CallStatus.QUEUED
    assert await deaf.sandbox.posts_to("+13125550101") == 0


async def test_a_carrier_that_cannot_be_asked_proves_nothing(deaf: Desk) -> None:
    await deaf.sandbox.fault("drop")
    call = await deaf.place("+13125550102")
    reconciler = Reconciler(deaf.state)
    for _ in range(10):
        await deaf.sandbox.fault("status", status=503)
        deaf.clock.advance(6)
        await reconciler.sweep()
    assert (await deaf.attempts(call))[0].status is AttemptStatus.DIALING


async def test_a_call_given_up_that_shows_up_after_all_is_hung_up(desk: Desk) -> None:
    number = "+13125550103"
    await desk.sandbox.fault("drop")
    call = await desk.place(number)
    reconciler = Reconciler(desk.state)
    for _ in range(LOOKS + 2):
        desk.clock.advance(6)
        await reconciler.sweep()
    (attempt,) = await desk.attempts(call)
    assert attempt.end_reason == "never_placed"
    # The request that stood in a queue for a minute is carried out now, for the attempt that was given up.
    base = desk.state.settings.public_url
    sid = await desk.state.carrier.create_call(
        CreateCall(
            attempt.id,
            number,
            call.from_number,
            f"{base}/twiml/call/{call.id}?attempt={attempt.id}",
            f"{base}/webhooks/twilio/status?attempt={attempt.id}",
            ring_seconds=30,
            max_seconds=300,
        )
    )
    await ended_at_carrier(desk, number)
    assert desk.line.streams == []
    (attempt,) = await desk.attempts(call)
    assert (attempt.status, attempt.carrier_sid) == (AttemptStatus.FAILED, sid)
    assert (await desk.call(call)).status is CallStatus.QUEUED


async def test_lost_callbacks_are_fetched(deaf: Desk) -> None:
    number = "+12125550108"
    call = await deaf.place(number)
    await ended_at_carrier(deaf, number)
    assert (await deaf.attempts(call))[0].status is AttemptStatus.DIALING
    deaf.clock.advance(deaf.state.settings.ring_seconds + 20)
    await Reconciler(deaf.state).sweep()
    assert (await deaf.attempts(call))[0].status is AttemptStatus.BUSY
    assert (await deaf.call(call)).status is CallStatus.QUEUED


async def test_a_call_beyond_the_longest_is_hung_up(desk: Desk) -> None:
    number = "+12125550101"
    call = await desk.place(number)
    await desk.until(call, CallStatus.IN_PROGRESS)
    desk.clock.advance(desk.state.settings.max_call_seconds + 61)
    await Reconciler(desk.state).sweep()
    await ended_at_carrier(desk, number)
    assert (await desk.call(call)).status is CallStatus.COMPLETED


async def test_a_lost_dial_job_is_sent_again_once(deaf: Desk) -> None:
    call = await deaf.request("+12125550110")
    (attempt_id,) = await deaf.admit()
    async with deaf.state.database.system() as session:
        await session.execute(update(Outbox).values(sent_at=deaf.clock.now()))
    reconciler = Reconciler(deaf.state)
    await reconciler.sweep()
    deaf.clock.advance(30)
    for _ in range(3):
        await reconciler.sweep()
    async with deaf.state.database.system() as session:
        jobs = await jobs_of(session, Job.DIAL, attempt_id)
    assert len(jobs) == 2
    assert await deaf.run_due() == 1
    assert (await deaf.attempts(call))[0].carrier_sid is not None


async def test_a_stored_webhook_that_was_not_applied_is_taken_up(deaf: Desk) -> None:
    call = await deaf.world.call(status=CallStatus.DIALING)
    attempt = await deaf.world.attempt(call, status=AttemptStatus.DIALING)
    inbox_id = new_id()
    async with deaf.state.database.system() as session:
        payload = {"CallSid": "CA" + "5" * 32, "CallStatus": "ringing", "SequenceNumber": "1"}
        session.add(
            WebhookInbox(
                id=inbox_id, provider="twilio", kind="status", provider_key="k", attempt_id=attempt.id, payload=payload
            )
        )
    deaf.clock.advance(20)
    await Reconciler(deaf.state).sweep()
    assert (await deaf.attempts(call))[0].status is AttemptStatus.RINGING
    await asyncio.gather(*(apply_stored(deaf.state, inbox_id) for _ in range(4)))
    assert (await deaf.attempts(call))[0].status is AttemptStatus.RINGING


async def answered(desk: Desk, *, stream: bool) -> tuple[Call, UUID]:
    """A call that was answered and has ended; its bridge never reported the stream's end."""
    call = await desk.world.call(status=CallStatus.DIALING)
    attempt = await desk.world.attempt(call, status=AttemptStatus.DIALING)
    sid = "CA" + attempt.id.hex
    await answer_call(desk.state, call.id, attempt.id, {"CallSid": sid})
    async with desk.state.database.system() as session:
        stored = await session.get_one(CallAttempt, attempt.id)
        stored.stream_started_at = desk.clock.now() if stream else None
    last = {"CallSid": sid, "CallStatus": "completed", "SequenceNumber": "3", "CallDuration": "30"}
    await receive(desk.state, WebhookKind.STATUS, attempt.id, last)
    return call, attempt.id


async def summaries(desk: Desk, call: Call) -> int:
    async with desk.state.database.system() as session:
        return len(await jobs_of(session, Job.SUMMARISE, call.id))


async def test_a_bridge_that_never_reported_does_not_keep_the_summary_away(deaf: Desk) -> None:
    call, _ = await answered(deaf, stream=True)
    reconciler = Reconciler(deaf.state)
    deaf.clock.advance(59)
    await reconciler.sweep()
    assert await summaries(deaf, call) == 0
    deaf.clock.advance(2)
    for _ in range(3):
        await reconciler.sweep()
    assert await summaries(deaf, call) == 1


async def test_a_lost_summary_job_is_sent_again(deaf: Desk) -> None:
    call, _ = await answered(deaf, stream=False)
    assert await summaries(deaf, call) == 1
    reconciler = Reconciler(deaf.state)
    deaf.clock.advance(660)
    await reconciler.sweep()
    assert await summaries(deaf, call) == 1  # not sent yet, so not lost
    async with deaf.state.database.system() as session:
        await session.execute(update(Outbox).where(col(Outbox.job) == Job.SUMMARISE).values(sent_at=deaf.clock.now()))
    deaf.clock.advance(660)
    await reconciler.sweep()
    await reconciler.sweep()
    assert await summaries(deaf, call) == 2


async def test_a_cancellation_reaches_a_call_whose_answer_was_lost(deaf: Desk) -> None:
    number = "+14155550118"
    call = await deaf.place(number)
    actor = await deaf.world.actor(Role.ADMIN)
    await cancel_call(deaf.state, actor, call.id)
    assert (await deaf.call(call)).status is CallStatus.DIALING
    reconciler = Reconciler(deaf.state)
    for _ in range(3):
        deaf.clock.advance(6)
        await reconciler.sweep()
    await ended_at_carrier(deaf, number)
    assert (await deaf.call(call)).status is CallStatus.CANCELED
    assert (await deaf.attempts(call))[0].status in (AttemptStatus.CANCELED, AttemptStatus.COMPLETED)


async def test_a_cancelled_throttled_attempt_is_given_up_without_a_dial(deaf: Desk) -> None:
    number = "+16175550108"
    await deaf.sandbox.fault("status", status=429)
    call = await deaf.place(number)
    await cancel_call(deaf.state, await deaf.world.actor(Role.ADMIN), call.id)
    deaf.clock.advance(6)
    await Reconciler(deaf.state).sweep()
    await deaf.run_due()
    assert (await deaf.call(call)).status is CallStatus.CANCELED
    assert await deaf.sandbox.posts_to(number) == 0


async def test_sweeps_of_a_healthy_system_do_nothing(deaf: Desk) -> None:
    call = await deaf.request("+12125550114")
    (attempt_id,) = await deaf.admit()
    await Reconciler(deaf.state).sweep()
    async with deaf.state.database.system() as session:
        assert len(await jobs_of(session, Job.DIAL, attempt_id)) == 1
        await enqueue(session, Job.AUDIT, call.id)
    await dial(deaf.state, attempt_id)
    await Reconciler(deaf.state).sweep()
    assert await deaf.sandbox.posts_to("+12125550114") == 1


async def test_a_lost_message_to_the_business_is_tried_once_more(deaf: Desk) -> None:
    call = await deaf.world.call(status=CallStatus.COMPLETED)
    async with deaf.state.database.system() as session:
        await enqueue(session, Job.NOTIFY, call.id)
        await enqueue(session, Job.AUDIT, call.id)
    await check_call(deaf.state, call.id)  # of the two, only this one was done
    reconciler = Reconciler(deaf.state)
    for _ in range(3):
        async with deaf.state.database.system() as session:
            await session.execute(update(Outbox).values(sent_at=deaf.clock.now()))
        deaf.clock.advance(660)
        await reconciler.sweep()
        await reconciler.sweep()
    async with deaf.state.database.system() as session:
        assert len(await jobs_of(session, Job.NOTIFY, call.id)) == 2
        assert len(await jobs_of(session, Job.AUDIT, call.id)) == 1


async def test_one_that_cannot_be_settled_does_not_hold_up_the_others(deaf: Desk) -> None:
    first, second = [await deaf.world.call(status=CallStatus.DIALING) for _ in range(2)]
    attempts = [await deaf.world.attempt(call, status=AttemptStatus.DIALING) for call in (first, second)]
    reports = [{"CallSid": "CA" + "6" * 32, "CallStatus": "busy"}, {"CallSid": "CA" + "7" * 32, "CallStatus": "busy"}]
    async with deaf.state.database.system() as session:
        for number, (attempt, payload) in enumerate(zip(attempts, reports, strict=True)):
            row = WebhookInbox(
                provider="twilio",
                kind="unheard-of" if number == 0 else "status",
                provider_key=str(number),
                attempt_id=attempt.id,
                payload=payload,
            )
            session.add(row)
            await session.flush()
    deaf.clock.advance(20)
    await Reconciler(deaf.state).sweep()
    assert (await deaf.attempts(first))[0].status is AttemptStatus.DIALING
    assert (await deaf.attempts(second))[0].status is AttemptStatus.BUSY
