"""The recording of a call: person left, agent right as heard, mu-law WAV, laid out by stream time and spooled to disk.

Memory is bounded: the person's last two seconds, the agent's audio still waiting at the phone, and a few blocks on
their
way to the disk. A disk that falls behind costs silence in the recording, never a pause in the talk.
"""

import os
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

_SAMPLES_PER_MS = 8
_BLOCK = 16_000  # samples a channel: 2 s
_SILENCE = 0xFF
_SETTLING = 8_000  # samples: how late the phone may tell that audio began late
_LONGEST_GAP = 120_000 * _SAMPLES_PER_MS  # a timestamp further ahead is a broken one, not a gap
_FOREVER = 1 << 62
_PENDING_BLOCKS = 8  # 16 s of audio waiting for the disk
_HEADER = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")
HEADER_BYTES = _HEADER.size


def wav_header(data_bytes: int) -> bytes:
    """A RIFF header for stereo mu-law (format tag 7) with the `fact` chunk that compressed formats need."""
    return _HEADER.pack(
        b"RIFF",
        HEADER_BYTES - 8 + data_bytes,
        b"WAVE",
        b"fmt ",
        18,
        7,
        2,
        8_000,
        16_000,
        2,
        8,
        0,
        b"fact",
        4,
        data_bytes // 2,
        b"data",
        data_bytes,
    )


class Recorder:
    """Lays both channels out by stream time and hands finished stereo blocks to `sink`."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._base = 0  # stream position (samples) of the first byte not yet handed on
        self._left = bytearray()
        self._right: deque[tuple[int, bytes]] = deque()  # (position, audio), in order, not overlapping
        self._right_end = 0
        self._burst = 0  # where the audio begins that was sent to the idle phone last
        self._muted: deque[tuple[int, int]] = deque()  # positions from and to which nothing may be kept, in order

    @property
    def duration_ms(self) -> int:
        return (self._base + len(self._left)) // _SAMPLES_PER_MS

    def person(self, start_ms: int, audio: bytes) -> None:
        """A frame from the phone at its own timestamp; what was lost before it is silence."""
        offset = start_ms * _SAMPLES_PER_MS - self._base
        if offset < 0:  # older than what is on its way to the disk
            audio = audio[-offset:]
            offset = 0
        if not audio:
            return
        gap = offset - len(self._left)
        if gap > _LONGEST_GAP:
            return
        if gap > 0:
            self._left += bytes((_SILENCE,)) * gap
        self._left[offset : offset + len(audio)] = audio
        while len(self._left) >= _BLOCK + _SETTLING:
            self._hand_on(_BLOCK)

    def agent(self, at_ms: int, audio: bytes) -> None:
        """Audio sent to the phone at stream time `at_ms`: it plays when what was sent before it has played."""
        position = max(at_ms * _SAMPLES_PER_MS, self._right_end)
        if position > self._right_end or not self._right:
            self._burst = position
        self._right.append((position, audio))
        self._right_end = position + len(audio)

    def delay(self, late_ms: int) -> None:
        """The agent's audio sent to the idle phone last began this much later; so did all that follows it."""
        shift = late_ms * _SAMPLES_PER_MS
        self._right = deque((at + shift if at >= self._burst else at, audio) for at, audio in self._right)
        self._right_end += shift

    def skip(self, to_ms: int) -> int:
        """Before anything else: the recording begins at `to_ms`. Returns the bytes of silence that belong before it."""
        self._base = to_ms * _SAMPLES_PER_MS
        return 2 * self._base

    def mute(self, at_ms: int, *, on: bool) -> None:
        """From `at_ms` on both channels are silent, whatever comes, or (`on` false) are kept again."""
        position = at_ms * _SAMPLES_PER_MS
        if on:
            self._muted.append((position, _FOREVER))
        elif self._muted and self._muted[-1][1] == _FOREVER:
            self._muted[-1] = (self._muted[-1][0], position)

    def cut(self, at_ms: int) -> None:
        """The phone was cleared: what had not played was not heard."""
        end = max(at_ms * _SAMPLES_PER_MS, self._base)
        while self._right and self._right[-1][0] >= end:
            self._right.pop()
        if self._right:
            position, audio = self._right[-1]
            self._right[-1] = (position, audio[: end - position])
        self._right_end = min(self._right_end, end)

    def close(self, at_ms: int) -> None:
        """The line ended at `at_ms`: hands on what is left."""
        self.cut(at_ms)
        if self._left:
            self._hand_on(len(self._left))

    def _hand_on(self, length: int) -> None:
        end = self._base + length
        right = bytearray((_SILENCE,)) * length
        while self._right and self._right[0][0] < end:
            position, audio = self._right.popleft()
            if position + len(audio) > end:
                self._right.appendleft((end, audio[end - position :]))
                audio = audio[: end - position]
            start = position - self._base
            right[start : start + len(audio)] = audio
        block = bytearray(2 * length)
        block[0::2] = self._left[:length]
        block[1::2] = right
        self._silence_muted(block)
        del self._left[:length]
        self._base = end
        self._sink(bytes(block))

    def _silence_muted(self, block: bytearray) -> None:
        length = len(block) // 2
        for start, stop in self._muted:
            first, last = max(0, start - self._base), min(length, stop - self._base)
            if first < last:
                block[2 * first : 2 * last] = bytes((_SILENCE,)) * 2 * (last - first)
        while self._muted and self._muted[0][1] <= self._base + length:
            self._muted.popleft()


class SpoolFile:
    """A WAV file written by `executor` (one thread, so in order); its header is valid after every block.

    When the disk falls behind by 16 s, blocks are replaced by silence of their length.
    """

    def __init__(self, path: Path, executor: Executor) -> None:
        self._path = path
        self._executor = executor
        self._pending: deque[Future[None]] = deque()
        self._owed = 0  # bytes of silence that stand for dropped blocks
        self._fd = -1
        self._data_bytes = 0
        self._error: OSError | None = None  # the disk's first; nothing is written after it
        self.dropped_bytes = 0
        self._submit(self._open)

    def write(self, block: bytes) -> None:
        while self._pending and self._pending[0].done():
            self._pending.popleft()
        if len(self._pending) >= _PENDING_BLOCKS:
            self._owed += len(block)
            self.dropped_bytes += len(block)
            return
        owed, self._owed = self._owed, 0
        self._submit(lambda: self._append(owed, block))

    def silence(self, size: int) -> None:
        """Bytes of silence, to be written with the next block."""
        self._owed += size

    def close(self) -> Future[Path]:
        """Ends the file; the future brings its path, or the disk's error."""
        owed, self._owed = self._owed, 0
        return self._executor.submit(self._finish, owed)

    def _submit(self, job: Callable[[], None]) -> None:
        self._pending.append(self._executor.submit(self._attempt, job))

    def _attempt(self, job: Callable[[], None]) -> None:
        if self._error is None:
            try:
                job()
            except OSError as error:
                self._error = error

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, wav_header(0), 0)

    def _append(self, owed: int, block: bytes) -> None:
        for piece in (bytes((_SILENCE,)) * owed, block):
            self._write_all(piece)
        # After the data: a crash in between leaves a header that is too short by a block, which is still valid.
        os.pwrite(self._fd, wav_header(self._data_bytes), 0)

    def _write_all(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            written = os.pwrite(self._fd, view, HEADER_BYTES + self._data_bytes)
            self._data_bytes += written
            view = view[written:]

    def _finish(self, owed: int) -> Path:
        self._attempt(lambda: self._append(owed, b""))
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._error is not None:
            raise self._error
        return self._path
