"""Reads of calls and of all that belongs to them.

Row-level security fences every table; `owned_by_actor` says the same again, so that an index can be used.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlmodel import col

from callwright.app.accounts.queries import require_admin
from callwright.app.calls.lifecycle import CallStatus, CallType
from callwright.app.calls.models import Call, CallAttempt, CallEvent, CallSummary, TranscriptTurn
from callwright.app.costs.models import CostItem, Provider
from callwright.app.database.sessions import TenantSession
from callwright.app.database.tenancy import owned_by_actor
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.leads.queries import get_lead
from callwright.app.pagination import Cursor, Page, newest_first
from callwright.app.recordings.models import Recording

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What `admin_calls` narrows by; `since` is inclusive, `before` exclusive, both of the time of the request."""

    status: CallStatus | None = None
    call_type: CallType | None = None
    business_id: UUID | None = None
    since: datetime | None = None
    before: datetime | None = None


async def get_call(session: TenantSession, call_id: UUID, *, field: str = "id") -> Call:
    """One call. Raises `CallwrightError` (CALL_NOT_FOUND on `field`), also for one the actor may not see."""
    call = await session.scalar(_mine(session, select(Call)).where(col(Call.id) == call_id))
    if call is None:
        raise CallwrightError(
            ErrorCode.CALL_NOT_FOUND,
            "There is no such call.",
            field=field,
            remedy="Choose one of your own calls.",
            ids={"call": str(call_id)},
        )
    return call


async def calls_by_lead(session: TenantSession, lead_id: UUID, *, first: int, after: str | None) -> Page[Call]:
    """A page of one lead's calls. Raises `CallwrightError` (LEAD_NOT_FOUND)."""
    await get_lead(session, lead_id, field="leadId")
    return await _page(session, select(Call).where(col(Call.lead_id) == lead_id), first, after)


async def admin_calls(session: TenantSession, wanted: CallFilter, *, first: int, after: str | None) -> Page[Call]:
    """A page of everybody's calls. Raises `CallwrightError` (FORBIDDEN) for anyone but an administrator."""
    require_admin(session.actor)
    statement = select(Call)
    if wanted.status is not None:
        statement = statement.where(col(Call.status) == wanted.status)
    if wanted.call_type is not None:
        statement = statement.where(col(Call.call_type) == wanted.call_type)
    if wanted.business_id is not None:
        statement = statement.where(col(Call.business_id) == wanted.business_id)
    if wanted.since is not None:
        statement = statement.where(col(Call.created_at) >= wanted.since)
    if wanted.before is not None:
        statement = statement.where(col(Call.created_at) < wanted.before)
    return await _page(session, statement, first, after)


async def attempts_of(session: TenantSession, call_ids: list[UUID]) -> dict[UUID, list[CallAttempt]]:
    """Each call's attempts, first to last."""
    statement = select(CallAttempt).join(Call, col(Call.id) == col(CallAttempt.call_id))
    statement = statement.where(col(CallAttempt.call_id).in_(call_ids)).order_by(col(CallAttempt.number))
    return _grouped((row.call_id, row) for row in await _all(session, statement))


async def events_of(session: TenantSession, call_ids: list[UUID]) -> dict[UUID, list[CallEvent]]:
    """Each call's timeline, oldest first."""
    statement = select(CallEvent).join(Call, col(Call.id) == col(CallEvent.call_id))
    statement = statement.where(col(CallEvent.call_id).in_(call_ids)).order_by(col(CallEvent.id))
    return _grouped((row.call_id, row) for row in await _all(session, statement))


async def transcripts_of(session: TenantSession, call_ids: list[UUID]) -> dict[UUID, list[TranscriptTurn]]:
    """What was said in each call: by attempt, then in the order in which the turns began."""
    statement = (
        select(TranscriptTurn)
        .join(Call, col(Call.id) == col(TranscriptTurn.call_id))
        .join(CallAttempt, col(CallAttempt.id) == col(TranscriptTurn.attempt_id))
        .where(col(TranscriptTurn.call_id).in_(call_ids))
        .order_by(col(CallAttempt.number), col(TranscriptTurn.index))
    )
    return _grouped((row.call_id, row) for row in await _all(session, statement))


async def summaries_of(session: TenantSession, call_ids: list[UUID]) -> dict[UUID, CallSummary]:
    """The summaries of those of the calls that have one."""
    statement = select(CallSummary).join(Call, col(Call.id) == col(CallSummary.call_id))
    statement = statement.where(col(CallSummary.call_id).in_(call_ids))
    return {row.call_id: row for row in await _all(session, statement)}


async def recordings_of(session: TenantSession, call_ids: list[UUID]) -> dict[UUID, Recording]:
    """The latest recording of each call that has one which was not deleted."""
    statement = select(Recording).join(Call, col(Call.id) == col(Recording.call_id))
    statement = statement.where(col(Recording.call_id).in_(call_ids), col(Recording.deleted_at).is_(None))
    rows = await _all(session, statement.order_by(col(Recording.created_at), col(Recording.id)))
    return {row.call_id: row for row in rows}


async def metered_costs_of(session: TenantSession, call_ids: list[UUID]) -> dict[UUID, dict[Provider, int]]:
    """Micro-dollars per provider of each call that was metered. Postgres shows a consumer none."""
    statement = (
        select(col(CostItem.call_id), col(CostItem.provider), func.sum(col(CostItem.amount_micros)))
        .join(Call, col(Call.id) == col(CostItem.call_id))
        .where(col(CostItem.call_id).in_(call_ids), owned_by_actor(session, Call.business_id, Call.consumer_id))
        .group_by(col(CostItem.call_id), col(CostItem.provider))
    )
    costs: dict[UUID, dict[Provider, int]] = {}
    for call_id, provider, micros in (await session.execute(statement)).all():
        costs.setdefault(call_id, {})[provider] = int(micros)
    return costs


def _mine(session: TenantSession, statement: Select[Row]) -> Select[Row]:
    return statement.where(owned_by_actor(session, Call.business_id, Call.consumer_id))


async def _all(session: TenantSession, statement: Select[Row]) -> list[Row]:
    return list((await session.scalars(_mine(session, statement))).all())


async def _page(session: TenantSession, statement: Select[Call], first: int, after: str | None) -> Page[Call]:
    return await newest_first(
        session,
        _mine(session, statement),
        lambda call: Cursor(call.created_at, call.id),
        created_at=Call.created_at,
        row_id=Call.id,
        first=first,
        after=after,
    )


def _grouped(pairs: Iterable[tuple[UUID, Row]]) -> dict[UUID, list[Row]]:
    groups: dict[UUID, list[Row]] = defaultdict(list)
    for key, row in pairs:
        groups[key].append(row)
    return groups
