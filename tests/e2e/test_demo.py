"""`callwright demo` as a newcomer runs it, in a folder of its own."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
def test_the_demo_ends_with_a_finished_recorded_call(store_dir: Path) -> None:
    folder = store_dir / "demo"
    folder.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("CALLWRIGHT_", "DATABASE_"))
    }
    # Real keys in the environment must not be used, nor passed on.
    environment |= {"OPENAI_API_KEY": "sk-real", "ANTHROPIC_API_KEY": "real", "TWILIO_AUTH_TOKEN": "real"}
    done = subprocess.run(
        [sys.executable, "-m", "callwright.app.cli", "demo", "--json", "--speed", "4"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert (result["status"], result["outcome"], result["interestLevel"]) == ("COMPLETED", "GOAL_ACHIEVED", "HIGH")
    assert len(result["transcript"]) >= 6
    assert "AI" in next(turn["text"] for turn in result["transcript"] if turn["speaker"] == "AGENT")
    assert result["carrier"]["callsPlaced"] == 1
    audio = Path(result["recording"]["path"]).read_bytes()
    assert audio[:4] == b"RIFF"
    format_tag, channels, rate = struct.unpack("<HHI", audio[20:28])
    assert (format_tag, channels, rate) == (7, 2, 8000)
    assert abs(result["recording"]["seconds"] - result["durationSeconds"]) <= 2
