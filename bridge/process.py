"""The bridge process on the domain: its settings from the house's, its desk on the database; and several of them."""

import asyncio
import os
import secrets
import socket
import sys
from urllib.parse import urlsplit, urlunsplit

import uvloop

from callwright.app.calls.desk import DatabaseCallDesk
from callwright.app.settings import Settings
from callwright.app.state import open_state
from callwright.app.supervisor import Child, Supervisor, http_ready
from callwright.bridge.main import serve
from callwright.bridge.settings import BridgeSettings

_EVERYWHERE = ("0.0.0.0", "::")
_DRAIN_SECONDS = 330.0  # a full call and its wrap-up
_PARTING_SECONDS = 30.0  # for the last reports of calls to the domain
_PREPARED_MARGIN_SECONDS = 15  # between the end of the ringing and the stream's start


def run(settings: Settings) -> None:
    """Serves until SIGTERM, then drains."""
    uvloop.run(_serve(settings))


def run_several(settings: Settings, processes: int) -> None:
    """Runs that many bridges, starts one anew that dies, and on SIGTERM drains all of them at once."""
    children = []
    for number in range(processes):
        own = settings_of(settings, number)
        children.append(
            Child(
                f"bridge-{number}",
                [sys.executable, "-m", "callwright.app.cli", "bridge"],
                env={**os.environ, **own.as_environment()},
                ready=http_ready(f"http://{_reachable(own.bridge_host)}:{own.bridge_port}/health"),
            )
        )
    grace = _DRAIN_SECONDS + _PARTING_SECONDS
    asyncio.run(Supervisor(children, grace=grace, together=True).run())


async def _serve(settings: Settings) -> None:
    async with open_state(settings) as state:
        desk = DatabaseCallDesk(state)
        try:
            await serve(bridge_settings(settings), desk, state.bridges.registry, state.bridges.office)
        finally:
            await desk.close()


def bridge_settings(settings: Settings) -> BridgeSettings:
    """What the bridge needs of the settings; both keys must be set."""
    assert settings.twilio_auth_token is not None
    assert settings.openai_api_key is not None
    return BridgeSettings(
        public_stream_url=settings.bridge_stream_url,
        twilio_auth_token=settings.twilio_auth_token.get_secret_value(),
        openai_api_key=settings.openai_api_key.get_secret_value(),
        openai_base_url=f"{settings.sandbox_url}/v1" if settings.sandbox_url else None,
        spool_dir=settings.data_dir / "spool",
        host=settings.bridge_host,
        port=settings.bridge_port,
        bridge_id=f"{socket.gethostname()}-{secrets.token_hex(4)}",
        control_url=settings.bridge_url or _own_url(settings),
        max_calls=settings.bridge_max_calls,
        max_prepared=settings.bridge_max_prepared,
        drain_seconds=_DRAIN_SECONDS,
        prepared_seconds=settings.ring_seconds + _PREPARED_MARGIN_SECONDS,
        transcription_model=settings.transcription_model,
    )


def _own_url(settings: Settings) -> str | None:
    """Where other machines reach us when we listen on every interface; None: where we listen will do."""
    if settings.bridge_host not in _EVERYWHERE:
        return None
    return f"http://{socket.gethostbyname(socket.gethostname())}:{settings.bridge_port}"


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in _EVERYWHERE else host


def settings_of(settings: Settings, number: int) -> Settings:
    """The settings of the bridge process `number` (0 is the first) of several on one machine.

    Each has a port of its own. Its stream's address names that port, or, when the address has none because a proxy
    answers it, has the number at the end of its path: `/media`, `/media/1`, `/media/2`.
    """
    if number == 0:
        return settings
    parts = urlsplit(settings.bridge_stream_url)
    if parts.port is not None:
        where = parts._replace(netloc=f"{parts.hostname}:{parts.port + number}")
    else:
        where = parts._replace(path=f"{parts.path.rstrip('/')}/{number}")
    changes: dict[str, object] = {
        "bridge_port": settings.bridge_port + number,
        "bridge_stream_url": urlunsplit(where),
    }
    if settings.bridge_url is not None:
        control = urlsplit(settings.bridge_url)
        port = (control.port or settings.bridge_port) + number
        changes["bridge_url"] = urlunsplit(control._replace(netloc=f"{control.hostname}:{port}"))
    return settings.model_copy(update=changes)
