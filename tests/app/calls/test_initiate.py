"""Asking for a call: what is written when it may be placed, and that a refusal writes nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import Role
from callwright.app.audit.models import AuditEntry
from callwright.app.calls.cancel import cancel_call
from callwright.app.calls.initiate import InitiateCall, initiate_call
from callwright.app.calls.lifecycle import AttemptStatus, CallStatus, CallType
from callwright.app.calls.models import Call, CallAttempt, CallEvent
from callwright.app.database.sessions import Database
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.leads.models import Lead
from callwright.app.state import AppState
from tests.world import World


async def rows(database: Database) -> tuple[int, int, int]:
    async with database.system() as session:
        counts = [
            await session.scalar(select(func.count()).select_from(model)) for model in (Call, CallEvent, AuditEntry)
        ]
    return counts[0] or 0, counts[1] or 0, counts[2] or 0


@pytest.fixture
async def lead(world: World) -> Lead:
    return await world.lead()


@pytest.fixture
async def actor(world: World, lead: Lead) -> Actor:
    async with world.database.system() as session:
        from callwright.app.accounts.models import Business  # noqa: PLC0415

        business = await session.get_one(Business, lead.business_id)
    return await world.actor(Role.BUSINESS, business)


async def test_the_call_its_event_and_its_audit_entry_are_written_together(
    state: AppState, actor: Actor, lead: Lead
) -> None:
    call = await initiate_call(state, actor, InitiateCall(lead.id, CallType.QUALIFY_LEAD))
    assert call.status is CallStatus.QUEUED
    assert call.objective
    assert await rows(state.database) == (1, 1, 1)


async def test_a_later_time_makes_it_scheduled(state: AppState, actor: Actor, lead: Lead) -> None:
    at = state.clock.now() + timedelta(days=2)
    call = await initiate_call(state, actor, InitiateCall(lead.id, CallType.FOLLOW_UP, scheduled_time=at))
    assert (call.status, call.due_at) == (CallStatus.SCHEDULED, at)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"phone_number": "12"}, ErrorCode.INVALID_PHONE_NUMBER, "phoneNumber"),
        ({"phone_number": "+442071234567"}, ErrorCode.NUMBER_NOT_CALLABLE, "phoneNumber"),
        ({"phone_number": "+13125550177"}, ErrorCode.CONSENT_MISSING, "phoneNumber"),
        ({"scheduled_time": datetime(2020, 1, 1, tzinfo=UTC)}, ErrorCode.INVALID_TIME, "scheduledTime"),
        ({"scheduled_time": datetime(2036, 1, 1)}, ErrorCode.INVALID_TIME, "scheduledTime"),  # noqa: DTZ001
        ({"scheduled_time": datetime(2096, 1, 1, tzinfo=UTC)}, ErrorCode.INVALID_TIME, "scheduledTime"),
        ({"objective": "x" * 1001}, ErrorCode.INVALID_INPUT, "objective"),
        ({"lead_id": uuid4()}, ErrorCode.LEAD_NOT_FOUND, "leadId"),
    ],
)
async def test_bad_input_names_field_and_remedy_and_writes_nothing(
    state: AppState, actor: Actor, lead: Lead, change: dict[str, object], code: ErrorCode, field: str
) -> None:
    request = replace(InitiateCall(lead.id, CallType.QUALIFY_LEAD), **change)  # type: ignore[arg-type]
    with pytest.raises(CallwrightError) as caught:
        await initiate_call(state, actor, request)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert caught.value.remedy
    assert caught.value.rule
    assert await rows(state.database) == (0, 0, 0)


async def test_another_business_cannot_call_the_lead(state: AppState, world: World, lead: Lead) -> None:
    stranger = await world.actor(Role.BUSINESS, await world.business())
    with pytest.raises(CallwrightError) as caught:
        await initiate_call(state, stranger, InitiateCall(lead.id, CallType.QUALIFY_LEAD))
    assert caught.value.code is ErrorCode.LEAD_NOT_FOUND
    assert await rows(state.database) == (0, 0, 0)


async def test_a_consumer_can_only_be_called_back(state: AppState, world: World) -> None:
    user = await world.user(Role.CONSUMER)
    lead = await world.lead(consumer=await world.consumer(user=user))
    actor = Actor(user.id, Role.CONSUMER)
    with pytest.raises(CallwrightError) as caught:
        await initiate_call(state, actor, InitiateCall(lead.id, CallType.QUALIFY_LEAD))
    assert (caught.value.code, caught.value.field) == (ErrorCode.FORBIDDEN, "callType")
    call = await initiate_call(state, actor, InitiateCall(lead.id, CallType.CONSUMER_CALLBACK))
    assert call.consumer_id == lead.consumer_id


async def test_a_second_click_does_not_call_twice(state: AppState, actor: Actor, lead: Lead) -> None:
    await initiate_call(state, actor, InitiateCall(lead.id, CallType.QUALIFY_LEAD))
    with pytest.raises(CallwrightError) as caught:
        await initiate_call(state, actor, InitiateCall(lead.id, CallType.QUALIFY_LEAD))
    assert caught.value.code is ErrorCode.DUPLICATE_CALL


async def test_cancelling_before_the_dial_ends_call_and_attempt(
    state: AppState, world: World, actor: Actor, lead: Lead
) -> None:
    call = await world.call(lead, status=CallStatus.DIALING)
    attempt = await world.attempt(call, status=AttemptStatus.ADMITTED)
    canceled = await cancel_call(state, actor, call.id)
    assert canceled.status is CallStatus.CANCELED
    async with state.database.system() as session:
        stored = await session.scalar(select(CallAttempt).where(col(CallAttempt.id) == attempt.id))
    assert stored is not None
    assert stored.status is AttemptStatus.CANCELED
    with pytest.raises(CallwrightError) as caught:
        await cancel_call(state, actor, call.id)
    assert caught.value.code is ErrorCode.CALL_ALREADY_ENDED


async def test_a_stranger_cannot_cancel(state: AppState, world: World, lead: Lead) -> None:
    call = await world.call(lead)
    stranger = await world.actor(Role.BUSINESS, await world.business())
    with pytest.raises(CallwrightError) as caught:
        await cancel_call(state, stranger, call.id)
    assert caught.value.code is ErrorCode.CALL_NOT_FOUND
    assert (await world.reload(Call, call.id)).status is CallStatus.QUEUED
