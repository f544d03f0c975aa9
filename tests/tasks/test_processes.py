"""Real dispatcher and worker processes on real stores: limits, priority, at-least-once delivery, a clean end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.audit.models import AuditEntry
from callwright.app.calls.check import CHECKED
from callwright.app.calls.lifecycle import ENDED, CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.events.outbox import announce_due
from callwright.app.settings import Settings
from callwright.app.state import open_state
from tests.app.telephony.line import Line, SandboxCarrier, lay_line, until
from tests.tasks.crowd import attempts_of_all, make_crowd, most_at_once, most_in_a_minute
from tests.world import World


def environment(settings: Settings) -> dict[str, str]:
    """The settings that the test changed, as a process reads them."""
    names = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}
    providers = {"twilio_account_sid": "TWILIO_ACCOUNT_SID", "twilio_auth_token": "TWILIO_AUTH_TOKEN"}
    values = {}
    for field in settings.model_fields_set:
        value = getattr(settings, field)
        name = {**names, **providers}.get(field, f"CALLWRIGHT_{field.upper()}")
        values[name] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return {**os.environ, **values}


@asynccontextmanager
async def running(module: str, settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of ours; on leaving it is asked to end, and has to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"callwright.tasks.{module}", env=environment(settings)
    )
    try:
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Plant:
    """The line that the processes' calls come back on."""

    line: Line
    world: World

    async def count(self, *statuses: CallStatus) -> int:
        async with self.world.database.system() as session:
            query = select(func.count()).where(col(Call.status).in_(statuses))
            return await session.scalar(query) or 0


@pytest.fixture
async def plant(sandbox: SandboxCarrier, settings: Settings, world: World) -> AsyncIterator[Plant]:
    line = lay_line(sandbox, settings)
    async with open_state(line.settings) as state, line.answer(state):
        yield Plant(line, world)


@pytest.mark.timeout(180)
async def test_two_dispatchers_and_two_workers_keep_limits_and_priority(plant: Plant) -> None:
    settings = plant.line.settings.model_copy(
        update={"max_dials_per_minute": 45, "business_max_dials_per_minute": 45, "max_concurrent_calls": 5}
    )
    calls = await make_crowd(plant.world, "0107")
    async with AsyncExitStack() as stack:
        for module in ("worker", "dispatcher", "worker", "dispatcher"):
            await stack.enter_async_context(running(module, settings))

        async def used_up() -> bool:
            over = await plant.count(CallStatus.NO_ANSWER)
            async with plant.world.database.system() as session:
                told = await session.scalar(
                    select(func.count()).where(col(Call.waiting_reason) == "The 45 dials a minute are used up.")
                )
            return (over, told) == (45, 15)

        await until(used_up, within=120)
    rows = await attempts_of_all(plant.world.database)
    attempts = [attempt for attempt, _ in rows]
    assert len(attempts) == most_in_a_minute(attempts) == 45
    assert most_at_once(attempts) <= 5
    assert [call.priority for _, call in rows] == sorted(call.priority for call in calls)[:45]
    for attempt, call in rows:
        assert attempt.carrier_tries == 1
        assert await plant.line.sandbox.posts_to(call.phone_number) == 1


async def test_a_new_call_is_dialled_at_once_and_leaves_a_checked_record(plant: Plant) -> None:
    settings = plant.line.settings.model_copy(update={"dispatch_interval_seconds": 60.0})
    async with running("dispatcher", settings), running("worker", settings):
        call = await plant.world.call(await plant.world.lead(phone_number="+14805550107"), max_attempts=1)
        async with plant.world.database.system() as session:
            await announce_due(session)  # wakes the dispatcher, whose own beat is a minute away

        async def checked() -> bool:
            async with plant.world.database.system() as session:
                entry = await session.scalar(select(AuditEntry).where(col(AuditEntry.action) == CHECKED))
            return entry is not None and entry.data == {"missing": []}

        await until(checked)
    assert (await plant.world.reload(Call, call.id)).status is CallStatus.NO_ANSWER


async def test_a_worker_killed_while_it_dials_neither_repeats_nor_loses_the_call(plant: Plant) -> None:
    number = "+15205550107"
    settings = plant.line.settings.model_copy(update={"reconcile_after_seconds": 4.0})
    await plant.line.sandbox.fault("hang")
    call = await plant.world.call(await plant.world.lead(phone_number=number), max_attempts=2)

    async def attempts() -> list[CallAttempt]:
        async with plant.world.database.system() as session:
            rows = await session.scalars(select(CallAttempt).where(col(CallAttempt.call_id) == call.id))
            return sorted(rows, key=lambda attempt: attempt.number)

    async def dialling() -> bool:
        return any(attempt.ambiguous_since is not None for attempt in await attempts())

    async with running("dispatcher", settings):
        async with running("worker", settings) as victim:
            await until(dialling)
            victim.kill()
            await victim.wait()
        async with running("worker", settings):

            async def over() -> bool:
                return await plant.count(*ENDED) == 1

            await until(over, within=80)
    first, second = await attempts()
    assert first.end_reason == "never_placed"
    assert second.carrier_sid is not None
    assert await plant.line.sandbox.posts_to(number) == 1


async def test_the_queues_hold_ids_only(plant: Plant) -> None:
    number = "+16235550107"
    await plant.world.call(await plant.world.lead(phone_number=number), max_attempts=1)
    assert plant.line.settings.redis_url is not None
    async with running("dispatcher", plant.line.settings), Redis.from_url(plant.line.settings.redis_url) as redis:

        async def queued() -> bool:
            return bool(await redis.hgetall("dramatiq:calls.msgs"))

        await until(queued)
        messages = [
            message if isinstance(message, str) else message.decode()
            for message in (await redis.hgetall("dramatiq:calls.msgs")).values()
        ]
    assert len(messages) == 1
    assert "555" not in messages[0].split('"args"')[1].split("]")[0]
    assert number not in messages[0]
    assert "Jordan" not in messages[0]
