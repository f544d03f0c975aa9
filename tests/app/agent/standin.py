"""Claude's stand-in on a loopback port, and a crude server for what the stand-in never does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from callwright.app.sandbox.claude import routes
from callwright.app.sandbox.ledger import Fault, Ledger

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class StandIn:
    """Where it listens, and what it was asked."""

    url: str
    ledger: Ledger

    def fail(self, fault: str, *, status: int = 500, times: int = 1) -> None:
        self.ledger.script(Fault("anthropic", fault, status, times))

    def asked(self, kind: str) -> int:
        return len(self.ledger.entries("anthropic", kind))


@asynccontextmanager
async def claude_stand_in() -> AsyncIterator[StandIn]:
    ledger = Ledger()
    async with serving(routes(ledger)) as url:
        yield StandIn(url, ledger)


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """A server that answers every Messages request with `handler`."""
    async with serving([web.post("/v1/messages", handler)]) as url:
        yield url


@asynccontextmanager
async def serving(defined: list[web.RouteDef]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(defined)
    # Hanging requests are cut at once when a test ends.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
