"""The broker between dispatcher and worker: every job has an actor, and failures leave no words behind."""

from collections.abc import AsyncIterator

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker
from redis.asyncio import Redis

from callwright.app.database.sessions import Database
from callwright.app.events.outbox import Job, enqueue, jobs_of
from callwright.app.identifiers import new_id
from callwright.app.settings import Settings
from callwright.app.state import AppState
from callwright.tasks.actors import declare_actors
from callwright.tasks.broker import QUEUES, message_of, open_broker
from callwright.tasks.dispatcher import release_due

SPOKEN = "the number is +13125550100"


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[RedisBroker]:
    broker = open_broker(settings)
    yield broker
    broker.close()


def no_state() -> AppState:
    raise RuntimeError("no worker runs here")


async def stored(redis_url: str, queue: str) -> list[str]:
    async with Redis.from_url(redis_url) as redis:
        return [
            message if isinstance(message, str) else message.decode()
            for message in (await redis.hgetall(f"dramatiq:{queue}.msgs")).values()
        ]


async def test_every_job_has_an_actor_on_its_queue(broker: RedisBroker) -> None:
    declare_actors(broker, no_state)
    assert {(name, actor.queue_name) for name, actor in broker.actors.items()} == {
        (job.value, QUEUES[job]) for job in Job
    }
    assert set(QUEUES.values()) == {"calls", "summaries", "notifications", "audits"}


async def test_a_failed_message_goes_back_without_what_the_error_said(broker: RedisBroker, redis_url: str) -> None:
    async def fail(subject_id: str) -> None:
        raise ValueError(SPOKEN)

    dramatiq.actor(broker=broker, actor_name=Job.DIAL.value, queue_name=QUEUES[Job.DIAL])(fail)
    broker.enqueue(message_of(Job.DIAL, new_id()))
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    try:
        retried: list[str] = []
        while not retried:
            retried = await stored(redis_url, f"{QUEUES[Job.DIAL]}.DQ")
    finally:
        worker.stop()
    assert '"retries":1' in retried[0]
    assert "555" not in retried[0].split('"args"')[0]
    assert "traceback" not in retried[0]
    assert SPOKEN not in retried[0]


async def test_jobs_reach_the_broker_once_and_stay_when_it_is_away(
    state: AppState, database: Database, broker: RedisBroker, redis_url: str
) -> None:
    subject = new_id()
    async with database.system() as session:
        await enqueue(session, Job.SUMMARISE, subject)
    away = open_broker(state.settings.model_copy(update={"redis_url": "redis://127.0.0.1:9/0"}))
    with pytest.raises(Exception, match=r"127\.0\.0\.1:9"):
        await release_due(state, away)
    async with database.system() as session:
        assert [job.sent_at for job in await jobs_of(session, Job.SUMMARISE, subject)] == [None]
    assert await release_due(state, broker) == 1
    assert await release_due(state, broker) == 0
    (message,) = await stored(redis_url, QUEUES[Job.SUMMARISE])
    assert str(subject) in message
