"""The harness's own arithmetic, and that the load generator it compiles tells a good bridge from a lossy one."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.benchmarks.figures import Run, Target, middle, next_load, per_core, quiet, ratio, worst
from tests.benchmarks.surroundings import build_loadgen, free_port

CLEAN: dict[str, object] = {
    "fmt": "pcmu",
    "bridge_cpu": 0.3,
    "cpu_ms_per_call_s": 2.0,
    "rss_kb_per_call": 100.0,
    "cpu0_steal": 0.0,
    "gen_lag_ms": {"p99": 0.5},
    "calls_ok": 150,
    **dict.fromkeys(("up_lost", "down_lost", "down_undelivered", "up_tail"), 0),
    **dict.fromkeys(("up_corrupt", "up_bad_bytes", "down_corrupt", "down_bad_bytes"), 0),
}


def a_run(bridge: str = "a", calls: int = 150, number: int = 0, **raw: object) -> Run:
    return Run(bridge, calls, number, "equal", CLEAN | raw)


def test_a_ratio_pairs_the_runs_of_one_round() -> None:
    # The host was twice as slow in the second round, for both alike.
    costs = [("a", 0, 3.0), ("b", 0, 2.0), ("a", 1, 6.0), ("b", 1, 4.0), ("a", 2, 9.0)]
    runs = [a_run(bridge, number=number, cpu_ms_per_call_s=cost) for bridge, number, cost in costs]
    assert ratio(runs, "a", "b", 150) == 1.5
    assert ratio(runs, "b", "a", 150) == pytest.approx(2 / 3)
    assert math.isnan(ratio(runs, "a", "b", 60))


def test_noisy_runs_are_left_out_while_there_are_others() -> None:
    calm, stolen = a_run(cpu_ms_per_call_s=2.0), a_run(cpu_ms_per_call_s=9.0, cpu0_steal=0.2)
    late, silent = a_run(gen_lag_ms={"p99": 20.0}), a_run(gen_lag_ms=None)
    assert [run.noisy for run in (calm, stolen, late, silent)] == [False, True, True, True]
    assert middle([calm, stolen], lambda run: run.cpu_ms) == 2.0
    assert quiet([stolen]) == [stolen]


def test_what_must_never_happen_counts_in_noisy_runs_too() -> None:
    lost = {"up_lost": 1, "down_lost": 2, "down_undelivered": 4, "up_tail": 8}
    damaged = {"up_corrupt": 16, "down_bad_bytes": 32}
    runs = [a_run(), Run("a", 150, 1, "equal", CLEAN | lost | damaged | {"cpu0_steal": 0.5})]
    assert worst(runs, lambda run: run.lost) == 1 + 2 + 4 + 8
    assert worst(runs, lambda run: run.damaged) == 16 + 32
    assert runs[0].lost == 0


def test_latencies_not_measured_are_never_good_enough() -> None:
    run = a_run(up_ms={"p50": 0.1, "p99": 2.0}, clear_ms=None)
    assert run.latency("up", "p99") == 2.0
    assert math.isnan(run.latency("clear", "p99"))
    assert Target("up p99", 5.0, run.latency("up", "p99")).kept
    assert not Target("clear p99", 5.0, run.latency("clear", "p99")).kept
    assert not Target("factor", 2.0, math.nan, at_least=True).kept


def test_a_paced_playout_is_judged_by_the_first_delta() -> None:
    run = a_run(fmt="pcm24", down_ms={"p50": 900.0}, down_first_ms={"p50": 3.0})
    assert run.latency("down", "p50") == 3.0


@pytest.mark.parametrize(("calls", "cpu", "expected"), [(100, 0.35, 200), (10, 1.4, 5), (7, 0.0, 7), (1, 9.0, 1)])
def test_the_next_load_aims_at_the_share(calls: int, cpu: float, expected: int) -> None:
    assert next_load(calls, cpu, 0.7) == expected


def test_calls_per_core() -> None:
    assert (per_core(2.0, 1.0), per_core(2.0, 0.7), per_core(math.nan, 1.0)) == (500, 350, 0)


@asynccontextmanager
async def relay(model_port: int, lose: int, reverse: bool) -> AsyncIterator[int]:
    """A small bridge that drops every `lose`-th frame of the phone and may swap neighbours from the model."""

    async def call(phone: ServerConnection) -> None:
        async with connect(f"ws://127.0.0.1:{model_port}/v1/realtime", compression=None) as model:
            reader = asyncio.create_task(downward(phone, model))
            frames = 0
            async for text in phone:
                message = json.loads(text)
                if message["event"] == "media":
                    frames += 1
                    if lose and frames > 5 and frames % lose == 0:
                        continue
                    append = {"type": "input_audio_buffer.append", "audio": message["media"]["payload"]}
                    await model.send(json.dumps(append))
            reader.cancel()

    async def downward(phone: ServerConnection, model: object) -> None:
        held: list[str] = []
        async for text in model:  # type: ignore[attr-defined]
            message = json.loads(text)
            if message["type"] != "response.output_audio.delta":
                continue
            held.append(json.dumps({"event": "media", "streamSid": "s", "media": {"payload": message["delta"]}}))
            if not reverse or len(held) == 2:
                for media in reversed(held):
                    await phone.send(media)
                held.clear()

    async with serve(call, "127.0.0.1", 0, compression=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def load(folder: Path, *, lose: int = 0, reverse: bool = False) -> dict[str, int]:
    model_port = free_port()
    async with relay(model_port, lose, reverse) as port:
        process = await asyncio.create_subprocess_exec(
            build_loadgen(folder),
            *("--calls", "2", "--secs", "1", "--warm", "0.2", "--barge-every", "0", "--drain", "2"),
            *("--bridge-port", str(port), "--model-port", str(model_port), "--resp", "0.8", "--period", "1"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
    counted: dict[str, int] = json.loads(output)
    return counted


async def test_the_load_generator_sees_losses_and_swaps(tmp_path: Path) -> None:
    good = Run("relay", 2, 0, "equal", await load(tmp_path))
    assert (good.calls_failed, good.lost, good.damaged, good.reordered, good.sockets_left) == (0, 0, 0, 0, 0)
    assert good.latency("up", "p50") > 0
    assert good.latency("down", "p50") > 0
    bad = Run("relay", 2, 0, "equal", await load(tmp_path, lose=7, reverse=True))
    assert bad.lost > 0
    assert bad.reordered > 0
    assert (bad.damaged, bad.crosstalk) == (0, 0)
