"""Starting a child process that cannot outlive the process that started it."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# Runs between fork and the real program, in an interpreter of its own: setting a death signal in the forked child of a
# threaded Python (preexec_fn) can deadlock. The signal is set after the change of user, which clears it, and the
# parent is compared afterwards, because it may have died before.
_LAUNCHER = """
import ctypes, os, sys
parent, number, user = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if user:
    import pwd
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
PR_SET_PDEATHSIG = 1
if number and sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number) != 0:
    raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
if number and os.getppid() != parent:
    sys.exit("the process that started this one has died")
try:
    os.execvp(sys.argv[4], sys.argv[4:])
except OSError as error:
    sys.exit(f"cannot run {sys.argv[4]}: {error.strerror}")
"""


def bound_to_parent(
    argv: Sequence[str], *, death_signal: signal.Signals | None = signal.SIGKILL, user: str | None = None
) -> list[str]:
    """The command line that runs `argv` as a child of this process which gets `death_signal` when this process dies.

    Linux watches the thread that starts the child, so start it from one that lives as long as the child should. On
    other systems the child runs without that bond. `user` (only as root) is the account it runs under.
    """
    number = 0 if death_signal is None else death_signal.value
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(number), user or "", *argv]


def grant_search(path: Path, uid: int) -> None:
    """Lets account `uid` reach `path`: adds search permission (not read) for others to parents that lack it.

    Only for root, whose unprivileged children otherwise cannot reach a folder inside a private home.
    """
    for folder in reversed(path.resolve().parents):
        status = folder.stat()
        if status.st_uid != uid and not status.st_mode & 0o001:
            folder.chmod(status.st_mode & 0o7777 | 0o001)
            log.warning("folder.search_granted", folder=str(folder), uid=uid)
