"""Types of the figures: statistics for everybody, costs for administrators."""

from datetime import date
from decimal import Decimal
from typing import Self

import strawberry

from callwright.app.calls.lifecycle import CallType
from callwright.app.calls.stats import CallStats as StoredStats
from callwright.app.calls.stats import Figures
from callwright.app.costs.report import CostReport, PlanMargin
from callwright.graphql.calls import ProviderCost
from callwright.graphql.scalars import usd

_RATES = (
    "`successRate` and `voicemailRate` are shares (0 to 1) of the calls that ended and were not cancelled, "
    "`avgDuration` is in seconds over answered calls; each is null when there is nothing to divide by."
)


@strawberry.type(description=f"One call type's figures. {_RATES}")
class CallTypeStats:
    call_type: CallType
    total_calls: int
    goal_achieved: int
    success_rate: float | None
    avg_duration: float | None
    voicemail_rate: float | None

    @classmethod
    def of(cls, call_type: CallType, figures: Figures) -> Self:
        return cls(
            call_type=call_type,
            total_calls=figures.total_calls,
            goal_achieved=figures.goal_achieved,
            success_rate=figures.success_rate,
            avg_duration=figures.average_seconds,
            voicemail_rate=figures.voicemail_rate,
        )


@strawberry.type(description=f"One day's figures, in the time zone of the person who asks. {_RATES}")
class DayStats:
    day: date
    total_calls: int
    goal_achieved: int
    success_rate: float | None
    avg_duration: float | None
    voicemail_rate: float | None

    @classmethod
    def of(cls, day: date, figures: Figures) -> Self:
        return cls(
            day=day,
            total_calls=figures.total_calls,
            goal_achieved=figures.goal_achieved,
            success_rate=figures.success_rate,
            avg_duration=figures.average_seconds,
            voicemail_rate=figures.voicemail_rate,
        )


@strawberry.type(
    description="The calls asked for in the last days, today included, by the calendar of the person who asks. "
    + _RATES
)
class CallStats:
    days: int
    time_zone: str
    total_calls: int
    goal_achieved: int
    success_rate: float | None
    avg_duration: float | None
    voicemail_rate: float | None
    by_type: list[CallTypeStats]
    by_day: list[DayStats]

    @classmethod
    def of(cls, stats: StoredStats) -> Self:
        return cls(
            days=stats.days,
            time_zone=stats.time_zone,
            total_calls=stats.total.total_calls,
            goal_achieved=stats.total.goal_achieved,
            success_rate=stats.total.success_rate,
            avg_duration=stats.total.average_seconds,
            voicemail_rate=stats.total.voicemail_rate,
            by_type=[CallTypeStats.of(kind, figures) for kind, figures in stats.by_type.items()],
            by_day=[DayStats.of(day, figures) for day, figures in stats.by_day.items()],
        )


@strawberry.type(
    description="What a plan brings and costs in the period, in exact US dollars: `revenue` is the monthly price "
    "x days / 30 for every business on the plan, `margin` is revenue less metered cost."
)
class PlanCosts:
    plan: str
    businesses: int
    total_calls: int
    revenue: Decimal
    metered_cost: Decimal
    margin: Decimal

    @classmethod
    def of(cls, plan: PlanMargin) -> Self:
        return cls(
            plan=plan.plan.name,
            businesses=plan.businesses,
            total_calls=plan.calls,
            revenue=usd(plan.revenue_micros),
            metered_cost=usd(plan.metered_micros),
            margin=usd(plan.margin_micros),
        )


@strawberry.type(
    description="The calls that ended in the last `days` times 24 hours, and their cost in exact US dollars: estimated "
    "by the published rates, metered from what the providers report."
)
class CallCostReport:
    days: int
    total_calls: int
    total_minutes: float
    estimated_cost: Decimal
    metered_cost: Decimal
    breakdown: list[ProviderCost]
    margin_per_plan: list[PlanCosts]

    @classmethod
    def of(cls, report: CostReport) -> Self:
        return cls(
            days=report.days,
            total_calls=report.total_calls,
            total_minutes=report.total_seconds / 60,
            estimated_cost=usd(report.estimated_micros),
            metered_cost=usd(report.metered_micros),
            breakdown=[
                ProviderCost(provider=provider, cost_usd=usd(micros))
                for provider, micros in report.metered_by_provider.items()
            ],
            margin_per_plan=[PlanCosts.of(plan) for plan in report.plans],
        )
