"""The sandbox as the process `callwright sandbox` starts."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from callwright.app.sandbox.server import SandboxSettings, read_settings
from callwright.app.sandbox.twilio_webhooks import Delivery, DialMap


@asynccontextmanager
async def process(*options: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    it = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "callwright.app.sandbox.server",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    try:
        yield it
    finally:
        if it.returncode is None:
            it.kill()
            await it.wait()


async def test_it_says_when_it_is_ready_and_ends_on_sigterm() -> None:
    async with process(CALLWRIGHT_SANDBOX_PORT="0", CALLWRIGHT_SANDBOX_SPEED="3") as it:
        assert it.stdout is not None
        ready = json.loads(await it.stdout.readline())
        assert ready["ready"] is True
        async with aiohttp.ClientSession() as session:
            async with session.get(ready["url"] + "/sandbox/health") as response:
                assert await response.json() == {"status": "ok", "speed": 3.0, "calls": 0, "live": 0}
            async with session.get(ready["url"] + "/sandbox/calls") as response:
                assert await response.json() == {"calls": [], "posts": {}}
        it.send_signal(signal.SIGTERM)
        out, err = await it.communicate()
        assert (it.returncode, out, err) == (0, b"", b"")


async def test_it_ends_cleanly_in_the_middle_of_a_call() -> None:
    async with process("--port", "0", "--speed", "20") as it:
        assert it.stdout is not None
        url = json.loads(await it.stdout.readline())["url"]
        login = aiohttp.encode_basic_auth("AC1", "sandbox-token")
        form = {"To": "+13125550112", "From": "+13125550199", "Twiml": "<Response><Pause length='50'/></Response>"}
        async with aiohttp.ClientSession(headers={"Authorization": login}) as session:
            calls = f"{url}/2010-04-01/Accounts/AC1/Calls"
            async with session.post(f"{calls}.json", data=form) as response:
                sid = (await response.json())["sid"]
            status = "queued"
            while status != "in-progress":
                async with session.get(f"{calls}/{sid}.json") as response:
                    status = (await response.json())["status"]
        it.send_signal(signal.SIGTERM)
        _, err = await it.communicate()
        assert (it.returncode, err) == (0, b"")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('number: "555-0142"\ndescription: x\nanswer: maybe\n', "bad.yaml: answer: "),
        ('number: "555-0142"\ndescription: x\nvoice: nobody\n', "nobody"),
    ],
)
async def test_a_bad_persona_ends_the_start_with_a_message(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    async with process("--port", "0", "--personas", str(tmp_path)) as it:
        out, err = await it.communicate()
    assert (it.returncode, out) == (2, b"")
    assert message in err.decode() and "Traceback" not in err.decode()


async def test_a_taken_port_is_named() -> None:
    async with process("--port", "0") as first:
        assert first.stdout is not None
        port = json.loads(await first.stdout.readline())["url"].rpartition(":")[2]
        async with process("--port", port) as second:
            _, err = await second.communicate()
    assert second.returncode == 2 and port in err.decode()


def test_options_win_over_the_environment() -> None:
    environ = {
        "CALLWRIGHT_SANDBOX_SPEED": "4",
        "CALLWRIGHT_SANDBOX_AUTH_TOKEN": "other",
        "CALLWRIGHT_SANDBOX_SHUFFLE_CALLBACKS": "1",
        "CALLWRIGHT_SANDBOX_DIAL_MAP": "https://a=http://b wss://a=ws://b",
    }
    assert read_settings(["--speed", "2", "--cps", "1", "--seed", "7"], environ) == SandboxSettings(
        speed=2,
        seed=7,
        auth_token="other",
        calls_per_second=1,
        delivery=Delivery(shuffle=True),
        dial_map=DialMap([("https://a", "http://b"), ("wss://a", "ws://b")]),
    )


@pytest.mark.parametrize(
    "options", [["--speed", "0"], ["--speed", "fast"], ["--cps", "-1"], ["--dial-map", "https://a"]]
)
def test_bad_options_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        read_settings(options, {})
    assert refused.value.code == 2
    assert options[0] in capsys.readouterr().err
