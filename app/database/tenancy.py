"""The queries' own tenant filter: the second lock beside Postgres' policies, and what lets an index be used."""

from uuid import UUID

from sqlalchemy import ColumnElement, select, true
from sqlmodel import col

from callwright.app.accounts.models import Membership, Role
from callwright.app.database.sessions import TenantSession
from callwright.app.leads.models import Consumer


def owned_by_actor(session: TenantSession, business_id: UUID, consumer_id: UUID) -> ColumnElement[bool]:
    """The rows of the session's actor: `owned_by_actor(session, Call.business_id, Call.consumer_id)`."""
    actor = session.actor
    if not session.scoped or actor.role is Role.ADMIN:
        return true()
    if actor.role is Role.BUSINESS:
        mine = select(col(Membership.business_id)).where(col(Membership.user_id) == actor.user_id)
        return col(business_id).in_(mine)
    return col(consumer_id).in_(select(col(Consumer.id)).where(col(Consumer.user_id) == actor.user_id))
