"""The recording: header, alignment, gaps, cuts, a slow disk, a crash."""

import asyncio
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.bridge.recorder import HEADER_BYTES, Recorder, SpoolFile

FRAME = 160


class Tape:
    """Collects what the recorder hands on; channels as bytes, one byte a sample."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.recorder = Recorder(self.data.extend)

    def person(self, frame: int, byte: int) -> None:
        self.recorder.person(frame * 20, bytes((byte,)) * FRAME)

    @property
    def left(self) -> bytes:
        return bytes(self.data[0::2])

    @property
    def right(self) -> bytes:
        return bytes(self.data[1::2])


def read_wav(path: Path) -> tuple[int, int, int, bytes]:
    """Format tag, channels, samples a channel by the `fact` chunk, data as far as the header says."""
    raw = path.read_bytes()
    riff, size, wave = struct.unpack_from("<4sI4s", raw)
    assert (riff, wave) == (b"RIFF", b"WAVE")
    assert size <= len(raw) - 8
    at, chunks = 12, {}
    while at < size + 8:
        name, length = struct.unpack_from("<4sI", raw, at)
        chunks[name] = raw[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    tag, channels, rate, byte_rate, align, bits, extra = struct.unpack("<HHIIHHH", chunks[b"fmt "])
    assert (rate, byte_rate, align, bits, extra) == (8_000, 16_000, 2, 8, 0)
    return tag, channels, struct.unpack("<I", chunks[b"fact"])[0], chunks[b"data"]


def test_both_sides_lie_where_they_were_heard() -> None:
    tape = Tape()
    for frame in range(300):
        if frame == 100:
            tape.recorder.agent(2_000, b"\x11" * 1_600)  # 200 ms in one burst
            tape.recorder.agent(2_000, b"\x22" * 800)
        tape.person(frame, 0x30)
    tape.recorder.close(6_000)
    assert tape.left == b"\x30" * 48_000
    assert tape.right == b"\xff" * 16_000 + b"\x11" * 1_600 + b"\x22" * 800 + b"\xff" * 29_600
    assert tape.recorder.duration_ms == 6_000


def test_a_gap_of_the_line_is_silence() -> None:
    tape = Tape()
    tape.person(0, 0x30)
    tape.person(200, 0x31)
    tape.recorder.close(4_020)
    assert tape.left == b"\x30" * FRAME + b"\xff" * (199 * FRAME) + b"\x31" * FRAME


def test_audio_that_began_late_lies_where_it_was_heard() -> None:
    tape = Tape()
    tape.recorder.agent(0, b"\x10" * 800)
    for frame in range(100):
        if frame == 50:
            tape.recorder.agent(1_000, b"\x11" * 1_600)
            tape.recorder.agent(1_000, b"\x12" * 1_600)
        if frame == 59:
            tape.recorder.delay(180)  # the phone was that far away
        tape.person(frame, 0x30)
    tape.recorder.close(2_000)
    assert tape.right == (
        b"\x10" * 800 + b"\xff" * (1_180 * 8 - 800) + b"\x11" * 1_600 + b"\x12" * 1_600 + b"\xff" * (420 * 8)
    )


def test_what_was_cleared_was_not_heard() -> None:
    tape = Tape()
    for frame in range(50):
        tape.person(frame, 0x30)
    tape.recorder.agent(1_000, b"\x11" * 16_000)
    for frame in range(50, 75):
        tape.person(frame, 0x30)
    tape.recorder.cut(1_500)
    tape.recorder.agent(1_500, b"\x22" * 1_600)
    for frame in range(75, 100):
        tape.person(frame, 0x30)
    tape.recorder.close(2_000)
    assert tape.right[8_000:] == b"\x11" * 4_000 + b"\x22" * 1_600 + b"\xff" * 2_400


def test_what_had_not_played_when_the_line_ended_was_not_heard() -> None:
    tape = Tape()
    tape.recorder.agent(0, b"\x11" * 80_000)
    for frame in range(10):
        tape.person(frame, 0x30)
    tape.recorder.close(200)
    assert tape.right == b"\x11" * 1_600


def test_a_broken_timestamp_costs_one_frame_not_the_memory() -> None:
    tape = Tape()
    tape.person(0, 0x30)
    tape.recorder.person(10**12, b"\x31" * FRAME)
    tape.person(1, 0x32)
    tape.recorder.close(40)
    assert tape.left == b"\x30" * FRAME + b"\x32" * FRAME


@given(
    st.lists(
        st.tuples(st.sampled_from(["person", "agent", "cut", "skip", "old", "late"]), st.integers(0, 3_000)),
        max_size=80,
    )
)
def test_channels_stay_as_long_as_the_stream(steps: list[tuple[str, int]]) -> None:
    tape, at_ms, end = Tape(), 0, 0
    for step, value in steps:
        if step == "person":
            tape.recorder.person(at_ms, b"\x30" * FRAME)
            at_ms += 20
            end = at_ms
        elif step == "agent":
            tape.recorder.agent(at_ms, b"\x11" * value)
        elif step == "cut":
            tape.recorder.cut(at_ms)
        elif step == "late":
            tape.recorder.delay(value)
        elif step == "old":
            start, length = max(0, at_ms - value), min(FRAME, 8 * min(value, at_ms))
            tape.recorder.person(start, b"\x31" * length)
            end = max(end, start + length // 8) if length else end
        else:
            at_ms += value
    tape.recorder.close(at_ms)
    assert len(tape.left) == len(tape.right) == end * 8
    assert tape.recorder.duration_ms == end


def test_the_file_is_a_stereo_mulaw_wav(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as disk:
        spool = SpoolFile(tmp_path / "deep" / "call.wav", disk)
        for number in range(3):
            spool.write(bytes((number,)) * 32_000)
        path = spool.close().result(5)
    assert read_wav(path) == (7, 2, 48_000, b"\x00" * 32_000 + b"\x01" * 32_000 + b"\x02" * 32_000)


def test_a_crash_leaves_a_valid_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as disk:
        spool = SpoolFile(tmp_path / "call.wav", disk)
        spool.write(b"\x05" * 32_000)
        disk.submit(lambda: None).result(5)
        torn = tmp_path / "torn.wav"
        torn.write_bytes((tmp_path / "call.wav").read_bytes() + b"\x06" * 1_234)  # data came, its header did not
        assert read_wav(torn) == (7, 2, 16_000, b"\x05" * 32_000)
        spool.close().result(5)
    assert HEADER_BYTES == 58


def test_a_disk_that_falls_behind_costs_silence_of_the_same_length(tmp_path: Path) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as disk:
        disk.submit(gate.wait)
        spool = SpoolFile(tmp_path / "call.wav", disk)
        for number in range(20):
            spool.write(bytes((number,)) * 100)
        gate.set()
        path = spool.close().result(5)
    _, _, samples, data = read_wav(path)
    assert samples == 1_000
    assert data == b"".join(bytes((n,)) * 100 for n in range(7)) + b"\xff" * 1_300
    assert spool.dropped_bytes == 1_300


async def test_a_disk_that_fails_brings_its_error_at_the_end_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with ThreadPoolExecutor(1) as disk:
        spool = SpoolFile(tmp_path / "file" / "call.wav", disk)
        for _ in range(10):
            spool.write(b"\x05" * 100)
        future = spool.close()
        with pytest.raises(OSError, match="file"):
            await asyncio.wrap_future(future)
