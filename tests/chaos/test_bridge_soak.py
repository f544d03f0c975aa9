"""Many calls through one bridge process: memory, descriptors and recordings; and hostile neighbours.

`make test` holds a shortened version, `make soak` the full one (200 calls at a time, 2,000 in all).
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.bridge.peers import PUBLIC_URL, TOKEN
from tests.bridge.test_recorder import read_wav
from tests.chaos.crowd import AGENT, CHUNKS, Callee, ModelService, model_service, whole_call

FULL = os.environ.get("CALLWRIGHT_SOAK") == "full"
AT_A_TIME, CALLS = (200, 2_000) if FULL else (25, 400)
# A few hundred calls have not yet filled the allocator's pools.
GROWTH = 1.05 if FULL else 1.15
BASELINE = 200  # calls after which memory should not grow any more
PATIENCE = 60.0
PERSON, AGENT_TURN = "person: Tell me more.", "agent: one two three four"


@dataclass
class Bridge:
    pid: int
    port: int
    reports: dict[int, dict[str, object]] = field(default_factory=dict)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def resident_kilobytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    @property
    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    async def read(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            report = orjson.loads(line)
            async with self._news:
                self.reports[report["number"]] = report
                self._news.notify_all()

    async def reported(self, calls: int) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: len(self.reports) >= calls), PATIENCE)


@asynccontextmanager
async def bridge_process(model: ModelService, spool: Path) -> AsyncIterator[Bridge]:
    with (spool / "bridge.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.chaos.bridge_process", "--model-url", model.url, "--spool", str(spool)),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    port = orjson.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))["port"]
    bridge = Bridge(process.pid, port)
    reader = asyncio.create_task(bridge.read(process.stdout))
    try:
        yield bridge
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        await reader


async def wave(bridge: Bridge, model: ModelService, numbers: range) -> list[Callee]:
    return await asyncio.gather(*(whole_call(number, bridge.port, model) for number in numbers))


def check(callee: Callee, report: dict[str, object]) -> None:
    """Nothing was lost, nothing came twice, and the recording is the whole call."""
    assert report["reason"] == "person_hung_up"
    turns = report["turns"]
    assert isinstance(turns, list)
    assert turns.count(PERSON) == 3 and turns.count(AGENT_TURN) == 2
    assert report["interruptions"] == 1 == callee.heard.clears
    assert callee.heard.audio == AGENT * CHUNKS * 3
    assert report["duration_ms"] == report["recording_ms"] == callee.at_ms
    tag, channels, samples, data = read_wav(Path(str(report["recording"])))
    assert (tag, channels, samples, len(data)) == (7, 2, callee.at_ms * 8, callee.at_ms * 16)


@pytest.mark.timeout(900 if FULL else 120)
async def test_the_thousandth_call_costs_what_the_first_did(tmp_path: Path) -> None:
    async with model_service() as model, bridge_process(model, tmp_path) as bridge:
        await wave(bridge, model, range(1, 2))  # what is loaded once is loaded
        await bridge.reported(1)
        idle_descriptors, resident = bridge.descriptors, 0
        for first in range(2, CALLS + 2, AT_A_TIME):
            callees = await wave(bridge, model, range(first, first + AT_A_TIME))
            await bridge.reported(first + AT_A_TIME - 1)
            for callee in callees:
                report = bridge.reports[callee.number]
                check(callee, report)
                Path(str(report["recording"])).unlink()
            if first + AT_A_TIME > BASELINE and not resident:
                resident = bridge.resident_kilobytes
        last = bridge.resident_kilobytes
        sys.stderr.write(f"RSS after the first {BASELINE}: {resident} kB, after {CALLS}: {last} kB\n")
        assert last <= GROWTH * resident
        assert bridge.descriptors == idle_descriptors
        assert model.open == 0


def hostile_line(port: int) -> connect:
    signature = RequestValidator(TOKEN).compute_signature(PUBLIC_URL, {})
    url, headers = f"ws://127.0.0.1:{port}/media", {"X-Twilio-Signature": signature}
    return connect(url, additional_headers=headers, compression=None, proxy=None, max_queue=1)


async def garbage(socket: ClientConnection, number: int) -> None:
    """Nonsense, binary frames, a stolen token, then far too much at once: by turns, until it is thrown out."""
    with suppress(ConnectionClosed):
        for message in ("", "{", "[]", '{"event":"media"}', os.urandom(2_000), b"\x00" * 160, '{"event":9}'):
            await socket.send(message)
        if number % 2:
            start = {"streamSid": "MZ", "callSid": "CA", "customParameters": {"token": "stolen"}}
            await socket.send(orjson.dumps({"event": "start", "start": start}).decode())
        await socket.send("x" * 10_000_000)
    await socket.wait_closed()


async def slow_reader(socket: ClientConnection, number: int) -> None:
    """A call that is let in and never reads what it is sent."""
    socket.transport.pause_reading()
    token = str(1_000_000 + number)
    start = {"streamSid": "MZ", "callSid": "CA", "customParameters": {"token": token}}
    await socket.send(orjson.dumps({"event": "start", "start": start}).decode())


@pytest.mark.timeout(120)
async def test_hostile_neighbours_harm_none_of_fifty_calls(tmp_path: Path) -> None:
    async with model_service() as model, bridge_process(model, tmp_path) as bridge, AsyncExitStack() as stack:
        half_open = [await asyncio.open_connection("127.0.0.1", bridge.port) for _ in range(20)]
        for number, (_, writer) in enumerate(half_open):
            writer.write(b"GET /media HTTP/1.1\r\nHost: x\r\nUpgrade: webs" if number % 2 else b"\x16\x03\x01")
            stack.callback(writer.transport.abort)
        slow = [await stack.enter_async_context(hostile_line(bridge.port)) for _ in range(10)]
        await asyncio.gather(*(slow_reader(socket, number) for number, socket in enumerate(slow)))
        loud = [await stack.enter_async_context(hostile_line(bridge.port)) for _ in range(20)]
        vandals = asyncio.gather(*(garbage(socket, number) for number, socket in enumerate(loud)))
        callees = await wave(bridge, model, range(1, 51))
        await asyncio.wait_for(vandals, PATIENCE)
        await bridge.reported(50)
        for callee in callees:
            check(callee, bridge.reports[callee.number])
        for socket in slow:
            socket.transport.abort()
        await bridge.reported(60)
