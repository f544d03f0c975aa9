"""What a person is told when a command cannot do its work: one line and what to do, instead of a traceback."""

import errno
from dataclasses import dataclass

from alembic.util import CommandError
from psycopg import Error as PostgresError
from psycopg import OperationalError as PostgresAway
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from callwright.app.errors import CallwrightError, ErrorCode, ToldError
from callwright.app.localstore import EmbeddedStoreError

FAILED, CONFIGURATION = 1, 2
# Of the machine, not of the program.
_SURROUNDINGS = {
    *(errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An expected failure in a person's words, and the exit code: 2 when trying again cannot help, else 1."""

    what: str
    remedy: str = ""
    exit_code: int = FAILED


def told(error: Exception) -> Failure | None:
    """How to tell an expected error; None for one that is our own mistake and needs its traceback."""
    match error:
        case CallwrightError():
            code = CONFIGURATION if error.code is ErrorCode.CONFIGURATION else FAILED
            return Failure(error.message, error.remedy, code)
        case EmbeddedStoreError() | ToldError():
            return Failure(str(error))
        case CommandError():
            return Failure(
                f"The database cannot be brought there: {_first_line(error)}.",
                "`callwright migrate` without --to brings it to the newest revision.",
                CONFIGURATION,
            )
        case DBAPIError():
            return _of_database(error.orig or error)
        case PostgresError():
            return _of_database(error)
        case RedisError():
            return Failure(f"Redis failed: {_first_line(error)}.", "Start it, or correct REDIS_URL.")
        case OSError() if error.errno in _SURROUNDINGS:
            return Failure(str(error))
        case _:
            return None


def _of_database(error: BaseException) -> Failure:
    remedy = (
        "Start it, or correct DATABASE_URL."
        if isinstance(error, PostgresAway)
        else "Has `callwright migrate` been run?"
    )
    return Failure(f"The database failed: {_first_line(error)}.", remedy)


def _first_line(error: BaseException) -> str:
    """Later lines of a database's error quote values of the row."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
