"""Sixty calls, two dispatchers and two workers with databases of their own, and a clock that the test moves on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.calls.admission import admit_due
from callwright.app.calls.dial import dial
from callwright.app.calls.lifecycle import ATTEMPT_LIVE, ENDED
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.events.models import Outbox
from callwright.app.events.outbox import Job, lock_due
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from tests.app.telephony.line import SandboxCarrier, lay_line, until
from tests.conftest import SettableClock
from tests.tasks.crowd import attempts_of_all, make_crowd, most_at_once, most_in_a_minute
from tests.world import World


class Team:
    """Dispatchers and workers as tasks; each has a state, and so a connection pool, of its own."""

    def __init__(self, states: list[AppState], clock: SettableClock) -> None:
        self.states, self.clock = states, clock
        self.queue: asyncio.Queue[UUID] = asyncio.Queue()
        self.busy = 0
        self.beats = [0, 0]  # of each dispatcher, since the clock last moved

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Two dispatchers, and two workers of three threads each."""
        tasks = [asyncio.create_task(self.dispatch(number, state)) for number, state in enumerate(self.states[:2])]
        tasks += [asyncio.create_task(self.work(state)) for state in self.states[2:] for _ in range(3)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def dispatch(self, number: int, state: AppState) -> None:
        while True:
            await admit_due(state.database, state.settings, state.clock, state.calling_clock, 50)
            async with state.database.system() as session:
                for row in await lock_due(session, state.clock.now(), 5):
                    row.sent_at = state.clock.now()
                    if row.job == Job.DIAL:
                        for _ in range(2):  # at least once
                            self.queue.put_nowait(row.subject_id)
            self.beats[number] += 1
            await asyncio.sleep(0.05)  # the beat

    async def work(self, state: AppState) -> None:
        while True:
            attempt_id = await self.queue.get()
            self.busy += 1
            await dial(state, attempt_id)
            self.busy -= 1

    async def idle(self) -> bool:
        """Nothing is under way and nothing can begin before the clock moves."""
        state = self.states[0]
        async with state.database.system() as session:
            live = select(func.count()).where(col(CallAttempt.status).in_(ATTEMPT_LIVE))
            due = select(func.count()).where(col(Outbox.sent_at).is_(None), col(Outbox.due_at) <= self.clock.now())
            counts = await session.scalar(live), await session.scalar(due.where(col(Outbox.job) == Job.DIAL))
        return self.queue.empty() and self.busy == 0 and counts == (0, 0) and min(self.beats) >= 2

    def move_on(self, seconds: float) -> None:
        """Moves the clock; the dispatchers must look again before the team can be idle."""
        self.clock.advance(seconds)
        self.beats = [0, 0]


@pytest.fixture
async def team(sandbox: SandboxCarrier, settings: Settings, clock: SettableClock) -> AsyncIterator[Team]:
    line = lay_line(sandbox, settings)
    async with AsyncExitStack() as stack:
        states = [await stack.enter_async_context(open_state(line.settings, clock=clock)) for _ in range(4)]
        await stack.enter_async_context(line.answer(states[0]))
        yield Team(states, clock)


async def test_the_limits_hold_in_every_minute(
    team: Team, world: World, clock: SettableClock, sandbox: SandboxCarrier
) -> None:
    calls = await make_crowd(world, "0108")
    clock.time = datetime.now(UTC)
    started = clock.now()
    async with team.at_work():

        async def all_over() -> bool:
            if await team.idle():
                team.move_on(5)
            async with world.database.system() as session:
                open_calls = select(func.count()).where(col(Call.status).not_in(ENDED))
                return not await session.scalar(open_calls)

        await until(all_over, within=100)
    rows = await attempts_of_all(world.database)
    attempts = [attempt for attempt, _ in rows]
    assert len(attempts) == len(calls) == 60
    assert most_in_a_minute(attempts) == 10
    assert most_at_once(attempts) <= 5
    assert [call.priority for _, call in rows] == sorted(call.priority for call in calls)
    # Sixty at ten a minute: the last are dialled when five windows have passed, and not much later.
    last = max(attempt.dialed_at for attempt in attempts if attempt.dialed_at is not None)
    assert 300 <= (last - started).total_seconds() <= 360
    for call in calls:
        assert await sandbox.posts_to(call.phone_number) == 1
