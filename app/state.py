"""What one process holds while it runs: built once in its lifespan, passed to whatever needs it."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from redis.asyncio import Redis

from callwright.app.clock import Clock, SandboxCallingClock, SystemClock
from callwright.app.database.sessions import Database
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.events.live import LiveEvents
from callwright.app.recordings.store import RecordingStore
from callwright.app.settings import Settings
from callwright.app.telephony.bridges import BridgeFleet, BridgeRegistry
from callwright.app.telephony.carrier import Carrier
from callwright.app.telephony.tickets import ticket_office
from callwright.app.telephony.twilio_carrier import TwilioCarrier


@dataclass(frozen=True, slots=True)
class AppState:
    """One process's clients, clock and settings."""

    settings: Settings
    database: Database
    clock: Clock
    carrier: Carrier
    live: LiveEvents
    recordings: RecordingStore
    bridges: BridgeFleet

    @property
    def calling_clock(self) -> Clock:
        """The clock of the calling-window rule: in the sandbox one that always shows a callable hour."""
        return SandboxCallingClock(self.clock) if self.settings.in_sandbox else self.clock


@asynccontextmanager
async def open_state(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[AppState]:
    """Opens every client of a process and closes them in reverse order."""
    if not settings.database_url or not settings.redis_url:
        raise CallwrightError(
            ErrorCode.CONFIGURATION,
            "DATABASE_URL and REDIS_URL are not set",
            remedy="Set both, or start the process with `callwright up`, which starts embedded stores.",
        )
    async with AsyncExitStack() as stack:
        redis = Redis.from_url(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        live = LiveEvents(redis)
        database = Database(settings.database_url, on_change=live.publish)
        stack.push_async_callback(database.close)
        carrier = TwilioCarrier(settings)
        stack.push_async_callback(carrier.close)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        office = ticket_office(settings, time.time)
        bridges = BridgeFleet(BridgeRegistry(redis), office, http, settings.bridge_stream_url)
        recordings = RecordingStore(settings)
        yield AppState(settings, database, clock or SystemClock(), carrier, live, recordings, bridges)
