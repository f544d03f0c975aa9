"""Runs the processes of `callwright up` and `callwright demo`, restarts one that dies, and stops them in order."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeVar

import aiohttp
import structlog

from callwright.app.childlife import Life, pass_on
from callwright.app.childprocess import bound_to_parent
from callwright.app.errors import ToldError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")
Readiness = Callable[[], Awaitable[bool]]
_POLL_SECONDS = 0.05
_CONFIGURATION_EXIT = 2  # what a process of ours ends with when trying again cannot help
_LIVES_BEFORE_READY = 3


class SupervisorError(ToldError):
    """A child cannot be brought up, or not in time; the message says which, and its last words."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running.

    `env` is its whole environment (None: the supervisor's). It is up once `ready()` is true, or at once without one.
    Its output is appended to `log_file`, which only its owner may read, or goes where the supervisor's goes. `address`
    is the host and port it will listen on: whoever has them already would answer `ready` in its place.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    ready: Readiness | None = None
    log_file: Path | None = None
    address: tuple[str, int] | None = None


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
    restart_in: float | None = None  # seconds; None: not again

    def __str__(self) -> str:
        if self.state is ChildState.DIED:
            again = "" if self.restart_in is None else f", restarting in {self.restart_in:g} s"
            return f"{self.name} died ({describe_exit(self.exit_code)}){again}"
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
    life: Life
    lives: int = 1
    delay: float | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    keeper: asyncio.Task[None] | None = None

    @property
    def was_ready(self) -> bool:
        """True once its probe said so; never without a probe."""
        return self.child.ready is not None and self.up.is_set()


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
        self._failed = asyncio.Event()
        self._failure: SupervisorError | None = None

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

        A second signal kills what has not ended yet. Raises `SupervisorError` if a child cannot be brought up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop)
        try:
            async with self:
                await self.during(self._stop.wait())
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Ends `run` in an orderly way; a second call cuts every grace period short."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def during(self, work: Coroutine[object, object, T]) -> T:
        """The result of `work`, which is cancelled with a `SupervisorError` when a child is given up meanwhile."""
        task = asyncio.create_task(work)
        failed = asyncio.create_task(self._failed.wait())
        try:
            await asyncio.wait((task, failed), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and self._failure is not None:
                raise self._failure
            return await task
        finally:
            task.cancel()
            failed.cancel()
            await asyncio.wait((task, failed))

    async def _start_all(self) -> None:
        for child in self._children:
            _require_free(child)
        for child in self._children:
            if self._stop.is_set():
                return
            running = _Running(child, await self._spawn(child))
            self._running.append(running)
            running.keeper = asyncio.create_task(self._keep(running), name=f"keep {child.name}")
        for running in self._running:
            await self._wait_up(running)

    async def _wait_up(self, running: _Running) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (running.up, self._stop, self._failed)]
        try:
            done, _ = await asyncio.wait(waits, timeout=self._ready_timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._failure is not None:
            raise self._failure
        if not done:
            code = running.life.process.returncode
            state = "is running" if code is None else f"ended with {describe_exit(code)}"
            where = f", see {running.child.log_file}" if running.child.log_file else ""
            raise SupervisorError(
                f"{running.child.name} was not ready after {self._ready_timeout:g} s; it {state}{where}"
            )

    async def _spawn(self, child: Child) -> Life:
        log_start, relay = 0, None
        with contextlib.ExitStack() as files:
            output = errors = None
            if child.log_file is not None:
                child.log_file.touch(mode=0o600)
                log_start = child.log_file.stat().st_size
                output = errors = files.enter_context(child.log_file.open("ab")).fileno()
            else:
                source, errors = os.pipe()
                files.callback(os.close, errors)
                relay = asyncio.create_task(pass_on(source), name=f"output of {child.name}")
            process = await asyncio.create_subprocess_exec(
                *bound_to_parent(child.argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=None if child.env is None else dict(child.env),
                start_new_session=True,
            )
        self._report(ChildEvent(child.name, ChildState.STARTED, process.pid))
        return Life(process, time.monotonic(), child.log_file, log_start, relay)

    async def _keep(self, running: _Running) -> None:
        """Watches one child: reports when it is ready, starts it anew when it dies, until that cannot help."""
        child = running.child
        try:
            while True:
                life = running.life
                probe = asyncio.create_task(self._probe(running, life))
                try:
                    code = await life.process.wait()
                finally:
                    probe.cancel()
                _kill_group(life.process.pid)
                await self._give_up_if_hopeless(running, code)
                running.delay = self._backoff.next_delay(running.delay, time.monotonic() - life.started_at)
                self._report(ChildEvent(child.name, ChildState.DIED, life.process.pid, code, running.delay))
                await asyncio.sleep(running.delay)
                _require_free(child)
                running.life = await self._spawn(child)
                running.lives += 1
        except SupervisorError as error:
            self._failure = self._failure or error
            self._failed.set()

    async def _give_up_if_hopeless(self, running: _Running, code: int) -> None:
        """Raises `SupervisorError` after a death that another start would only repeat."""
        child = running.child
        if running.was_ready:
            return
        if code == _CONFIGURATION_EXIT:
            what = f"{child.name} ended with {describe_exit(code)} before it was ready"
        elif child.ready is not None and running.lives >= _LIVES_BEFORE_READY:
            what = f"{child.name} ended {running.lives} times before it was ready, at last with {describe_exit(code)}"
        else:
            return
        self._report(ChildEvent(child.name, ChildState.DIED, running.life.process.pid, code))
        words = await running.life.last_words()
        where = f" (all of it in {child.log_file})" if child.log_file else ""
        raise SupervisorError(f"{what}: {words or 'it said nothing'}{where}")

    async def _probe(self, running: _Running, life: Life) -> None:
        ready = running.child.ready
        if ready is None:
            running.up.set()
            return
        while not await ready():
            await asyncio.sleep(_POLL_SECONDS)
        if life.process.returncode is None:  # else another process answered
            self._report(ChildEvent(running.child.name, ChildState.READY, life.process.pid))
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
        process, name = running.life.process, running.child.name
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
        await running.life.last_words()
        self._report(ChildEvent(name, ChildState.STOPPED, process.pid, code))


def _kill_group(leader: int) -> None:
    """Kills what is left of a child's session: itself, and processes it started and did not take with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _require_free(child: Child) -> None:
    """Raises `SupervisorError` if another program has the address the child will listen on."""
    if child.address is None:
        return
    host, port = child.address
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SupervisorError(
                    f"{child.name} cannot listen on {host} port {port}: address already in use; "
                    "end the program that has it, or choose another port"
                ) from None
            # Any other trouble is the child's to report.
