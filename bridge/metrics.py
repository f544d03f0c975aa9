"""What the bridge tells Prometheus: its load, its calls, and how it feels to talk to it."""

from collections import deque
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from callwright.app.calls.conversation import CallReport

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_RECENT = 2_000  # values a percentile is taken of
_PERCENTILES = (0.5, 0.9, 0.99)
_LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
_ANSWER_SECONDS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
_READY_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_SILENCE_SECONDS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
_RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class _Distribution(Collector):
    """A histogram, which can be summed over processes, and beside it this process's percentiles of late."""

    def __init__(self, registry: CollectorRegistry, name: str, help_: str, buckets: tuple[float, ...]) -> None:
        self._name = f"{name}_recent"
        self._help = f"{help_} Percentiles of the last {_RECENT} values."
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._histogram = Histogram(name, help_, buckets=buckets, registry=registry)
        registry.register(self)

    def add(self, value: float) -> None:
        self._histogram.observe(value)
        self._recent.append(value)

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(self._name, self._help, labels=["quantile"])
        ordered = sorted(self._recent)
        for share in _PERCENTILES if ordered else ():
            family.add_metric([str(share)], ordered[min(len(ordered) - 1, int(share * len(ordered)))])
        yield family


class Metrics:
    """One bridge process's figures, in a registry of their own. Times are in seconds."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"callwright_bridge_{name}", help_, labels, registry=registry)

        def distribution(name: str, help_: str, buckets: tuple[float, ...]) -> _Distribution:
            return _Distribution(registry, f"callwright_bridge_{name}", help_, buckets)

        self._calls = counter("calls", "Calls that ended, by cause.", "cause")
        self._refused = counter("refused", "Streams, preparations and tokens turned away, by reason.", "reason")
        self._pick_ups = counter("pick_ups", "Streams let in; warm: the model's session stood already.", "warm")
        self._frames = counter("frames", "Media messages from and to phones.", "direction")
        self._gaps = counter("gaps", "Places where frames of the person are missing.")
        self._barge_ins = counter("barge_ins", "Times a person cut the agent off.")
        self._reconnects = counter("model_reconnects", "Talks restored in a new session of the model.")
        self._errands_lost = counter("errands_lost", "Messages to the domain that were given up, by why.", "why")
        self._recording_lost = counter("recording_lost_bytes", "Recorded audio replaced by silence: the disk is slow.")
        self._lag = distribution("loop_lag_seconds", "How late the event loop wakes.", _LAG_SECONDS)
        self._ready = distribution("pick_up_ready_seconds", "From the start to a model ready to speak.", _READY_SECONDS)
        self._first_word = distribution(
            "pick_up_first_word_seconds", "From the start to the agent's first audio at the phone.", _ANSWER_SECONDS
        )
        self._answer = distribution(
            "response_seconds", "From the person's last word to the agent's audio at the phone.", _ANSWER_SECONDS
        )
        self._share = distribution("talk_ratio", "The agent's part of what is spoken in a call.", _RATIOS)
        self._silence = distribution("longest_silence_seconds", "The longest silence of a call.", _SILENCE_SECONDS)
        self._interruptions = distribution("interruptions", "Barge-ins in a call.", (0.0, 1.0, 2.0, 3.0, 5.0, 8.0))

    def gauge(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """A figure that is asked for whenever somebody looks."""
        Gauge(f"callwright_bridge_{name}", help_, registry=self._registry).set_function(value)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def refused(self, reason: str) -> None:
        """`reason` is one of our own short words."""
        self._refused.labels(reason).inc()

    def pick_up(self, *, warm: bool) -> None:
        self._pick_ups.labels("yes" if warm else "no").inc()

    def ready_after(self, seconds: float) -> None:
        self._ready.add(seconds)

    def lag(self, seconds: float) -> None:
        self._lag.add(seconds)

    def frames(self, *, received: int, sent: int) -> None:
        self._frames.labels("received").inc(received)
        self._frames.labels("sent").inc(sent)

    def errand_lost(self, why: str) -> None:
        self._errands_lost.labels(why).inc()

    def recording_lost(self, size: int) -> None:
        self._recording_lost.inc(size)

    def finished(self, report: CallReport, *, gaps: int) -> None:
        """A call is over."""
        self._calls.labels(report.reason.value).inc()
        self._gaps.inc(gaps)
        self._barge_ins.inc(report.interruptions)
        self._reconnects.inc(report.model_reconnects)
        self._interruptions.add(report.interruptions)
        for latency in report.response_latencies_ms:
            self._answer.add(latency / 1_000)
        talk = report.talk
        if talk.first_word_ms is not None:
            self._first_word.add(talk.first_word_ms / 1_000)
        if talk.agent_share is not None:
            self._share.add(talk.agent_share)
            self._silence.add(talk.longest_silence_ms / 1_000)
