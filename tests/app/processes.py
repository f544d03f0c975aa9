"""Helpers to start Python programs from tests and to wait for the end of any process."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def python(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `program`, with pipes for its input and output, and kills it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line the program prints."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the program ended without saying anything"
    return line


class Watched:
    """A process held by a handle, so that no later process with the same pid is mistaken for it."""

    def __init__(self, pid: int) -> None:
        self._handle = os.pidfd_open(pid)
        self._poll = select.poll()
        self._poll.register(self._handle, select.POLLIN)

    def ended(self, timeout: float = 30.0) -> bool:
        """Whether it ends within `timeout` seconds."""
        return bool(self._poll.poll(timeout * 1000))

    def kill(self) -> None:
        signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        os.close(self._handle)


@contextmanager
def watch(pid: int) -> Iterator[Watched]:
    """Watches the process `pid` for the time of the block."""
    watched = Watched(pid)
    try:
        yield watched
    finally:
        watched.close()
