"""The dispatcher process: hands due work to the workers, admits due calls, and, as the leader, runs the sweeps.

Any number may run. The database decides what each gets, the limits hold across all, and one of them leads by a
session's advisory lock, which Postgres gives away when its connection ends.
"""

import asyncio
import signal

import psycopg
import structlog
from dramatiq import Broker
from dramatiq.errors import DramatiqError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from callwright.app.calls.admission import admit_due
from callwright.app.calls.locks import LEADER_LOCK
from callwright.app.calls.reconcile import LOOKS, Reconciler
from callwright.app.database.sessions import async_url
from callwright.app.events.outbox import DUE_CHANNEL, Job, lock_due
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from callwright.tasks.broker import message_of, open_broker

log = structlog.get_logger(__name__)

RELEASED_AT_ONCE = 100
CONSIDERED_AT_ONCE = 50
SWEEP_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
LISTEN_SECONDS = 0.5
STOP_SECONDS = 15.0
# What a store that is away raises; the next beat tries again.
_STORE_ERRORS = (SQLAlchemyError, psycopg.Error, RedisError, DramatiqError, OSError)


async def release_due(state: AppState, broker: Broker) -> int:
    """Sends the due jobs and marks them sent; returns how many.

    A crash between the two sends them once more: the actors are made for that.
    """
    async with state.database.system() as session:
        now = state.clock.now()
        rows = await lock_due(session, now, RELEASED_AT_ONCE)
        messages = [message_of(Job(row.job), row.subject_id) for row in rows]
        await asyncio.to_thread(lambda: [broker.enqueue(message) for message in messages])
        for row in rows:
            row.sent_at = now
        return len(rows)


class Dispatcher:
    """One dispatcher; `run` it once, `stop` it from the same event loop."""

    def __init__(self, state: AppState, broker: Broker) -> None:
        self._state = state
        self._broker = broker
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    def stop(self) -> None:
        """Lets the beat that is under way end, and no other begin."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Dispatches until `stop`. A store that is away is waited for."""
        helpers = [asyncio.create_task(self._listen()), asyncio.create_task(self._lead())]
        for helper in helpers:
            helper.add_done_callback(lambda _: self.stop())  # alone, without its helper, it would go on half blind
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    await self.beat()
                except _STORE_ERRORS as error:
                    log.warning("dispatcher.beat_failed", error=type(error).__name__)
                    await self._pause(RECONNECT_SECONDS)
                await self._until_woken()
        finally:
            self.stop()
            _, late = await asyncio.wait(helpers, timeout=STOP_SECONDS)
            for helper in late:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        for helper in helpers:
            if not helper.cancelled():
                helper.result()  # raises what ended it

    async def beat(self) -> None:
        """Releases what is due and admits what may be dialled, whose jobs are released at once."""
        state = self._state
        released = await release_due(state, self._broker)
        admitted = await admit_due(state.database, state.settings, state.clock, state.calling_clock, CONSIDERED_AT_ONCE)
        if admitted:
            released += await release_due(state, self._broker)
        if released >= RELEASED_AT_ONCE:
            self._wake.set()
        if released or admitted:
            log.info("dispatcher.beat", released=released, admitted=len(admitted))

    async def _until_woken(self) -> None:
        try:
            async with asyncio.timeout(self._state.settings.dispatch_interval_seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _connect(self) -> psycopg.AsyncConnection:
        url = async_url(self._state.settings.database_url or "").replace("+psycopg", "", 1)
        return await psycopg.AsyncConnection.connect(url, autocommit=True)

    async def _listen(self) -> None:
        """Wakes the beat whenever a transaction that made something due commits."""
        while not self._stopping.is_set():
            try:
                async with await self._connect() as connection:
                    await connection.execute(f"LISTEN {DUE_CHANNEL}")
                    self._wake.set()  # whatever was announced while nobody listened
                    while not self._stopping.is_set():
                        # Cancelling a wait makes psycopg cancel at the server for seconds: it ends by itself instead.
                        async for _ in connection.notifies(timeout=LISTEN_SECONDS):
                            self._wake.set()
            except (psycopg.Error, OSError) as error:
                log.warning("dispatcher.listen_lost", error=type(error).__name__)
            await self._pause(RECONNECT_SECONDS)

    async def _lead(self) -> None:
        """Runs the sweeps while this dispatcher holds the leader's lock; the lock goes with the connection."""
        pause = min(SWEEP_SECONDS, self._state.settings.reconcile_after_seconds / (LOOKS + 1))
        while not self._stopping.is_set():
            try:
                async with await self._connect() as connection:
                    await self._lead_on(connection, pause)
            except (psycopg.Error, OSError) as error:
                log.warning("dispatcher.lead_lost", error=type(error).__name__)
            await self._pause(RECONNECT_SECONDS)

    async def _lead_on(self, connection: psycopg.AsyncConnection, pause: float) -> None:
        reconciler: Reconciler | None = None
        while not self._stopping.is_set():
            if reconciler is None:
                cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,))
                row = await cursor.fetchone()
                if row is not None and row[0]:
                    reconciler = Reconciler(self._state)
                    log.info("dispatcher.leads")
            else:
                await connection.execute("SELECT 1")  # raises when the connection, and so the lock, is gone
            if reconciler is not None:
                await reconciler.sweep()
            await self._pause(pause)


def run(settings: Settings) -> None:
    """Dispatches until SIGTERM or SIGINT."""
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with open_state(settings) as state:
        broker = open_broker(settings)
        dispatcher = Dispatcher(state, broker)
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, dispatcher.stop)
        log.info("dispatcher.ready")
        await dispatcher.run()
        broker.close()
        log.info("dispatcher.stopped")


if __name__ == "__main__":
    run(Settings())
