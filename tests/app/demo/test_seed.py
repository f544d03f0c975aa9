"""The sandbox's marketplace."""

from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Membership, MembershipRole, User
from callwright.app.database.sessions import Database
from callwright.app.demo.seed import seed_marketplace


async def test_the_owner_owns_the_business_and_is_made_once(database: Database) -> None:
    first, again = await seed_marketplace(database, "demo"), await seed_marketplace(database, "demo")
    assert (first.is_new, again.is_new) == (True, False)
    async with database.system() as session:
        roles = await session.execute(
            select(col(Membership.business_id), col(Membership.role))
            .join(User, col(User.id) == col(Membership.user_id))
            .where(col(User.email) == first.owner_email)
        )
        assert roles.all() == [(first.business_id, MembershipRole.OWNER)]
