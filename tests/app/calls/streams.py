"""An attempt whose audio stream may begin, and a desk that takes it: shared by the tests of desk and summary."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from callwright.app.calls.carrier_report import CarrierReport, apply_report
from callwright.app.calls.conversation import Speaker, Turn
from callwright.app.calls.desk import DatabaseCallDesk
from callwright.app.calls.lifecycle import AttemptStatus, CallStatus, CallType
from callwright.app.calls.locks import lock_attempt
from callwright.app.calls.models import Call, CallAttempt, CallEvent
from callwright.app.events.outbox import Job, jobs_of
from callwright.app.leads.models import Lead
from callwright.app.state import AppState
from callwright.app.telephony.carrier import CarrierStatus
from tests.world import World

TOKEN = "a stream's token of 256 random bits"


def sid_of(number: int) -> str:
    return f"CA{number:032d}"


@asynccontextmanager
async def desk_of(state: AppState) -> AsyncIterator[DatabaseCallDesk]:
    desk = DatabaseCallDesk(state)
    try:
        yield desk
    finally:
        await desk.close()


async def live_attempt(
    state: AppState,
    world: World,
    *,
    lead: Lead | None = None,
    call_type: CallType = CallType.QUALIFY_LEAD,
    sid: str | None = sid_of(1),
    call: Call | None = None,
) -> CallAttempt:
    """An answered attempt of a call in progress, with TOKEN waiting to be redeemed."""
    call = call or await world.call(lead, call_type=call_type, status=CallStatus.IN_PROGRESS)
    attempt = await world.attempt(call, carrier_sid=sid)
    async with state.database.system() as session:
        stored = await session.get_one(CallAttempt, attempt.id)
        stored.stream_token_hash = hashlib.sha256(TOKEN.encode()).hexdigest()
        stored.dialed_at = stored.answered_at = state.clock.now()
        (await session.get_one(Call, call.id)).answered_at = state.clock.now()
    return stored


async def carrier_completes(state: AppState, attempt_id: UUID, seconds: int, at: datetime | None = None) -> None:
    """The carrier's last callback."""
    async with state.database.system() as session:
        locked = await lock_attempt(session, attempt_id)
        assert locked is not None
        call, attempt = locked
        assert attempt.carrier_sid is not None
        report = CarrierReport(attempt.carrier_sid, CarrierStatus.COMPLETED, duration_seconds=seconds)
        await apply_report(session, state.settings, call, attempt, report, at or state.clock.now())
        assert attempt.status is AttemptStatus.COMPLETED


async def call_of(state: AppState, call_id: UUID) -> Call:
    async with state.database.system() as session:
        return await session.get_one(Call, call_id)


async def events_of(state: AppState, call_id: UUID, *kinds: str) -> list[CallEvent]:
    async with state.database.system() as session:
        query = select(CallEvent).where(col(CallEvent.call_id) == call_id, col(CallEvent.kind).in_(kinds))
        return list(await session.scalars(query.order_by(col(CallEvent.id))))


async def jobs(state: AppState, job: Job, subject_id: UUID) -> int:
    async with state.database.system() as session:
        return len(await jobs_of(session, job, subject_id))


def turn(index: int, speaker: Speaker, text: str) -> Turn:
    return Turn(index, speaker, text, index * 5000, index * 5000 + 4000)
