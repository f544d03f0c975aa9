"""What `up` and `demo` start: the sandbox's port, and who may read what they write."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from callwright.app.errors import CallwrightError
from callwright.app.settings import Environment, Settings
from callwright.app.stack import children_of, free_port, sandboxed


def test_each_sandbox_has_a_port_of_its_own_unless_one_is_set() -> None:
    settings = Settings(_env_file=None, sandbox_url=None)
    first, second = sandboxed(settings), sandboxed(settings)
    assert first.sandbox_url != second.sandbox_url
    wanted = Settings(_env_file=None, sandbox_url="http://localhost:9177")
    assert sandboxed(wanted).sandbox_url == "http://127.0.0.1:9177"
    assert sandboxed(wanted, port=9178).sandbox_url == "http://127.0.0.1:9178"


def test_there_is_no_sandbox_in_production() -> None:
    settings = Settings(_env_file=None, environment=Environment.PRODUCTION, secret_key=SecretStr("x" * 32))
    with pytest.raises(CallwrightError, match="production"):
        sandboxed(settings)


def test_whoever_listens_says_where_and_the_log_folder_is_private(tmp_path: Path) -> None:
    settings = sandboxed(Settings(_env_file=None, web_port=free_port(), bridge_port=free_port()))
    children = children_of(settings, log_dir=tmp_path / "logs")
    assert {child.name: child.address for child in children} == {
        "sandbox": ("127.0.0.1", urlsplit(settings.sandbox_url or "").port),
        "web": ("127.0.0.1", settings.web_port),
        "bridge": ("127.0.0.1", settings.bridge_port),
        "worker": None,
        "dispatcher": None,
    }
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
