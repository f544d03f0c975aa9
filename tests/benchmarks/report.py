"""The runs as tables for people and as JSON for machines."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.bridges import BRIDGES, FLOOR, PIPECAT, PLAIN, SHIPPED, TITLES
from tests.benchmarks.figures import Run, Target, latency, middle, per_core, ratio, worst

FULL_LOAD = 150  # the promise is about this many calls and more


@dataclass(slots=True)
class Outcome:
    """Everything one invocation found out."""

    machine: Mapping[str, object]
    tls: bool
    runs: list[Run] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    def busy(self, bridge: str) -> list[Run]:
        """Its runs at about 70 % of a core."""
        return [run for run in self.runs if run.bridge == bridge and run.phase == "busy"]

    def equal(self, bridge: str, calls: int) -> list[Run]:
        return [r for r in self.runs if r.bridge == bridge and r.calls == calls and r.phase == "equal"]

    def loads(self) -> list[int]:
        return sorted({run.calls for run in self.runs if run.phase == "equal"})

    def highest_shared(self, bridge: str) -> int | None:
        """The highest load at which both the shipped bridge and this one ran."""
        shared = [calls for calls in self.loads() if self.equal(bridge, calls) and self.equal(SHIPPED, calls)]
        return max(shared, default=None)


def targets(outcome: Outcome) -> list[Target]:
    """The promise of issue 3, line by line."""
    ours = outcome.busy(SHIPPED)
    everything = [run for run in outcome.runs if run.bridge == SHIPPED]
    found = [
        Target(f"CPU: times the floor's at {calls} calls", 2.0, ratio(outcome.runs, SHIPPED, FLOOR, calls))
        for calls in outcome.loads()
        if calls >= FULL_LOAD
    ]
    for peer, factor in ((PIPECAT, 12.0), (PLAIN, 2.0)):
        if peer in outcome.missing:
            continue
        calls = outcome.highest_shared(peer)
        equal = ratio(outcome.runs, peer, SHIPPED, calls) if calls else math.nan
        busy = middle(outcome.busy(peer), _cpu) / middle(ours, _cpu)
        found.append(Target(f"CPU: times less than {peer}, both at {calls} calls", factor, equal, at_least=True))
        found.append(Target(f"CPU: times less than {peer}, each at 70 % CPU", factor, busy, at_least=True))
    for way in ("up", "down"):
        found.append(Target(f"{way} p50, ms", 0.5, middle(ours, latency(way, "p50"))))
        found.append(Target(f"{way} p99, ms", 5.0, middle(ours, latency(way, "p99"))))
    found.append(Target("clear p99, ms", 5.0, middle(ours, latency("clear", "p99"))))
    found.append(Target("KB per call", 250.0, middle(ours, lambda run: run.kb_per_call)))
    found += [
        Target("frames lost, worst run", 0, worst(everything, lambda run: run.lost)),
        Target("frames damaged, worst run", 0, worst(everything, lambda run: run.damaged)),
        Target("frames reordered, worst run", 0, worst(everything, lambda run: run.reordered)),
        Target("frames of another call, worst run", 0, worst(everything, lambda run: run.crosstalk)),
        Target("frames after a clear, worst run", 0, worst(everything, lambda run: run.after_clear)),
        Target("barge-ins without a clear, worst run", 0, worst(everything, lambda run: run.missed_clears)),
        Target("calls that failed, worst run", 0, worst(everything, lambda run: run.calls_failed)),
        Target("sockets left open, worst run", 0, worst(everything, lambda run: run.sockets_left)),
    ]
    return found


def show(outcome: Outcome, console: Console) -> None:
    """Three tables: each bridge at 70 % of a core, CPU at equal loads, and the promise."""
    console.print(_busy_table(outcome))
    console.print(_equal_table(outcome))
    promise = Table("the promise", "limit", "measured", "", title="Issue 3, show 1")
    for target in targets(outcome):
        sign = "≥" if target.at_least else "≤"
        verdict = "[green]kept[/green]" if target.kept else "[red]missed[/red]"
        promise.add_row(target.what, f"{sign} {target.limit:g}", f"{target.measured:.2f}", verdict)
    console.print(promise)
    for name, why in outcome.missing.items():
        console.print(f"{TITLES[name]}: {why}", style="yellow")


def _busy_table(outcome: Outcome) -> Table:
    table = Table(title="Each bridge at about 70 % of one core")
    heads = ["bridge", "runs (noisy)", "calls", "CPU %", "CPU ms / call-s", "calls per core at 100 / 70 %"]
    heads += ["up p50 / p99", "down p50 / p99", "clear p50 / p99 ms", "KB / call"]
    heads += ["lost / damaged / reordered / crossed", "sockets left"]
    for head in heads:
        table.add_column(head, justify="left" if head == "bridge" else "right")
    for name in BRIDGES:
        runs = outcome.busy(name)
        if name in outcome.missing:
            table.add_row(TITLES[name], outcome.missing[name])
        if not runs:
            continue
        cpu = middle(runs, _cpu)
        harm = [worst(runs, figure) for figure in (_lost, _damaged, _reordered, _crosstalk)]
        table.add_row(
            TITLES[name],
            f"{len(runs)} ({sum(run.noisy for run in runs)})",
            f"{middle(runs, lambda run: run.calls):.0f}",
            f"{100 * middle(runs, lambda run: run.cpu):.0f}",
            f"{cpu:.2f}",
            f"{per_core(cpu, 1.0)} / {per_core(cpu, 0.7)}",
            *(_pair(runs, way) for way in ("up", "down", "clear")),
            f"{middle(runs, lambda run: run.kb_per_call):.0f}",
            " / ".join(f"{value:.0f}" for value in harm),
            f"{worst(runs, lambda run: run.sockets_left):.0f}",
        )
    return table


def _equal_table(outcome: Outcome) -> Table:
    table = Table("calls", title="CPU ms per call-second at equal loads (times the floor's in the same round)")
    names = [name for name in BRIDGES if any(outcome.equal(name, calls) for calls in outcome.loads())]
    for name in names:
        table.add_column(TITLES[name], justify="right")
    for calls in outcome.loads():
        row = [str(calls)]
        for name in names:
            runs = outcome.equal(name, calls)
            times = ratio(outcome.runs, name, FLOOR, calls)
            row.append(f"{middle(runs, _cpu):.2f} ({times:.2f})" if runs else "")
        table.add_row(*row)
    return table


def write_json(outcome: Outcome, path: Path) -> None:
    """The same and every single run; figures that were not measured are null."""
    whole = {
        "machine": outcome.machine,
        "tls_upstream": outcome.tls,
        "versions": outcome.versions,
        "missing": outcome.missing,
        "targets": [{**asdict(target), "kept": target.kept} for target in targets(outcome)],
        "ratios_to_floor": {
            name: {str(calls): ratio(outcome.runs, name, FLOOR, calls) for calls in outcome.loads()} for name in BRIDGES
        },
        "busy": {name: _summary(outcome.busy(name)) for name in BRIDGES if outcome.busy(name)},
        "runs": [{**asdict(run), "noisy": run.noisy} for run in outcome.runs],
    }
    path.write_text(json.dumps(_finite(whole), indent=1) + "\n")


def _summary(runs: Sequence[Run]) -> dict[str, object]:
    cpu = middle(runs, _cpu)
    summary: dict[str, object] = {
        "runs": len(runs),
        "calls": middle(runs, lambda run: run.calls),
        "cpu_ms_per_call_second": cpu,
        "calls_per_core": {"100": per_core(cpu, 1.0), "70": per_core(cpu, 0.7)},
        "kb_per_call": middle(runs, lambda run: run.kb_per_call),
        "lost": worst(runs, _lost),
        "damaged": worst(runs, _damaged),
        "reordered": worst(runs, _reordered),
        "crosstalk": worst(runs, _crosstalk),
        "sockets_left": worst(runs, lambda run: run.sockets_left),
    }
    for way in ("up", "down", "clear", "setup"):
        for quantile in ("p50", "p99"):
            summary[f"{way}_{quantile}_ms"] = middle(runs, latency(way, quantile))
    return summary


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _pair(runs: Sequence[Run], way: str) -> str:
    return " / ".join(f"{middle(runs, latency(way, q)):.2f}" for q in ("p50", "p99"))


def _cpu(run: Run) -> float:
    return run.cpu_ms


def _lost(run: Run) -> float:
    return run.lost


def _damaged(run: Run) -> float:
    return run.damaged


def _reordered(run: Run) -> float:
    return run.reordered


def _crosstalk(run: Run) -> float:
    return run.crosstalk
