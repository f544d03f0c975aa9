"""What the calls of a period cost, who charged it, and what each plan leaves. Money is integer micro-dollars."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.accounts.models import Business, Plan
from callwright.app.accounts.queries import require_admin
from callwright.app.calls.models import Call
from callwright.app.calls.stats import checked_days
from callwright.app.costs.models import CostItem, Provider
from callwright.app.database.sessions import TenantSession
from callwright.app.database.tenancy import owned_by_actor

# A month of a plan's price, by which a period's revenue is prorated.
MONTH_DAYS = 30


@dataclass(frozen=True, slots=True)
class PlanMargin:
    """`revenue_micros` is the monthly price x days / 30 of every business on the plan; margin is what costs leave."""

    plan: Plan
    businesses: int
    calls: int
    revenue_micros: int
    metered_micros: int

    @property
    def margin_micros(self) -> int:
        return self.revenue_micros - self.metered_micros


@dataclass(frozen=True, slots=True)
class CostReport:
    """The calls that ended in the last `days` times 24 hours. `metered_by_provider` names every provider."""

    days: int
    total_calls: int
    total_seconds: int
    estimated_micros: int
    metered_micros: int
    metered_by_provider: dict[Provider, int]
    plans: list[PlanMargin]


async def cost_report(session: TenantSession, days: int, now: datetime) -> CostReport:
    """Raises `CallwrightError`: FORBIDDEN to anyone but an administrator, INVALID_INPUT if not 1 to 365 days."""
    require_admin(session.actor)
    checked_days(days)
    since = now - timedelta(days=days)
    by_plan = await _calls_by_plan(session, since)
    metered = await _metered(session, since)
    plans = await _plans(session)
    spent = {
        plan.id: sum(micros for (plan_id, _), micros in metered.items() if plan_id == plan.id) for plan, _ in plans
    }
    return CostReport(
        days=days,
        total_calls=sum(calls for calls, _, _ in by_plan.values()),
        total_seconds=sum(seconds for _, seconds, _ in by_plan.values()),
        estimated_micros=sum(estimated for _, _, estimated in by_plan.values()),
        metered_micros=sum(metered.values()),
        metered_by_provider={
            provider: sum(micros for (_, charged), micros in metered.items() if charged is provider)
            for provider in Provider
        },
        plans=[
            PlanMargin(
                plan=plan,
                businesses=businesses,
                calls=by_plan.get(plan.id, (0, 0, 0))[0],
                revenue_micros=prorated(plan.monthly_price_micros * businesses, days),
                metered_micros=spent[plan.id],
            )
            for plan, businesses in plans
        ],
    )


def prorated(monthly_micros: int, days: int) -> int:
    """A month's micro-dollars for `days` days, rounded half up."""
    return int((Decimal(monthly_micros) * days / MONTH_DAYS).quantize(Decimal(1), ROUND_HALF_UP))


async def _plans(session: TenantSession) -> list[tuple[Plan, int]]:
    rows = await session.execute(
        select(Plan, func.count(col(Business.id)))
        .outerjoin(Business, col(Business.plan_id) == col(Plan.id))
        .group_by(col(Plan.id))
        .order_by(col(Plan.name), col(Plan.id))
    )
    return [(plan, businesses) for plan, businesses in rows.all()]


async def _calls_by_plan(session: TenantSession, since: datetime) -> dict[UUID, tuple[int, int, int]]:
    """Per plan: calls, seconds, estimated micro-dollars."""
    rows = await session.execute(
        select(
            col(Business.plan_id),
            func.count(),
            func.sum(col(Call.duration_seconds)),
            func.sum(col(Call.estimated_cost_micros)),
        )
        .join(Business, col(Business.id) == col(Call.business_id))
        .where(col(Call.ended_at) >= since, owned_by_actor(session, Call.business_id, Call.consumer_id))
        .group_by(col(Business.plan_id))
    )
    return {plan: (calls, int(seconds or 0), int(micros or 0)) for plan, calls, seconds, micros in rows.all()}


async def _metered(session: TenantSession, since: datetime) -> dict[tuple[UUID, Provider], int]:
    """Metered micro-dollars per plan and provider."""
    rows = await session.execute(
        select(col(Business.plan_id), col(CostItem.provider), func.sum(col(CostItem.amount_micros)))
        .select_from(CostItem)
        .join(Call, col(Call.id) == col(CostItem.call_id))
        .join(Business, col(Business.id) == col(Call.business_id))
        .where(col(Call.ended_at) >= since, owned_by_actor(session, Call.business_id, Call.consumer_id))
        .group_by(col(Business.plan_id), col(CostItem.provider))
    )
    return {(plan_id, provider): int(micros or 0) for plan_id, provider, micros in rows.all()}
