"""What a process writes when something unexpected is raised: where and what, and nothing of anybody's data."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from callwright.app.logs import configure_logging
from callwright.app.errors import CallwrightError, ErrorCode

configure_logging("test")

def handle(number):
    secret = "hunter2"
    try:
        raise ValueError("cannot read " + number)
    except ValueError as error:
        error.add_note("of " + number)
        raise ExceptionGroup("both " + number, [KeyError(number), CallwrightError(ErrorCode.CALL_NOT_FOUND, "gone")])

try:
    handle("+13125550100")
except Exception:
    LOG
"""


@pytest.mark.parametrize(
    "call",
    ['logging.getLogger("uvicorn.error").exception("failed")', 'structlog.get_logger("bridge").exception("failed")'],
)
def test_an_exception_is_logged_without_the_data_it_was_about(call: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("LOG", call)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "ExceptionGroup" in done.stderr
    assert "KeyError" in done.stderr
    assert "handle" in done.stderr
    assert "gone" in done.stderr
    assert "5550100" not in done.stderr
    assert "hunter2" not in done.stderr
