"""Tells the business by text message that a call deserves a look: an id and what happened, nothing personal."""

from uuid import UUID

import structlog
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Business
from callwright.app.calls.lifecycle import CallOutcome
from callwright.app.calls.models import Call, CallEvent
from callwright.app.calls.progress import append_event
from callwright.app.state import AppState
from callwright.app.telephony.carrier import CarrierRefused, CarrierUnsure

log = structlog.get_logger(__name__)

NOTIFIED = "business.notified"
_SAYS = {
    CallOutcome.HUMAN_REQUESTED: "The person asked for a call back from a human.",
    CallOutcome.GOAL_ACHIEVED: "The call reached its goal.",
}


async def notify_business(state: AppState, call_id: UUID) -> None:
    """Sends the message once, if the outcome asks for one and the business has a number.

    The call's row stays locked while the carrier is asked, so that two deliveries of the job cannot both send. Raises
    CarrierThrottled, after which the job may be repeated: nothing was sent.
    """
    async with state.database.system() as session:
        call = await session.get(Call, call_id, with_for_update=True)
        says = None if call is None or call.outcome is None else _SAYS.get(call.outcome)
        if call is None or says is None:
            return
        done = await session.scalar(
            select(col(CallEvent.id)).where(col(CallEvent.call_id) == call_id, col(CallEvent.kind) == NOTIFIED).limit(1)
        )
        business = await session.get_one(Business, call.business_id)
        if done is not None or business.callback_number is None:
            return
        body = f"Callwright, call {call.id}: {says}"
        try:
            sid = await state.carrier.send_message(business.callback_number, call.from_number, body)
        except CarrierRefused as refusal:
            append_event(session, call_id, NOTIFIED, {"refused": refusal.code})
            log.warning("notify.refused", call_id=str(call_id), code=refusal.code)
        except CarrierUnsure as error:  # it may have been sent, and one message too few is better than two
            append_event(session, call_id, NOTIFIED, {"unsure": error.cause})
        else:
            append_event(session, call_id, NOTIFIED, {"sid": sid})
