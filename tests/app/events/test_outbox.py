"""The outbox: written with the row, announced with the commit, locked by one dispatcher at a time."""

from datetime import timedelta

import psycopg
import pytest

from callwright.app.database.sessions import Database
from callwright.app.events.models import Outbox
from callwright.app.events.outbox import DUE_CHANNEL, Job, enqueue, jobs_of, lock_due
from callwright.app.identifiers import new_id
from tests.conftest import SettableClock


async def test_a_rolled_back_transaction_leaves_no_job(database: Database, clock: SettableClock) -> None:
    subject = new_id()

    class Rollback(Exception):
        pass

    with pytest.raises(Rollback):
        async with database.system() as session:
            await enqueue(session, Job.DIAL, subject)
            raise Rollback
    async with database.system() as session:
        assert await jobs_of(session, Job.DIAL, subject) == []


async def test_jobs_without_a_time_are_due_whatever_the_clocks_say(database: Database, clock: SettableClock) -> None:
    clock.advance(-3600)
    now, later = new_id(), new_id()
    async with database.system() as session:
        await enqueue(session, Job.AUDIT, now)
        await enqueue(session, Job.AUDIT, later, due_at=clock.now() + timedelta(seconds=5))
    async with database.system() as session:
        assert [row.subject_id for row in await lock_due(session, clock.now(), 10)] == [now]
    clock.advance(5)
    async with database.system() as session:
        assert {row.subject_id for row in await lock_due(session, clock.now(), 10)} == {now, later}


async def test_two_dispatchers_never_hold_the_same_job(database: Database, clock: SettableClock) -> None:
    async with database.system() as session:
        for _ in range(10):
            await enqueue(session, Job.DIAL, new_id())
        # What a newer release writes is left to its own dispatchers.
        session.add(Outbox(job="from_the_future", subject_id=new_id()))
    async with database.system() as one, database.system() as other:
        first = {row.id for row in await lock_due(one, clock.now(), 6)}
        second = {row.id for row in await lock_due(other, clock.now(), 6)}
    assert (len(first), len(second)) == (6, 4)
    assert not first & second


async def test_the_commit_wakes_a_listener(database: Database, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"LISTEN {DUE_CHANNEL}")
        async with database.system() as session:
            await enqueue(session, Job.DIAL, new_id())
        heard = [notify.channel async for notify in connection.notifies(timeout=10, stop_after=1)]
    assert heard == [DUE_CHANNEL]
