"""Sign-in and tokens over the wire."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Role, User
from callwright.app.accounts.passwords import hash_password, is_outdated
from callwright.app.accounts.sign_in import TRIES_PER_ADDRESS, TRIES_PER_PERSON
from callwright.app.audit.models import AuditEntry
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.graphql.client import Client
from tests.world import World

SIGN_IN = """mutation($email: String!, $password: String!) { signIn(email: $email, password: $password) {
  token expiresAt user { id email role memberships { role } } } }"""
PASSWORD = "correct horse battery"


@pytest.fixture
async def user(world: World) -> User:
    return await world.user(Role.BUSINESS, await world.business(), password_hash=await hash_password(PASSWORD))


async def test_sign_in_and_out(anyone: Client, user: User, clock: SettableClock, world: World) -> None:
    signed_in = (await anyone.data(SIGN_IN, email=user.email.upper(), password=PASSWORD))["signIn"]
    assert signed_in["user"]["email"] == user.email
    assert signed_in["user"]["memberships"] == [{"role": "MEMBER"}]
    assert signed_in["expiresAt"] == (clock.now() + timedelta(hours=12)).isoformat()
    client = anyone.of(signed_in["token"])
    assert (await client.data("{ me { id } }"))["me"]["id"] == str(user.id)
    async with world.database.system() as session:
        assert (await session.scalars(select(col(AuditEntry.action)))).all() == ["user.signed_in"]

    assert (await client.data("mutation { signOut }"))["signOut"] is True
    assert (await client.error("{ me { id } }"))["code"] == "UNAUTHENTICATED"


async def test_a_session_ends_after_twelve_hours(anyone: Client, user: User, clock: SettableClock) -> None:
    client = anyone.of((await anyone.data(SIGN_IN, email=user.email, password=PASSWORD))["signIn"]["token"])
    clock.advance(12 * 3600 - 1)
    await client.data("{ me { id } }")
    clock.advance(1)
    assert (await client.error("{ me { id } }"))["code"] == "UNAUTHENTICATED"


async def test_every_failure_looks_the_same(anyone: Client, user: User, world: World) -> None:
    closed = await world.user(Role.CONSUMER, password_hash=await hash_password(PASSWORD))
    without = await world.user(Role.CONSUMER)
    async with world.database.system() as session:
        (await session.get_one(User, closed.id)).disabled_at = closed.created_at
    told = [
        await anyone.run(SIGN_IN, email=email, password=password)
        for email, password in (
            (user.email, "wrong"),
            ("nobody@example.com", PASSWORD),
            (closed.email, PASSWORD),
            (without.email, PASSWORD),
            (user.email, "x" * 2000),
        )
    ]
    assert all(answer == told[0] for answer in told)
    assert told[0]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_guesses_are_throttled_by_person(anyone: Client, user: User, world: World, state: AppState) -> None:
    other = await world.user(Role.ADMIN, password_hash=await hash_password(PASSWORD))
    for _ in range(TRIES_PER_PERSON):
        assert (await anyone.error(SIGN_IN, email=user.email, password="guess"))["code"] == "UNAUTHENTICATED"
    limited = await anyone.error(SIGN_IN, email=user.email, password=PASSWORD)
    assert limited["code"] == "RATE_LIMITED"
    assert "15 minutes" in limited["remedy"]
    # Another person at the same address is not kept out; the counters name nobody and run out by themselves.
    await anyone.data(SIGN_IN, email=other.email, password=PASSWORD)
    redis: Redis = state.live.redis
    keys = [key async for key in redis.scan_iter("callwright:sign-in:*")]
    assert not [key for key in keys if user.email.encode() in key or b"127.0.0.1" in key]
    assert all([0 < await redis.ttl(key) <= 900 for key in keys])
    await redis.delete(*keys)
    await anyone.data(SIGN_IN, email=user.email, password=PASSWORD)


async def test_a_success_forgives_earlier_mistakes(anyone: Client, user: User) -> None:
    for _ in range(2):
        for _ in range(TRIES_PER_PERSON - 1):
            await anyone.error(SIGN_IN, email=user.email, password="typo")
        await anyone.data(SIGN_IN, email=user.email, password=PASSWORD)


async def test_guesses_at_many_accounts_are_throttled_by_address(anyone: Client, state: AppState) -> None:
    await anyone.error(SIGN_IN, email="a@example.com", password="guess")
    redis = state.live.redis
    async for key in redis.scan_iter("callwright:sign-in:*"):
        await redis.incrby(key, TRIES_PER_ADDRESS)
    assert (await anyone.error(SIGN_IN, email="b@example.com", password="guess"))["code"] == "RATE_LIMITED"


async def test_an_outdated_hash_is_renewed(anyone: Client, world: World) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
    user = await world.user(Role.ADMIN, password_hash=weak)
    await anyone.data(SIGN_IN, email=user.email, password=PASSWORD)
    async with world.database.system() as session:
        stored = (await session.get_one(User, user.id)).password_hash
    assert stored is not None
    assert not is_outdated(stored)
    await anyone.data(SIGN_IN, email=user.email, password=PASSWORD)


async def test_personal_tokens(anyone: Client, user: User, clock: SettableClock) -> None:
    client = anyone.of((await anyone.data(SIGN_IN, email=user.email, password=PASSWORD))["signIn"]["token"])
    made = (
        await client.data(
            """mutation($name: String!, $expiresAt: DateTime) { createApiToken(name: $name, expiresAt: $expiresAt) {
            token apiToken { id name expiresAt lastUsedAt } } }""",
            name="reports",
            expiresAt=(clock.now() + timedelta(days=30)).isoformat(),
        )
    )["createApiToken"]
    program = anyone.of(made["token"])
    assert (await program.data("{ me { id } }"))["me"]["id"] == str(user.id)
    listed = (await client.data("{ apiTokens { id name revokedAt lastUsedAt } }"))["apiTokens"]
    assert {token["name"] for token in listed} == {"reports", "Sign-in"}
    revoke = "mutation($id: UUID!) { revokeApiToken(id: $id) { revokedAt } }"
    assert (await client.data(revoke, id=made["apiToken"]["id"]))["revokeApiToken"]["revokedAt"]
    assert (await program.error("{ me { id } }"))["code"] == "UNAUTHENTICATED"
    past = await client.error('mutation { createApiToken(name: "x", expiresAt: "2001-01-01T00:00:00Z") { token } }')
    assert (past["code"], past["field"]) == ("INVALID_TIME", "expiresAt")
