"""Status callbacks in the domain: whatever their order and however often they come, the end is the same."""

from collections.abc import Sequence
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.calls.callbacks import WebhookKind, answer_call, receive
from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.compliance.models import SuppressionSource
from callwright.app.compliance.suppress import suppress_number
from callwright.app.database.sessions import Database
from callwright.app.events.models import WebhookInbox
from callwright.app.events.outbox import Job, jobs_of
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.world import World

SID = "CA" + "1" * 32


async def dialing(world: World, *, max_attempts: int = 3) -> CallAttempt:
    """An attempt that was just dialled and of which the carrier's id is not known yet."""
    call = await world.call(status=CallStatus.DIALING, max_attempts=max_attempts)
    return await world.attempt(call, status=AttemptStatus.DIALING)


def callback(status: str, sequence: int, sid: str = SID, **more: str) -> dict[str, str]:
    return {"CallSid": sid, "CallStatus": status, "SequenceNumber": str(sequence), "To": "+13125550100", **more}


def story(*statuses: str, **last: str) -> list[dict[str, str]]:
    calls = [callback(status, number) for number, status in enumerate(statuses)]
    calls[-1].update(last)
    return calls


STORIES = {
    "answered": story("initiated", "ringing", "in-progress", "completed", CallDuration="61"),
    "answered without ringing": story("initiated", "in-progress", "completed", CallDuration="1"),
    "busy": story("initiated", "ringing", "busy", SipResponseCode="486"),
    "no answer": story("initiated", "ringing", "no-answer", SipResponseCode="487"),
    "failed for now": story("initiated", "failed", SipResponseCode="503"),
    "failed for good": story("initiated", "ringing", "failed", SipResponseCode="404"),
    "canceled by the carrier": story("initiated", "ringing", "canceled"),
}


async def outcome_of(state: AppState, attempt_id: UUID) -> tuple[object, ...]:
    async with state.database.system() as session:
        attempt = await session.get_one(CallAttempt, attempt_id)
        call = await session.get_one(Call, attempt.call_id)
        return (
            (attempt.status, attempt.carrier_sid, attempt.carrier_sequence, attempt.duration_seconds),
            (attempt.answered_at is not None, attempt.ended_at is not None, attempt.sip_response_code),
            (call.status, call.outcome, call.duration_seconds, call.answered_at is not None),
            (call.due_at > state.clock.now(), call.waiting_reason, call.failure_reason),
            [len(await jobs_of(session, job, call.id)) for job in Job],
        )


async def tell(state: AppState, attempt_id: UUID, callbacks: Sequence[dict[str, str]]) -> tuple[object, ...]:
    # A carrier's id is unique: every attempt of the test has its own.
    sid = "CA" + attempt_id.hex
    for fields in callbacks:
        await receive(state, WebhookKind.STATUS, attempt_id, {**fields, "CallSid": sid})
    return tuple(str(fact).replace(sid, "SID") for fact in await outcome_of(state, attempt_id))


@hypothesis.settings(
    max_examples=40, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(data=st.data())
async def test_any_order_with_any_repeats_ends_the_same(data: st.DataObject, state: AppState, world: World) -> None:
    told = STORIES[data.draw(st.sampled_from(sorted(STORIES)))]
    repeats = data.draw(st.lists(st.sampled_from(told), max_size=4))
    shuffled = data.draw(st.permutations([*told, *repeats]))
    expected = await tell(state, (await dialing(world)).id, told)
    assert await tell(state, (await dialing(world)).id, shuffled) == expected


@pytest.mark.parametrize(
    ("name", "attempt_status", "call_status"),
    [
        ("answered", AttemptStatus.COMPLETED, CallStatus.COMPLETED),
        ("busy", AttemptStatus.BUSY, CallStatus.QUEUED),
        ("no answer", AttemptStatus.NO_ANSWER, CallStatus.QUEUED),
        ("failed for now", AttemptStatus.FAILED, CallStatus.QUEUED),
        ("failed for good", AttemptStatus.FAILED, CallStatus.FAILED),
        ("canceled by the carrier", AttemptStatus.CANCELED, CallStatus.CANCELED),
    ],
)
async def test_what_each_story_ends_in(
    state: AppState, world: World, name: str, attempt_status: AttemptStatus, call_status: CallStatus
) -> None:
    attempt = await dialing(world)
    for fields in STORIES[name]:
        await receive(state, WebhookKind.STATUS, attempt.id, fields)
    async with state.database.system() as session:
        stored = await session.get_one(CallAttempt, attempt.id)
        call = await session.get_one(Call, attempt.call_id)
    assert (stored.status, call.status) == (attempt_status, call_status)
    assert stored.carrier_sid == SID
    if name == "answered":
        assert (call.duration_seconds, stored.carrier_sequence) == (61, 3)


async def test_a_repeat_is_stored_once_and_no_number_is_kept(state: AppState, world: World, database: Database) -> None:
    attempt = await dialing(world)
    for _ in range(3):
        await receive(state, WebhookKind.STATUS, attempt.id, callback("ringing", 1, From="+13125550190"))
    async with database.system() as session:
        rows = (await session.scalars(select(WebhookInbox))).all()
    assert len(rows) == 1
    assert rows[0].applied_at is not None
    assert "+1312" not in str(rows[0].payload)
    assert rows[0].payload == {"CallSid": SID, "CallStatus": "ringing", "SequenceNumber": "1"}


async def test_a_late_callback_does_not_touch_the_next_try(state: AppState, world: World) -> None:
    attempt = await dialing(world)
    for fields in STORIES["busy"]:
        await receive(state, WebhookKind.STATUS, attempt.id, fields)
    second = await world.attempt(await world.reload(Call, attempt.call_id), status=AttemptStatus.DIALING)
    async with state.database.system() as session:
        (await session.get_one(Call, attempt.call_id)).status = CallStatus.DIALING
    await receive(state, WebhookKind.STATUS, attempt.id, callback("in-progress", 7))
    async with state.database.system() as session:
        assert (await session.get_one(Call, attempt.call_id)).status is CallStatus.DIALING
        assert (await session.get_one(CallAttempt, second.id)).status is AttemptStatus.DIALING


async def test_an_answered_call_cannot_turn_out_busy(state: AppState, world: World) -> None:
    attempt = await dialing(world)
    await receive(state, WebhookKind.STATUS, attempt.id, callback("in-progress", 2))
    for status in ("busy", "no-answer", "ringing", "queued"):
        await receive(state, WebhookKind.STATUS, attempt.id, callback(status, 3))
    async with state.database.system() as session:
        assert (await session.get_one(CallAttempt, attempt.id)).status is AttemptStatus.IN_PROGRESS
        assert (await session.get_one(Call, attempt.call_id)).status is CallStatus.IN_PROGRESS


async def test_callbacks_of_unknown_attempts_and_unreadable_ones_change_nothing(state: AppState, world: World) -> None:
    attempt = await dialing(world)
    await receive(state, WebhookKind.STATUS, UUID(int=1), callback("ringing", 1))
    await receive(state, WebhookKind.STATUS, None, callback("ringing", 2))
    await receive(state, WebhookKind.STATUS, attempt.id, callback("dancing", 3))
    async with state.database.system() as session:
        assert (await session.get_one(CallAttempt, attempt.id)).status is AttemptStatus.DIALING
        pending = select(func.count()).where(col(WebhookInbox.applied_at).is_(None))
        assert await session.scalar(pending) == 0


async def test_an_answered_call_gets_a_token_of_which_only_the_hash_is_kept(state: AppState, world: World) -> None:
    attempt = await dialing(world)
    document = await answer_call(state, attempt.call_id, attempt.id, callback("in-progress", 2))
    assert document is not None
    assert state.settings.bridge_stream_url in document
    token = document.split('value="')[1].split('"')[0]
    async with state.database.system() as session:
        stored = await session.get_one(CallAttempt, attempt.id)
        call = await session.get_one(Call, attempt.call_id)
    assert len(token) >= 40
    assert stored.stream_token_hash is not None
    assert token not in stored.stream_token_hash
    assert (stored.status, call.status) == (AttemptStatus.IN_PROGRESS, CallStatus.IN_PROGRESS)


async def test_no_stream_for_a_call_that_must_not_go_on(state: AppState, world: World) -> None:
    attempt = await dialing(world)
    assert await answer_call(state, UUID(int=1), attempt.id, callback("in-progress", 2)) is None
    assert await answer_call(state, attempt.call_id, UUID(int=1), callback("in-progress", 2)) is None
    for fields in STORIES["busy"]:
        await receive(state, WebhookKind.STATUS, attempt.id, fields)
    document = await answer_call(state, attempt.call_id, attempt.id, callback("in-progress", 2))
    assert document is not None
    assert "<Hangup" in document
    assert "<Stream" not in document


async def test_a_running_stream_is_not_let_in_twice(state: AppState, world: World, clock: SettableClock) -> None:
    attempt = await dialing(world)
    await answer_call(state, attempt.call_id, attempt.id, callback("in-progress", 2))
    async with state.database.system() as session:
        stored = await session.get_one(CallAttempt, attempt.id)
        stored.stream_started_at = clock.now()
        before = stored.stream_token_hash
    document = await answer_call(state, attempt.call_id, attempt.id, callback("in-progress", 2))
    assert document is not None
    assert "<Stream" not in document
    async with state.database.system() as session:
        assert (await session.get_one(CallAttempt, attempt.id)).stream_token_hash == before


async def test_a_canceled_call_ends_canceled_although_it_was_answered(
    state: AppState, world: World, clock: SettableClock
) -> None:
    attempt = await dialing(world)
    async with state.database.system() as session:
        (await session.get_one(Call, attempt.call_id)).cancel_requested_at = clock.now()
    for fields in STORIES["answered"]:
        await receive(state, WebhookKind.STATUS, attempt.id, fields)
    call = await world.reload(Call, attempt.call_id)
    assert call.status is CallStatus.CANCELED
    assert call.outcome is not CallOutcome.NOT_REACHED


async def test_a_number_suppressed_while_it_rang_gets_no_stream(state: AppState, world: World) -> None:
    attempt = await dialing(world)
    async with state.database.system() as session:
        source = SuppressionSource.CONSUMER
        await suppress_number(session, attempt.phone_number, source=source, reason="portal", now=state.clock.now())
    document = await answer_call(state, attempt.call_id, attempt.id, callback("in-progress", 2))
    assert document is not None
    assert "Stream" not in document
    assert "Hangup" in document


async def test_a_repeated_request_for_instructions_takes_the_token_from_nobody(state: AppState, world: World) -> None:
    attempt = await dialing(world)
    first = await answer_call(state, attempt.call_id, attempt.id, callback("in-progress", 2))
    again = await answer_call(state, attempt.call_id, attempt.id, callback("in-progress", 2))
    assert first is not None
    assert first == again
