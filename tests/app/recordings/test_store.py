"""Recordings are kept whole, read in ranges, and found missing without an error."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.recordings.store import RecordingStore, StoredAudio
from callwright.app.settings import Settings

# Larger than one part of a multipart upload, and no multiple of anything.
AUDIO = bytes(range(251)) * 24_001


def store_in(folder: Path) -> RecordingStore:
    return RecordingStore(Settings(_env_file=None, data_dir=folder))


async def everything(audio: StoredAudio | None) -> bytes:
    assert audio is not None
    return b"".join([chunk async for chunk in audio.chunks])


@pytest.fixture
async def stored(tmp_path: Path) -> RecordingStore:
    store, file = store_in(tmp_path / "data"), tmp_path / "spool.wav"
    file.write_bytes(AUDIO)
    assert await store.put("call/attempt.wav", file) == len(AUDIO)
    return store


async def test_gives_back_what_was_put(stored: RecordingStore, tmp_path: Path) -> None:
    assert await everything(await stored.read("call/attempt.wav")) == AUDIO
    assert (tmp_path / "data" / "recordings" / "call" / "attempt.wav").stat().st_size == len(AUDIO)


@profile(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(ends=st.tuples(st.integers(0, len(AUDIO)), st.integers(0, len(AUDIO))).filter(lambda pair: pair[0] != pair[1]))
async def test_reads_any_range(stored: RecordingStore, ends: tuple[int, int]) -> None:
    start, end = sorted(ends)
    assert await everything(await stored.read("call/attempt.wav", start, end)) == AUDIO[start:end]


async def test_a_second_put_replaces(stored: RecordingStore, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(b"short")
    await stored.put("call/attempt.wav", other)
    assert await everything(await stored.read("call/attempt.wav")) == b"short"


async def test_what_is_gone_is_none_and_may_be_deleted_again(stored: RecordingStore) -> None:
    await stored.delete("call/attempt.wav")
    await stored.delete("call/attempt.wav")
    assert await stored.size("call/attempt.wav") is None
    assert await stored.read("call/attempt.wav") is None


async def test_a_missing_file_is_told(stored: RecordingStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await stored.put("call/another.wav", tmp_path / "nothing.wav")


@pytest.mark.parametrize("url", ["nonsense", "ftp://host/place", "s3://"])
def test_an_unusable_url_is_told_without_its_text(tmp_path: Path, url: str) -> None:
    with pytest.raises(CallwrightError) as raised:
        RecordingStore(Settings(_env_file=None, data_dir=tmp_path, recordings_url=url))
    assert raised.value.code is ErrorCode.CONFIGURATION
    assert url not in raised.value.message


def test_an_s3_bucket_needs_no_connection_to_be_named(tmp_path: Path) -> None:
    RecordingStore(Settings(_env_file=None, data_dir=tmp_path, recordings_url="s3://bucket/recordings"))
    assert not (tmp_path / "recordings").exists()
