"""Puts a number on the do-not-call list, and lets nothing that was planned reach it any more."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from callwright.app.audit.record import record
from callwright.app.calls.lifecycle import WAITING, CallOutcome, CallStatus
from callwright.app.calls.models import Call
from callwright.app.calls.progress import append_event, move_call
from callwright.app.compliance.models import Suppression, SuppressionSource
from callwright.app.database.sessions import SystemSession
from callwright.app.identifiers import new_id
from callwright.app.leads.models import Lead, LeadStatus


async def is_suppressed(session: SystemSession, phone_number: str, business_id: UUID) -> bool:
    """Whether `phone_number` (E.164) is on the do-not-call list of all or of this business."""
    found = await session.scalar(
        select(col(Suppression.id))
        .where(
            col(Suppression.phone_number) == phone_number,
            col(Suppression.lifted_at).is_(None),
            or_(col(Suppression.business_id).is_(None), col(Suppression.business_id) == business_id),
        )
        .limit(1)
    )
    return found is not None


async def suppress_number(
    session: SystemSession,
    phone_number: str,
    *,
    source: SuppressionSource,
    reason: str,
    now: datetime,
    call_id: UUID | None = None,
    business_id: UUID | None = None,
    actor_id: UUID | None = None,
) -> bool:
    """Suppresses `phone_number` (E.164) for one business, or for all when `business_id` is None.

    In the same transaction every waiting call to it is cancelled and the lead of `call_id` becomes declined. `reason`
    is a code or a sentence of ours, never the person's words. Returns False when it was suppressed already.
    """
    suppression_id = new_id()
    inserted = await session.scalar(
        insert(Suppression)
        .values(
            id=suppression_id,
            phone_number=phone_number,
            business_id=business_id,
            source=source,
            reason=reason,
            call_id=call_id,
        )
        .on_conflict_do_nothing()
        .returning(col(Suppression.id))
    )
    if call_id is not None:
        lead_of_call = select(col(Call.lead_id)).where(col(Call.id) == call_id).scalar_subquery()
        await session.execute(update(Lead).where(col(Lead.id) == lead_of_call).values(status=LeadStatus.DECLINED))
    await _cancel_waiting(session, phone_number, business_id, now)
    if inserted is None:
        return False
    record(
        session,
        "number.suppressed",
        "suppression",
        suppression_id,
        actor_id=actor_id,
        business_id=business_id,
        data={"source": source, "call_id": str(call_id) if call_id else None},
    )
    if call_id is not None:
        append_event(session, call_id, "number.suppressed", {"source": source})
    return True


async def _cancel_waiting(session: SystemSession, phone_number: str, business_id: UUID | None, now: datetime) -> None:
    waiting = select(Call).where(col(Call.phone_number) == phone_number, col(Call.status).in_(WAITING))
    if business_id is not None:
        waiting = waiting.where(col(Call.business_id) == business_id)
    for call in await session.scalars(waiting.order_by(col(Call.id)).with_for_update()):
        move_call(session, call, CallStatus.CANCELED, now, "suppressed")
        call.outcome = CallOutcome.NOT_REACHED
