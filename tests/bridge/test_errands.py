"""A call's messages to the domain: in order, bounded, and repeated while a store is away."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from callwright.bridge.errands import Errands
from callwright.bridge.metrics import Metrics

LOG: structlog.stdlib.BoundLogger = structlog.get_logger("test")


def told(to: list[int], number: int, failures: int = 0) -> Callable[[], Awaitable[None]]:
    left = [failures]

    async def errand() -> None:
        if left[0]:
            left[0] -= 1
            raise ConnectionError
        to.append(number)

    return errand


async def test_errands_keep_their_order_also_when_one_fails_at_first() -> None:
    done: list[int] = []
    errands = Errands(LOG, Metrics())
    for number in range(5):
        errands.post("turn", told(done, number, failures=number == 1))
    assert errands.waiting == 5
    await errands.close()
    assert done == [0, 1, 2, 3, 4]


async def test_a_full_queue_drops_the_newest_and_counts_it() -> None:
    metrics, done = Metrics(), list[int]()
    gate = asyncio.Event()

    async def held() -> None:
        await gate.wait()

    errands = Errands(LOG, metrics)
    errands.post("turn", held)
    for number in range(2_001):
        errands.post("event", told(done, number))
    gate.set()
    await errands.close()
    assert done == list(range(1_999))
    assert b'callwright_bridge_errands_lost_total{why="queue_full"} 2.0' in metrics.exposition()
