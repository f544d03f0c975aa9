"""Postgres and Valkey are killed in the middle of a call: the talk goes on, and afterwards nothing of it is missing."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from openai import AsyncOpenAI
from pydantic import SecretStr
from sqlalchemy import select
from sqlmodel import col
from websockets.asyncio.server import serve

from callwright.app.calls.desk import DatabaseCallDesk
from callwright.app.calls.models import CallAttempt, TranscriptTurn
from callwright.app.clock import SystemClock
from callwright.app.compliance.optout import is_opt_out
from callwright.app.database.embedded import start as start_postgres
from callwright.app.database.migrate import upgrade
from callwright.app.events.embedded import start as start_valkey
from callwright.app.localstore import LocalServer
from callwright.app.recordings.models import Recording
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from callwright.bridge.server import BridgeServer
from callwright.bridge.services import Services
from callwright.bridge.settings import BridgeSettings
from callwright.bridge.spare import load_spare_lines
from tests.app.calls.streams import TOKEN as STREAM_TOKEN
from tests.app.calls.streams import live_attempt, sid_of
from tests.bridge.peers import PUBLIC_URL, TOKEN, Desk, Line, Model, Phone
from tests.chaos.test_bridge_soak import FULL
from tests.world import World

AWAY_SECONDS = 30.0 if FULL else 1.5
LEAST = 10  # exchanges meanwhile
VOICE = bytes(range(32, 64)) * 300  # 9,600 bytes: 1.2 s of the agent's voice, in six bursts


class Stores:
    """Both servers under one folder; they come back under their old addresses and with their old data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[LocalServer] = []
        self.start()

    def start(self) -> None:
        self.postgres = start_postgres(self._folder / "postgres", durable=False)
        self.valkey = start_valkey(self._folder / "valkey")
        self._servers = [self.postgres, self.valkey]

    def kill(self) -> None:
        for server in self._servers:
            os.kill(server.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        for server in self._servers:
            server.stop()
        self._servers = []


@pytest.fixture
def stores() -> Iterator[Stores]:
    with tempfile.TemporaryDirectory(prefix="callwright-chaos-") as folder:
        stores = Stores(Path(folder))
        try:
            yield stores
        finally:
            stores.stop()


@pytest.fixture
async def state(stores: Stores, tmp_path: Path) -> AsyncIterator[AppState]:
    await asyncio.to_thread(upgrade, stores.postgres.url)
    settings = Settings(
        _env_file=None,
        database_url=stores.postgres.url,
        redis_url=stores.valkey.url,
        data_dir=tmp_path,
        sandbox_url="http://127.0.0.1:9",
        secret_key=SecretStr("a test's secret key of good length"),
        twilio_account_sid="AC" + "0" * 32,
        twilio_auth_token=SecretStr("sandbox-token"),
    )
    async with open_state(settings, clock=SystemClock()) as state:
        yield state


@asynccontextmanager
async def bridge_on(state: AppState, spool: Path) -> AsyncIterator[Line]:
    """The bridge with its real desk; model and phone are the test's."""
    model, desk = Model(), DatabaseCallDesk(state)
    async with serve(model.session, "127.0.0.1", 0, process_request=model.answer, compression=None) as listening:
        url = f"http://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}/v1"
        settings = BridgeSettings(PUBLIC_URL, TOKEN, "sk-test", spool, openai_base_url=url, port=0)
        client = AsyncOpenAI(api_key=settings.openai_api_key, base_url=settings.openai_base_url)
        clock, log = asyncio.get_running_loop().time, structlog.get_logger("test")
        with ThreadPoolExecutor(1) as disk:
            services = Services(settings, desk, client, None, disk, is_opt_out, load_spare_lines(), clock, log)
            server = BridgeServer(services)
            port = await server.start()
            try:
                yield Line(model, Desk(), services, server, port)
            finally:
                await server.close()
                await client.close()
                await desk.close()


async def exchange(line: Line, phone: Phone, number: int) -> None:
    """The person says something, the agent answers and is heard to its end."""
    item = f"u{number}"
    await line.model.has_heard(phone)
    await line.model.send("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)
    await phone.noise(600)
    await phone.quiet(500)
    await line.model.has_heard(phone)
    await line.model.send("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=0)
    await line.model.send("input_audio_buffer.committed", item_id=item)
    await line.model.send(
        "conversation.item.input_audio_transcription.completed", item_id=item, transcript=f"Question {number}."
    )
    await answer(line, phone, f"Answer {number}.", number)


async def answer(line: Line, phone: Phone, text: str, number: int) -> None:
    await line.model.inbox.next("type", "response.create")
    await line.model.speak(text, VOICE, f"r{number}", f"i{number}")
    for _ in range(6):
        mark = (await phone.inbox.next("event", "mark"))["mark"]
        assert isinstance(mark, dict)
        await phone.quiet(200)
        await phone.played(str(mark["name"]))


async def turns_of(state: AppState, attempt_id: UUID) -> list[TranscriptTurn]:
    async with state.database.system() as session:
        query = select(TranscriptTurn).where(col(TranscriptTurn.attempt_id) == attempt_id)
        return list(await session.scalars(query.order_by(col(TranscriptTurn.index))))


@pytest.mark.timeout(240)
async def test_stores_that_are_killed_mid_call_cost_no_audio_and_no_turn(
    stores: Stores, state: AppState, tmp_path: Path
) -> None:
    attempt = await live_attempt(state, World(state.database))
    async with bridge_on(state, tmp_path / "spool") as line:
        phone = await line.dial()
        await phone.start(token=STREAM_TOKEN, call_sid=sid_of(1))
        await phone.hello()
        await answer(line, phone, "Hello.", 0)
        await asyncio.to_thread(stores.kill)
        back_at = asyncio.get_running_loop().time() + AWAY_SECONDS
        exchanges = 0
        while exchanges < LEAST or asyncio.get_running_loop().time() < back_at:
            exchanges += 1
            await exchange(line, phone, exchanges)
            await asyncio.sleep(AWAY_SECONDS / LEAST / 3)  # spread over the time they are away
        # Every word went both ways while nothing could be stored.
        await line.model.has_heard(phone)
        assert phone.heard == VOICE * (exchanges + 1)
        assert len(line.model.audio) == phone.at_ms * 8
        await asyncio.to_thread(stores.start)
        exchanges += 1
        await exchange(line, phone, exchanges)
        await phone.hang_up()
        await line.model.closed()
        while line.server.active_calls:
            await asyncio.sleep(0.1)
    turns = [turn.text for turn in await turns_of(state, attempt.id)]
    said = [text for number in range(1, exchanges + 1) for text in (f"Question {number}.", f"Answer {number}.")]
    assert turns == ["Hello.", *said]
    async with state.database.system() as session:
        ended = await session.get_one(CallAttempt, attempt.id)
        assert ended.stream_ended_at is not None and ended.end_reason == "person_hung_up"
        recording = await session.scalar(select(Recording).where(col(Recording.attempt_id) == attempt.id))
        assert recording is not None and recording.duration_ms == phone.at_ms
