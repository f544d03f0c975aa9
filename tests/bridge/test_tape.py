"""The recording follows consent: silence where it was not allowed, to the sample, and nothing on the disk before it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from callwright.bridge.recorder import HEADER_BYTES
from callwright.bridge.tape import Tape

PERSON, AGENT, SILENCE = b"\x11", b"\x22", b"\xff"


@pytest.fixture
def disk() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as disk:
        yield disk


class Talk:
    """Both sides make a sound all the time; every frame is 20 ms."""

    def __init__(self, path: Path, disk: ThreadPoolExecutor) -> None:
        self.tape = Tape(path, disk, structlog.get_logger("test"))
        self.at_ms = 0

    def goes_on(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.tape.agent(self.at_ms, AGENT * 160)
            self.tape.person(self.at_ms, PERSON * 160)
            self.at_ms += 20

    async def channels(self) -> tuple[bytes, bytes]:
        path = await self.tape.close(self.at_ms)
        assert path is not None
        data = path.read_bytes()[HEADER_BYTES:]
        return data[0::2], data[1::2]


def stretches(channel: bytes, sound: bytes) -> list[tuple[int, int]]:
    """Where the channel holds the sound, in ms; everything else must be silence."""
    assert set(channel) <= {sound[0], SILENCE[0]}
    edges = [n for n in range(len(channel) + 1) if (channel[n - 1 : n] == sound) != (channel[n : n + 1] == sound)]
    return [(start // 8, stop // 8) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


async def test_a_pause_is_silence_on_both_sides_and_time_goes_on(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    talk = Talk(tmp_path / "a.wav", disk)
    talk.tape.record(0, on=True)
    talk.goes_on(5_000)
    talk.tape.record(talk.at_ms, on=False)
    talk.goes_on(7_000)
    talk.tape.record(talk.at_ms, on=True)
    talk.goes_on(1_000)
    talk.tape.record(talk.at_ms, on=False)
    talk.goes_on(500)
    left, right = await talk.channels()
    assert stretches(left, PERSON) == stretches(right, AGENT) == [(0, 5_000), (12_000, 13_000)]
    assert len(left) == len(right) == talk.at_ms * 8
    assert talk.tape.duration_ms == talk.at_ms


async def test_what_is_still_to_play_when_consent_goes_is_not_kept(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    talk = Talk(tmp_path / "a.wav", disk)
    talk.tape.record(0, on=True)
    talk.tape.agent(0, AGENT * 8 * 4_000)
    for at_ms in range(0, 6_000, 20):
        if at_ms == 1_000:
            talk.tape.record(at_ms, on=False)
        if at_ms == 3_000:
            talk.tape.record(at_ms, on=True)
        talk.tape.person(at_ms, SILENCE * 160)
    talk.at_ms = 6_000
    _, right = await talk.channels()
    assert stretches(right, AGENT) == [(0, 1_000), (3_000, 4_000)]


async def test_consent_that_comes_late_begins_the_file_late(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    talk = Talk(tmp_path / "a.wav", disk)
    talk.tape.record(0, on=False)
    talk.goes_on(200_000)
    assert list(tmp_path.iterdir()) == []
    talk.tape.record(talk.at_ms, on=True)
    talk.goes_on(3_000)
    left, right = await talk.channels()
    assert stretches(left, PERSON) == stretches(right, AGENT) == [(200_000, 203_000)]


async def test_without_consent_there_is_no_file(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    talk = Talk(tmp_path / "a.wav", disk)
    talk.tape.record(0, on=False)
    talk.goes_on(3_000)
    assert await talk.tape.close(talk.at_ms) is None
    assert (list(tmp_path.iterdir()), talk.tape.duration_ms) == ([], 0)


async def test_a_disk_that_fails_costs_the_recording_only(tmp_path: Path, disk: ThreadPoolExecutor) -> None:
    (tmp_path / "file").touch()
    talk = Talk(tmp_path / "file" / "a.wav", disk)
    talk.tape.record(0, on=True)
    talk.goes_on(20_000)
    assert await talk.tape.close(talk.at_ms) is None
