"""One running Callwright for all end-to-end tests of a test process: every process, embedded stores, the sandbox."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console

from callwright.app.calls.lifecycle import CallType
from callwright.app.database.sessions import Database
from callwright.app.demo.client import GraphQLClient, JsonObject
from callwright.app.demo.run import SIGN_IN, Demo, place_call
from callwright.app.demo.seed import DEMO_PASSWORD, Marketplace, add_lead, seed_marketplace
from callwright.app.demo.story import Story
from callwright.app.settings import Settings
from callwright.app.stack import children_of, free_port, on_free_ports, sandboxed, stores
from callwright.app.supervisor import Supervisor

SPEED = 4.0
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps these tests on one worker of pytest-xdist: they share a running stack."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("e2e"))


@dataclass(frozen=True)
class RunningStack:
    """What a test needs to use the running system."""

    settings: Settings
    place: Marketplace
    owner_token: str

    @property
    def graphql_url(self) -> str:
        return f"{self.settings.public_url}/graphql"

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        database = Database(self.settings.database_url or "")
        try:
            yield database
        finally:
            await database.close()

    @asynccontextmanager
    async def client(self, email: str | None = None) -> AsyncIterator[GraphQLClient]:
        """A signed-in client: the owner's, or that of another e-mail's person."""
        async with GraphQLClient(self.graphql_url) as client:
            client.token = self.owner_token
            if email is not None:
                signed_in = await client.execute(SIGN_IN, {"email": email, "password": DEMO_PASSWORD})
                client.token = signed_in["signIn"]["token"]
            yield client

    async def lead(self, persona: str) -> UUID:
        async with self.database() as database:
            return await add_lead(database, self.place.business_id, persona)

    async def call(self, persona: str, call_type: CallType = CallType.QUALIFY_LEAD) -> JsonObject:
        """One whole call to a persona, as the demo makes it."""
        async with self.client() as client:
            lead_id = await self.lead(persona)
            story = Story(Console(quiet=True))
            return await place_call(Demo(client, self.settings, persona, call_type, lead_id, story))


@pytest.fixture(scope="session")
def stack(store_dir: Path) -> Iterator[RunningStack]:
    """Runs in a thread with a loop of its own, so that every test's loop can use it."""
    settings = on_free_ports(
        sandboxed(Settings(_env_file=None, data_dir=store_dir / "stack"), port=free_port(), speed=SPEED)
    ).model_copy(
        update={
            "retry_base_seconds": 0.5,
            "dispatch_interval_seconds": 0.25,
            "max_concurrent_calls": 6,
            "business_max_concurrent_calls": 6,
            "max_dials_per_minute": 1000,
            "business_max_dials_per_minute": 1000,
        }
    )
    ready: list[RunningStack | BaseException] = []
    started, stop = threading.Event(), threading.Event()

    async def hold() -> None:
        async with stores(settings) as running:
            database = Database(running.database_url or "")
            place = await seed_marketplace(database, "e2e")
            await database.close()
            async with Supervisor(children_of(running, log_dir=running.data_dir / "logs")):
                async with GraphQLClient(f"{running.public_url}/graphql") as client:
                    person = {"email": place.owner_email, "password": DEMO_PASSWORD}
                    token = (await client.execute(SIGN_IN, person))["signIn"]["token"]
                ready.append(RunningStack(running, place, token))
                started.set()
                await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:
            ready.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="stack")
    thread.start()
    started.wait()
    if isinstance(ready[0], BaseException):
        raise ready[0]
    yield ready[0]
    stop.set()
    thread.join()


def log_text(stack: RunningStack) -> str:
    """Everything every process wrote to its log."""
    folder: Path = stack.settings.data_dir / "logs"
    return "".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
