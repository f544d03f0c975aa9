"""The container's health check: `python -m callwright.app.health` asks the process the container was started for."""

import http.client
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from callwright.app.settings import Settings

_TIMEOUT_SECONDS = 4.0


def health_url(command: Sequence[str], settings: Settings) -> str | None:
    """Where the process of this command line tells its health; None for one that listens nowhere (its life is all)."""
    if "bridge" in command:
        return f"http://127.0.0.1:{settings.bridge_port}/health"
    if {"web", "up"} & set(command):
        return f"http://127.0.0.1:{settings.web_port}/health"
    return None


def is_healthy(url: str) -> bool:
    """True if a GET of `url` answers 2xx. Never through a proxy: the process is on this machine."""
    direct = build_opener(ProxyHandler({}))
    try:
        with direct.open(url, timeout=_TIMEOUT_SECONDS) as response:
            return bool(200 <= response.status < 300)
    except (OSError, http.client.HTTPException):
        return False


def main() -> None:
    """Exits 0 if the container's first process is healthy, else 1."""
    command = Path("/proc/1/cmdline").read_text().split("\0")
    url = health_url(command, Settings())
    sys.exit(0 if url is None or is_healthy(url) else 1)


if __name__ == "__main__":
    main()
