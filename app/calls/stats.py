"""Figures of the calls an actor may see, over the last days of the actor's own calendar."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Row, func, select
from sqlmodel import col

from callwright.app.accounts.queries import current_user
from callwright.app.calls.lifecycle import ENDED, CallOutcome, CallStatus, CallType
from callwright.app.calls.models import Call
from callwright.app.database.sessions import TenantSession
from callwright.app.database.tenancy import owned_by_actor
from callwright.app.errors import CallwrightError, ErrorCode

LONGEST_PERIOD_DAYS = 365
_FINISHED = sorted(ENDED - {CallStatus.CANCELED})
_Group = Row[date, CallType, int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of calls by the time of their request.

    `success_rate` and `voicemail_rate` are shares (0 to 1) of the calls that ended and were not cancelled;
    `average_seconds` is over answered calls. Each is None when there is nothing to divide by.
    """

    total_calls: int
    goal_achieved: int
    success_rate: float | None
    average_seconds: float | None
    voicemail_rate: float | None


@dataclass(frozen=True, slots=True)
class CallStats:
    """`by_type` names every call type and `by_day` every day of the period, also those without a call."""

    days: int
    time_zone: str
    total: Figures
    by_type: dict[CallType, Figures]
    by_day: dict[date, Figures]


def checked_days(days: int) -> int:
    """`days` when it is 1 to 365; raises `CallwrightError` (INVALID_INPUT on `days`) otherwise."""
    if not 1 <= days <= LONGEST_PERIOD_DAYS:
        raise CallwrightError(
            ErrorCode.INVALID_INPUT,
            f"`days` must be 1 to {LONGEST_PERIOD_DAYS}.",
            field="days",
            rule="period",
            remedy="Ask for at least one day." if days < 1 else "Ask for a shorter period.",
        )
    return days


async def call_stats(session: TenantSession, days: int, now: datetime) -> CallStats:
    """The last `days` days, today included, in the actor's time zone. Raises `CallwrightError` (INVALID_INPUT)."""
    checked_days(days)
    zone = (await current_user(session)).time_zone
    today = now.astimezone(ZoneInfo(zone)).date()
    first_day = today - timedelta(days=days - 1)
    since = datetime.combine(first_day, time.min, ZoneInfo(zone))
    groups = await _counted(session, since, zone)
    return CallStats(
        days=days,
        time_zone=zone,
        total=_figures(groups),
        by_type={kind: _figures(group for group in groups if group[1] is kind) for kind in CallType},
        by_day={
            day: _figures(group for group in groups if group[0] == day)
            for day in (first_day + timedelta(days=offset) for offset in range(days))
        },
    )


async def _counted(session: TenantSession, since: datetime, zone: str) -> list[_Group]:
    day = func.date(func.timezone(zone, col(Call.created_at))).label("day")
    finished = col(Call.status).in_(_FINISHED)
    answered = col(Call.answered_at).is_not(None) & col(Call.duration_seconds).is_not(None)
    rows = await session.execute(
        select(
            day,
            col(Call.call_type),
            func.count(),
            func.count().filter(col(Call.goal_achieved).is_(True)),
            func.count().filter(finished),
            func.count().filter(finished, col(Call.outcome) == CallOutcome.VOICEMAIL_LEFT),
            func.count().filter(answered),
            func.coalesce(func.sum(col(Call.duration_seconds)).filter(answered), 0),
        )
        .where(col(Call.created_at) >= since, owned_by_actor(session, Call.business_id, Call.consumer_id))
        .group_by("day", col(Call.call_type))
    )
    return list(rows.all())


def _figures(groups: Iterable[_Group]) -> Figures:
    total = goals = finished = voicemails = answered = seconds = 0
    for group in groups:
        total += group[2]
        goals += group[3]
        finished += group[4]
        voicemails += group[5]
        answered += group[6]
        seconds += group[7]
    return Figures(
        total_calls=total,
        goal_achieved=goals,
        success_rate=goals / finished if finished else None,
        average_seconds=seconds / answered if answered else None,
        voicemail_rate=voicemails / finished if finished else None,
    )
