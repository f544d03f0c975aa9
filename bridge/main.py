"""The bridge process."""

import asyncio
import signal
import ssl
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager

import structlog
import uvloop
from openai import AsyncOpenAI

from callwright.app.calls.conversation import CallDesk
from callwright.app.compliance.optout import is_opt_out
from callwright.bridge.server import BridgeServer
from callwright.bridge.services import Services
from callwright.bridge.settings import BridgeSettings
from callwright.bridge.spare import load_spare_lines

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(settings: BridgeSettings, desk: CallDesk, *, on_ready: Callable[[int], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends the calls at once.

    `on_ready` is given the port once it is open.
    """
    loop = asyncio.get_running_loop()
    log: structlog.stdlib.BoundLogger = structlog.get_logger("bridge")
    client = AsyncOpenAI(api_key=settings.openai_api_key, base_url=settings.openai_base_url)
    with ThreadPoolExecutor(1, "recordings") as disk:
        services = Services(settings, desk, client, _tls(client), disk, is_opt_out, load_spare_lines(), loop.time, log)
        server = BridgeServer(services)
        stop, hurry = asyncio.Event(), asyncio.Event()

        def signalled() -> None:
            (hurry if stop.is_set() else stop).set()

        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, signalled)
        try:
            port = await server.start()
            log.info("bridge_ready", port=port)
            if on_ready is not None:
                on_ready(port)
            await stop.wait()
            log.info("bridge_draining", calls=server.active_calls)
            await _first(server.drain(), hurry.wait())
        finally:
            await server.close()
            await client.close()
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)
        log.info("bridge_stopped")


def run(settings: BridgeSettings, open_desk: Callable[[], AbstractAsyncContextManager[CallDesk]]) -> None:
    """Runs the process on uvloop; `open_desk` builds the domain's side inside the loop and closes it at the end."""

    async def main() -> None:
        async with open_desk() as desk:
            await serve(settings, desk)

    uvloop.run(main())


async def _first(*works: Coroutine[object, object, object]) -> None:
    """Returns when one is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _tls(client: AsyncOpenAI) -> ssl.SSLContext | None:
    """One context for all model sockets, none when the endpoint is plain (a stand-in on loopback)."""
    address = str(client.websocket_base_url or client.base_url)
    return None if address.startswith(("http://", "ws://")) else ssl.create_default_context()
