"""The harness's arithmetic: what one run shows, medians over runs, ratios within a round, and the targets."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MOST_STEAL = 0.04  # of the bridge's processor, taken by the host
MOST_LAG_MS = 8.0  # p99 of the load generator's own lateness

# Pipecat's audio is resampled, so only its markers can be followed, by the first delta of each response.
_LOST = ("up_lost", "down_lost", "down_undelivered", "up_tail")
_DAMAGED = ("up_corrupt", "up_bad_bytes", "down_corrupt", "down_bad_bytes")
_REORDERED = ("up_reordered", "down_reordered")


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one bridge. Times in ms, memory in KB, `cpu` in processors (1.0 = one core)."""

    bridge: str
    calls: int
    round: int
    phase: str  # "equal": the same load for several bridges; "busy": about 70 % of a core
    raw: Mapping[str, object]

    @property
    def cpu(self) -> float:
        return self._number("bridge_cpu")

    @property
    def cpu_ms(self) -> float:
        """CPU ms per call-second."""
        return self._number("cpu_ms_per_call_s")

    @property
    def kb_per_call(self) -> float:
        return self._number("rss_kb_per_call")

    @property
    def noisy(self) -> bool:
        """Whether the host or the load generator got in the way."""
        lag = self.latency("gen_lag", "p99")
        return self._number("cpu0_steal") > MOST_STEAL or not lag <= MOST_LAG_MS

    @property
    def lost(self) -> int:
        """20 ms frames that should have arrived and did not; what a barge-in flushed is not among them."""
        return self._sum(_LOST)

    @property
    def damaged(self) -> int:
        return self._sum(_DAMAGED)

    @property
    def reordered(self) -> int:
        return self._sum(_REORDERED)

    @property
    def crosstalk(self) -> int:
        return self._sum(("crosstalk",))

    @property
    def after_clear(self) -> int:
        """Frames that came after a clear had flushed them."""
        return self._sum(("stale",))

    @property
    def sockets_left(self) -> int:
        return self._sum(("model_sockets_open", "phone_sockets_open"))

    @property
    def calls_failed(self) -> int:
        return self.calls - self._sum(("calls_ok",))

    @property
    def missed_clears(self) -> int:
        return self._sum(("barge_without_clear",))

    def latency(self, name: str, quantile: str) -> float:
        """`name`: up, down, clear, setup, gen_lag; NaN when nothing was measured."""
        if name == "down" and self.raw.get("fmt") == "pcm24":
            name = "down_first"  # it paces its playout, so later deltas wait on purpose
        figures = self.raw.get(f"{name}_ms")
        value = figures.get(quantile) if isinstance(figures, Mapping) else None
        return float(value) if isinstance(value, int | float) else math.nan

    def _number(self, name: str) -> float:
        value = self.raw[name]
        assert isinstance(value, int | float), name
        return float(value)

    def _sum(self, names: Iterable[str]) -> int:
        return sum(int(self._number(name)) for name in names)


def latency(way: str, quantile: str) -> Callable[[Run], float]:
    """The figure of that name, for the functions below."""
    return lambda run: run.latency(way, quantile)


def quiet(runs: Sequence[Run]) -> Sequence[Run]:
    """The runs without noise; all of them when none was."""
    return [run for run in runs if not run.noisy] or runs


def middle(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    """Median over the quiet runs; NaN without runs."""
    values = [value for value in map(figure, quiet(runs)) if not math.isnan(value)]
    return median(values) if values else math.nan


def worst(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    """The largest over all runs, also noisy ones: what must never happen is not excused by the host."""
    return max(map(figure, runs), default=math.nan)


def ratio(runs: Sequence[Run], ours: str, theirs: str, calls: int) -> float:
    """Median over rounds of CPU per call-second, ours by theirs, each pair at the same load in the same round."""
    cpu = {(run.bridge, run.round): run.cpu_ms for run in runs if run.calls == calls and run.phase == "equal"}
    rounds = {number for _, number in cpu}
    pairs = [cpu[ours, n] / cpu[theirs, n] for n in sorted(rounds) if (ours, n) in cpu and (theirs, n) in cpu]
    return median(pairs) if pairs else math.nan


def per_core(cpu_ms: float, share: float) -> int:
    """Calls that one core carries at `share` of it, when each costs `cpu_ms` per second."""
    return 0 if math.isnan(cpu_ms) or cpu_ms <= 0 else int(1000 * share / cpu_ms)


def next_load(calls: int, cpu: float, share: float) -> int:
    """The number of calls that should use `share` of a core, judged by a run with `calls` that used `cpu`."""
    return max(1, round(calls * share / cpu)) if cpu > 0 else calls


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the promise, and whether it was kept. NaN is never kept."""

    what: str
    limit: float
    measured: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit
