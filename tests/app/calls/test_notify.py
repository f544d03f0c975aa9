"""The message to the business: once, only when it matters, and with nothing personal in it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from callwright.app.accounts.models import Business
from callwright.app.calls.lifecycle import CallOutcome, CallStatus
from callwright.app.calls.models import Call
from callwright.app.calls.notify import notify_business
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from callwright.app.telephony.carrier import CarrierThrottled
from tests.app.telephony.line import SandboxCarrier
from tests.world import World


@pytest.fixture
async def reachable(settings: Settings, sandbox: SandboxCarrier) -> AsyncIterator[AppState]:
    async with open_state(settings.model_copy(update={"sandbox_url": sandbox.url})) as state:
        yield state


async def call_with(state: AppState, world: World, outcome: CallOutcome, callback_number: str) -> Call:
    call = await world.call(status=CallStatus.COMPLETED)
    async with state.database.system() as session:
        (await session.get_one(Call, call.id)).outcome = outcome
        (await session.get_one(Business, call.business_id)).callback_number = callback_number
    return call


async def test_it_is_sent_once_however_often_the_job_comes(
    reachable: AppState, world: World, sandbox: SandboxCarrier
) -> None:
    number = "+12025550131"
    call = await call_with(reachable, world, CallOutcome.HUMAN_REQUESTED, number)
    await asyncio.gather(*(notify_business(reachable, call.id) for _ in range(4)))
    (message,) = await sandbox.messages_to(number, reachable.settings)
    assert str(call.id) in message["body"]
    assert call.phone_number not in message["body"]
    assert "Jordan" not in message["body"]


async def test_other_outcomes_are_no_message(reachable: AppState, world: World, sandbox: SandboxCarrier) -> None:
    call = await call_with(reachable, world, CallOutcome.DECLINED, "+12025550132")
    await notify_business(reachable, call.id)
    assert await sandbox.messages_to("+12025550132", reachable.settings) == []


async def test_a_throttled_message_is_sent_by_the_next_delivery(
    reachable: AppState, world: World, sandbox: SandboxCarrier
) -> None:
    number = "+12025550133"
    call = await call_with(reachable, world, CallOutcome.GOAL_ACHIEVED, number)
    await sandbox.fault("status", status=429)
    with pytest.raises(CarrierThrottled):
        await notify_business(reachable, call.id)
    assert await sandbox.messages_to(number, reachable.settings) == []
    await notify_business(reachable, call.id)
    assert len(await sandbox.messages_to(number, reachable.settings)) == 1
