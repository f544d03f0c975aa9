"""Several bridge processes on one machine: where each listens, and what a bridge tells the register of itself."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from callwright.app.settings import Settings
from callwright.app.telephony.bridges import BridgeEntry, BridgeRegistry
from callwright.bridge.main import serve
from callwright.bridge.process import bridge_settings, settings_of
from callwright.bridge.settings import BridgeSettings
from tests.bridge.peers import PATIENCE, PUBLIC_URL, TOKEN, Desk, Line, bridge_line


@pytest.mark.parametrize(
    ("url", "first", "third"),
    [
        ("wss://voice.example/media", "wss://voice.example/media", "wss://voice.example/media/2"),
        ("ws://127.0.0.1:8080/media", "ws://127.0.0.1:8080/media", "ws://127.0.0.1:8082/media"),
    ],
)
def test_each_process_has_a_port_and_an_address_of_its_own(url: str, first: str, third: str) -> None:
    settings = Settings(_env_file=None, bridge_stream_url=url, bridge_port=8080, bridge_url="http://10.0.0.1:8080")
    assert settings_of(settings, 0).bridge_stream_url == first
    own = settings_of(settings, 2)
    assert (own.bridge_port, own.bridge_stream_url, own.bridge_url) == (8082, third, "http://10.0.0.1:8082")


def test_each_process_has_a_name_of_its_own(settings: Settings) -> None:
    ready = settings.model_copy(update={"openai_api_key": settings.twilio_auth_token})
    assert bridge_settings(ready).bridge_id != bridge_settings(ready).bridge_id


async def entries_until(registry: BridgeRegistry, count: int, **fields: object) -> list[BridgeEntry]:
    """Waits until that many bridges are registered and all look like that."""
    async with asyncio.timeout(PATIENCE):
        while True:
            entries = [entry for entry, _ in await registry.live()]
            alike = all(getattr(entry, name) == value for entry in entries for name, value in fields.items())
            if len(entries) == count and alike:
                return entries
            await asyncio.sleep(0.01)


async def test_a_bridge_is_registered_while_it_runs_and_tells_at_once_when_it_is_full(
    redis_url: str, tmp_path: Path
) -> None:
    settings = BridgeSettings(PUBLIC_URL, TOKEN, "sk-test", tmp_path, port=0, max_calls=1, bridge_id="one")
    ready: asyncio.Queue[int] = asyncio.Queue()
    async with Redis.from_url(redis_url) as redis, bridge_line(tmp_path) as line:
        registry = BridgeRegistry(redis)
        settings = replace(settings, openai_base_url=line.model.url)
        process = asyncio.ensure_future(serve(settings, Desk(), registry, on_ready=ready.put_nowait))
        line.port = await ready.get()
        (entry,) = await entries_until(registry, 1, calls=0, takes_calls=True)
        assert entry == BridgeEntry("one", f"http://127.0.0.1:{line.port}", PUBLIC_URL, 0, 0, 1, takes_calls=True)
        phone = await line.dial()
        await entries_until(registry, 1, calls=1, takes_calls=False)
        await phone.socket.close()
        await entries_until(registry, 1, calls=0, takes_calls=True)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(process, PATIENCE)
        assert await registry.live() == []


async def test_a_bridge_whose_register_is_away_takes_its_calls(tmp_path: Path) -> None:
    ready: asyncio.Queue[int] = asyncio.Queue()
    async with Redis.from_url("redis://127.0.0.1:9") as nobody, bridge_line(tmp_path) as line:
        settings = BridgeSettings(PUBLIC_URL, TOKEN, "sk-test", tmp_path, openai_base_url=line.model.url, port=0)
        desk = Desk()
        process = asyncio.ensure_future(serve(settings, desk, BridgeRegistry(nobody), on_ready=ready.put_nowait))
        own = Line(line.model, desk, line.services, line.server, await ready.get())
        phone = await own.dial()
        await phone.start()
        await phone.hello()
        await own.model.inbox.next("type", "response.create")
        await phone.hang_up()
        await desk.report()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(process, PATIENCE)
