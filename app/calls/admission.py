"""Which waiting calls may be dialled now: by priority, within the limits, and past the gate once more."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, exists, select, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import aliased
from sqlmodel import col

from callwright.app.accounts.models import Business
from callwright.app.audit.record import record
from callwright.app.calls.lifecycle import ATTEMPT_LIVE, CallOutcome, CallStatus
from callwright.app.calls.limits import Load, business_limit, global_limit, measure
from callwright.app.calls.locks import lock_admission
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import append_event, move_call
from callwright.app.clock import Clock
from callwright.app.compliance.gate import CallFacts, Decision, Verdict, decide
from callwright.app.database.sessions import Database, SystemSession
from callwright.app.events.outbox import Job, enqueue
from callwright.app.identifiers import new_id
from callwright.app.settings import Settings

log = structlog.get_logger(__name__)

_NUMBER_IN_USE = "Another call to this number is under way."
_TOLD_AT_ONCE = 200
_PUT_OFF = timedelta(minutes=5)


@dataclass(slots=True)
class _Round:
    """One pass over the queue, inside one transaction."""

    session: SystemSession
    settings: Settings
    now: datetime
    local_now: datetime
    load: Load
    admitted: list[UUID] = field(default_factory=list)
    full: dict[UUID, str] = field(default_factory=dict)  # businesses at their limit, and which


async def admit_due(
    database: Database, settings: Settings, clock: Clock, calling_clock: Clock, limit: int
) -> list[UUID]:
    """Considers up to `limit` due calls and admits those that may be dialled now; returns the new attempts' ids.

    An admitted call gets an attempt and a DIAL job. One that has to wait gets the time and the reason, one that is
    refused fails with the rule, and one without a free line or dial stays where it is in the queue, with the reason.
    """
    async with database.system() as session:
        await lock_admission(session)
        now = clock.now()
        await _wake_scheduled(session, now)
        turn = _Round(session, settings, now, calling_clock.now(), await measure(session, now))
        shortage: str | None = None
        for _ in range(limit):
            shortage = turn.load.shortage(global_limit(settings))
            call = None if shortage else await _next_due(turn)
            if call is None:
                break
            await _consider_safely(turn, call)
        await _tell_waiting(turn, shortage)
        return turn.admitted


async def _wake_scheduled(session: SystemSession, now: datetime) -> None:
    due = select(Call).where(col(Call.status) == CallStatus.SCHEDULED, col(Call.due_at) <= now)
    for call in await session.scalars(due.order_by(col(Call.due_at)).limit(500).with_for_update(skip_locked=True)):
        move_call(session, call, CallStatus.QUEUED, now)
    await session.flush()


async def _next_due(turn: _Round) -> Call | None:
    other = aliased(CallAttempt)
    number_in_use = exists().where(
        and_(col(other.phone_number) == col(Call.phone_number), col(other.status).in_(ATTEMPT_LIVE))
    )
    query = (
        select(Call)
        .where(col(Call.status) == CallStatus.QUEUED, col(Call.due_at) <= turn.now, ~number_in_use)
        .order_by(col(Call.priority), col(Call.due_at), col(Call.id))
        .limit(1)
        .with_for_update(of=Call, skip_locked=True)
    )
    if turn.full:
        query = query.where(col(Call.business_id).not_in(list(turn.full)))
    return await turn.session.scalar(query)


async def _consider_safely(turn: _Round, call: Call) -> None:
    """One call that cannot be judged must not hold up all others: it is put off, and the log says so."""
    load = Load(turn.load.live.copy(), turn.load.minute.copy())
    try:
        async with turn.session.begin_nested():
            await _consider(turn, call)
    except (OperationalError, InterfaceError):
        raise  # the database, not the call
    except Exception as error:
        turn.load = load
        await turn.session.refresh(call)
        call.due_at = turn.now + _PUT_OFF
        call.waiting_reason = "The call could not be checked; it is tried again soon."
        await turn.session.flush()
        log.error("admission.call_put_off", call_id=str(call.id), error=type(error).__name__)


async def _consider(turn: _Round, call: Call) -> None:
    business = await turn.session.get_one(Business, call.business_id)
    shortage = turn.load.shortage(business_limit(turn.settings, business), business.id)
    if shortage is not None:
        turn.full[business.id] = shortage
        return
    decision = await decide(
        turn.session,
        CallFacts.of(call),
        now=turn.now,
        local_now=turn.local_now,
        attempts_per_day=turn.settings.max_attempts_per_day,
    )
    if decision.verdict is Verdict.ALLOWED:
        await _admit(turn, call)
    else:
        put_back(turn.session, call, decision, turn.now)
    await turn.session.flush()


async def _admit(turn: _Round, call: Call) -> None:
    call.attempt_count += 1
    attempt = CallAttempt(
        id=new_id(),
        call_id=call.id,
        business_id=call.business_id,
        number=call.attempt_count,
        phone_number=call.phone_number,
        admitted_at=turn.now,
    )
    turn.session.add(attempt)
    move_call(turn.session, call, CallStatus.DIALING, turn.now)
    await turn.session.flush()
    append_event(turn.session, call.id, "call.admitted", {"number": attempt.number}, attempt_id=attempt.id)
    await enqueue(turn.session, Job.DIAL, attempt.id)
    turn.load.admit(call.business_id)
    turn.admitted.append(attempt.id)


def put_back(session: SystemSession, call: Call, decision: Decision, now: datetime) -> None:
    """Acts on a gate that did not allow the call: it waits until the gate's time, or fails with the gate's rule."""
    if decision.verdict is Verdict.WAIT and decision.until is not None:
        if call.status is not CallStatus.QUEUED:
            move_call(session, call, CallStatus.QUEUED, now, decision.rule)
        call.due_at = decision.until
        call.waiting_reason = decision.reason
        append_event(session, call.id, "call.waits", {"rule": decision.rule})
        return
    move_call(session, call, CallStatus.FAILED, now, decision.rule)
    call.outcome = CallOutcome.NOT_REACHED
    record(session, "call.refused", "call", call.id, business_id=call.business_id, data={"rule": decision.rule})


async def _tell_waiting(turn: _Round, shortage: str | None) -> None:
    """Writes down why the due calls that were passed over still wait."""
    due = and_(col(Call.status) == CallStatus.QUEUED, col(Call.due_at) <= turn.now)
    if shortage is not None:
        await _tell(turn, due, shortage)
        return
    for business_id, reason in turn.full.items():
        await _tell(turn, and_(due, col(Call.business_id) == business_id), reason)
    in_use = select(col(CallAttempt.phone_number)).where(col(CallAttempt.status).in_(ATTEMPT_LIVE))
    unexplained = col(Call.business_id).not_in(list(turn.full))
    await _tell(turn, and_(due, col(Call.phone_number).in_(in_use), unexplained), _NUMBER_IN_USE)


async def _tell(turn: _Round, which: ColumnElement[bool], reason: str) -> None:
    untold = (
        select(col(Call.id))
        .where(which, col(Call.waiting_reason).is_distinct_from(reason))
        .limit(_TOLD_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    told = await turn.session.scalars(
        update(Call)
        .where(col(Call.id).in_(untold.scalar_subquery()))
        .values(waiting_reason=reason)
        .returning(col(Call.id))
        .execution_options(synchronize_session=False)
    )
    turn.session.touched.update(told)
