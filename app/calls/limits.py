"""How many calls may be under way at once and how many may be dialled in a minute, for all and for each business.

Every figure is counted from the attempts' rows under the admission lock (`lock_admission`), so it is exact however many
dispatchers and workers there are.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Business
from callwright.app.calls.lifecycle import ATTEMPT_LIVE
from callwright.app.calls.models import CallAttempt
from callwright.app.database.sessions import SystemSession
from callwright.app.settings import Settings

RATE_WINDOW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Limit:
    """The most calls at once and the most dials in any 60 seconds."""

    concurrent: int
    per_minute: int


def global_limit(settings: Settings) -> Limit:
    """The limit over all businesses."""
    return Limit(settings.max_concurrent_calls, settings.max_dials_per_minute)


def business_limit(settings: Settings, business: Business) -> Limit:
    """The business's own limit, or the settings' where it has none."""
    return Limit(
        settings.business_max_concurrent_calls
        if business.max_concurrent_calls is None
        else business.max_concurrent_calls,
        settings.business_max_dials_per_minute
        if business.max_dials_per_minute is None
        else business.max_dials_per_minute,
    )


@dataclass(slots=True)
class Load:
    """What is under way. `minute` counts the dials of the last 60 s and those already admitted and still to come."""

    live: Counter[UUID]
    minute: Counter[UUID]

    def admit(self, business_id: UUID) -> None:
        """Counts one more admitted attempt."""
        self.live[business_id] += 1
        self.minute[business_id] += 1

    def shortage(self, limit: Limit, business_id: UUID | None = None) -> str | None:
        """Why no further call fits under the limit (a business's, or that of all), for people; None if it does."""
        live = self.live.total() if business_id is None else self.live[business_id]
        minute = self.minute.total() if business_id is None else self.minute[business_id]
        whose = "" if business_id is None else " of the business"
        if live >= limit.concurrent:
            return f"All {limit.concurrent} lines{whose} are in use."
        if minute >= limit.per_minute:
            return f"The {limit.per_minute} dials a minute{whose} are used up."
        return None


async def measure(session: SystemSession, now: datetime) -> Load:
    """The load at `now`; hold the admission lock."""
    load = Load(Counter(), Counter())
    recent = col(CallAttempt.dialed_at) > now - RATE_WINDOW
    rows = await session.execute(
        select(col(CallAttempt.business_id), col(CallAttempt.status), col(CallAttempt.dialed_at)).where(
            col(CallAttempt.status).in_(ATTEMPT_LIVE) | recent
        )
    )
    for business_id, status, dialed_at in rows:
        live = status in ATTEMPT_LIVE
        load.live[business_id] += live
        load.minute[business_id] += dialed_at > now - RATE_WINDOW if dialed_at is not None else live
    return load


async def slot_opens(
    session: SystemSession, per_minute: int, now: datetime, business_id: UUID | None = None
) -> datetime | None:
    """When the next dial fits under the limit, or None when it fits now; hold the admission lock."""
    if per_minute < 1:  # a business that is paused
        return now + RATE_WINDOW
    dialed = col(CallAttempt.dialed_at)
    query = select(dialed).where(dialed > now - RATE_WINDOW).order_by(dialed.desc()).limit(per_minute)
    if business_id is not None:
        query = query.where(col(CallAttempt.business_id) == business_id)
    recent = (await session.scalars(query)).all()
    if len(recent) < per_minute:
        return None
    oldest = recent[-1]
    assert oldest is not None
    return oldest + RATE_WINDOW
