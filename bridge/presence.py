"""Keeps the bridge's entry in the registry true: at each heartbeat, and at once when it takes calls or no more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from redis.exceptions import RedisError

from callwright.app.telephony.bridges import HEARTBEAT_SECONDS, BridgeEntry, BridgeRegistry


class Presence:
    """The registry may be away as long as it likes: it is told again at the next beat."""

    def __init__(self, registry: BridgeRegistry, log: structlog.stdlib.BoundLogger) -> None:
        self._registry = registry
        self._log = log
        self._news = asyncio.Event()
        self._away = False

    def changed(self) -> None:
        """Do not wait for the next beat."""
        self._news.set()

    @asynccontextmanager
    async def kept(self, entry: Callable[[], BridgeEntry]) -> AsyncIterator[None]:
        """Announces what `entry` tells for as long as the block lasts, then takes the bridge off the list."""
        beating = asyncio.get_running_loop().create_task(self._beat(entry))
        try:
            yield
        finally:
            beating.cancel()
            try:
                await self._registry.withdraw(entry().bridge_id)
            except (RedisError, OSError, TimeoutError):
                self._log.info("bridge_not_withdrawn")  # its entry runs out by itself

    async def _beat(self, entry: Callable[[], BridgeEntry]) -> None:
        while True:
            self._news.clear()
            await self._announce(entry())
            try:
                await asyncio.wait_for(self._news.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                continue

    async def _announce(self, entry: BridgeEntry) -> None:
        try:
            await self._registry.announce(entry)
        except (RedisError, OSError, TimeoutError) as error:
            if not self._away:
                self._log.warning("bridge_registry_away", error=type(error).__name__)
            self._away = True
        else:
            self._away = False
