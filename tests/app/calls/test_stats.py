"""Figures: which calls count, in whose calendar, and what a share is a share of."""

from datetime import UTC, date, datetime

import pytest

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import Role, User
from callwright.app.calls.lifecycle import CallOutcome, CallStatus, CallType
from callwright.app.calls.models import Call
from callwright.app.calls.stats import CallStats, call_stats
from callwright.app.leads.models import Lead
from tests.world import World

# Midnight in New York on the day summer time ends is 04:00 UTC; the day has 25 hours.
NOW = datetime(2026, 11, 1, 20, 0, tzinfo=UTC)


@pytest.fixture
async def user(world: World) -> User:
    return await world.user(Role.ADMIN)


@pytest.fixture
async def lead(world: World) -> Lead:
    return await world.lead()


async def _call(
    world: World,
    lead: Lead,
    asked_at: datetime,
    *,
    status: CallStatus = CallStatus.COMPLETED,
    outcome: CallOutcome | None = None,
    seconds: int | None = None,
    call_type: CallType = CallType.QUALIFY_LEAD,
) -> None:
    call = await world.call(lead, status=status, call_type=call_type)
    async with world.database.system() as session:
        stored = await session.get_one(Call, call.id)
        stored.created_at = asked_at
        stored.outcome = outcome
        stored.goal_achieved = outcome is CallOutcome.GOAL_ACHIEVED if outcome else None
        if seconds is not None:
            stored.answered_at = asked_at
            stored.duration_seconds = seconds


async def _stats(world: World, user: User, days: int) -> CallStats:
    async with world.database.tenant(Actor(user.id, user.role)) as session:
        return await call_stats(session, days, NOW)


async def test_nothing_to_divide_by(world: World, user: User) -> None:
    stats = await _stats(world, user, 3)
    assert stats.total.total_calls == 0
    assert stats.total.success_rate is None
    assert stats.total.voicemail_rate is None
    assert stats.total.average_seconds is None
    assert list(stats.by_day) == [date(2026, 10, 30), date(2026, 10, 31), date(2026, 11, 1)]
    assert set(stats.by_type) == set(CallType)


async def test_shares_are_of_the_calls_that_ended_and_were_not_cancelled(world: World, user: User, lead: Lead) -> None:
    await _call(world, lead, NOW, outcome=CallOutcome.GOAL_ACHIEVED, seconds=100)
    await _call(world, lead, NOW, outcome=CallOutcome.VOICEMAIL_LEFT, seconds=20)
    await _call(world, lead, NOW, status=CallStatus.NO_ANSWER, outcome=CallOutcome.NOT_REACHED)
    await _call(world, lead, NOW, status=CallStatus.FAILED, call_type=CallType.FOLLOW_UP)
    await _call(world, lead, NOW, status=CallStatus.CANCELED)
    await _call(world, lead, NOW, status=CallStatus.QUEUED)
    total = (await _stats(world, user, 1)).total
    assert (total.total_calls, total.goal_achieved) == (6, 1)
    assert total.success_rate == 1 / 4
    assert total.voicemail_rate == 1 / 4
    assert total.average_seconds == 60
    by_type = (await _stats(world, user, 1)).by_type
    assert (by_type[CallType.QUALIFY_LEAD].total_calls, by_type[CallType.FOLLOW_UP].success_rate) == (5, 0)


async def test_days_are_those_of_the_persons_calendar(world: World, user: User, lead: Lead) -> None:
    for hour, minute in ((3, 59), (4, 0), (19, 0)):
        await _call(world, lead, datetime(2026, 11, 1, hour, minute, tzinfo=UTC))
    today = (await _stats(world, user, 1)).by_day
    assert {day: figures.total_calls for day, figures in today.items()} == {date(2026, 11, 1): 2}
    two_days = (await _stats(world, user, 2)).by_day
    assert [figures.total_calls for figures in two_days.values()] == [1, 2]
    async with world.database.system() as session:
        (await session.get_one(User, user.id)).time_zone = "UTC"
    assert [figures.total_calls for figures in (await _stats(world, user, 2)).by_day.values()] == [0, 3]
