"""The supervisor with real child processes: order, readiness, restarts, stops, and its own violent end."""

import asyncio
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from callwright.app.supervisor import (
    Backoff,
    Child,
    ChildEvent,
    ChildState,
    Readiness,
    Supervisor,
    SupervisorError,
    http_ready,
)
from tests.app.processes import line_of, python, watch

QUICK = Backoff(first=0.01, limit=0.04, healthy_after=60.0)

# Says it is up by making a file, then waits for a signal.
SERVE = """
import pathlib, signal, sys
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""


class Events:
    """Collects what a supervisor reports, and waits for one of a state."""

    def __init__(self) -> None:
        self.seen: list[ChildEvent] = []
        self._queue: asyncio.Queue[ChildEvent] = asyncio.Queue()

    def __call__(self, event: ChildEvent) -> None:
        self.seen.append(event)
        self._queue.put_nowait(event)

    async def next(self, state: ChildState) -> ChildEvent:
        while True:
            event = await self._queue.get()
            if event.state is state:
                return event

    def of(self, *states: ChildState) -> list[tuple[str, ChildState]]:
        return [(event.name, event.state) for event in self.seen if event.state in states]


def exists(path: Path) -> Readiness:
    async def ready() -> bool:
        return path.exists()

    return ready


def script(name: str, program: str, *arguments: Path, ready: Path | None = None) -> Child:
    argv = [sys.executable, "-c", program, *map(str, arguments)]
    return Child(name, argv, ready=exists(ready) if ready else None)


def server(name: str, tmp_path: Path) -> Child:
    return script(name, SERVE, tmp_path / name, ready=tmp_path / name)


@pytest.mark.parametrize(
    ("previous", "lived", "expected"),
    [(None, 0.0, 1.0), (1.0, 0.0, 2.0), (16.0, 59.9, 30.0), (30.0, 5.0, 30.0), (30.0, 60.0, 1.0)],
)
def test_the_wait_doubles_to_its_limit_and_starts_over_after_health(
    previous: float | None, lived: float, expected: float
) -> None:
    assert Backoff().next_delay(previous, lived) == expected


async def test_children_start_together_are_ready_on_entry_and_stop_in_reverse(tmp_path: Path) -> None:
    events = Events()
    async with Supervisor([server("web", tmp_path), server("bridge", tmp_path)], report=events):
        assert events.of(ChildState.STARTED) == [("web", ChildState.STARTED), ("bridge", ChildState.STARTED)]
        assert set(events.of(ChildState.READY)) == {("web", ChildState.READY), ("bridge", ChildState.READY)}
    assert events.of(ChildState.STOPPING, ChildState.STOPPED) == [
        ("bridge", ChildState.STOPPING),
        ("bridge", ChildState.STOPPED),
        ("web", ChildState.STOPPING),
        ("web", ChildState.STOPPED),
    ]
    assert [event.exit_code for event in events.seen if event.state is ChildState.STOPPED] == [-signal.SIGTERM] * 2


async def test_a_child_that_dies_is_restarted_and_said_so(tmp_path: Path) -> None:
    events = Events()
    once = """
import pathlib, signal, sys
marker = pathlib.Path(sys.argv[1])
if not marker.exists():
    marker.touch()
    sys.exit(3)
signal.pause()
"""
    async with Supervisor([script("worker", once, tmp_path / "marker")], report=events, backoff=QUICK):
        died = await events.next(ChildState.DIED)
        again = await events.next(ChildState.STARTED)
    assert str(died) == "worker died (exit code 3), restarting in 0.01 s"
    assert again.pid != died.pid


async def test_a_killed_child_is_named_by_its_signal_and_becomes_ready_again(tmp_path: Path) -> None:
    events = Events()
    async with Supervisor([server("bridge", tmp_path)], report=events, backoff=QUICK):
        ready = await events.next(ChildState.READY)
        with watch(ready.pid) as watched:
            watched.kill()
            died = await events.next(ChildState.DIED)
        assert "SIGKILL" in str(died)
        assert (await events.next(ChildState.READY)).pid != ready.pid


async def test_restarts_come_ever_more_slowly(tmp_path: Path) -> None:
    events = Events()
    async with Supervisor([script("web", "import sys; sys.exit(1)")], report=events, backoff=QUICK):
        waits = [(await events.next(ChildState.DIED)).restart_in for _ in range(4)]
    assert waits == [0.01, 0.02, 0.04, 0.04]


async def test_a_child_never_ready_fails_the_start_and_stops_the_others(tmp_path: Path) -> None:
    events = Events()
    stuck = script("web", "import signal; signal.pause()", ready=tmp_path / "never")
    waiting = script("bridge", "import signal; signal.pause()")
    supervisor = Supervisor([waiting, stuck], report=events, ready_timeout=0.3)
    with pytest.raises(SupervisorError, match=r"web was not ready after 0\.3 s; it is running"):
        await supervisor.run()
    assert ("bridge", ChildState.STOPPED) in events.of(ChildState.STOPPED)


COMPLAIN = "import sys; print('no such', 'colour', file=sys.stderr); sys.exit(int(sys.argv[1]))"


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize(("code", "lives"), [(7, 3), (2, 1)])
async def test_a_child_that_cannot_start_ends_the_start_with_its_last_words(
    tmp_path: Path, code: int, lives: int, logged: bool
) -> None:
    events = Events()
    log_file = tmp_path / "web.log" if logged else None
    if log_file is not None:
        log_file.write_text("of an earlier run\n")
    argv = [sys.executable, "-c", COMPLAIN, str(code)]
    broken = Child("web", argv, ready=exists(tmp_path / "never"), log_file=log_file)
    supervisor = Supervisor([broken], report=events, backoff=QUICK, ready_timeout=3600.0)
    with pytest.raises(SupervisorError, match=rf"web ended .*exit code {code}.*: no such colour") as failed:
        await supervisor.run()
    assert len(events.of(ChildState.DIED)) == lives
    assert (log_file is None) or str(log_file) in str(failed.value)


async def test_a_child_that_says_nothing_at_its_end_is_not_blamed_for_an_earlier_runs_words(tmp_path: Path) -> None:
    log_file = tmp_path / "web.log"
    log_file.write_text("of an earlier run\n")
    silent = Child("web", [sys.executable, "-c", "raise SystemExit(2)"], log_file=log_file)
    with pytest.raises(SupervisorError, match="it said nothing"):
        async with Supervisor([silent], report=Events()) as supervisor:
            await supervisor.during(asyncio.Event().wait())


async def test_an_address_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    events = Events()
    async with TestServer(web.Application()) as other:
        assert other.port is not None
        child = Child("web", [sys.executable, "-c", SERVE, "x"], address=("127.0.0.1", other.port))
        with pytest.raises(SupervisorError, match=f"web cannot listen on 127.0.0.1 port {other.port}: address already"):
            await Supervisor([server("sandbox", tmp_path), child], report=events).run()
    assert events.seen == []


async def test_work_ends_when_a_child_can_no_longer_run(tmp_path: Path) -> None:
    """Somebody takes the child's port while it is down."""
    events = Events()
    port = unused_port()
    taken = TestServer(web.Application(), port=port)
    child = Child("web", [sys.executable, "-c", SERVE, str(tmp_path / "up")], address=("127.0.0.1", port))
    async with Supervisor([child], report=events, backoff=Backoff(first=0.2)) as supervisor:
        started = await events.next(ChildState.STARTED)
        await taken.start_server()
        with watch(started.pid) as watched:
            watched.kill()
        with pytest.raises(SupervisorError, match=f"port {port}"):
            await supervisor.during(asyncio.Event().wait())
    await taken.close()


async def test_a_child_without_a_probe_is_said_to_be_started_never_ready() -> None:
    events = Events()
    async with Supervisor([script("worker", "import signal; signal.pause()")], report=events):
        pass
    assert events.of(ChildState.STARTED, ChildState.READY) == [("worker", ChildState.STARTED)]


async def test_a_child_deaf_to_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    events = Events()
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE
    async with Supervisor([script("web", deaf, tmp_path / "up", ready=tmp_path / "up")], report=events, grace=0.1):
        pass
    assert events.of(ChildState.KILLED) == [("web", ChildState.KILLED)]
    assert events.seen[-1].exit_code == -signal.SIGKILL


async def test_asking_twice_cuts_the_grace_short(tmp_path: Path) -> None:
    events = Events()
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE
    child = script("web", deaf, tmp_path / "up", ready=tmp_path / "up")
    supervisor = Supervisor([child], report=events, grace=3600.0)
    running = asyncio.create_task(supervisor.run())
    await events.next(ChildState.READY)
    supervisor.request_stop()
    await events.next(ChildState.STOPPING)
    supervisor.request_stop()
    await running
    assert events.of(ChildState.KILLED) == [("web", ChildState.KILLED)]


async def test_what_a_child_started_goes_with_it(tmp_path: Path) -> None:
    forking = """
import pathlib, subprocess, sys
below = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path(sys.argv[1]).write_text(str(below.pid))
pathlib.Path(sys.argv[2]).touch()
below.wait()
"""
    below, up = tmp_path / "below", tmp_path / "up"
    with ExitStack() as open_handles:
        async with Supervisor([script("worker", forking, below, up, ready=up)], report=Events()):
            watched = open_handles.enter_context(watch(int(below.read_text())))
            assert not watched.ended(timeout=0)
        assert watched.ended()


async def test_output_and_environment_are_the_childs_own(tmp_path: Path) -> None:
    events = Events()
    program = "import os; print(os.environ['ROLE'], flush=True); import signal; signal.pause()"
    log_file = tmp_path / "web.log"

    async def written() -> bool:
        return log_file.read_text() == "web only\n"

    child = Child("web", [sys.executable, "-c", program], env={"ROLE": "web only"}, ready=written, log_file=log_file)
    async with Supervisor([child], report=events):
        assert events.of(ChildState.READY) == [("web", ChildState.READY)]


async def test_health_is_asked_over_http() -> None:
    answers = [503, 200]

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=answers.pop(0))

    app = web.Application()
    app.router.add_get("/health", health)
    async with TestServer(app) as running:
        ready = http_ready(str(running.make_url("/health")))
        assert [await ready(), await ready()] == [False, True]
    assert not await ready()


SUPERVISE = """
import asyncio, sys
from callwright.app.supervisor import Child, Supervisor
program = "import signal; signal.pause()"
children = [Child(name, [sys.executable, "-c", program]) for name in ("web", "bridge")]
asyncio.run(Supervisor(children, report=lambda event: print(event.name, event.state, event.pid, flush=True)).run())
print("over", flush=True)
"""


def test_children_die_when_the_supervisor_is_killed() -> None:
    with python(SUPERVISE) as supervisor:
        pids = [int(line_of(supervisor).split()[2]) for _ in range(2)]
        with watch(pids[0]) as web_process, watch(pids[1]) as bridge_process:
            supervisor.kill()
            assert web_process.ended()
            assert bridge_process.ended()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_in_order(number: signal.Signals) -> None:
    with python(SUPERVISE) as supervisor:
        for _ in range(2):
            line_of(supervisor)
        supervisor.send_signal(number)
        output, _ = supervisor.communicate(timeout=30)
        assert [line.split()[:2] for line in output.splitlines()] == [
            ["bridge", "stopping"],
            ["bridge", "stopped"],
            ["web", "stopping"],
            ["web", "stopped"],
            ["over"],
        ]
        assert supervisor.returncode == 0


async def test_children_that_end_together_are_all_told_before_any_is_waited_for(tmp_path: Path) -> None:
    events = Events()
    children = [
        Child(name, [sys.executable, "-c", SERVE, str(tmp_path / name)], ready=exists(tmp_path / name))
        for name in ("one", "two", "three")
    ]
    async with Supervisor(children, report=events, together=True):
        pass
    ends = [state for _, state in events.of(ChildState.STOPPING, ChildState.STOPPED)]
    assert ends == [ChildState.STOPPING] * 3 + [ChildState.STOPPED] * 3
