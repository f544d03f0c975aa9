"""Which bridges there are, how busy each is, and which of them the next call should go to.

Each bridge announces itself in Redis every `HEARTBEAT_SECONDS` and whenever it begins or ceases to take calls; one that
is silent for `SILENT_SECONDS` is gone. Redis may be away: then the last bridges known are taken for a minute, and after
that the address in the settings.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TypeVar, cast
from uuid import UUID

import aiohttp
import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callwright.app.telephony.tickets import TicketOffice

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 2.0
SILENT_SECONDS = 7
REMEMBERED_SECONDS = 60.0
_ANSWER_SECONDS = 0.5  # of Redis, and of a bridge asked to prepare: nobody's phone waits for either
_AVOIDED_SECONDS = 2 * HEARTBEAT_SECONDS  # a bridge that refused; its next announcement counts again
_ASSIGNED_SECONDS = 180  # longer than any phone rings
_TRIES = 3
_STREAMS = 2  # bridges a call is offered to
_ALL = "callwright:bridges"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BridgeEntry:
    """One bridge as it announced itself. `prepared`: sessions standing ready for phones that ring."""

    bridge_id: str
    control_url: str  # for other processes of ours, http://host:port
    stream_url: str  # for the carrier, exactly as its upgrades are signed
    calls: int
    prepared: int
    capacity: int
    takes_calls: bool

    def load(self, picked: int = 0) -> float:
        """0 idle, 1 full. `picked`: calls sent there since it last announced itself."""
        return (self.calls + self.prepared + picked) / max(1, self.capacity)


class BridgeRegistry:
    """The bridges' announcements. Every method may raise RedisError, OSError or TimeoutError."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def announce(self, entry: BridgeEntry) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.sadd(_ALL, entry.bridge_id)
        pipe.set(_entry_key(entry.bridge_id), orjson.dumps(asdict(entry)), ex=SILENT_SECONDS)
        pipe.delete(_picks_key(entry.bridge_id))
        await _soon(pipe.execute())

    async def withdraw(self, bridge_id: str) -> None:
        await _soon(self._redis.delete(_entry_key(bridge_id), _picks_key(bridge_id)))
        await _soon(self._redis.srem(_ALL, bridge_id))

    async def live(self) -> list[tuple[BridgeEntry, int]]:
        """Every bridge that is there, with how many calls it was given since it last announced itself."""
        members = await _soon(cast("Awaitable[set[bytes]]", self._redis.smembers(_ALL)))
        ids = sorted(member.decode() for member in members)
        if not ids:
            return []
        keys = [*map(_entry_key, ids), *map(_picks_key, ids)]
        values = await _soon(self._redis.mget(keys))
        entries, picks = values[: len(ids)], values[len(ids) :]
        gone = [bridge_id for bridge_id, entry in zip(ids, entries, strict=True) if entry is None]
        if gone:
            await _soon(self._redis.srem(_ALL, *gone))
        return [
            (BridgeEntry(**orjson.loads(entry)), int(picked or 0))
            for entry, picked in zip(entries, picks, strict=True)
            if entry is not None
        ]

    async def picked(self, bridge_id: str) -> None:
        """A call is on its way there."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.incr(_picks_key(bridge_id))
        pipe.expire(_picks_key(bridge_id), SILENT_SECONDS)
        await _soon(pipe.execute())

    async def assign(self, attempt_id: UUID, bridge_id: str) -> None:
        """The bridge has prepared for the attempt."""
        await _soon(self._redis.set(_attempt_key(attempt_id), bridge_id, ex=_ASSIGNED_SECONDS))

    async def assigned(self, attempt_id: UUID) -> str | None:
        value = await _soon(self._redis.get(_attempt_key(attempt_id)))
        return value.decode() if isinstance(value, bytes) else value


class BridgeFleet:
    """Sends calls to bridges. Nothing here raises: the worst is the address in the settings."""

    def __init__(
        self, registry: BridgeRegistry, office: TicketOffice | None, http: aiohttp.ClientSession, fallback_url: str
    ) -> None:
        self.registry = registry
        self.office = office
        self._http = http
        self._fallback_url = fallback_url
        self._known: list[tuple[BridgeEntry, int]] = []
        self._known_at = -REMEMBERED_SECONDS
        self._avoided: dict[str, float] = {}

    async def prepare(self, attempt_id: UUID) -> None:
        """A phone rings: has the least loaded bridge open the model's session, so that it stands at the pick-up."""
        if self.office is None:
            return
        for entry in (await self._by_load())[:_TRIES]:
            if await self._prepared_by(entry, self.office.issue(entry.bridge_id, attempt_id)):
                try:
                    await self.registry.assign(attempt_id, entry.bridge_id)
                except (RedisError, OSError, TimeoutError) as error:
                    log.warning("bridge.not_assigned", attempt_id=str(attempt_id), error=type(error).__name__)
                return
            self._avoided[entry.bridge_id] = time.monotonic() + _AVOIDED_SECONDS

    async def stream_urls(self, attempt_id: UUID) -> list[str]:
        """Where the attempt's audio is to go: to the bridge that prepared for it, else the least loaded. Behind it the
        next, should that one refuse.
        """
        bridges = await self._by_load()
        try:
            prepared_by = await self.registry.assigned(attempt_id)
            bridges.sort(key=lambda entry: entry.bridge_id != prepared_by)
            if bridges and bridges[0].bridge_id != prepared_by:
                await self.registry.picked(bridges[0].bridge_id)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("bridge.registry_away", error=type(error).__name__)
        return [entry.stream_url for entry in bridges[:_STREAMS]] or [self._fallback_url]

    async def _by_load(self) -> list[BridgeEntry]:
        """The bridges that take calls, the least loaded first."""
        now = time.monotonic()
        try:
            self._known, self._known_at = await self.registry.live(), now
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("bridge.registry_away", error=type(error).__name__)
            if now - self._known_at > REMEMBERED_SECONDS:
                self._known = []
        self._avoided = {bridge_id: until for bridge_id, until in self._avoided.items() if until > now}
        ready = [
            (entry.load(picked), entry)
            for entry, picked in self._known
            if entry.takes_calls and entry.load(picked) < 1 and entry.bridge_id not in self._avoided
        ]
        return [entry for _, entry in sorted(ready, key=lambda pair: (pair[0], pair[1].bridge_id))]

    async def _prepared_by(self, entry: BridgeEntry, ticket: str) -> bool:
        try:
            async with self._http.get(
                f"{entry.control_url}/prepare",
                headers={"Authorization": f"Bearer {ticket}"},
                timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
            ) as answer:
                if answer.status == HTTPStatus.OK:
                    return True
                log.warning("bridge.refused", bridge=entry.bridge_id, status=answer.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("bridge.unreachable", bridge=entry.bridge_id, error=type(error).__name__)
        return False


def _entry_key(bridge_id: str) -> str:
    return f"callwright:bridge:{bridge_id}"


def _picks_key(bridge_id: str) -> str:
    return f"callwright:bridge:{bridge_id}:picks"


def _attempt_key(attempt_id: UUID) -> str:
    return f"callwright:bridge-of:{attempt_id}"


async def _soon(answer: Awaitable[T]) -> T:
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await answer
