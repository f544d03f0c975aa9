"""Bearer tokens: only a digest is stored; expiry, revocation and a closed account end them at once."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import ApiToken, Role, User
from callwright.app.accounts.tokens import (
    MOST_TOKENS,
    authenticate,
    create_api_token,
    digest,
    issue,
    revoke_api_token,
    revoke_secret,
)
from callwright.app.audit.models import AuditEntry
from callwright.app.errors import CallwrightError, ErrorCode
from tests.conftest import SettableClock
from tests.world import World


@pytest.fixture
async def actor(world: World) -> Actor:
    return await world.actor(Role.ADMIN)


async def test_a_token_is_stored_as_a_digest_and_names_its_holder(
    world: World, actor: Actor, clock: SettableClock
) -> None:
    issued = await create_api_token(world.database, actor, "  reports  ", clock.now(), None)
    assert issued.secret.startswith("cw_")
    async with world.database.system() as session:
        row = (await session.scalars(select(ApiToken))).one()
        audit = (await session.scalars(select(AuditEntry))).one()
    assert (row.name, row.token_hash) == ("reports", digest(issued.secret))
    assert issued.secret not in str(row)
    assert (audit.action, audit.subject_id, audit.actor_id) == ("token.created", row.id, actor.user_id)
    assert await authenticate(world.database, issued.secret, clock.now()) == actor
    assert await authenticate(world.database, issued.secret + "x", clock.now()) is None
    assert await authenticate(world.database, digest(issued.secret), clock.now()) is None
    assert await authenticate(world.database, "", clock.now()) is None


async def test_last_use_is_noted_once_a_minute(world: World, actor: Actor, clock: SettableClock) -> None:
    secret = (await create_api_token(world.database, actor, "x", clock.now(), None)).secret
    noted = []
    for _ in range(4):
        await authenticate(world.database, secret, clock.now())
        async with world.database.system() as session:
            noted.append((await session.scalars(select(ApiToken))).one().last_used_at)
        clock.advance(31)
    assert noted[0] is not None
    assert noted[1] == noted[0]
    assert noted[2] is not None
    assert noted[2] > noted[0]


async def test_expiry(world: World, actor: Actor, clock: SettableClock) -> None:
    expires = clock.now() + timedelta(hours=1)
    secret = (await create_api_token(world.database, actor, "x", clock.now(), expires)).secret
    clock.advance(3599)
    assert await authenticate(world.database, secret, clock.now()) == actor
    clock.advance(1)
    assert await authenticate(world.database, secret, clock.now()) is None


async def test_revocation_by_id_and_by_secret(world: World, actor: Actor, clock: SettableClock) -> None:
    issued = await create_api_token(world.database, actor, "x", clock.now(), None)
    for _ in range(2):
        row = await revoke_api_token(world.database, actor, issued.row.id, clock.now())
        assert row.revoked_at == clock.now()
    assert await authenticate(world.database, issued.secret, clock.now()) is None
    assert not await revoke_secret(world.database, issued.secret, clock.now())
    other = await create_api_token(world.database, actor, "y", clock.now(), None)
    assert await revoke_secret(world.database, other.secret, clock.now())
    assert await authenticate(world.database, other.secret, clock.now()) is None


async def test_nobody_revokes_anybody_elses(world: World, actor: Actor, clock: SettableClock) -> None:
    issued = await create_api_token(world.database, actor, "x", clock.now(), None)
    with pytest.raises(CallwrightError) as refused:
        await revoke_api_token(world.database, await world.actor(Role.ADMIN), issued.row.id, clock.now())
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, "id")
    assert await authenticate(world.database, issued.secret, clock.now()) == actor


async def test_a_disabled_account_has_no_tokens(world: World, actor: Actor, clock: SettableClock) -> None:
    secret = (await create_api_token(world.database, actor, "x", clock.now(), None)).secret
    async with world.database.system() as session:
        (await session.get_one(User, actor.user_id)).disabled_at = clock.now()
    assert await authenticate(world.database, secret, clock.now()) is None


@pytest.mark.parametrize(
    ("name", "days", "field"), [("", None, "name"), ("x" * 81, None, "name"), ("x", 0, "expiresAt")]
)
async def test_refused_tokens_leave_no_row(
    world: World, actor: Actor, clock: SettableClock, name: str, days: int | None, field: str
) -> None:
    expires = None if days is None else clock.now() + timedelta(days=days)
    with pytest.raises(CallwrightError) as refused:
        await create_api_token(world.database, actor, name, clock.now(), expires)
    assert refused.value.field == field
    async with world.database.system() as session:
        assert (await session.scalars(select(ApiToken))).all() == []


async def test_the_number_of_tokens_is_limited_and_old_ones_are_cleared_away(
    world: World, actor: Actor, clock: SettableClock
) -> None:
    async with world.database.system() as session:
        for _ in range(MOST_TOKENS):
            await issue(session, actor.user_id, "x", clock.now(), clock.now() + timedelta(days=1))
    with pytest.raises(CallwrightError) as refused:
        await create_api_token(world.database, actor, "one more", clock.now(), None)
    assert refused.value.rule == "token_count"
    clock.advance(timedelta(days=32).total_seconds())
    kept = await create_api_token(world.database, actor, "one more", clock.now(), None)
    async with world.database.system() as session:
        assert (await session.scalars(select(col(ApiToken.id)))).all() == [kept.row.id]
