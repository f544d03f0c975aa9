"""`callwright bench-calls`: what it prints lets streams in, once each, and it keeps out of production."""

import hashlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlmodel import col

from callwright.app.calls.conversation import StreamRefused
from callwright.app.calls.desk import DatabaseCallDesk
from callwright.app.calls.lifecycle import ATTEMPT_LIVE, AttemptStatus
from callwright.app.calls.models import CallAttempt
from callwright.app.demo.bench_calls import seed_bench_calls
from callwright.app.state import AppState
from tests.conftest import SettableClock


def command(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "callwright.app.cli", "bench-calls", *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


async def test_each_line_lets_one_stream_in(tmp_path: Path, state: AppState, database_url: str) -> None:
    done = command("3", cwd=tmp_path, DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len({sid for sid, _ in lines}) == 3
    desk = DatabaseCallDesk(state)
    try:
        for sid, parameters in lines:
            token = json.loads(parameters)["token"]
            brief = await desk.open(sid, token)
            assert brief.opening_line
            with pytest.raises(StreamRefused, match="token_used"):
                await desk.open(sid, token)
    finally:
        await desk.close()
    async with state.database.system() as session:
        hashes = set(await session.scalars(select(col(CallAttempt.stream_token_hash))))
    assert hashlib.sha256(json.loads(lines[0][1])["token"].encode()).hexdigest() in hashes


async def test_calls_of_an_earlier_run_are_ended(state: AppState, clock: SettableClock) -> None:
    for _ in range(2):
        await seed_bench_calls(state.database, state.settings, 5, clock.now(), timedelta(minutes=1))
        clock.advance(120)
    async with state.database.system() as session:
        live = await session.scalar(
            select(func.count()).select_from(CallAttempt).where(col(CallAttempt.status).in_(ATTEMPT_LIVE))
        )
        ended = await session.scalar(
            select(func.count())
            .select_from(CallAttempt)
            .where(col(CallAttempt.status) == AttemptStatus.COMPLETED, col(CallAttempt.ended_at).is_not(None))
        )
    assert (live, ended) == (5, 5)


async def test_production_has_none_of_it(tmp_path: Path, database_url: str) -> None:
    done = command(
        "1",
        cwd=tmp_path,
        DATABASE_URL=database_url,
        CALLWRIGHT_ENVIRONMENT="production",
        CALLWRIGHT_SECRET_KEY="a production key of good length",
    )
    assert done.returncode == 2
    assert "production" in done.stderr
    assert done.stdout == ""
