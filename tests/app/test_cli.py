"""The command line as a person meets it: a child process, its output and its exit code."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from aiohttp.test_utils import unused_port

from callwright.app.accounts.models import Role
from callwright.app.database.embedded import start as start_postgres
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


def test_doctor_counts_a_redis_on_the_path(tmp_path: Path) -> None:
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    done = callwright("doctor", "--sandbox", cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert f"{server}, started by" in done.stdout


def test_migrate_goes_up_and_down(tmp_path: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS by_command")
        connection.execute("CREATE DATABASE by_command")
    env = {"DATABASE_URL": in_database(postgres_url, "by_command")}
    assert callwright("migrate", cwd=tmp_path, env=env).returncode == 0
    assert callwright("migrate", "--to", "0001", cwd=tmp_path, env=env).returncode == 0
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    unknown = callwright("migrate", "--to", "bogus", cwd=tmp_path, env=env)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "'bogus'" in unknown.stderr
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


NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
WITH_KEYS = dict.fromkeys(KEYS, "x")


@pytest.mark.parametrize(
    ("command", "env", "code", "said"),
    [
        (["migrate"], NOWHERE, 1, "Connection refused"),
        (["migrate"], {"DATABASE_URL": "mysql://localhost"}, 2, "must start with postgresql://"),
        (["token", "a@example.com"], NOWHERE, 1, "Connection refused"),
        (["token", "a@example.com"], {}, 2, "no `callwright up` is running"),
        (["doctor"], {"REDIS_URL": "foo"}, 2, "must start with redis://"),
        (
            ["doctor", "--sandbox"],
            {"CALLWRIGHT_ENVIRONMENT": "production", "CALLWRIGHT_SECRET_KEY": "x" * 32},
            2,
            "prod",
        ),
        (["web"], WITH_KEYS, 2, "Missing: DATABASE_URL, REDIS_URL."),
        (["worker"], WITH_KEYS | NOWHERE, 2, "Missing: REDIS_URL."),
        (["dispatcher"], WITH_KEYS, 2, "`callwright up`"),
        (["bridge"], WITH_KEYS, 2, "`callwright up`"),
    ],
)
def test_an_ordinary_mistake_is_told_in_one_line(
    tmp_path: Path, command: list[str], env: dict[str, str], code: int, said: str
) -> None:
    done = callwright(*command, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert said in done.stderr


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize("speed", ["0", "-1", "51"])
def test_an_impossible_speed_is_refused_before_anything_starts(tmp_path: Path, command: str, speed: str) -> None:
    done = callwright(command, "--speed", speed, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".data").exists()


def test_the_sandbox_shows_its_own_options(tmp_path: Path) -> None:
    assert "--dial-map" in callwright("sandbox", "--help", cwd=tmp_path).stdout


def test_a_token_can_be_made_beside_a_running_up(store_dir: Path) -> None:
    """`up` runs its database in the data folder; here it has nobody in it and no tables."""
    folder = store_dir / "beside"
    with start_postgres(folder / ".data" / "postgres", durable=False):
        done = callwright("token", "nobody@example.com", cwd=folder)
    assert done.returncode == 1
    assert "callwright migrate" in done.stderr


def test_a_broken_persona_file_ends_up_at_once_with_its_words(store_dir: Path) -> None:
    folder = store_dir / "personas"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "odd.yml").write_text("number: 555-0142\ndescription: odd\ncolour: red\n")
    done = callwright("up", "--sandbox", "--personas", "mine", cwd=folder, env=free_ports())
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "sandbox ended with exit code 2" in last
    assert "colour: is not a field" in last


def test_a_second_up_names_the_port_that_is_taken(store_dir: Path) -> None:
    folder = store_dir / "second"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = callwright("up", "--sandbox", cwd=folder, env={**free_ports(), "CALLWRIGHT_WEB_PORT": port})
    assert done.returncode == 1
    assert f"web cannot listen on 127.0.0.1 port {port}: address already in use" in done.stderr.splitlines()[-1]


def test_the_demo_says_that_it_stops_on_ctrl_c(store_dir: Path) -> None:
    folder = store_dir / "interrupted"
    folder.mkdir()
    argv = [sys.executable, "-m", "callwright.app.cli", "demo"]
    with subprocess.Popen(argv, cwd=folder, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        for line in it.stdout:
            if line.startswith("Starting"):
                break
        it.send_signal(signal.SIGINT)
        _, errors = it.communicate(timeout=60)
    assert (it.returncode, errors) == (130, "Stopping …\n")
    logs = folder / ".data" / "demo" / "logs"
    assert logs.stat().st_mode & 0o077 == 0
    assert all(log.stat().st_mode & 0o077 == 0 for log in logs.iterdir())


def free_ports() -> dict[str, str]:
    return {name: str(unused_port()) for name in ("CALLWRIGHT_WEB_PORT", "CALLWRIGHT_BRIDGE_PORT")}
