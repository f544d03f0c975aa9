"""Two kinds of sessions: a tenant's, read-only and fenced by row-level security, and the system's.

Every write is a use case that first proves with a tenant session that the actor may see the subject, then writes with a
system session; so the tenant role owns no write privilege at all.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from callwright.app.accounts.actor import Actor

log = structlog.get_logger(__name__)

TENANT_ROLE = "callwright_tenant"
SYSTEM_ROLE = "callwright_system"
_SET_ACTOR = text(
    "SELECT set_config('callwright.actor_id', :id, true), set_config('callwright.actor_role', :role, true)"
)


class TenantSession(AsyncSession):
    """Reads what `actor` may see; Postgres policies decide. Cannot write."""

    def __init__(self, engine: AsyncEngine, actor: Actor, *, scoped: bool) -> None:
        super().__init__(engine, expire_on_commit=False)
        self.actor = actor
        self.scoped = scoped


class SystemSession(AsyncSession):
    """Reads and writes every tenant's rows. `touched`: the calls whose subscribers are told after the commit."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self.touched: set[UUID] = set()


class Database:
    """One process's way to Postgres. Build it in the process's lifespan and `close` it there.

    `on_change` is told the ids of the calls that a committed system transaction touched; it must not raise.
    `scoped=False` removes the queries' own tenant filters, so that a test can show that Postgres alone holds the line.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        scoped: bool = True,
        on_change: Callable[[set[UUID]], Awaitable[None]] | None = None,
    ) -> None:
        self.engine = create_async_engine(
            async_url(url), pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, hide_parameters=True
        )
        self.scoped = scoped
        self._on_change = on_change

    @asynccontextmanager
    async def tenant(self, actor: Actor) -> AsyncIterator[TenantSession]:
        """One read-only transaction as `actor`."""
        async with TenantSession(self.engine, actor, scoped=self.scoped) as session:
            await session.execute(text(f"SET TRANSACTION READ ONLY; SET LOCAL ROLE {TENANT_ROLE}"))
            await session.execute(_SET_ACTOR, {"id": str(actor.user_id), "role": actor.role.value})
            yield session

    @asynccontextmanager
    async def system(self) -> AsyncIterator[SystemSession]:
        """One transaction as the system: commits when the block ends, rolls back when it raises."""
        async with SystemSession(self.engine) as session:
            await session.execute(text(f"SET LOCAL ROLE {SYSTEM_ROLE}"))
            yield session
            await session.commit()
        if session.touched and self._on_change is not None:
            await self._on_change(session.touched)

    async def close(self) -> None:
        await self.engine.dispose()


def async_url(url: str) -> str:
    """The SQLAlchemy URL of an ordinary Postgres URL, with psycopg as the driver."""
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url[len(prefix) :]
    raise ValueError("DATABASE_URL must start with postgresql://")
