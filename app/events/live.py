"""Live hints over Redis: "something about this call changed". The row is the truth; a lost hint costs a moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
PUBLISH_SECONDS = 1.0


def channel_of(call_id: UUID) -> str:
    """The Redis channel that carries a call's hints."""
    return f"callwright:call:{call_id}"


class LiveEvents:
    """Tells subscribers that a call changed, and lets them wait for it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def publish(self, call_ids: set[UUID]) -> None:
        """Hints that these calls changed. Never raises: subscribers also look every `POLL_SECONDS`."""
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                async with self.redis.pipeline(transaction=False) as pipeline:
                    for call_id in call_ids:
                        pipeline.publish(channel_of(call_id), b"")
                    await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("live.publish_failed", error=type(error).__name__, calls=len(call_ids))

    @asynccontextmanager
    async def watch(self, call_id: UUID) -> AsyncIterator[AsyncIterator[None]]:
        """Yields an endless iterator that wakes on every hint, and at least every `POLL_SECONDS`.

        Subscribe first, then read the row: a change between the two is then never missed.
        """
        pubsub = self.redis.pubsub(ignore_subscribe_messages=True)
        try:
            yield self._wakes(pubsub, call_id)
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _wakes(self, pubsub: PubSub, call_id: UUID) -> AsyncIterator[None]:
        subscribed = False
        while True:
            try:
                if not subscribed:
                    await pubsub.subscribe(channel_of(call_id))
                    subscribed = True
                else:
                    await pubsub.get_message(timeout=POLL_SECONDS)
            except (RedisError, OSError) as error:
                log.warning("live.watch_lost", error=type(error).__name__, call_id=str(call_id))
                subscribed = False
                await asyncio.sleep(POLL_SECONDS)
            yield None
