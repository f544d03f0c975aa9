"""Real stores for every test: one Postgres and one Valkey a test process, a fresh migrated database a test."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from callwright.app.database.embedded import start as start_postgres
from callwright.app.database.migrate import upgrade
from callwright.app.database.sessions import Database
from callwright.app.events.embedded import start as start_valkey
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from tests.world import World

_numbers = itertools.count(1)


class SettableClock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def store_dir() -> Iterator[Path]:
    """A folder for stores that run as another account than root.

    Not one of pytest's: every pytest that starts closes the folder above them to other accounts, also a running one's.
    """
    with tempfile.TemporaryDirectory(prefix="callwright-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_url(store_dir: Path) -> Iterator[str]:
    """A server with a migrated template database."""
    server = start_postgres(store_dir / "postgres", durable=False)
    try:
        url = server.url.replace("+psycopg", "", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_callwright")
        upgrade(in_database(url, "template_callwright"))
        yield url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def valkey_url(store_dir: Path) -> Iterator[str]:
    server = start_valkey(store_dir / "valkey")
    try:
        yield server.url
    finally:
        server.stop()


def in_database(url: str, name: str) -> str:
    """The same server's URL with another database name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A database of the test's own."""
    name = f"t{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_callwright")
        yield in_database(postgres_url, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def redis_url(valkey_url: str) -> str:
    async with Redis.from_url(valkey_url) as redis:
        await redis.flushall()
    return valkey_url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Sandbox settings on the test's own stores; no provider listens at the sandbox URL unless the test starts it."""
    return Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=redis_url,
        data_dir=tmp_path,
        sandbox_url="http://127.0.0.1:9",
        secret_key=SecretStr("a test's secret key of good length"),
        twilio_account_sid="AC" + "0" * 32,
        twilio_auth_token=SecretStr("sandbox-token"),
        retry_base_seconds=1.0,
    )


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
async def state(settings: Settings, clock: SettableClock) -> AsyncIterator[AppState]:
    """Everything a process holds, on the test's stores and clock."""
    async with open_state(settings, clock=clock) as state:
        yield state
