"""The recording of one call as consent allows: starts, stops and resumes, with silence where it was not allowed."""

import asyncio
from concurrent.futures import Executor
from pathlib import Path

import structlog

from callwright.bridge.recorder import Recorder, SpoolFile


class Tape:
    """Nothing exists on the disk before the first `record(True)`. Times are stream milliseconds."""

    def __init__(self, path: Path, disk: Executor, log: structlog.stdlib.BoundLogger) -> None:
        self._path = path
        self._disk = disk
        self._log = log
        self._spool: SpoolFile | None = None
        self._recorder: Recorder | None = None
        self.dropped_bytes = 0

    @property
    def duration_ms(self) -> int:
        return self._recorder.duration_ms if self._recorder is not None else 0

    def record(self, at_ms: int, *, on: bool) -> None:
        """Records from `at_ms` on, or keeps silence in its place."""
        if self._recorder is not None:
            self._recorder.mute(at_ms, on=not on)
        elif on:
            self._spool = SpoolFile(self._path, self._disk)
            self._recorder = Recorder(self._spool.write)
            self._spool.silence(self._recorder.skip(at_ms))

    def person(self, start_ms: int, audio: bytes) -> None:
        if self._recorder is not None:
            self._recorder.person(start_ms, audio)

    def agent(self, at_ms: int, audio: bytes) -> None:
        if self._recorder is not None:
            self._recorder.agent(at_ms, audio)

    def delay(self, late_ms: int) -> None:
        if self._recorder is not None:
            self._recorder.delay(late_ms)

    def cut(self, at_ms: int) -> None:
        if self._recorder is not None:
            self._recorder.cut(at_ms)

    async def close(self, at_ms: int) -> Path | None:
        """Ends the recording; None when there is none or the disk failed."""
        if self._recorder is None or self._spool is None:
            return None
        try:
            self._recorder.close(at_ms)
            return await asyncio.wrap_future(self._spool.close())
        except OSError as error:
            self._log.error("recording_failed", error=type(error).__name__)
            return None
        finally:
            self.dropped_bytes = self._spool.dropped_bytes
