"""The register of bridges on a real Valkey: who is there, who is least loaded, and what happens while it is away."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from redis.asyncio import Redis

from callwright.app.calls.callbacks import WebhookKind, answer_call, receive
from callwright.app.calls.lifecycle import AttemptStatus, CallStatus
from callwright.app.state import AppState
from callwright.app.telephony.bridges import BridgeEntry, BridgeFleet, BridgeRegistry
from callwright.app.telephony.tickets import TicketOffice
from tests.world import World

FALLBACK = "wss://voice.example/media"
SECRET = b"secret of the tests"
SID = "CA" + "1" * 32


def entry(name: str, calls: int = 0, **changes: object) -> BridgeEntry:
    plain = BridgeEntry(name, "http://127.0.0.1:9", f"wss://voice.example/{name}", calls, 0, 10, takes_calls=True)
    return replace(plain, **changes)  # type: ignore[arg-type]


@dataclass
class Bridge:
    """Answers `/prepare` as told, and remembers for which attempts it was asked."""

    name: str
    status: int = 200
    url: str = ""
    attempts: list[UUID | None] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        ticket = request.headers["Authorization"].removeprefix("Bearer ")
        self.attempts.append(TicketOffice(SECRET, lambda: 0.0).redeem(self.name, ticket))
        return web.Response(status=self.status)

    @property
    def entry(self) -> BridgeEntry:
        return entry(self.name, control_url=self.url)


@pytest.fixture
async def bridges() -> AsyncIterator[tuple[Bridge, Bridge]]:
    both = Bridge("a"), Bridge("b")
    servers = []
    for bridge in both:
        app = web.Application()
        app.router.add_get("/prepare", bridge.answer)
        server = TestServer(app)
        await server.start_server()
        bridge.url = str(server.make_url("")).rstrip("/")
        servers.append(server)
    yield both
    for server in servers:
        await server.close()


@pytest.fixture
async def registry(redis_url: str) -> AsyncIterator[BridgeRegistry]:
    async with Redis.from_url(redis_url) as redis:
        yield BridgeRegistry(redis)


@pytest.fixture
async def fleet(registry: BridgeRegistry) -> AsyncIterator[BridgeFleet]:
    async with aiohttp.ClientSession() as http:
        yield BridgeFleet(registry, TicketOffice(SECRET, lambda: 0.0), http, FALLBACK)


async def first(fleet: BridgeFleet, attempt_id: UUID | None = None) -> str:
    """Where the audio is to go if nobody refuses it."""
    return (await fleet.stream_urls(attempt_id or uuid4()))[0]


async def test_without_a_bridge_the_settings_tell_where(fleet: BridgeFleet) -> None:
    assert await first(fleet) == FALLBACK


async def test_the_least_loaded_is_taken_and_those_that_take_no_calls_are_not(
    registry: BridgeRegistry, fleet: BridgeFleet
) -> None:
    for one in (
        entry("busy", 9),
        entry("large", 8, capacity=100),
        entry("draining", takes_calls=False),
        entry("full", 10),
        entry("waiting", 0, prepared=5),
    ):
        await registry.announce(one)
    assert await first(fleet) == "wss://voice.example/large"


async def test_a_burst_between_two_heartbeats_is_spread(registry: BridgeRegistry, fleet: BridgeFleet) -> None:
    await registry.announce(entry("a"))
    await registry.announce(entry("b"))
    urls = [await first(fleet) for _ in range(6)]
    assert urls.count("wss://voice.example/a") == urls.count("wss://voice.example/b") == 3
    await registry.announce(entry("a", 3))
    await registry.announce(entry("b", 1))
    assert await first(fleet) == "wss://voice.example/b"


async def test_a_bridge_that_went_is_not_taken(registry: BridgeRegistry, fleet: BridgeFleet) -> None:
    await registry.announce(entry("a"))
    await registry.withdraw("a")
    assert await registry.live() == []
    assert await first(fleet) == FALLBACK


async def test_a_silent_bridges_entry_runs_out(registry: BridgeRegistry, fleet: BridgeFleet, redis_url: str) -> None:
    await registry.announce(entry("a"))
    async with Redis.from_url(redis_url) as redis:
        assert 0 < await redis.ttl("callwright:bridge:a") <= 7
        await redis.delete("callwright:bridge:a")  # what the time does
        assert await registry.live() == []
        assert await redis.smembers("callwright:bridges") == set()


async def test_while_the_register_is_away_the_last_known_bridges_are_taken(registry: BridgeRegistry) -> None:
    async with aiohttp.ClientSession() as http, Redis.from_url("redis://127.0.0.1:9") as nobody:
        fleet = BridgeFleet(registry, None, http, FALLBACK)
        await registry.announce(entry("a"))
        assert await first(fleet) == "wss://voice.example/a"
        fleet.registry = BridgeRegistry(nobody)
        assert await first(fleet) == "wss://voice.example/a"
        assert await first(BridgeFleet(fleet.registry, None, http, FALLBACK)) == FALLBACK


async def test_the_bridge_that_prepared_gets_the_call(
    registry: BridgeRegistry, fleet: BridgeFleet, bridges: tuple[Bridge, Bridge]
) -> None:
    a, b = bridges
    attempt_id = uuid4()
    await registry.announce(a.entry)
    await registry.announce(replace(b.entry, calls=1))
    await fleet.prepare(attempt_id)
    assert (a.attempts, b.attempts) == ([attempt_id], [])
    await registry.announce(replace(a.entry, calls=9))
    assert await first(fleet, attempt_id) == "wss://voice.example/a"
    assert await first(fleet) == "wss://voice.example/b"
    await registry.announce(replace(a.entry, takes_calls=False))
    assert await first(fleet, attempt_id) == "wss://voice.example/b"


@pytest.mark.parametrize("away", [True, False])
async def test_a_bridge_that_refuses_or_is_away_is_passed_over(
    registry: BridgeRegistry, fleet: BridgeFleet, bridges: tuple[Bridge, Bridge], *, away: bool
) -> None:
    a, b = bridges
    a.status = 503
    attempt_id = uuid4()
    await registry.announce(replace(a.entry, control_url="http://127.0.0.1:9") if away else a.entry)
    await registry.announce(replace(b.entry, calls=5))
    await fleet.prepare(attempt_id)
    assert b.attempts == [attempt_id]
    assert [await first(fleet, one) for one in (attempt_id, uuid4())] == ["wss://voice.example/b"] * 2


async def test_a_ringing_phone_is_prepared_for_and_its_answer_goes_there(
    state: AppState, world: World, bridges: tuple[Bridge, Bridge]
) -> None:
    a, b = bridges
    await state.bridges.registry.announce(a.entry)
    await state.bridges.registry.announce(replace(b.entry, calls=5))
    call = await world.call(status=CallStatus.DIALING)
    attempt = await world.attempt(call, status=AttemptStatus.DIALING)
    fields = {"CallSid": SID, "CallStatus": "ringing", "SequenceNumber": "1"}
    for _ in range(2):
        await receive(state, WebhookKind.STATUS, attempt.id, fields)
    assert len(a.attempts) == 1
    await state.bridges.registry.announce(replace(a.entry, calls=9))
    document = await answer_call(state, call.id, attempt.id, {"CallSid": SID})
    assert document is not None
    assert [part.split('"')[1] for part in document.split("<Stream ")[1:]] == [
        "wss://voice.example/a",  # which prepared for it
        "wss://voice.example/b",  # should that one refuse after all
    ]
