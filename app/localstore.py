"""What the embedded PostgreSQL and Valkey share: one owner per folder, and no server left over from a killed run."""

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Self

# Linux allows 107 bytes in a socket's path, macOS 103.
_LONGEST_SOCKET_PATH = 100
_POLL_SECONDS = 0.02


class EmbeddedStoreError(RuntimeError):
    """An embedded store cannot start or stop; the message says what to do."""


class FolderLock:
    """Exclusive ownership of a store's folder by one process; the kernel gives it back however that process ends."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder, creating it. Raises `EmbeddedStoreError` naming the folder and the pid that has it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / "owner.lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise EmbeddedStoreError(
                f"{folder} is in use by process {owner}: stop that one first or choose another data folder"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Gives the folder back; a second call does nothing."""
        self._file.close()


class SocketFolder:
    """A private folder for a server's unix socket: in the store's, or a temporary one if a client cannot use its path.

    That is a path too long for a socket, or with a comma, which libpq takes for the end of a host's name.
    """

    def __init__(self, folder: Path, socket_name: str, *, uid: int | None = None) -> None:
        """Makes the folder; `uid` is its owner where root starts a server under another account."""
        self.path = folder / "run"
        too_long = len(os.fsencode(self.path / socket_name)) >= _LONGEST_SOCKET_PATH
        self._temporary = too_long or "," in str(self.path)
        if self._temporary:
            self.path = Path(tempfile.mkdtemp(prefix="callwright-"))
        self.path.mkdir(mode=0o700, exist_ok=True)
        if uid is not None:
            os.chown(self.path, uid, -1)

    def remove(self) -> None:
        """Deletes the folder if it is a temporary one."""
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)


class ServerProcess:
    """A store's server as a child process of this one, away from the terminal's signals."""

    def __init__(self, argv: Sequence[str], *, name: str, folder: Path, log_file: Path) -> None:
        """Starts `argv` in `folder`, its output appended to `log_file`."""
        self._name = name
        self._log_file = log_file
        with log_file.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {"LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, is_ready: Callable[[], bool], timeout: float) -> None:
        """Returns once `is_ready()`; raises `EmbeddedStoreError` if the server exits or `timeout` seconds pass."""
        deadline = time.monotonic() + timeout
        while not is_ready():
            code = self._process.poll()
            if code is not None:
                raise EmbeddedStoreError(f"{self._name} exited with {code} while starting: {self._log_tail()}")
            if time.monotonic() > deadline:
                raise EmbeddedStoreError(f"{self._name} was not ready after {timeout:g} s: {self._log_tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Sends each signal in turn, waiting the given seconds for the exit, and kills what is left."""
        for number, seconds in (*steps, (signal.SIGKILL, 10.0)):
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def _log_tail(self) -> str:
        lines = self._log_file.read_text(errors="replace").splitlines()
        return " | ".join(lines[-4:]) + f" (all of it in {self._log_file})"


class LocalServer:
    """A running embedded server: its URL, and how to end it. Also a context manager that stops it."""

    def __init__(self, url: str, pid: int, release: contextlib.ExitStack) -> None:
        self.url = url
        self.pid = pid
        self._release = release

    def stop(self) -> None:
        """Shuts the server down and gives its folder back; a second call does nothing."""
        self._release.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wheel_folder(package: str) -> Path | None:
    """The folder an installed package unpacked to, without running its code; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def stop_leftovers(folder: Path, programs: Sequence[str], timeout: float = 20.0) -> list[int]:
    """Ends servers of a killed run that still use `folder`, and returns their pids.

    A server is known by its name starting with one of `programs` and by `folder` as its working folder or an argument,
    never by a pid from a file, which may be another program's by now. It gets SIGINT, on which both stores shut down
    orderly, and SIGKILL if it is still there after `timeout` seconds. Only where there is a /proc.
    """
    found = _users_of(folder, programs)
    for number, seconds in ((signal.SIGINT, timeout), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + seconds
        for pid in _users_of(folder, programs):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while _users_of(folder, programs) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    return found


def _users_of(folder: Path, programs: Sequence[str]) -> list[int]:
    """The pids of `programs` that use `folder`. Arguments count because root in a container may not see folders."""
    wanted = folder.resolve()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Any process may end while it is looked at.
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().startswith(tuple(programs)):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if os.fsencode(wanted) in arguments or (entry / "cwd").readlink() == wanted:
                    found.append(int(entry.name))
    return found
