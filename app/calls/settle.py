"""Asks the carrier about a call instead of waiting for it to tell, and ends calls at the carrier."""

from uuid import UUID

import structlog

from callwright.app.calls.carrier_report import CarrierReport, apply_report
from callwright.app.calls.locks import lock_attempt
from callwright.app.state import AppState
from callwright.app.telephony.carrier import CarrierCall, CarrierError, CarrierStatus

log = structlog.get_logger(__name__)


def report_of(call: CarrierCall) -> CarrierReport:
    """The carrier's record of a call as a report to apply."""
    return CarrierReport(call.sid, call.status, duration_seconds=call.duration_seconds)


async def apply_to_attempt(state: AppState, attempt_id: UUID, report: CarrierReport) -> None:
    """Applies a report in a transaction of its own, then hangs up what must not go on."""
    stray: str | None = None
    async with state.database.system() as session:
        locked = await lock_attempt(session, attempt_id)
        if locked is not None:
            call, attempt = locked
            stray = await apply_report(session, state.settings, call, attempt, report, state.clock.now())
    if stray is not None:
        await hang_up(state, attempt_id, stray)


async def hang_up(state: AppState, attempt_id: UUID, sid: str) -> bool:
    """Ends a call at the carrier; False, and a line in the log, when the carrier did not answer well."""
    try:
        await state.carrier.hang_up(sid)
    except CarrierError as error:
        log.warning("carrier.hang_up_failed", attempt_id=str(attempt_id), sid=sid, error=type(error).__name__)
        return False
    return True


async def settle(state: AppState, attempt_id: UUID, sid: str) -> None:
    """Fetches the call and applies what it became. A call the carrier does not know has failed."""
    try:
        known = await state.carrier.fetch_call(sid)
    except CarrierError as error:
        log.warning("carrier.fetch_failed", attempt_id=str(attempt_id), sid=sid, error=type(error).__name__)
        return
    report = CarrierReport(sid, CarrierStatus.FAILED) if known is None else report_of(known)
    await apply_to_attempt(state, attempt_id, report)


async def hang_up_and_settle(state: AppState, attempt_id: UUID, sid: str) -> None:
    """Ends the call and takes over its end at once: a call ended while still queued fires no callback at all."""
    if await hang_up(state, attempt_id, sid):
        await settle(state, attempt_id, sid)
