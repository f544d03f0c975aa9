"""Dials an admitted attempt: claimed and committed first, then placed at the carrier, and never placed twice.

`ambiguous_since` is set in the claim's commit and stays until the carrier's answer is known. While it is set nobody
dials the attempt: whatever happens in between (a crash, a lost answer, a second delivery of the job) is settled by
asking the carrier (`reconcile`).
"""

import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from callwright.app.accounts.models import Business
from callwright.app.calls.admission import put_back
from callwright.app.calls.carrier_report import CarrierReport, apply_report
from callwright.app.calls.finish import CARRIER_THROTTLED, attempt_ended, end_call, jitter_of, retry_delay
from callwright.app.calls.lifecycle import AttemptStatus, CallStatus
from callwright.app.calls.limits import business_limit, global_limit, slot_opens
from callwright.app.calls.locks import lock_admission, lock_attempt
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import append_event, move_attempt
from callwright.app.calls.settle import hang_up, hang_up_and_settle
from callwright.app.compliance.gate import CallFacts, Decision, Verdict, decide
from callwright.app.compliance.models import SuppressionSource
from callwright.app.compliance.suppress import suppress_number
from callwright.app.database.sessions import SystemSession
from callwright.app.events.outbox import Job, enqueue
from callwright.app.state import AppState
from callwright.app.telephony.carrier import CarrierRefused, CarrierStatus, CarrierThrottled, CarrierUnsure, CreateCall

log = structlog.get_logger(__name__)

CARRIER_TRIES = 5
THROTTLE_BASE_SECONDS = 1.0
THROTTLE_MAX_SECONDS = 30.0
# A process that stood still for longer than this after its claim no longer places the call.
FRESH_SECONDS = 5.0
_OPTED_OUT_AT_CARRIER = 21610


@dataclass(frozen=True, slots=True)
class _Claim:
    request: CreateCall
    claimed: float  # time.monotonic() at the claim


async def dial(state: AppState, attempt_id: UUID) -> None:
    """Places the attempt's call, unless it is no longer to be placed or may have been placed already."""
    claim = await _claim(state, attempt_id)
    if claim is None:
        return
    if time.monotonic() - claim.claimed > FRESH_SECONDS:
        log.warning("dial.stalled", attempt_id=str(attempt_id))
        return
    try:
        sid = await state.carrier.create_call(claim.request)
    except CarrierThrottled:
        await _throttled(state, attempt_id)
    except CarrierRefused as refusal:
        await _refused(state, attempt_id, refusal)
    except CarrierUnsure as error:
        await _unsure(state, attempt_id, error)
    else:
        await _placed(state, attempt_id, sid)


async def _claim(state: AppState, attempt_id: UUID) -> _Claim | None:
    async with state.database.system() as session:
        await lock_admission(session)
        locked = await lock_attempt(session, attempt_id)
        if locked is None:
            log.warning("dial.unknown_attempt", attempt_id=str(attempt_id))
            return None
        call, attempt = locked
        now = state.clock.now()
        if not _may_be_claimed(attempt):
            return None
        if call.cancel_requested_at is not None:
            move_attempt(session, attempt, AttemptStatus.CANCELED, now, "cancel_requested")
            await end_call(session, call, attempt, CallStatus.CANCELED, now, "cancel_requested")
            return None
        decision = await _ask_gate(state, session, call, now)
        if decision.verdict is not Verdict.ALLOWED:
            move_attempt(session, attempt, AttemptStatus.CANCELED, now, decision.rule)
            put_back(session, call, decision, now)
            return None
        opens = await _slot_opens(state, session, attempt, now)
        if opens is not None:
            await enqueue(session, Job.DIAL, attempt.id, due_at=opens)
            return None
        if attempt.status is AttemptStatus.ADMITTED:
            move_attempt(session, attempt, AttemptStatus.DIALING, now)
        attempt.dialed_at = attempt.ambiguous_since = now
        attempt.carrier_tries += 1
        return _Claim(_request(state, call, attempt), time.monotonic())


def _may_be_claimed(attempt: CallAttempt) -> bool:
    if attempt.status is AttemptStatus.ADMITTED:
        return True
    # Throttled: the carrier guaranteed that it placed nothing.
    return attempt.status is AttemptStatus.DIALING and attempt.carrier_sid is None and attempt.ambiguous_since is None


async def _ask_gate(state: AppState, session: SystemSession, call: Call, now: datetime) -> Decision:
    return await decide(
        session,
        CallFacts.of(call),
        now=now,
        local_now=state.calling_clock.now(),
        attempts_per_day=state.settings.max_attempts_per_day,
    )


async def _slot_opens(state: AppState, session: SystemSession, attempt: CallAttempt, now: datetime) -> datetime | None:
    business = await session.get_one(Business, attempt.business_id)
    own = business_limit(state.settings, business).per_minute
    opens = [
        await slot_opens(session, global_limit(state.settings).per_minute, now),
        await slot_opens(session, own, now, business.id),
    ]
    return max((moment for moment in opens if moment is not None), default=None)


def _request(state: AppState, call: Call, attempt: CallAttempt) -> CreateCall:
    base = state.settings.public_url.rstrip("/")
    return CreateCall(
        attempt_id=attempt.id,
        to=call.phone_number,
        from_=call.from_number,
        twiml_url=f"{base}/twiml/call/{call.id}?attempt={attempt.id}",
        status_url=f"{base}/webhooks/twilio/status?attempt={attempt.id}",
        ring_seconds=state.settings.ring_seconds,
        max_seconds=state.settings.max_call_seconds,
    )


async def _placed(state: AppState, attempt_id: UUID, sid: str) -> None:
    stray: str | None = None
    canceled = False
    async with state.database.system() as session:
        locked = await lock_attempt(session, attempt_id)
        if locked is not None:
            call, attempt = locked
            report = CarrierReport(sid, CarrierStatus.QUEUED)
            stray = await apply_report(session, state.settings, call, attempt, report, state.clock.now())
            canceled = call.cancel_requested_at is not None
    if stray is not None:
        await hang_up(state, attempt_id, stray)
    elif canceled:
        await hang_up_and_settle(state, attempt_id, sid)


async def _throttled(state: AppState, attempt_id: UUID) -> None:
    async with state.database.system() as session:
        locked = await _lock_unanswered(session, attempt_id)
        if locked is None:
            return
        call, attempt = locked
        now = state.clock.now()
        # It was never placed: it neither counts as a dial nor needs the carrier's list.
        attempt.ambiguous_since = attempt.dialed_at = None
        append_event(session, call.id, "dial.throttled", {"tries": attempt.carrier_tries}, attempt_id=attempt.id)
        if attempt.carrier_tries >= CARRIER_TRIES:
            move_attempt(session, attempt, AttemptStatus.FAILED, now, CARRIER_THROTTLED)
            await attempt_ended(session, state.settings, call, attempt, now)
            return
        delay = retry_delay(attempt.carrier_tries, THROTTLE_BASE_SECONDS, THROTTLE_MAX_SECONDS, jitter_of(attempt))
        await enqueue(session, Job.DIAL, attempt.id, due_at=now + delay)


async def _refused(state: AppState, attempt_id: UUID, refusal: CarrierRefused) -> None:
    async with state.database.system() as session:
        locked = await _lock_unanswered(session, attempt_id)
        if locked is None:
            return
        call, attempt = locked
        now = state.clock.now()
        attempt.ambiguous_since = None
        attempt.carrier_error_code = refusal.code
        move_attempt(session, attempt, AttemptStatus.FAILED, now, f"carrier_refused_{refusal.code}")
        await attempt_ended(session, state.settings, call, attempt, now)
        if refusal.code == _OPTED_OUT_AT_CARRIER:
            source = SuppressionSource.CARRIER
            await suppress_number(
                session, call.phone_number, source=source, reason="carrier_opt_out", now=now, call_id=call.id
            )
    report = log.warning if refusal.permanent else log.error
    report("dial.refused", attempt_id=str(attempt_id), code=refusal.code, permanent=refusal.permanent)


async def _unsure(state: AppState, attempt_id: UUID, error: CarrierUnsure) -> None:
    log.warning("dial.unsure", attempt_id=str(attempt_id), cause=error.cause)
    async with state.database.system() as session:
        locked = await _lock_unanswered(session, attempt_id)
        if locked is not None:
            append_event(session, locked[0].id, "dial.unsure", {"cause": error.cause}, attempt_id=attempt_id)


async def _lock_unanswered(session: SystemSession, attempt_id: UUID) -> tuple[Call, CallAttempt] | None:
    """The locked rows while the attempt is still being dialled; None when a webhook or a sweep was faster."""
    locked = await lock_attempt(session, attempt_id)
    if locked is None or locked[1].status is not AttemptStatus.DIALING or locked[1].carrier_sid is not None:
        return None
    return locked
