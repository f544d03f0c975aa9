"""The check of an ended call: one audit entry that names what is missing."""

from sqlalchemy import select
from sqlmodel import col

from callwright.app.audit.models import AuditEntry
from callwright.app.calls.check import CHECKED, check_call
from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.world import World


async def entries(state: AppState, call: Call) -> list[dict[str, object]]:
    query = select(AuditEntry).where(col(AuditEntry.action) == CHECKED, col(AuditEntry.subject_id) == call.id)
    async with state.database.system() as session:
        return [entry.data for entry in await session.scalars(query)]


async def test_everything_a_completed_call_lacks_is_named_once(
    state: AppState, world: World, clock: SettableClock
) -> None:
    call = await world.call(status=CallStatus.COMPLETED)
    attempt = await world.attempt(call, status=AttemptStatus.COMPLETED)
    async with state.database.system() as session:
        (await session.get_one(CallAttempt, attempt.id)).stream_started_at = clock.now()
    for _ in range(2):
        await check_call(state, call.id)
    missing = ["cost", "duration", "outcome", "recording", "summary", "turns"]
    assert await entries(state, call) == [{"missing": missing}]


async def test_an_unreached_call_owes_an_outcome_and_a_cost_only(state: AppState, world: World) -> None:
    call = await world.call(status=CallStatus.NO_ANSWER)
    async with state.database.system() as session:
        stored = await session.get_one(Call, call.id)
        stored.outcome, stored.estimated_cost_micros = CallOutcome.NOT_REACHED, 0
    await check_call(state, call.id)
    assert await entries(state, call) == [{"missing": []}]


async def test_a_call_that_goes_on_is_not_checked(state: AppState, world: World) -> None:
    call = await world.call(status=CallStatus.IN_PROGRESS)
    await check_call(state, call.id)
    assert await entries(state, call) == []
