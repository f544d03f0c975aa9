"""Checks that an ended call has everything it owes, so that a lost job becomes an entry somebody can find."""

from uuid import UUID

import structlog
from sqlalchemy import exists, select
from sqlmodel import col

from callwright.app.audit.models import AuditEntry
from callwright.app.audit.record import record
from callwright.app.calls.lifecycle import ENDED, CallStatus
from callwright.app.calls.models import Call, CallAttempt, CallSummary, TranscriptTurn
from callwright.app.database.sessions import SystemSession
from callwright.app.recordings.models import Recording
from callwright.app.state import AppState

log = structlog.get_logger(__name__)

CHECKED = "call.checked"


async def check_call(state: AppState, call_id: UUID) -> None:
    """Writes one audit entry `call.checked` for an ended call, with the list of what is missing."""
    async with state.database.system() as session:
        call = await session.get(Call, call_id, with_for_update=True)
        if call is None or call.status not in ENDED:
            return
        checked = exists().where(col(AuditEntry.action) == CHECKED, col(AuditEntry.subject_id) == call_id)
        if await session.scalar(select(checked)):
            return
        missing = await _missing(session, call)
        record(session, CHECKED, "call", call_id, business_id=call.business_id, data={"missing": missing})
    if missing:
        log.warning("call.incomplete", call_id=str(call_id), missing=missing)


async def _missing(session: SystemSession, call: Call) -> list[str]:
    owed = {"outcome": call.outcome is not None, "cost": call.estimated_cost_micros is not None}
    if call.status is CallStatus.COMPLETED:
        owed["duration"] = bool(call.duration_seconds)
        owed["summary"] = bool(await session.scalar(select(exists().where(col(CallSummary.call_id) == call.id))))
    streamed = await session.scalars(
        select(col(CallAttempt.id)).where(
            col(CallAttempt.call_id) == call.id, col(CallAttempt.stream_started_at).is_not(None)
        )
    )
    for attempt_id in streamed:
        if call.status is CallStatus.COMPLETED:
            turns = exists().where(col(TranscriptTurn.attempt_id) == attempt_id)
            owed["turns"] = bool(await session.scalar(select(turns)))
        owed["recording"] = bool(await session.scalar(select(exists().where(col(Recording.attempt_id) == attempt_id))))
    return sorted(name for name, there in owed.items() if not there)
