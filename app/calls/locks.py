"""The order in which rows are locked: the admission lock, then the call, then the attempt, so that nobody deadlocks."""

from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.calls.models import Call, CallAttempt
from callwright.app.database.sessions import SystemSession

# Numbers of Postgres advisory locks, unique in the database.
ADMISSION_LOCK = 0x63616C6C01
LEADER_LOCK = 0x63616C6C02


async def lock_admission(session: SystemSession) -> None:
    """Makes this transaction the only one that may admit or dial, until it ends: limits counted then are exact."""
    await session.execute(select(func.pg_advisory_xact_lock(ADMISSION_LOCK)))


async def lock_attempt(session: SystemSession, attempt_id: UUID) -> tuple[Call, CallAttempt] | None:
    """Locks the attempt's call, then the attempt, and gives both as they are now; None when there is none."""
    call_id = await session.scalar(select(col(CallAttempt.call_id)).where(col(CallAttempt.id) == attempt_id))
    if call_id is None:
        return None
    call = await session.get_one(Call, call_id, with_for_update=True, populate_existing=True)
    attempt = await session.get_one(CallAttempt, attempt_id, with_for_update=True, populate_existing=True)
    return call, attempt
