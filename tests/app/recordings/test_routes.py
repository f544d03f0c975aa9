"""Recordings over HTTP, on a real server: links, ranges, refusals."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy import update
from sqlmodel import col
from starlette.applications import Starlette

from callwright.app.calls.lifecycle import AttemptStatus, CallStatus
from callwright.app.database.sessions import Database
from callwright.app.events.live import LiveEvents
from callwright.app.recordings.links import sign
from callwright.app.recordings.models import Recording
from callwright.app.recordings.routes import ByteRange, Unsatisfiable, routes, wanted_range
from callwright.app.recordings.store import RecordingStore
from callwright.app.settings import Settings
from callwright.app.state import AppState
from callwright.app.telephony.bridges import BridgeFleet, BridgeRegistry
from callwright.app.telephony.twilio_carrier import TwilioCarrier
from tests.conftest import SettableClock
from tests.world import World

AUDIO = b"RIFF" + bytes(range(256)) * 400


@dataclass(frozen=True, slots=True)
class Site:
    """A running server with one recording."""

    state: AppState
    recording: Recording
    session: aiohttp.ClientSession

    @property
    def link(self) -> str:
        return sign(self.recording.id, self.state.clock.now(), self.state.settings).url

    async def get(self, url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        async with self.session.get(url, headers=headers) as response:
            return response.status, dict(response.headers), await response.read()


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[str]:
    # Listening before the server starts: whoever comes early waits in the backlog.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def site(
    settings: Settings, database: Database, clock: SettableClock, world: World, tmp_path: Path
) -> AsyncIterator[Site]:
    call = await world.call(status=CallStatus.COMPLETED)
    attempt = await world.attempt(call, status=AttemptStatus.COMPLETED)
    store, file = RecordingStore(settings), tmp_path / "call.wav"
    file.write_bytes(AUDIO)
    recording = Recording(
        call_id=call.id, attempt_id=attempt.id, object_key="a/b.wav", duration_ms=1000, size_bytes=len(AUDIO)
    )
    await store.put(recording.object_key, file)
    async with database.system() as session:
        session.add(recording)
    assert settings.redis_url is not None
    app = Starlette(routes=routes())
    async with Redis.from_url(settings.redis_url) as redis, running(app) as url, aiohttp.ClientSession() as client:
        public = settings.model_copy(update={"public_url": url})
        carrier = TwilioCarrier(public)
        bridges = BridgeFleet(BridgeRegistry(redis), None, client, public.bridge_stream_url)
        app.state.callwright = AppState(public, database, clock, carrier, LiveEvents(redis), store, bridges)
        yield Site(app.state.callwright, recording, client)
        await carrier.close()


async def test_plays_and_downloads(site: Site) -> None:
    status, headers, body = await site.get(site.link)
    assert (status, body) == (200, AUDIO)
    assert headers["Content-Type"] == "audio/wav"
    assert headers["Content-Length"] == str(len(AUDIO))
    assert headers["Accept-Ranges"] == "bytes"
    assert "no-store" in headers["Cache-Control"]
    assert headers["Content-Disposition"].startswith("inline;")
    status, headers, body = await site.get(f"{site.link}&download=1")
    assert (status, body) == (200, AUDIO)
    assert headers["Content-Disposition"] == f'attachment; filename="call-{site.recording.call_id}.wav"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=102000-", 102000, len(AUDIO)), ("bytes=-4", -4, None)],
)
async def test_seeks(site: Site, asked: str, start: int, end: int | None) -> None:
    status, headers, body = await site.get(site.link, Range=asked)
    assert (status, body) == (206, AUDIO[start:end])
    first = start % len(AUDIO)
    assert headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(AUDIO)}"


async def test_a_range_outside_is_416(site: Site) -> None:
    status, headers, _ = await site.get(site.link, Range=f"bytes={len(AUDIO)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(AUDIO)}")


async def test_head_tells_the_size_alone(site: Site) -> None:
    async with site.session.head(site.link) as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(AUDIO))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda link: link.split("?")[0],
        lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
        lambda link: link.replace("expires=", "expires=9"),
        lambda link: link.replace("expires=", "expires=-"),
        lambda link: link + "&expires=99999999999",
    ],
)
async def test_a_spoiled_link_is_refused(site: Site, spoil: object) -> None:
    assert callable(spoil)
    status, headers, body = await site.get(spoil(site.link))
    assert status == 403
    assert b"RIFF" not in body
    assert "no-store" in headers["Cache-Control"]


async def test_a_link_dies_after_an_hour(site: Site, clock: SettableClock) -> None:
    link = site.link
    clock.advance(timedelta(hours=1, seconds=1).total_seconds())
    assert (await site.get(link))[0] == 403
    assert (await site.get(site.link))[0] == 200


async def test_a_deleted_recording_is_gone_even_for_holders_of_a_link(site: Site) -> None:
    link = site.link
    async with site.state.database.system() as session:
        await session.execute(
            update(Recording).where(col(Recording.id) == site.recording.id).values(deleted_at=site.state.clock.now())
        )
    assert (await site.get(link))[0] == 404


async def test_missing_audio_is_404(site: Site) -> None:
    await site.state.recordings.delete(site.recording.object_key)
    assert (await site.get(site.link))[0] == 404


@pytest.mark.parametrize("header", [None, "", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "items=0-1", "bytes=a-b"])
def test_what_is_no_single_range_gives_the_whole(header: str | None) -> None:
    assert wanted_range(header, 10) is None


@given(header=st.from_regex(r"bytes=\d{0,4}-\d{0,4}", fullmatch=True), size=st.integers(0, 2000))
def test_a_range_lies_within_the_recording(header: str, size: int) -> None:
    try:
        wanted = wanted_range(header, size)
    except Unsatisfiable:
        return
    assert wanted is None or 0 <= wanted.start < wanted.end <= size
    assert wanted != ByteRange(0, 0)
