"""A person asks for a call: authorise, check, and write call, event, audit entry in one transaction, or refuse."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text
from sqlmodel import col

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import Business, Role
from callwright.app.audit.record import record
from callwright.app.calls.lifecycle import ENDED, PRIORITY, CallStatus, CallType
from callwright.app.calls.models import Call
from callwright.app.calls.progress import append_event
from callwright.app.compliance.gate import CallFacts, Verdict, decide
from callwright.app.compliance.numbers import parse_number
from callwright.app.database.sessions import SystemSession
from callwright.app.database.tenancy import owned_by_actor
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.identifiers import new_id
from callwright.app.leads.models import Consumer, Lead
from callwright.app.state import AppState

LONGEST_OBJECTIVE = 1000
FURTHEST = timedelta(days=365)
# A clock a little ahead of ours still means "now".
PAST_TOLERANCE = timedelta(seconds=60)
DEFAULT_OBJECTIVE = {
    CallType.QUALIFY_LEAD: "Find out what the person needs, when, and with what budget, and whether they want a quote.",
    CallType.CONFIRM_APPOINTMENT: "Confirm the date, time and address of the appointment, or find a better time.",
    CallType.FOLLOW_UP: "Ask how the work went, for a rating, and whether anything is left to do.",
    CallType.CONSUMER_CALLBACK: "Return the person's call: find out what they need and agree on the next step.",
}


@dataclass(frozen=True, slots=True)
class InitiateCall:
    """What a person asks for. `phone_number` defaults to the consumer's, `scheduled_time` to now."""

    lead_id: UUID
    call_type: CallType
    objective: str | None = None
    phone_number: str | None = None
    scheduled_time: datetime | None = None


async def initiate_call(state: AppState, actor: Actor, request: InitiateCall) -> Call:
    """Writes the call and wakes the dispatcher.

    Raises CallwrightError with field, rule and remedy; then no row is written.
    """
    lead, consumer = await _visible_lead(state, actor, request.lead_id)
    _check_role(actor, request)
    phone_number = _number(request, consumer)
    objective = _objective(request)
    now = state.clock.now()
    scheduled = _scheduled(request, now)
    async with state.database.system() as session:
        # One request of a business at a time: the quota and the open-call rule are then exact.
        business = await session.get_one(Business, lead.business_id, with_for_update={"key_share": True})
        await _refuse_second_open_call(session, request)
        facts = CallFacts(business.id, consumer.id, request.call_type, phone_number)
        decision = await decide(
            session,
            facts,
            now=now,
            local_now=state.calling_clock.now(),
            attempts_per_day=state.settings.max_attempts_per_day,
        )
        if decision.verdict is Verdict.REFUSED:
            raise decision.as_error()
        due_at = scheduled or now
        if decision.until is not None:
            due_at = max(due_at, decision.until)
        call = Call(
            id=new_id(),
            lead_id=lead.id,
            business_id=business.id,
            consumer_id=consumer.id,
            call_type=request.call_type,
            objective=objective,
            phone_number=phone_number,
            from_number=business.caller_id or "",
            status=CallStatus.SCHEDULED if scheduled else CallStatus.QUEUED,
            priority=PRIORITY[request.call_type],
            scheduled_at=scheduled,
            due_at=due_at,
            waiting_reason=None if decision.verdict is Verdict.ALLOWED else decision.reason,
            max_attempts=state.settings.max_attempts,
            created_by=actor.user_id,
        )
        session.add(call)
        await session.flush()
        append_event(session, call.id, "call.requested", {"call_type": call.call_type, "status": call.status})
        record(
            session,
            "call.requested",
            "call",
            call.id,
            actor_id=actor.user_id,
            business_id=business.id,
            data={"call_type": call.call_type, "rule": decision.rule, "verdict": decision.verdict},
        )
        await session.execute(text("NOTIFY callwright_due"))
    return call


async def _visible_lead(state: AppState, actor: Actor, lead_id: UUID) -> tuple[Lead, Consumer]:
    async with state.database.tenant(actor) as session:
        found = (
            await session.execute(
                select(Lead, Consumer)
                .join(Consumer, col(Consumer.id) == col(Lead.consumer_id))
                .where(col(Lead.id) == lead_id, owned_by_actor(session, Lead.business_id, Lead.consumer_id))
            )
        ).one_or_none()
    if found is None:
        raise CallwrightError(
            ErrorCode.LEAD_NOT_FOUND,
            "There is no such lead among yours.",
            field="leadId",
            remedy="Take the id from the `leads` query.",
            ids={"lead_id": str(lead_id)},
        )
    return found.Lead, found.Consumer


def _check_role(actor: Actor, request: InitiateCall) -> None:
    if actor.role is Role.CONSUMER and request.call_type is not CallType.CONSUMER_CALLBACK:
        raise CallwrightError(
            ErrorCode.FORBIDDEN,
            "A consumer can only ask to be called back.",
            field="callType",
            rule="role",
            remedy="Use CONSUMER_CALLBACK.",
        )


def _number(request: InitiateCall, consumer: Consumer) -> str:
    if request.phone_number is None:
        return parse_number(consumer.phone_number)
    return parse_number(request.phone_number)


def _objective(request: InitiateCall) -> str:
    objective = (request.objective or "").strip() or DEFAULT_OBJECTIVE[request.call_type]
    if len(objective) > LONGEST_OBJECTIVE:
        raise CallwrightError(
            ErrorCode.INVALID_INPUT,
            f"The objective has {len(objective)} characters.",
            field="objective",
            rule="objective_length",
            remedy=f"Say it in at most {LONGEST_OBJECTIVE} characters.",
        )
    return objective


def _scheduled(request: InitiateCall, now: datetime) -> datetime | None:
    wanted = request.scheduled_time
    if wanted is None:
        return None
    if wanted.tzinfo is None:
        raise CallwrightError(
            ErrorCode.INVALID_TIME,
            "The time has no zone.",
            field="scheduledTime",
            rule="time_zone",
            remedy="Add an offset, such as 2026-12-01T15:00:00-05:00.",
        )
    if wanted < now - PAST_TOLERANCE:
        raise CallwrightError(
            ErrorCode.INVALID_TIME,
            "The time is in the past.",
            field="scheduledTime",
            rule="future_time",
            remedy="Choose a time from now on, or leave it out to call as soon as possible.",
        )
    if wanted > now + FURTHEST:
        raise CallwrightError(
            ErrorCode.INVALID_TIME,
            "The time is more than a year away.",
            field="scheduledTime",
            rule="future_time",
            remedy="Choose a time within a year.",
        )
    return wanted if wanted > now else None


async def _refuse_second_open_call(session: SystemSession, request: InitiateCall) -> None:
    open_call = await session.scalar(
        select(col(Call.id))
        .where(
            col(Call.lead_id) == request.lead_id,
            col(Call.call_type) == request.call_type,
            col(Call.status).not_in(ENDED),
        )
        .limit(1)
    )
    if open_call is not None:
        raise CallwrightError(
            ErrorCode.DUPLICATE_CALL,
            "A call of this type to this lead is already waiting or under way.",
            field="leadId",
            rule="one_open_call",
            remedy="Wait until it has ended, or cancel it first.",
            ids={"call_id": str(open_call)},
        )
