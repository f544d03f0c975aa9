"""Runs the processes of `callwright up` and `callwright demo`, restarts one that dies, and stops them in order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

import aiohttp
import structlog

from callwright.app.childprocess import bound_to_parent

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

Readiness = Callable[[], Awaitable[bool]]
_POLL_SECONDS = 0.05


class SupervisorError(RuntimeError):
    """A child did not become ready in time."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running.

    `env` is its whole environment (None: the supervisor's). It is up once `ready()` is true, or at once without one.
    Its output is appended to `log_file`, or goes where the supervisor's goes.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    ready: Readiness | None = None
    log_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart, in seconds: doubling from `first` to `limit`.

    A child that lived for `healthy_after` starts over at `first`.
    """

    first: float = 1.0
    limit: float = 30.0
    healthy_after: float = 60.0

    def next_delay(self, previous: float | None, lived: float) -> float:
        """The wait after a life of `lived` seconds, `previous` being the wait before it (None for the first life)."""
        if previous is None or lived >= self.healthy_after:
            return self.first
        return min(previous * 2, self.limit)


class ChildState(StrEnum):
    """What happened to a child."""

    STARTED = "started"
    READY = "ready"
    DIED = "died"
    STOPPING = "stopping"
    KILLED = "killed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """One change of one child; as text, a line for a person."""

    name: str
    state: ChildState
    pid: int
    exit_code: int | None = None  # negative: the signal that ended it
    restart_in: float | None = None  # seconds

    def __str__(self) -> str:
        if self.state is ChildState.DIED:
            return f"{self.name} died ({describe_exit(self.exit_code)}), restarting in {self.restart_in:g} s"
        if self.state is ChildState.STOPPED:
            return f"{self.name} stopped ({describe_exit(self.exit_code)})"
        return f"{self.name} {self.state} (pid {self.pid})"


def describe_exit(exit_code: int | None) -> str:
    """`exit code 3`, or the name of the signal for a negative code."""
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def log_event(event: ChildEvent) -> None:
    """Reports an event to the log, a death as a warning."""
    report = log.warning if event.state in (ChildState.DIED, ChildState.KILLED) else log.info
    report(
        f"child.{event.state}",
        child=event.name,
        child_pid=event.pid,
        exit_code=event.exit_code,
        restart_in=event.restart_in,
    )


def http_ready(url: str, *, timeout: float = 2.0) -> Readiness:
    """True while a GET of `url` answers 200 within `timeout` seconds."""

    async def probe() -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
                session.get(url) as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return probe


@dataclass(slots=True)
class _Running:
    """A child with its present process and the task that keeps it running."""

    child: Child
    process: asyncio.subprocess.Process
    started_at: float
    delay: float | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """Starts all children, waits until each is ready; restarts what dies; stops them in reverse order.

    As a context manager it has everything ready on entry and stopped on exit. `run` does the same until a signal.
    Children are sessions of their own, so that Ctrl-C in a terminal reaches only the supervisor, and die with it.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        report: Callable[[ChildEvent], None] = log_event,
        backoff: Backoff | None = None,
        ready_timeout: float = 60.0,
        grace: float = 15.0,
        together: bool = False,
    ) -> None:
        """`ready_timeout` and `grace` (between SIGTERM and SIGKILL, each child) are in seconds.

        `together`: all children are told to end at the same time, not one after the other.
        """
        self._children = children
        self._report = report
        self._backoff = backoff or Backoff()
        self._ready_timeout = ready_timeout
        self._grace = grace
        self._together = together
        self._running: list[_Running] = []
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self._start_all()
        except BaseException:
            await self._stop_all()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_all()

    async def run(self) -> None:
        """Starts everything and returns when all is stopped after SIGTERM, SIGINT or `request_stop`.

        A second signal kills what has not ended yet. Raises `SupervisorError` if a child does not become ready.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop)
        try:
            async with self:
                await self._stop.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Ends `run` in an orderly way; a second call cuts every grace period short."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _start_all(self) -> None:
        for child in self._children:
            if self._stop.is_set():
                return
            running = _Running(child, await self._spawn(child), time.monotonic())
            self._running.append(running)
            running.keeper = asyncio.create_task(self._keep(running), name=f"keep {child.name}")
        for running in self._running:
            await self._wait_up(running)

    async def _wait_up(self, running: _Running) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (running.up, self._stop)]
        try:
            done, _ = await asyncio.wait(waits, timeout=self._ready_timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            code = running.process.returncode
            state = "is running" if code is None else f"ended with {describe_exit(code)}"
            where = f", see {running.child.log_file}" if running.child.log_file else ""
            raise SupervisorError(
                f"{running.child.name} was not ready after {self._ready_timeout:g} s; it {state}{where}"
            )

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        with contextlib.ExitStack() as files:
            output = files.enter_context(child.log_file.open("ab")) if child.log_file else None
            process = await asyncio.create_subprocess_exec(
                *bound_to_parent(child.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if child.env is None else dict(child.env),
                start_new_session=True,
            )
        self._report(ChildEvent(child.name, ChildState.STARTED, process.pid))
        return process

    async def _keep(self, running: _Running) -> None:
        """Watches one child for ever: reports when it is ready, and starts it anew when it dies."""
        child = running.child
        while True:
            probe = asyncio.create_task(self._probe(running))
            try:
                code = await running.process.wait()
            finally:
                probe.cancel()
            _kill_group(running.process.pid)
            lived = time.monotonic() - running.started_at
            running.delay = self._backoff.next_delay(running.delay, lived)
            self._report(ChildEvent(child.name, ChildState.DIED, running.process.pid, code, running.delay))
            await asyncio.sleep(running.delay)
            running.process = await self._spawn(child)
            running.started_at = time.monotonic()

    async def _probe(self, running: _Running) -> None:
        ready = running.child.ready
        while ready is not None and not await ready():
            await asyncio.sleep(_POLL_SECONDS)
        self._report(ChildEvent(running.child.name, ChildState.READY, running.process.pid))
        running.up.set()

    async def _stop_all(self) -> None:
        """Ends the children in reverse order, each after the one started later has gone. No restart from here on."""
        for running in self._running:
            if running.keeper is not None:
                running.keeper.cancel()
                await asyncio.wait([running.keeper])
        if self._together:
            await asyncio.gather(*(self._end(running) for running in self._running))
        else:
            for running in reversed(self._running):
                await self._end(running)
        self._running.clear()

    async def _end(self, running: _Running) -> None:
        process, name = running.process, running.child.name
        if process.returncode is None:
            self._report(ChildEvent(name, ChildState.STOPPING, process.pid))
            process.terminate()
            waits = [asyncio.create_task(process.wait()), asyncio.create_task(self._hurry.wait())]
            await asyncio.wait(waits, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
            waits[1].cancel()
            if not waits[0].done():
                self._report(ChildEvent(name, ChildState.KILLED, process.pid))
        _kill_group(process.pid)
        code = await process.wait()
        self._report(ChildEvent(name, ChildState.STOPPED, process.pid, code))


def _kill_group(leader: int) -> None:
    """Kills what is left of a child's session: itself, and processes it started and did not take with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
