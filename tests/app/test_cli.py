"""The command line as a person meets it: a child process, its output and its exit code."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from callwright.app.accounts.models import Role
from callwright.app.database.sessions import Database
from tests.conftest import in_database
from tests.world import World

KEYS = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
CLEAN = {name: value for name, value in os.environ.items() if name not in KEYS and not name.startswith("CALLWRIGHT_")}


def callwright(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "callwright.app.cli", *arguments],
        cwd=cwd,
        env={**CLEAN, "COLUMNS": "200", **(env or {})},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize("command", ["up", "web", "bridge", "worker", "dispatcher"])
def test_without_keys_a_process_says_which_are_missing(tmp_path: Path, command: str) -> None:
    done = callwright(command, cwd=tmp_path, env={"OPENAI_API_KEY": "sk-something"})
    assert done.returncode == 2
    for name in KEYS:
        assert (name in done.stderr) is (name != "OPENAI_API_KEY")
    assert "sk-something" not in done.stderr
    assert not (tmp_path / ".data").exists()


def test_a_wrong_setting_is_named_with_its_remedy(tmp_path: Path) -> None:
    done = callwright("doctor", cwd=tmp_path, env={"CALLWRIGHT_MAX_CONCURRENT_CALLS": "0"})
    assert done.returncode == 2
    assert "max_concurrent_calls" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_what_to_do(tmp_path: Path) -> None:
    done = callwright("doctor", cwd=tmp_path, env={"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"})
    assert done.returncode == 1
    assert "TWILIO_AUTH_TOKEN" in done.stdout
    assert "DATABASE_URL" in done.stdout


def test_migrate_goes_up_and_down(tmp_path: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS by_command")
        connection.execute("CREATE DATABASE by_command")
    env = {"DATABASE_URL": in_database(postgres_url, "by_command")}
    assert callwright("migrate", cwd=tmp_path, env=env).returncode == 0
    assert callwright("migrate", "--to", "base", cwd=tmp_path, env=env).returncode == 0
    assert callwright("migrate", cwd=tmp_path).returncode == 2


async def test_a_token_is_made_for_a_known_person_only(
    tmp_path: Path, database_url: str, database: Database, world: World
) -> None:
    user = await world.user(Role.ADMIN)
    env = {"DATABASE_URL": database_url}
    done = callwright("token", user.email, "--days", "1", cwd=tmp_path, env=env)
    assert done.returncode == 0
    assert done.stdout.startswith("cw_")
    unknown = callwright("token", "nobody@example.com", cwd=tmp_path, env=env)
    assert unknown.returncode == 1
    assert "Traceback" not in unknown.stderr


def test_schema_is_printed(tmp_path: Path) -> None:
    done = callwright("schema", cwd=tmp_path)
    assert done.returncode == 0
    assert "type Subscription" in done.stdout


@pytest.mark.parametrize("persona", ["99", "0200", "abcd"])
def test_an_unknown_persona_is_refused_before_anything_starts(tmp_path: Path, persona: str) -> None:
    done = callwright("demo", "--persona", persona, cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / ".data").exists()
