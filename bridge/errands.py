"""One call's messages to the domain: in order, repeated while the stores are away, never in the way of speech."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from callwright.bridge.metrics import Metrics

Errand = Callable[[], Awaitable[None]]

_QUEUE = 2_000  # some ten times the turns and events of a five-minute call
_DELAYS = (0.2, 1.0, 3.0, 10.0, 20.0, 30.0)  # seconds; outlives a minute without Postgres


class Errands:
    """A full queue drops the new errand, an errand that keeps failing is given up; both are logged by name."""

    def __init__(self, log: structlog.stdlib.BoundLogger, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._queue: asyncio.Queue[tuple[str, Errand] | None] = asyncio.Queue(_QUEUE)
        self._runner = asyncio.get_running_loop().create_task(self._run())

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    def post(self, name: str, errand: Errand) -> None:
        try:
            self._queue.put_nowait((name, errand))
        except asyncio.QueueFull:
            self._metrics.errand_lost("queue_full")
            self._log.error("errand_dropped", errand=name)

    async def close(self) -> None:
        """Returns when everything posted has been carried out or given up."""
        await self._queue.put(None)
        await self._runner

    async def _run(self) -> None:
        while (entry := await self._queue.get()) is not None:
            name, errand = entry
            if not await persist(name, errand, self._log):
                self._metrics.errand_lost("given_up")


async def persist(name: str, errand: Errand, log: structlog.stdlib.BoundLogger) -> bool:
    """Carries out an idempotent errand, again after each failure for about a minute; false when given up."""
    for delay in (*_DELAYS, None):
        try:
            await errand()
        except Exception as error:  # whatever a store may raise: the call goes on
            log.warning("errand_failed", errand=name, error=type(error).__name__, again_in=delay)
            if delay is None:
                break
            await asyncio.sleep(delay)
        else:
            return True
    log.error("errand_given_up", errand=name)
    return False
