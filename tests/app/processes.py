"""Helpers to start Python programs from tests and to wait for the end of any process."""

import os
import select
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


@contextmanager
def watch(pid: int) -> Iterator[select.poll]:
    """Watches a process by a handle that no later process of the same pid can be mistaken for."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        yield poll
    finally:
        os.close(handle)


def ended(watched: select.poll, timeout: float = 30.0) -> bool:
    """Whether the watched process ends within `timeout` seconds."""
    return bool(watched.poll(timeout * 1000))
