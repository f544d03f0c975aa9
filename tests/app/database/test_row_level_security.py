"""Postgres alone keeps tenants apart: every table is read without any filter by everyone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import ApiToken, Role, Usage
from callwright.app.audit.record import record
from callwright.app.calls.lifecycle import CallOutcome, InterestLevel
from callwright.app.calls.models import CallSummary, Sentiment, Speaker, SummarySource, TranscriptTurn
from callwright.app.calls.progress import append_event
from callwright.app.compliance.models import Suppression, SuppressionSource
from callwright.app.costs.models import CostItem, Provider
from callwright.app.database.metadata import metadata
from callwright.app.database.sessions import Database
from callwright.app.recordings.models import Recording
from tests.world import World

NOBODYS = {"outbox", "webhook_inbox"}
EVERYBODYS = {"plans"}


@dataclass(frozen=True)
class Tenant:
    business: Actor
    consumer: Actor
    business_id: UUID
    consumer_id: UUID
    call_id: UUID


async def make_tenant(world: World, database: Database) -> Tenant:
    business = await world.business()
    boss = await world.user(Role.BUSINESS, business)
    person = await world.user(Role.CONSUMER)
    consumer = await world.consumer(user=person)
    call = await world.call(await world.lead(business, consumer))
    attempt = await world.attempt(call)
    async with database.system() as session:
        append_event(session, call.id, "test.event", attempt_id=attempt.id)
        record(session, "test.act", "call", call.id, business_id=business.id)
        session.add_all(
            [
                TranscriptTurn(
                    call_id=call.id,
                    attempt_id=attempt.id,
                    index=0,
                    speaker=Speaker.AGENT,
                    text="Hi",
                    start_ms=0,
                    end_ms=9,
                ),
                CallSummary(
                    call_id=call.id,
                    source=SummarySource.RULES,
                    outcome=CallOutcome.GOAL_ACHIEVED,
                    goal_achieved=True,
                    interest_level=InterestLevel.HIGH,
                    summary="s",
                    next_action="n",
                    sentiment=Sentiment.NEUTRAL,
                    do_not_call=False,
                ),
                Recording(call_id=call.id, attempt_id=attempt.id, object_key="k", duration_ms=1, size_bytes=1),
                CostItem(
                    call_id=call.id,
                    provider=Provider.TELEPHONY,
                    unit="seconds",
                    reference="r",
                    quantity=1,
                    amount_micros=1,
                ),
                Suppression(
                    phone_number=consumer.phone_number,
                    business_id=business.id,
                    source=SuppressionSource.ADMIN,
                    reason="test",
                    call_id=call.id,
                ),
                Usage(business_id=business.id, month="2026-11", calls=1),
                ApiToken(user_id=boss.id, name="t", token_hash=uuid4().hex),
                ApiToken(user_id=person.id, name="t", token_hash=uuid4().hex),
            ]
        )
    return Tenant(Actor(boss.id, Role.BUSINESS), Actor(person.id, Role.CONSUMER), business.id, consumer.id, call.id)


# How a row says whose it is, by table, for the two kinds of tenants; a missing table must show no row at all.
OF_BUSINESS: dict[str, Callable[[Tenant], tuple[str, UUID]]] = {
    "users": lambda t: ("id", t.business.user_id),
    "businesses": lambda t: ("id", t.business_id),
    "api_tokens": lambda t: ("user_id", t.business.user_id),
    "consumers": lambda t: ("id", t.consumer_id),
    **{
        table: lambda t: ("business_id", t.business_id)
        for table in ("memberships", "usage", "leads", "consents", "suppressions", "calls", "audit_entries")
    },
    "call_attempts": lambda t: ("call_id", t.call_id),
    "call_events": lambda t: ("call_id", t.call_id),
    "transcript_turns": lambda t: ("call_id", t.call_id),
    "call_summaries": lambda t: ("call_id", t.call_id),
    "recordings": lambda t: ("call_id", t.call_id),
    "cost_items": lambda t: ("call_id", t.call_id),
}
OF_CONSUMER: dict[str, Callable[[Tenant], tuple[str, UUID]]] = {
    "users": lambda t: ("id", t.consumer.user_id),
    "businesses": lambda t: ("id", t.business_id),
    "api_tokens": lambda t: ("user_id", t.consumer.user_id),
    "consumers": lambda t: ("id", t.consumer_id),
    **{table: lambda t: ("consumer_id", t.consumer_id) for table in ("leads", "consents", "calls")},
    "suppressions": lambda t: ("business_id", t.business_id),
    **{
        table: lambda t: ("call_id", t.call_id)
        for table in ("call_attempts", "call_events", "transcript_turns", "call_summaries", "recordings")
    },
}


@pytest.mark.parametrize("kind", ["business", "consumer"])
async def test_each_tenant_sees_own_rows_only(database: Database, world: World, kind: str) -> None:
    tenants = [await make_tenant(world, database) for _ in range(2)]
    owners = OF_BUSINESS if kind == "business" else OF_CONSUMER
    for tenant in tenants:
        actor = tenant.business if kind == "business" else tenant.consumer
        async with database.tenant(actor) as session:
            for table in metadata.tables.keys() - NOBODYS - EVERYBODYS:
                rows = (await session.execute(text(f"SELECT * FROM {table}"))).mappings().all()
                if table not in owners:
                    assert rows == [], f"{kind} sees {table}"
                    continue
                column, owner = owners[table](tenant)
                assert {row[column] for row in rows} == {owner}, f"{kind} in {table}"


async def test_an_admin_sees_all_calls_and_a_forged_role_nothing(database: Database, world: World) -> None:
    tenants = [await make_tenant(world, database) for _ in range(2)]
    admin = await world.actor(Role.ADMIN)
    async with database.tenant(admin) as session:
        seen = set((await session.execute(text("SELECT id FROM calls"))).scalars())
    assert seen == {tenant.call_id for tenant in tenants}
    pretender = Actor(tenants[0].consumer.user_id, Role.ADMIN)
    async with database.tenant(pretender) as session:
        assert (await session.execute(text("SELECT id FROM calls"))).scalars().all() == []


async def test_a_disabled_user_sees_nothing(database: Database, world: World) -> None:
    tenant = await make_tenant(world, database)
    async with database.system() as session:
        await session.execute(
            text("UPDATE users SET disabled_at = :now WHERE id = :id"),
            {"now": datetime.now(UTC), "id": tenant.business.user_id},
        )
    async with database.tenant(tenant.business) as session:
        assert (await session.execute(text("SELECT id FROM calls"))).scalars().all() == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE calls SET objective = 'x'",
        "DELETE FROM calls",
        "INSERT INTO plans (id, code, name, monthly_price_micros, included_calls) "
        "VALUES (gen_random_uuid(), 'x', 'x', 0, 9)",
        "SELECT * FROM outbox",
        "SELECT * FROM webhook_inbox",
    ],
)
async def test_a_tenant_session_cannot_write_nor_read_the_machinery(
    database: Database, world: World, statement: str
) -> None:
    tenant = await make_tenant(world, database)
    with pytest.raises(DBAPIError):
        async with database.tenant(tenant.business) as session:
            await session.execute(text(statement))


@pytest.mark.parametrize("table", ["audit_entries", "call_events"])
@pytest.mark.parametrize("act", ["DELETE FROM {}", "UPDATE {} SET data = '{{}}'"])
async def test_append_only_tables_cannot_be_changed(database: Database, world: World, table: str, act: str) -> None:
    await make_tenant(world, database)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.system() as session:
            await session.execute(text(act.format(table)))
