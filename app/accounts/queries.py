"""What a signed-in person may read about the own account."""

from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import ApiToken, Business, Membership, MembershipRole, Role, User
from callwright.app.database.sessions import TenantSession
from callwright.app.database.tenancy import owned_by_actor
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.leads.models import Lead


def require_admin(actor: Actor) -> None:
    """Raises `CallwrightError` (FORBIDDEN) unless the actor is an administrator."""
    if actor.role is not Role.ADMIN:
        raise CallwrightError(
            ErrorCode.FORBIDDEN,
            "Only administrators may see this.",
            rule="admin_only",
            remedy="Sign in as an administrator.",
        )


async def current_user(session: TenantSession) -> User:
    """The actor's own row. Raises `CallwrightError` (UNAUTHENTICATED) when the account is gone or disabled."""
    user = await session.scalar(
        select(User).where(col(User.id) == session.actor.user_id, col(User.disabled_at).is_(None))
    )
    if user is None:
        raise CallwrightError(ErrorCode.UNAUTHENTICATED, "This account is closed.", remedy="Sign in with another one.")
    return user


async def memberships(session: TenantSession) -> list[tuple[Business, MembershipRole]]:
    """The businesses the actor works for, by name."""
    rows = await session.execute(
        select(Business, col(Membership.role))
        .join(Membership, col(Membership.business_id) == col(Business.id))
        .where(col(Membership.user_id) == session.actor.user_id)
        .order_by(col(Business.name), col(Business.id))
    )
    return [(business, role) for business, role in rows.all()]


async def api_tokens(session: TenantSession) -> list[ApiToken]:
    """The actor's own tokens, newest first, ended ones included."""
    rows = await session.scalars(
        select(ApiToken)
        .where(col(ApiToken.user_id) == session.actor.user_id)
        .order_by(col(ApiToken.created_at).desc(), col(ApiToken.id).desc())
    )
    return list(rows.all())


async def businesses_by_id(session: TenantSession, ids: list[UUID]) -> dict[UUID, Business]:
    """Those of the businesses that share a lead with the actor."""
    related = select(col(Lead.business_id)).where(owned_by_actor(session, Lead.business_id, Lead.consumer_id))
    rows = await session.scalars(select(Business).where(col(Business.id).in_(ids), col(Business.id).in_(related)))
    return {row.id: row for row in rows.all()}
