"""The GraphQL endpoint on a real server, and callers of every role."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import Business, Role, User
from callwright.app.accounts.tokens import create_api_token
from callwright.app.leads.models import Consumer
from callwright.app.state import AppState
from callwright.graphql.asgi import graphql_routes
from callwright.graphql.graphiql import NODE_MODULES
from callwright.graphql.limits import Limits
from tests.graphql.client import Client
from tests.world import World


class Callers:
    """Signs people in without a password, for stories about something else."""

    def __init__(self, anyone: Client, world: World, state: AppState) -> None:
        self.anyone = anyone
        self.world = world
        self._state = state

    async def token(self, user: User) -> str:
        actor = Actor(user.id, user.role)
        return (await create_api_token(self._state.database, actor, "test", self._state.clock.now(), None)).secret

    async def admin(self) -> Client:
        return self.anyone.of(await self.token(await self.world.user(Role.ADMIN)))

    async def business(self, business: Business) -> Client:
        return self.anyone.of(await self.token(await self.world.user(Role.BUSINESS, business)))

    async def consumer(self) -> tuple[Client, Consumer]:
        user = await self.world.user(Role.CONSUMER)
        return self.anyone.of(await self.token(user)), await self.world.consumer(user=user)


@asynccontextmanager
async def serving(
    state: AppState, limits: Limits | None = None, node_modules: Path = NODE_MODULES
) -> AsyncIterator[str]:
    """The endpoint's base URL, served by uvicorn on a free port."""
    app = Starlette(routes=graphql_routes(state, limits, node_modules))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Whoever connects before the server accepts waits in the listener's queue.
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=30) as http:
        yield http


@pytest.fixture
async def anyone(state: AppState, http: httpx2.AsyncClient) -> AsyncIterator[Client]:
    """A caller without a token."""
    async with serving(state) as url:
        yield Client(url, http)


@pytest.fixture
async def callers(anyone: Client, world: World, state: AppState) -> Callers:
    return Callers(anyone, world, state)
