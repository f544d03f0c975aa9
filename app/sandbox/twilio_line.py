"""The phone line of an answered call.

A `Line` lives from pickup to hang-up: every 20 ms of simulated time the callee hears what the far end plays, and the
far end gets what the callee says. The far end is a `MediaStream`, words of a `<Say>`, another callee (`<Dial>`), or
silence.
"""

import asyncio
import contextlib
import math
from collections.abc import Iterator
from typing import Protocol

from callwright.app.sandbox.callee import FRAME_BYTES, FRAME_MS, SILENT, Callee, Step
from callwright.app.sandbox.twilio_tape import Tape
from callwright.app.sandbox.twilio_wire import SimClock


class FarEnd(Protocol):
    """Whatever is at the other end of the callee's line."""

    def exchange(self, said: Step) -> bytes:
        """Takes 20 ms of what the callee said, gives the 160 bytes it hears next."""
        ...


class Line:
    """The audio of one answered call on an absolute 20 ms clock."""

    def __init__(self, callee: Callee, clock: SimClock, tape: Tape | None) -> None:
        self.callee = callee
        self.tape = tape
        self.far_end: FarEnd | None = None
        self.frames = 0
        self._clock = clock
        self._stopped = False
        self._running = asyncio.Event()
        self._running.set()

    @property
    def ms(self) -> int:
        """Simulated milliseconds since pickup."""
        return self.frames * FRAME_MS

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The customer's server is being asked.

        It answers in wall time, so a line that runs faster than real time stands still meanwhile; otherwise the
        person's "Hello?" would be over before the media socket is open.
        """
        if self._clock.speed > 1:
            self._running.clear()
        try:
            yield
        finally:
            self._running.set()

    def stop(self) -> None:
        self._stopped = True
        self._running.set()

    async def run(self, limit_seconds: int) -> bool:
        """Lives until the callee hangs up (True), the line is stopped or the limit is reached (False)."""
        start = self._clock.now_ms()
        said = Step(SILENT, "", False)
        try:
            while not self._stopped and self.ms < limit_seconds * 1000:
                if not self._running.is_set():
                    await self._running.wait()
                    start = self._clock.now_ms() - self.ms
                heard = SILENT if self.far_end is None else self.far_end.exchange(said)
                said = self.callee.step(heard)
                if self.tape is not None:
                    self.tape.write(said.audio, heard)
                self.frames += 1
                if said.hung_up:
                    return True
                await self._clock.sleep_until(start + self.ms)
            return False
        finally:
            self.callee.finish()


class Spoken:
    """The far end of `<Say>`: plays one piece of audio, then silence; `done` is set when it was played."""

    def __init__(self, audio: bytes) -> None:
        self._audio = audio
        self._at = 0
        self.done = asyncio.Event()

    def exchange(self, said: Step) -> bytes:
        frame = self._audio[self._at : self._at + FRAME_BYTES]
        self._at += FRAME_BYTES
        if self._at >= len(self._audio):
            self.done.set()
        return frame.ljust(FRAME_BYTES, b"\xff")


class Transferred:
    """The far end of `<Dial>`: the person the call was handed to; `done` is set when they hang up."""

    def __init__(self, callee: Callee) -> None:
        self.callee = callee
        self.done = asyncio.Event()

    @property
    def seconds(self) -> int:
        return math.ceil(self.callee.now_ms / 1000)

    def exchange(self, said: Step) -> bytes:
        if self.done.is_set():
            return SILENT
        theirs = self.callee.step(said.audio)
        if theirs.hung_up:
            self.done.set()
        return theirs.audio
