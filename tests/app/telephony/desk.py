"""One process's part of the queue, run by hand: due jobs are done here and now, by the test's clock."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from callwright.app.calls.admission import admit_due
from callwright.app.calls.dial import dial
from callwright.app.calls.lifecycle import CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.events.outbox import Job, lock_due
from callwright.app.state import AppState
from tests.app.telephony.line import Line, until
from tests.conftest import SettableClock
from tests.world import World


class Desk:
    """Places calls through the real queue tables, the real carrier client and the sandbox."""

    def __init__(self, line: Line, state: AppState, world: World, clock: SettableClock) -> None:
        self.line, self.state, self.world, self.clock = line, state, world, clock
        self.sandbox = line.sandbox

    async def request(self, phone_number: str, *, max_attempts: int = 3) -> Call:
        """A due call to the number."""
        call = await self.world.call(await self.world.lead(phone_number=phone_number), max_attempts=max_attempts)
        # The carrier dates its calls by the machine's clock, and lost answers are found by that date.
        self.clock.time = max(self.clock.time, datetime.now(UTC))
        return call

    async def admit(self) -> list[UUID]:
        """Admits what is due."""
        state = self.state
        return await admit_due(state.database, state.settings, state.clock, state.calling_clock, 50)

    async def run_due(self) -> int:
        """Dials every due attempt; other jobs stay. Returns how many it dialled."""
        async with self.state.database.system() as session:
            rows = [row for row in await lock_due(session, self.clock.now(), 100) if row.job == Job.DIAL]
            for row in rows:
                row.sent_at = self.clock.now()
        for row in rows:
            await dial(self.state, row.subject_id)
        return len(rows)

    async def place(self, phone_number: str) -> Call:
        """Requests, admits and dials."""
        call = await self.request(phone_number)
        assert len(await self.admit()) == 1
        assert await self.run_due() == 1
        return call

    async def call(self, call: Call) -> Call:
        """The call as it is now."""
        async with self.state.database.system() as session:
            return await session.get_one(Call, call.id)

    async def attempts(self, call: Call) -> list[CallAttempt]:
        """Its attempts as they are now."""
        query = select(CallAttempt).where(col(CallAttempt.call_id) == call.id).order_by(col(CallAttempt.number))
        async with self.state.database.system() as session:
            return list(await session.scalars(query))

    async def until(self, call: Call, *statuses: CallStatus) -> Call:
        """Waits for one of the statuses."""

        async def reached() -> bool:
            return (await self.call(call)).status in statuses

        await until(reached)
        return await self.call(call)
