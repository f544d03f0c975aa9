"""The Dramatiq broker: which job goes to which queue, and what a message may carry."""

from uuid import UUID

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import (
    AgeLimit,
    AsyncIO,
    Middleware,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)

from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.events.outbox import Job
from callwright.app.settings import Settings

QUEUES = {
    Job.DIAL: "calls",
    Job.SUMMARISE: "summaries",
    Job.NOTIFY: "notifications",
    Job.AUDIT: "audits",
}
_MILLISECONDS = 1000
_REDIS_SECONDS = 10.0
# A lost worker's messages go to the others after this long without a heartbeat.
_HEARTBEAT = 15 * _MILLISECONDS


class IdsOnly(Middleware):
    """Keeps what Retries notes about a failure out of Redis: tracebacks may quote people's data."""

    def before_enqueue(self, broker: dramatiq.Broker, message: "dramatiq.Message[object]", delay: int | None) -> None:
        message.options.pop("traceback", None)


def open_broker(settings: Settings, *extra: Middleware) -> RedisBroker:
    """A broker on the settings' Redis with its four queues declared and `extra` middleware last. Keeps no results."""
    if not settings.redis_url:
        raise CallwrightError(ErrorCode.CONFIGURATION, "REDIS_URL is not set", remedy="Set it, or use `callwright up`.")
    middleware = [
        AgeLimit(),
        TimeLimit(),
        ShutdownNotifications(),
        Retries(max_retries=5, min_backoff=1 * _MILLISECONDS, max_backoff=60 * _MILLISECONDS),
        IdsOnly(),
        AsyncIO(),
        *extra,
    ]
    # Without limits of time a Redis that stopped answering would hold the outbox's locks for ever.
    client = redis.Redis.from_url(
        settings.redis_url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS
    )
    broker = RedisBroker(  # type: ignore[no-untyped-call]
        client=client, middleware=middleware, heartbeat_timeout=_HEARTBEAT
    )
    for queue in QUEUES.values():
        broker.declare_queue(queue)
    return broker


def message_of(job: Job, subject_id: UUID) -> "dramatiq.Message[object]":
    """The message that makes a worker do the job."""
    return dramatiq.Message(
        queue_name=QUEUES[job], actor_name=job.value, args=(str(subject_id),), kwargs={}, options={}
    )
