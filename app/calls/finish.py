"""What follows the end of an attempt: another try, or the end of the call and the work it leaves."""

import random
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from callwright.app.accounts.models import Usage
from callwright.app.calls.lifecycle import ENDED, RETRYABLE, AttemptStatus, CallOutcome, CallStatus, may_follow
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import append_event, move_call
from callwright.app.compliance.gate import FREE_OF_CHARGE
from callwright.app.database.sessions import SystemSession
from callwright.app.events.outbox import Job, enqueue, jobs_of
from callwright.app.identifiers import new_id
from callwright.app.leads.models import Lead, LeadStatus
from callwright.app.settings import Settings
from callwright.app.telephony.codes import failed_call_is_transient

NEVER_PLACED = "never_placed"
CANCEL_REQUESTED = "cancel_requested"
CARRIER_THROTTLED = "carrier_throttled"
_TRANSIENT_ENDS = frozenset({NEVER_PLACED, CARRIER_THROTTLED})

_FINAL = {
    AttemptStatus.COMPLETED: CallStatus.COMPLETED,
    AttemptStatus.NO_ANSWER: CallStatus.NO_ANSWER,
    AttemptStatus.BUSY: CallStatus.BUSY,
    AttemptStatus.FAILED: CallStatus.FAILED,
    AttemptStatus.CANCELED: CallStatus.CANCELED,
}
_SPOKEN = {
    AttemptStatus.NO_ANSWER: "Nobody answered",
    AttemptStatus.BUSY: "The line was busy",
    AttemptStatus.FAILED: "The carrier could not place the call",
}


def retry_delay(tries: int, base_seconds: float, max_seconds: float, jitter: float) -> timedelta:
    """How long to wait after the `tries`-th try (from 1): doubled each time up to the maximum, times the jitter."""
    # 2^40 s is far beyond any maximum; without a bound the power could overflow.
    return timedelta(seconds=min(base_seconds * 2 ** min(tries - 1, 40), max_seconds) * jitter)


def jitter_of(attempt: CallAttempt) -> float:
    """0.5 to 1.5, the same whenever asked for this attempt, so that a repeated decision is the same decision."""
    return random.Random(attempt.id.int).uniform(0.5, 1.5)


def may_be_tried_again(attempt: CallAttempt) -> bool:
    """Whether the attempt ended in a way after which the person may be dialled again."""
    if attempt.answered_at is not None:
        return False
    if attempt.status in RETRYABLE:
        return True
    return attempt.status is AttemptStatus.FAILED and (
        attempt.end_reason in _TRANSIENT_ENDS
        or failed_call_is_transient(attempt.carrier_error_code, attempt.sip_response_code)
    )


async def attempt_ended(
    session: SystemSession, settings: Settings, call: Call, attempt: CallAttempt, now: datetime
) -> None:
    """Decides what becomes of the call whose attempt just ended. Both must be locked, the call before the attempt."""
    await session.flush()
    tries = await _tries(session, call)
    again = (
        may_be_tried_again(attempt)
        and tries < call.max_attempts
        and call.voicemail_claimed_at is None
        and call.cancel_requested_at is None
        and may_follow(call.status, CallStatus.QUEUED)
    )
    if again:
        delay = retry_delay(tries, settings.retry_base_seconds, settings.retry_max_seconds, jitter_of(attempt))
        move_call(session, call, CallStatus.QUEUED, now, attempt.end_reason)
        call.due_at = now + delay
        call.waiting_reason = f"{_SPOKEN[attempt.status]}: try {tries + 1} of {call.max_attempts} follows."
        return
    if call.cancel_requested_at is not None:
        await end_call(session, call, attempt, CallStatus.CANCELED, now, CANCEL_REQUESTED)
    else:
        await end_call(session, call, attempt, _FINAL[attempt.status], now, attempt.end_reason)


async def end_call(
    session: SystemSession, call: Call, attempt: CallAttempt, final: CallStatus, now: datetime, reason: str | None
) -> None:
    """Ends the call for good: its duration, its usage, and the summary when somebody answered."""
    move_call(session, call, final, now, reason)
    call.duration_seconds = attempt.duration_seconds or 0
    await _count_usage(session, call, now)
    if attempt.answered_at is None:
        call.outcome = CallOutcome.NOT_REACHED
        call.estimated_cost_micros = call.metered_cost_micros = 0
        await _mark_unreachable(session, call)
        await enqueue(session, Job.AUDIT, call.id)
    else:
        await summarise_when_complete(session, call, attempt)


async def summarise_when_complete(
    session: SystemSession, call: Call, attempt: CallAttempt, *, stream_lost: bool = False
) -> None:
    """Asks for the summary, once, when the call has ended and so has its audio stream (if one began).

    Call it whenever either of the two ends, with the call locked. `stream_lost` no longer waits for the stream's end.
    """
    streaming = attempt.stream_started_at is not None and attempt.stream_ended_at is None and not stream_lost
    if call.status not in ENDED or attempt.answered_at is None or streaming or call.summarised_at is not None:
        return
    await session.flush()
    if not await jobs_of(session, Job.SUMMARISE, call.id):
        append_event(session, call.id, "call.summary_requested", attempt_id=attempt.id)
        await enqueue(session, Job.SUMMARISE, call.id)


async def _tries(session: SystemSession, call: Call) -> int:
    """The attempts that count: one given up before it was dialled does not."""
    tries = select(func.count()).where(
        col(CallAttempt.call_id) == call.id, col(CallAttempt.status) != AttemptStatus.CANCELED
    )
    return await session.scalar(tries) or 0


async def _count_usage(session: SystemSession, call: Call, now: datetime) -> None:
    if call.status in FREE_OF_CHARGE:
        return
    seconds = call.duration_seconds or 0
    month = now.astimezone(UTC).strftime("%Y-%m")
    row = insert(Usage).values(
        id=new_id(), business_id=call.business_id, month=month, calls=1, seconds=seconds, cost_micros=0
    )
    await session.execute(
        row.on_conflict_do_update(
            index_elements=["business_id", "month"],
            set_={"calls": col(Usage.calls) + 1, "seconds": col(Usage.seconds) + seconds},
        )
    )


async def _mark_unreachable(session: SystemSession, call: Call) -> None:
    if call.status in (CallStatus.NO_ANSWER, CallStatus.BUSY):
        await session.execute(
            update(Lead)
            .where(col(Lead.id) == call.lead_id, col(Lead.status) == LeadStatus.NEW)
            .values(status=LeadStatus.UNREACHABLE, next_action="Nobody could be reached: write, or call again later.")
        )
