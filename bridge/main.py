"""The bridge process."""

import asyncio
import gc
import signal
import ssl
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import structlog
from openai import AsyncOpenAI

from callwright.app.calls.conversation import CallDesk
from callwright.app.compliance.optout import is_opt_out
from callwright.app.telephony.bridges import BridgeEntry, BridgeRegistry
from callwright.app.telephony.tickets import TicketOffice
from callwright.bridge.presence import Presence
from callwright.bridge.server import BridgeServer
from callwright.bridge.services import Services
from callwright.bridge.settings import BridgeSettings
from callwright.bridge.spare import load_spare_lines

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(
    settings: BridgeSettings,
    desk: CallDesk,
    registry: BridgeRegistry | None = None,
    office: TicketOffice | None = None,
    *,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends the calls at once.

    With a registry it announces itself there; with an office it prepares for phones that ring. `on_ready` is given the
    port once it is open.
    """
    loop = asyncio.get_running_loop()
    log: structlog.stdlib.BoundLogger = structlog.get_logger("bridge")
    stop, hurry = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (hurry if stop.is_set() else stop).set()

    async with AsyncExitStack() as stack:
        client = AsyncOpenAI(api_key=settings.openai_api_key, base_url=settings.openai_base_url)
        stack.push_async_callback(client.close)
        disk = stack.enter_context(ThreadPoolExecutor(1, "recordings"))
        spare = load_spare_lines()
        services = Services(settings, desk, client, _tls(client), disk, is_opt_out, spare, loop.time, log)
        presence = None if registry is None else Presence(registry, log)
        server = BridgeServer(services, office, presence.changed if presence is not None else lambda: None)
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, signalled)
            stack.callback(loop.remove_signal_handler, number)
        stack.push_async_callback(server.close)
        port = await server.start()
        if presence is not None:
            await stack.enter_async_context(presence.kept(lambda: _entry(server, port)))
        # What was loaded until now stays: the collector need not walk it while people talk (some 100 ms each time).
        gc.collect()
        gc.freeze()
        # What is loaded stays: without it the collector looks at calls only, so it is quick, and what is left of those
        # that ended does not wait until it amounts to a quarter of all there is.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        log.info("bridge_ready", port=port)
        if on_ready is not None:
            on_ready(port)
        await stop.wait()
        log.info("bridge_draining", calls=server.active_calls)
        await _first(server.drain(), hurry.wait())
    log.info("bridge_stopped")


def _entry(server: BridgeServer, port: int) -> BridgeEntry:
    settings = server.services.settings
    return BridgeEntry(
        bridge_id=settings.bridge_id,
        control_url=settings.control_url or f"http://{settings.host}:{port}",
        stream_url=settings.public_stream_url,
        calls=server.active_calls,
        prepared=server.prepared_sessions,
        capacity=settings.max_calls,
        takes_calls=server.takes_calls,
    )


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
