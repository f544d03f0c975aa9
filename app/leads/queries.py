"""Reads of service requests and the people who made them."""

from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from callwright.app.database.sessions import TenantSession
from callwright.app.database.tenancy import owned_by_actor
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.leads.models import Consumer, Lead, LeadStatus
from callwright.app.pagination import Cursor, Page, newest_first


async def get_lead(session: TenantSession, lead_id: UUID, *, field: str = "id") -> Lead:
    """One lead. Raises `CallwrightError` (LEAD_NOT_FOUND on `field`), also for one the actor may not see."""
    lead = await session.scalar(
        select(Lead).where(col(Lead.id) == lead_id, owned_by_actor(session, Lead.business_id, Lead.consumer_id))
    )
    if lead is None:
        raise CallwrightError(
            ErrorCode.LEAD_NOT_FOUND,
            "There is no such lead.",
            field=field,
            remedy="Choose one of your own leads.",
            ids={"lead": str(lead_id)},
        )
    return lead


async def list_leads(session: TenantSession, *, status: LeadStatus | None, first: int, after: str | None) -> Page[Lead]:
    """A page of the actor's service requests."""
    statement = select(Lead).where(owned_by_actor(session, Lead.business_id, Lead.consumer_id))
    if status is not None:
        statement = statement.where(col(Lead.status) == status)
    return await newest_first(
        session,
        statement,
        lambda lead: Cursor(lead.created_at, lead.id),
        created_at=Lead.created_at,
        row_id=Lead.id,
        first=first,
        after=after,
    )


async def leads_by_id(session: TenantSession, ids: list[UUID]) -> dict[UUID, Lead]:
    """Those of the leads that the actor may see."""
    rows = await session.scalars(
        select(Lead).where(col(Lead.id).in_(ids), owned_by_actor(session, Lead.business_id, Lead.consumer_id))
    )
    return {row.id: row for row in rows.all()}


async def consumers_by_id(session: TenantSession, ids: list[UUID]) -> dict[UUID, Consumer]:
    """Those of the people who share a lead with the actor."""
    related = select(col(Lead.consumer_id)).where(owned_by_actor(session, Lead.business_id, Lead.consumer_id))
    rows = await session.scalars(select(Consumer).where(col(Consumer.id).in_(ids), col(Consumer.id).in_(related)))
    return {row.id: row for row in rows.all()}
