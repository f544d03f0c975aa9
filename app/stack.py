"""All of Callwright's processes on one machine, on embedded stores where none are given."""

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from callwright.app.database import embedded as postgres
from callwright.app.database.migrate import upgrade
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.events import embedded as valkey
from callwright.app.localstore import LocalServer
from callwright.app.settings import SANDBOX_ACCOUNT_SID, SANDBOX_AUTH_TOKEN, Environment, Settings
from callwright.app.supervisor import Child, http_ready

PROCESSES = ("web", "bridge", "worker", "dispatcher")


@asynccontextmanager
async def stores(settings: Settings) -> AsyncIterator[Settings]:
    """Settings with both stores' URLs; starts an embedded one for each that is not set, and stops it at the end."""
    data_dir = settings.data_dir.resolve()
    changes: dict[str, object] = {"data_dir": data_dir}
    async with AsyncExitStack() as running:
        if not settings.database_url:
            changes["database_url"] = _own(running, postgres.start(data_dir / "postgres"))
        if not settings.redis_url:
            changes["redis_url"] = _own(running, valkey.start(data_dir / "valkey"))
        if settings.secret_key is None:
            changes["secret_key"] = SecretStr(_secret_of(data_dir))
        ready = settings.model_copy(update=changes)
        assert ready.database_url is not None
        await asyncio.to_thread(upgrade, ready.database_url)
        yield ready


def _own(running: AsyncExitStack, server: LocalServer) -> str:
    running.callback(server.stop)
    return server.url


def _secret_of(data_dir: Path) -> str:
    """The data folder's own signing key, made once and readable by its owner only."""
    path = data_dir / "secret.key"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text()


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def sandboxed(settings: Settings, *, port: int | None = None, speed: float | None = None) -> Settings:
    """The same settings with every provider replaced by the sandbox; real keys are left out, whatever was set.

    Its port is `port`, else the one of CALLWRIGHT_SANDBOX_URL, else a free one, so that two never share a sandbox.
    Raises `CallwrightError` in production.
    """
    if settings.environment is Environment.PRODUCTION:
        raise CallwrightError(
            ErrorCode.CONFIGURATION,
            "The sandbox does not run in production.",
            remedy="Set CALLWRIGHT_ENVIRONMENT=development.",
        )
    port = port or urlsplit(settings.sandbox_url or "").port or free_port()
    return settings.model_copy(
        update={
            "sandbox_url": f"http://127.0.0.1:{port}",
            "sandbox_speed": speed or settings.sandbox_speed,
            "twilio_account_sid": SANDBOX_ACCOUNT_SID,
            "twilio_auth_token": SecretStr(SANDBOX_AUTH_TOKEN),
            "openai_api_key": SecretStr("sk-sandbox"),
            "anthropic_api_key": SecretStr("sandbox"),
        }
    )


def on_free_ports(settings: Settings) -> Settings:
    """The same settings on loopback ports nobody uses, so that a demo can run beside anything."""
    web, bridge = free_port(), free_port()
    return settings.model_copy(
        update={
            "web_host": "127.0.0.1",
            "bridge_host": "127.0.0.1",
            "web_port": web,
            "public_url": f"http://127.0.0.1:{web}",
            "bridge_port": bridge,
            "bridge_stream_url": f"ws://127.0.0.1:{bridge}/media",
        }
    )


def children_of(
    settings: Settings, *, log_dir: Path | None = None, personas: Path | None = None, executable: str = sys.executable
) -> list[Child]:
    """The processes in starting order; each writes to a file of its own in `log_dir` when one is given."""
    environment = {**os.environ, **settings.as_environment()}
    if log_dir is not None:
        private_folder(log_dir)

    def child(name: str, arguments: list[str], health: str | None, address: tuple[str, int] | None) -> Child:
        return Child(
            name,
            [executable, "-m", *arguments],
            env=environment,
            ready=http_ready(health) if health else None,
            log_file=log_dir / f"{name}.log" if log_dir else None,
            address=address,
        )

    children = []
    if settings.sandbox_url:
        port = urlsplit(settings.sandbox_url).port or 80
        arguments = ["callwright.app.sandbox.server", "--port", str(port), "--speed", str(settings.sandbox_speed)]
        arguments += ["--auth-token", SANDBOX_AUTH_TOKEN]
        if personas is not None:
            arguments += ["--personas", str(personas)]
        children.append(child("sandbox", arguments, f"{settings.sandbox_url}/sandbox/health", ("127.0.0.1", port)))
    listening = {
        "web": (settings.web_host, settings.web_port),
        "bridge": (settings.bridge_host, settings.bridge_port),
    }
    for name in PROCESSES:
        address = listening.get(name)
        health = f"http://127.0.0.1:{address[1]}/health" if address else None
        children.append(child(name, ["callwright.app.cli", name], health, address))
    return children


def private_folder(folder: Path) -> Path:
    """The folder, made if need be, open to its owner only: what people said is in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder
