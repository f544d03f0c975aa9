"""One process of a supervised child, and its last words, which say why it ended."""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_WORDS_BYTES = 4096
_WORDS_SECONDS = 1.0  # for the rest of an ended process's output to arrive


@dataclass(frozen=True, slots=True)
class Life:
    """A process, when it started (monotonic seconds), and where its output goes: a file or a relay to ours."""

    process: asyncio.subprocess.Process
    started_at: float
    log_file: Path | None
    log_start: int  # bytes the file held before this process
    relay: asyncio.Task[bytes] | None

    async def last_words(self) -> str:
        """The last line the process wrote, once it has ended; empty if it wrote none."""
        written = b""
        if self.log_file is not None:
            with self.log_file.open("rb") as file:
                file.seek(max(self.log_start, self.log_file.stat().st_size - _WORDS_BYTES))
                written = file.read()
        elif self.relay is not None:
            with contextlib.suppress(TimeoutError):
                written = await asyncio.wait_for(self.relay, _WORDS_SECONDS)
        lines = [line.strip() for line in written.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


async def pass_on(source: int) -> bytes:
    """Copies the pipe `source` to our standard error until its other end is closed; returns the last of it."""
    reader = asyncio.StreamReader()
    pipe = os.fdopen(source, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    last = b""
    try:
        while chunk := await reader.read(65_536):
            last = (last + chunk)[-_WORDS_BYTES:]
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()
    except OSError:
        return last  # nobody reads ours any more: closing the pipe tells the child
    finally:
        transport.close()
    return last
