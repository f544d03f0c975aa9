"""The actors: an id in, one domain call. Every domain function below may be repeated without harm."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import dramatiq
import structlog

from callwright.app.calls.check import check_call
from callwright.app.calls.dial import dial
from callwright.app.calls.notify import notify_business
from callwright.app.calls.summarise import summarise_call
from callwright.app.events.outbox import Job
from callwright.app.state import AppState
from callwright.tasks.broker import QUEUES

DOMAIN: dict[Job, Callable[[AppState, UUID], Awaitable[None]]] = {
    Job.DIAL: dial,
    Job.SUMMARISE: summarise_call,
    Job.NOTIFY: notify_business,
    Job.AUDIT: check_call,
}


def declare_actors(broker: dramatiq.Broker, state_of: Callable[[], AppState]) -> None:
    """Declares one actor a job; `state_of` gives the worker's state once it is open."""
    for job in Job:
        dramatiq.actor(broker=broker, actor_name=job.value, queue_name=QUEUES[job])(_actor(job, state_of))


def _actor(job: Job, state_of: Callable[[], AppState]) -> Callable[[str], Awaitable[None]]:
    async def run(subject_id: str) -> None:
        with structlog.contextvars.bound_contextvars(job=job.value, subject_id=subject_id):
            await DOMAIN[job](state_of(), UUID(subject_id))

    return run
