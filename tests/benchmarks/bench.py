"""`make bench`: the shipped bridge against its peers and the floor, interleaved, with tables and JSON at the end.

The bridge under test has processor 0 to itself; the load, the stores and the TLS terminator share processor 1.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from callwright.app.settings import Settings
from callwright.app.stack import stores
from tests.benchmarks.bridges import BRIDGES, FLOOR, PIPECAT, PLAIN, SHIPPED, Fleet, Started
from tests.benchmarks.figures import Run, next_load
from tests.benchmarks.report import Outcome, show, write_json
from tests.benchmarks.surroundings import (
    LOAD_CPU,
    NAMED,
    Missing,
    build_loadgen,
    core_speed_ms,
    environment,
    free_port,
    on_cpu,
    pin_to_load_cpu,
    tls_terminator,
    versions,
)

BUSY = 0.7
CLOSE_ENOUGH = 0.05  # of a core, around 70 %
# The highest equal load a bridge is asked to bear; the heavier ones would only be measured drowning.
MOST = {PIPECAT: 12, PLAIN: 60}
LOADS = (12, 60, 150, 200)
RETRIES = 1
_RUN_SECONDS = 400


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `secs`: length of each measuring window."""

    names: tuple[str, ...]
    loads: tuple[int, ...]
    rounds: int
    secs: float


class Bench:
    def __init__(self, plan: Plan, fleet: Fleet, loadgen: Path, model_port: int, phone_port: int) -> None:
        self._plan = plan
        self._fleet = fleet
        self._command = [*on_cpu(LOAD_CPU), str(loadgen)]
        self._command += ["--model-port", str(model_port), "--bridge-port", str(phone_port)]
        self._console = Console(stderr=True)
        self.runs: list[Run] = []

    def all(self) -> None:
        """Every round visits every load and bridge, so that a slow minute of the host falls on all of them."""
        for number in range(self._plan.rounds):
            for calls in self._plan.loads:
                for name in self._able(calls):
                    self._keep(name, calls, number, "equal")
        for number in range(self._plan.rounds):
            for name in self._able(0):
                self._busy(name, number)

    def _able(self, calls: int) -> list[str]:
        wanted = [name for name in self._plan.names if name not in self._fleet.missing]
        return [name for name in wanted if calls <= MOST.get(name, calls)]

    def _busy(self, name: str, number: int) -> None:
        """At 70 % of a core: CPU per call falls with load, so the first guess is corrected once."""
        before = max(
            (run for run in self.runs if run.bridge == name),
            key=lambda run: (run.phase == "busy", run.round, run.calls),
        )
        calls = before.calls
        if abs(before.cpu - BUSY) > CLOSE_ENOUGH or before.phase != "busy":
            calls = next_load(before.calls, before.cpu, BUSY)
        run = self._keep(name, calls, number, "busy")
        if abs(run.cpu - BUSY) > CLOSE_ENOUGH:
            self.runs.remove(run)
            self._keep(name, next_load(calls, run.cpu, BUSY), number, "busy")

    def _keep(self, name: str, calls: int, number: int, phase: str) -> Run:
        run = self._once(name, calls, number, phase)
        for _ in range(RETRIES):
            if run.noisy:
                again = self._once(name, calls, number, phase)
                run = again if not again.noisy else run
        self.runs.append(run)
        return run

    def _once(self, name: str, calls: int, number: int, phase: str) -> Run:
        speed = core_speed_ms()
        with self._fleet.run(name) as bridge:
            # Imports and first connections are not charged to the calls.
            warm_up = ["--calls", "2", "--secs", "1", "--warm", "0.3", "--barge-every", "0", "--drain", "1"]
            self._load(name, bridge, 2, warm_up)
            raw = self._load(name, bridge, calls, ["--calls", str(calls), "--secs", str(self._plan.secs)])
        run = Run(name, calls, number, phase, {**raw, "core_speed_ms": [speed, core_speed_ms()]})
        self._say(run)
        return run

    def _load(self, name: str, bridge: Started, calls: int, arguments: Sequence[str]) -> dict[str, object]:
        starts = self._fleet.starts(name, calls)
        command = [*self._command, "--pid", str(bridge.pid), "--label", name, *bridge.options, *starts, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_SECONDS, check=True)
        raw: dict[str, object] = json.loads(done.stdout)
        return {**raw, "said": done.stderr[-300:]}

    def _say(self, run: Run) -> None:
        ways = [f"{way} {run.latency(way, 'p50'):.2f}/{run.latency(way, 'p99'):.2f}" for way in ("up", "down", "clear")]
        harm = f"lost {run.lost} damaged {run.damaged} reordered {run.reordered} crossed {run.crosstalk}"
        self._console.print(
            f"{datetime.now(UTC):%X} {run.phase:5} {run.bridge:10} {run.calls:4} calls, {run.calls_failed} failed "
            f"cpu {run.cpu:.2f} = {run.cpu_ms:.2f} ms/call-s  {'  '.join(ways)} ms  {run.kb_per_call:.0f} KB  {harm}  "
            f"open {run.sockets_left}{'  NOISY' if run.noisy else ''}",
            highlight=False,
            soft_wrap=True,
        )


def machine() -> dict[str, object]:
    model = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "model": model[0] if model else platform.processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=10.0, help="length of each measuring window")
    parser.add_argument("--loads", default=",".join(map(str, LOADS)), help="numbers of calls for the equal loads")
    parser.add_argument("--only", default=",".join(BRIDGES), help="bridges, separated by commas")
    parser.add_argument("--no-tls", action="store_true", help="the shipped bridge reaches the model without TLS")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--dir", type=Path, default=Path(".data/bench"), help="for environments, stores and logs")
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> Outcome:
    folder: Path = arguments.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    names = tuple(name for name in BRIDGES if name in arguments.only.split(","))
    plan = Plan(names, tuple(map(int, arguments.loads.split(","))), arguments.rounds, arguments.secs)
    pin_to_load_cpu()
    loadgen = build_loadgen(folder)
    model_port, phone_port = free_port(), free_port()
    settings = Settings(_env_file=None, database_url=None, redis_url=None, data_dir=folder / "data")
    outcome = Outcome(machine(), tls=not arguments.no_tls)
    async with stores(settings) as ready:
        with ExitStack() as held:
            tls = held.enter_context(tls_terminator(folder, model_port)) if outcome.tls else None
            fleet = Fleet(folder, ready, phone_port=phone_port, model_port=model_port, tls=tls)
            fleet.prepare(names)
            bench = Bench(plan, fleet, loadgen, model_port, phone_port)
            outcome.runs, outcome.missing = bench.runs, fleet.missing
            bench.all()
    own = Path(sys.executable)
    outcome.versions[SHIPPED] = outcome.versions[FLOOR] = versions(own, ("picows", "uvloop", "orjson", "openai"))
    for name in {*names} & {*NAMED} - {*outcome.missing}:
        outcome.versions[name] = versions(environment(folder, name), NAMED[name])
    return outcome


def main() -> None:
    arguments = options()
    console = Console(width=200)
    try:
        outcome = asyncio.run(run(arguments))
    except Missing as missing:
        console.print(f"[red]{missing}[/red]")
        sys.exit(1)
    show(outcome, console)
    if arguments.json is not None:
        write_json(outcome, arguments.json)


if __name__ == "__main__":
    main()
