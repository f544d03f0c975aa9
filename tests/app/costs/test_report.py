"""The cost report: which calls are in the period, who charged what, and what a plan leaves."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.app.accounts.models import Business, Role
from callwright.app.calls.lifecycle import CallStatus
from callwright.app.calls.models import Call
from callwright.app.costs.models import CostItem, Provider
from callwright.app.costs.report import CostReport, cost_report, prorated
from callwright.app.errors import CallwrightError, ErrorCode
from tests.world import World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def _ended(world: World, business: Business, ended_at: datetime, *micros: int) -> None:
    call = await world.call(await world.lead(business), status=CallStatus.COMPLETED)
    async with world.database.system() as session:
        stored = await session.get_one(Call, call.id)
        stored.ended_at = ended_at
        stored.duration_seconds = 90
        stored.estimated_cost_micros = 500_000
        session.add_all(
            CostItem(call_id=call.id, provider=provider, unit="x", reference="x", quantity=1, amount_micros=amount)
            for provider, amount in zip(Provider, micros, strict=False)
        )


async def _report(world: World, days: int, role: Role = Role.ADMIN) -> CostReport:
    async with world.database.tenant(await world.actor(role)) as session:
        return await cost_report(session, days, NOW)


async def test_a_period_and_its_plans(world: World) -> None:
    busy, idle = await world.business(), await world.business()
    await _ended(world, busy, NOW - timedelta(days=1), 100, 2_000, 30_000)
    await _ended(world, busy, NOW - timedelta(days=29), 1)
    await _ended(world, busy, NOW - timedelta(days=31), 7_000_000)
    await world.call(await world.lead(idle))
    report = await _report(world, 30)
    assert (report.total_calls, report.total_seconds) == (2, 180)
    assert (report.estimated_micros, report.metered_micros) == (1_000_000, 32_101)
    assert list(report.metered_by_provider.items()) == [
        (Provider.TELEPHONY, 101),
        (Provider.VOICE_MODEL, 2_000),
        (Provider.REASONING, 30_000),
    ]
    plans = {plan.plan.id: plan for plan in report.plans}
    assert plans[busy.plan_id].margin_micros == 149_000_000 - 32_101
    assert (plans[idle.plan_id].calls, plans[idle.plan_id].margin_micros) == (0, 149_000_000)
    assert (await _report(world, 1)).total_calls == 1


async def test_a_plan_earns_by_every_business_on_it(world: World) -> None:
    first, second = await world.business(), await world.business()
    async with world.database.system() as session:
        (await session.get_one(Business, second.id)).plan_id = first.plan_id
    plans = {plan.plan.id: plan for plan in (await _report(world, 15)).plans}
    assert (plans[first.plan_id].businesses, plans[first.plan_id].revenue_micros) == (2, 149_000_000)
    assert (plans[second.plan_id].businesses, plans[second.plan_id].revenue_micros) == (0, 0)


@pytest.mark.parametrize("role", [Role.BUSINESS, Role.CONSUMER])
async def test_only_for_administrators(world: World, role: Role) -> None:
    with pytest.raises(CallwrightError) as refused:
        await _report(world, 30, role)
    assert refused.value.code is ErrorCode.FORBIDDEN


@given(st.integers(0, 10**12), st.integers(1, 365))
def test_a_prorated_price_is_the_nearest_micro_dollar(monthly: int, days: int) -> None:
    assert abs(prorated(monthly, days) * 30 - monthly * days) <= 15
    assert prorated(monthly, 30) == monthly
