"""One operation's reads: a single tenant session, used by one statement at a time, and a loader for each relation.

A list of fifty calls with their leads costs one statement for the calls and one for the leads.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import Business
from callwright.app.accounts.queries import businesses_by_id
from callwright.app.calls import queries as calls
from callwright.app.calls.models import CallAttempt, CallEvent, CallSummary, TranscriptTurn
from callwright.app.costs.models import Provider
from callwright.app.database.sessions import Database, TenantSession
from callwright.app.leads.models import Consumer, Lead
from callwright.app.leads.queries import consumers_by_id, leads_by_id
from callwright.app.recordings.models import Recording

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Reads:
    """What one operation (or one event of a subscription) reads, all in one transaction. Close it afterwards."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self.actor = actor
        self._database = database
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._session: TenantSession | None = None
        self.leads: DataLoader[UUID, Lead | None] = self._loader(leads_by_id)
        self.consumers: DataLoader[UUID, Consumer | None] = self._loader(consumers_by_id)
        self.businesses: DataLoader[UUID, Business | None] = self._loader(businesses_by_id)
        self.attempts: DataLoader[UUID, list[CallAttempt] | None] = self._loader(calls.attempts_of)
        self.events: DataLoader[UUID, list[CallEvent] | None] = self._loader(calls.events_of)
        self.transcripts: DataLoader[UUID, list[TranscriptTurn] | None] = self._loader(calls.transcripts_of)
        self.summaries: DataLoader[UUID, CallSummary | None] = self._loader(calls.summaries_of)
        self.recordings: DataLoader[UUID, Recording | None] = self._loader(calls.recordings_of)
        self.metered_costs: DataLoader[UUID, dict[Provider, int] | None] = self._loader(calls.metered_costs_of)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[TenantSession]:
        """The operation's session, opened at its first use. A session runs one statement at a time, so users queue."""
        async with self._lock:
            if self._session is None:
                self._session = await self._stack.enter_async_context(self._database.tenant(self.actor))
            yield self._session

    async def close(self) -> None:
        """Ends the transaction. The loaders must not be used any more."""
        # A loader that was cancelled may still be giving its statement up.
        async with self._lock:
            await self._stack.aclose()

    def _loader(
        self, read: Callable[[TenantSession, list[Key]], Awaitable[Mapping[Key, Value]]]
    ) -> DataLoader[Key, Value | None]:
        async def load(keys: list[Key]) -> list[Value | None]:
            async with self.session() as session:
                found = await read(session, keys)
            return [found.get(key) for key in keys]

        return DataLoader(load_fn=load)
