"""A telephone line for tests: the sandbox process as the carrier, and our webhook endpoints for it to reach."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from callwright.app.settings import Settings
from callwright.app.state import AppState
from callwright.app.telephony.routes import carrier_routes

SPEED = 20


@dataclass(frozen=True)
class SandboxCarrier:
    """The sandbox, as a test looks at it and scripts it."""

    url: str

    async def calls_to(self, number: str) -> list[dict[str, Any]]:
        """The calls the carrier made to the number, oldest first."""
        report = await self._json("GET", "/sandbox/calls")
        return [call for call in report["calls"] if call["to"] == number]

    async def posts_to(self, number: str) -> int:
        """How often a call to the number was asked for, refusals included."""
        report = await self._json("GET", "/sandbox/calls")
        return int(report["posts"].get(number, 0))

    async def messages_to(self, number: str, settings: Settings) -> list[dict[str, Any]]:
        assert settings.twilio_account_sid is not None
        assert settings.twilio_auth_token is not None
        auth = aiohttp.BasicAuth(settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value())
        path = f"/2010-04-01/Accounts/{settings.twilio_account_sid}/Messages.json"
        report = await self._json("GET", path, auth=auth, params={"To": number})
        messages: list[dict[str, Any]] = report["messages"]
        return messages

    async def fault(self, fault: str, *, status: int = 500, times: int = 1) -> None:
        """Makes the next requests to the REST interface go wrong."""
        body = {"service": "twilio", "fault": fault, "status": status, "times": times}
        await self._json("POST", "/sandbox/faults", json=body)

    async def _json(self, method: str, path: str, **more: Any) -> Any:
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, **more) as response:
            assert response.status < 300, await response.text()
            return await response.json()


@contextmanager
def sandbox_process(*options: str, speed: float = SPEED) -> Iterator[SandboxCarrier]:
    """Runs the sandbox on a free port."""
    module = "callwright.app.sandbox.server"
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--port", "0", "--speed", str(speed), *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield SandboxCarrier(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


@dataclass
class Line:
    """Where our endpoints are for the carrier to reach. `answer` answers them once there is a state."""

    sandbox: SandboxCarrier
    settings: Settings
    socket: socket.socket
    streams: list[WebSocket] = field(default_factory=list)

    @asynccontextmanager
    async def answer(self, state: AppState) -> AsyncIterator[None]:
        """Serves the webhooks, the TwiML and a bridge that listens and says nothing."""
        app = Starlette(routes=[*carrier_routes(), WebSocketRoute("/media", self._listen)])
        app.state.callwright = state
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="websockets-sansio"))
        serving = asyncio.create_task(server.serve(sockets=[self.socket]))
        try:
            await until(lambda: _value(server.started))
            yield
        finally:
            server.should_exit = True
            server.force_exit = True
            await serving

    async def _listen(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.streams.append(websocket)
        try:
            while True:
                await websocket.receive_text()
        except (WebSocketDisconnect, KeyError):
            self.streams.remove(websocket)


def lay_line(sandbox: SandboxCarrier, settings: Settings) -> Line:
    """Takes a free port for our endpoints; the line's settings name it and the sandbox."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    reachable = {
        "sandbox_url": sandbox.url,
        "public_url": f"http://127.0.0.1:{port}",
        "bridge_stream_url": f"ws://127.0.0.1:{port}/media",
    }
    return Line(sandbox, settings.model_copy(update=reachable), listening)


async def _value(value: bool) -> bool:
    return value


async def until(condition: Callable[[], Awaitable[bool]], within: float = 60.0) -> None:
    """Waits until the condition holds; fails when it never does."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)
