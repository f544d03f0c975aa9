"""Cancels a call wherever it is: waiting, ringing or in conversation."""

from uuid import UUID

import structlog
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.actor import Actor
from callwright.app.audit.record import record
from callwright.app.calls.lifecycle import ATTEMPT_LIVE, ENDED, WAITING, AttemptStatus, CallOutcome, CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import append_event, move_attempt, move_call
from callwright.app.database.tenancy import owned_by_actor
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.state import AppState
from callwright.app.telephony.carrier import CarrierError

log = structlog.get_logger(__name__)


async def cancel_call(state: AppState, actor: Actor, call_id: UUID) -> Call:
    """Cancels at once what was not dialled yet; a live call is marked, then hung up at the carrier.

    The carrier's callback then ends the live call as `canceled`; if the hang-up fails, the reconciliation sweep
    repeats it. Raises CALL_NOT_FOUND or CALL_ALREADY_ENDED.
    """
    await _check_visible(state, actor, call_id)
    sid: str | None = None
    async with state.database.system() as session:
        call = await session.get_one(Call, call_id, with_for_update=True)
        if call.status in ENDED:
            raise CallwrightError(
                ErrorCode.CALL_ALREADY_ENDED,
                f"The call is already {call.status.value.replace('_', ' ')}.",
                field="id",
                remedy="Nothing is left to cancel.",
                ids={"call_id": str(call_id)},
            )
        now = state.clock.now()
        call.cancel_requested_at = call.cancel_requested_at or now
        attempt = await session.scalar(
            select(CallAttempt)
            .where(col(CallAttempt.call_id) == call_id, col(CallAttempt.status).in_(ATTEMPT_LIVE))
            .with_for_update()
        )
        if attempt is not None and attempt.status is AttemptStatus.ADMITTED:
            move_attempt(session, attempt, AttemptStatus.CANCELED, now, "cancel_requested")
            attempt = None
        if attempt is None or call.status in WAITING:
            move_call(session, call, CallStatus.CANCELED, now, "cancel_requested")
            call.outcome = CallOutcome.NOT_REACHED
        else:
            append_event(session, call.id, "call.cancel_requested")
            sid = attempt.carrier_sid
        record(session, "call.canceled", "call", call.id, actor_id=actor.user_id, business_id=call.business_id)
    if sid is not None:
        await _hang_up(state, call_id, sid)
    return call


async def _check_visible(state: AppState, actor: Actor, call_id: UUID) -> None:
    async with state.database.tenant(actor) as session:
        visible = await session.scalar(
            select(col(Call.id)).where(
                col(Call.id) == call_id, owned_by_actor(session, Call.business_id, Call.consumer_id)
            )
        )
    if visible is None:
        raise CallwrightError(
            ErrorCode.CALL_NOT_FOUND,
            "There is no such call among yours.",
            field="id",
            remedy="Take the id from a query.",
            ids={"call_id": str(call_id)},
        )


async def _hang_up(state: AppState, call_id: UUID, sid: str) -> None:
    try:
        await state.carrier.hang_up(sid)
    except CarrierError as error:
        log.warning("cancel.hang_up_failed", call_id=str(call_id), error=type(error).__name__)
