"""The gate: may this call be placed now, later, or not at all? Asked when a call is requested and again at dispatch.

Rules run in order; the first that does not allow decides. A refusal is final as things stand, a wait is not.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.accounts.models import Business, Plan
from callwright.app.calls.lifecycle import CallStatus, CallType
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.compliance.models import Consent, ConsentKind
from callwright.app.compliance.numbers import parse_number, zones_of
from callwright.app.compliance.suppress import is_suppressed
from callwright.app.database.sessions import SystemSession
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.leads.models import Consumer

# The strictest window that holds in every state without one of its own; the called party's local time, half-open.
WINDOW_START, WINDOW_END = time(9), time(20)
SALES_LIKE = frozenset({CallType.QUALIFY_LEAD, CallType.FOLLOW_UP})
FREE_OF_CHARGE = (CallStatus.CANCELED, CallStatus.FAILED)


class Verdict(StrEnum):
    """The gate's answer."""

    ALLOWED = "allowed"
    WAIT = "wait"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided, by which rule, and what would change it. `until` is the next moment worth asking."""

    verdict: Verdict
    rule: str
    code: ErrorCode | None = None
    reason: str = ""
    remedy: str = ""
    field: str | None = None
    until: datetime | None = None

    def as_error(self) -> CallwrightError:
        """The refusal as the domain error a client sees."""
        assert self.code is not None
        return CallwrightError(
            self.code, self.reason, field=self.field, rule=self.rule, remedy=self.remedy, until=self.until
        )


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the gate must know of a call. `call_id` is None while the call is only being asked for."""

    business_id: UUID
    consumer_id: UUID
    call_type: CallType
    phone_number: str
    call_id: UUID | None = None

    @classmethod
    def of(cls, call: Call) -> "CallFacts":
        return cls(call.business_id, call.consumer_id, call.call_type, call.phone_number, call.id)


@dataclass(frozen=True, slots=True)
class Question:
    """One asking of the gate. `local_now` is the instant the calling window is judged at (see SandboxCallingClock)."""

    session: SystemSession
    facts: CallFacts
    now: datetime
    local_now: datetime
    attempts_per_day: int


def _refuse(rule: str, code: ErrorCode, reason: str, remedy: str, field: str | None = None) -> Decision:
    return Decision(Verdict.REFUSED, rule, code, reason, remedy, field)


async def _number_type(question: Question) -> Decision | None:
    try:
        parse_number(question.facts.phone_number)
    except CallwrightError as error:
        return _refuse("number_type", error.code, error.message, error.remedy, error.field)
    return None


async def _suppression(question: Question) -> Decision | None:
    facts = question.facts
    if not await is_suppressed(question.session, facts.phone_number, facts.business_id):
        return None
    return _refuse(
        "suppression",
        ErrorCode.SUPPRESSED,
        "The person asked not to be called.",
        "Do not call. Write to the person, or wait until they contact you.",
        "phoneNumber",
    )


async def _consent(question: Question) -> Decision | None:
    facts = question.facts
    kinds = [ConsentKind.WRITTEN] if facts.call_type in SALES_LIKE else list(ConsentKind)
    found = await question.session.scalar(
        select(col(Consent.id))
        .where(
            col(Consent.consumer_id) == facts.consumer_id,
            col(Consent.business_id) == facts.business_id,
            col(Consent.phone_number) == facts.phone_number,
            col(Consent.kind).in_(kinds),
            col(Consent.withdrawn_at).is_(None),
            col(Consent.obtained_at) <= question.now,
        )
        .limit(1)
    )
    if found is not None:
        return None
    needed = "written consent" if facts.call_type in SALES_LIKE else "consent"
    own_number = await question.session.scalar(
        select(col(Consumer.phone_number)).where(col(Consumer.id) == facts.consumer_id)
    )
    return _refuse(
        "consent",
        ErrorCode.CONSENT_MISSING,
        f"There is no {needed} on file for this business to call this number.",
        f"Record the person's {needed}, naming the business and the number, then ask again.",
        "leadId" if facts.phone_number == own_number else "phoneNumber",
    )


async def _business_ready(question: Question) -> Decision | None:
    business = await question.session.get_one(Business, question.facts.business_id)
    missing = [
        name
        for name, value in (("registered name", business.registered_name), ("caller ID", business.caller_id))
        if not value
    ]
    if not missing:
        return None
    return _refuse(
        "business_identity",
        ErrorCode.BUSINESS_NOT_READY,
        f"The business has no {' and no '.join(missing)}.",
        "Complete the business profile: calls must name the business and show a number that can be called back.",
        "leadId",
    )


async def _plan_quota(question: Question) -> Decision | None:
    facts, now = question.facts, question.now
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    included = await question.session.scalar(
        select(col(Plan.included_calls)).join(Business).where(col(Business.id) == facts.business_id)
    )
    used = select(func.count()).where(
        col(Call.business_id) == facts.business_id,
        col(Call.created_at) >= month,
        col(Call.status).not_in(FREE_OF_CHARGE),
    )
    if facts.call_id is not None:
        used = used.where(col(Call.id) < facts.call_id)  # ids sort by time: the calls asked for before this one
    if (await question.session.scalar(used) or 0) < (included or 0):
        return None
    return _refuse(
        "plan_quota",
        ErrorCode.PLAN_EXHAUSTED,
        f"The plan's {included} calls of this month are used up.",
        "Choose a larger plan, or wait for the first of next month.",
        "leadId",
    )


async def _attempts_per_day(question: Question) -> Decision | None:
    since = question.now - timedelta(hours=24)
    dialed = list(
        await question.session.scalars(
            select(col(CallAttempt.dialed_at))
            .where(col(CallAttempt.phone_number) == question.facts.phone_number, col(CallAttempt.dialed_at) > since)
            .order_by(col(CallAttempt.dialed_at).desc())
            .limit(question.attempts_per_day)
        )
    )
    if len(dialed) < question.attempts_per_day:
        return None
    assert dialed[-1] is not None
    return Decision(
        Verdict.WAIT,
        "attempts_per_day",
        ErrorCode.ATTEMPTS_EXHAUSTED,
        f"The number was already dialled {len(dialed)} times in 24 hours.",
        "The call is placed when the 24 hours are over.",
        "phoneNumber",
        dialed[-1] + timedelta(hours=24),
    )


async def _calling_window(question: Question) -> Decision | None:
    zones = zones_of(question.facts.phone_number)
    if not zones:
        return _refuse(
            "calling_window",
            ErrorCode.NUMBER_NOT_CALLABLE,
            "The time zone of the number is unknown.",
            "Give a number with a geographic area code.",
            "phoneNumber",
        )
    opens = next_open(question.local_now, zones)
    if opens == question.local_now:
        return None
    return Decision(
        Verdict.WAIT,
        "calling_window",
        ErrorCode.OUTSIDE_CALLING_WINDOW,
        "It is outside calling hours where the person lives.",
        "The call is placed when calling hours begin.",
        "scheduledTime",
        question.now + (opens - question.local_now),
    )


def next_open(now: datetime, zones: list[ZoneInfo]) -> datetime:
    """The first moment from `now` on at which the window is open in every zone; `now` itself when it is open.

    The zones of one number lie a few hours apart at most, so a common opening is found within two days.
    """
    moment = now
    for _ in range(6 * len(zones)):
        latest = max(_opens(moment, zone) for zone in zones)
        if latest == moment:
            return moment
        moment = latest
    raise ValueError("the zones share no open hour")


def _opens(moment: datetime, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone)
    if WINDOW_START <= local.time() < WINDOW_END:
        return moment
    day = local.date() if local.time() < WINDOW_START else local.date() + timedelta(days=1)
    return datetime.combine(day, WINDOW_START, zone).astimezone(UTC)


RULES: tuple[Callable[[Question], Awaitable[Decision | None]], ...] = (
    _number_type,
    _suppression,
    _consent,
    _business_ready,
    _plan_quota,
    _attempts_per_day,
    _calling_window,
)


async def decide(
    session: SystemSession, facts: CallFacts, *, now: datetime, local_now: datetime, attempts_per_day: int
) -> Decision:
    """The gate's decision on one call at one moment. `now` is real time, `local_now` what the window is judged at."""
    question = Question(session, facts, now, local_now, attempts_per_day)
    for rule in RULES:
        decision = await rule(question)
        if decision is not None:
            return decision
    return Decision(Verdict.ALLOWED, "all")
