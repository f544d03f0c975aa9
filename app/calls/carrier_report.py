"""Applies what the carrier says about a call, forward only: late, repeated and reordered reports change nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import col

from callwright.app.calls.finish import NEVER_PLACED, attempt_ended
from callwright.app.calls.lifecycle import ATTEMPT_ENDED, AttemptStatus, CallStatus, attempt_may_follow, may_follow
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import append_event, move_attempt, move_call
from callwright.app.database.sessions import SystemSession
from callwright.app.settings import Settings
from callwright.app.telephony.carrier import CARRIER_FINAL, CarrierStatus

_MEANS = {
    CarrierStatus.RINGING: AttemptStatus.RINGING,
    CarrierStatus.IN_PROGRESS: AttemptStatus.IN_PROGRESS,
    CarrierStatus.COMPLETED: AttemptStatus.COMPLETED,
    CarrierStatus.BUSY: AttemptStatus.BUSY,
    CarrierStatus.FAILED: AttemptStatus.FAILED,
    CarrierStatus.NO_ANSWER: AttemptStatus.NO_ANSWER,
    CarrierStatus.CANCELED: AttemptStatus.CANCELED,
}
_MIRRORED = {AttemptStatus.RINGING: CallStatus.RINGING, AttemptStatus.IN_PROGRESS: CallStatus.IN_PROGRESS}


@dataclass(frozen=True, slots=True)
class CarrierReport:
    """One statement of the carrier about one of its calls: a callback, a TwiML request or a fetched resource."""

    sid: str
    status: CarrierStatus
    sequence: int | None = None
    duration_seconds: int | None = None
    sip_response_code: int | None = None
    error_code: int | None = None
    answered_by: str | None = None


async def apply_report(
    session: SystemSession, settings: Settings, call: Call, attempt: CallAttempt, report: CarrierReport, now: datetime
) -> str | None:
    """Moves the attempt and its call as far as the report says. Both rows must be locked, the call before the attempt.

    Returns the carrier's id of a call that must not go on and has to be hung up after the commit: one we had given up,
    or a second one for the same attempt.
    """
    if not await _is_of(session, attempt, report):
        append_event(session, call.id, "carrier.stray_call", {"sid": report.sid}, attempt_id=attempt.id)
        return None if report.status in CARRIER_FINAL else report.sid
    if attempt.carrier_sid is None:
        attempt.carrier_sid = report.sid
        append_event(session, call.id, "carrier.call_known", {"sid": report.sid}, attempt_id=attempt.id)
    attempt.ambiguous_since = None
    attempt.carrier_sequence = max(attempt.carrier_sequence, -1 if report.sequence is None else report.sequence)
    attempt.answered_by = attempt.answered_by or report.answered_by
    if attempt.status in ATTEMPT_ENDED:
        given_up = attempt.end_reason == NEVER_PLACED and report.status not in CARRIER_FINAL
        return report.sid if given_up else None
    await _follow(session, settings, call, attempt, report, now)
    return None


async def _is_of(session: SystemSession, attempt: CallAttempt, report: CarrierReport) -> bool:
    if attempt.carrier_sid is not None:
        return attempt.carrier_sid == report.sid
    other = await session.scalar(select(col(CallAttempt.id)).where(col(CallAttempt.carrier_sid) == report.sid))
    return other is None


async def _follow(
    session: SystemSession, settings: Settings, call: Call, attempt: CallAttempt, report: CarrierReport, now: datetime
) -> None:
    to = _MEANS.get(report.status)
    if to is None:
        return
    if to is AttemptStatus.COMPLETED and not _ended_unanswered(call, report):
        # A call is only ever completed after an answer, whose own callback may be late or lost.
        answered = now - timedelta(seconds=report.duration_seconds or 0)
        _step(session, call, attempt, AttemptStatus.IN_PROGRESS, answered)
    if not attempt_may_follow(attempt.status, to):
        return
    if to not in ATTEMPT_ENDED:
        _step(session, call, attempt, to, now)
        return
    attempt.sip_response_code = report.sip_response_code
    attempt.carrier_error_code = report.error_code
    if attempt.answered_at is not None:
        talked = round((now - attempt.answered_at).total_seconds())
        attempt.duration_seconds = talked if report.duration_seconds is None else report.duration_seconds
    move_attempt(session, attempt, to, now, f"carrier_{report.status.value.replace('-', '_')}")
    await attempt_ended(session, settings, call, attempt, now)


def _ended_unanswered(call: Call, report: CarrierReport) -> bool:
    """Our own hang-up of a ringing phone is reported as `completed` after no time at all."""
    return call.cancel_requested_at is not None and not report.duration_seconds


def _step(session: SystemSession, call: Call, attempt: CallAttempt, to: AttemptStatus, at: datetime) -> None:
    if attempt_may_follow(attempt.status, to):
        move_attempt(session, attempt, to, at)
        if may_follow(call.status, _MIRRORED[to]):
            move_call(session, call, _MIRRORED[to], at)
