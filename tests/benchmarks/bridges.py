"""The bridges under test: how each is started, and what it needs for a run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from callwright.app.settings import SANDBOX_AUTH_TOKEN, Settings
from callwright.app.stack import sandboxed
from tests.benchmarks.surroundings import BRIDGE_CPU, PEERS, Missing, environment, on_cpu, stop, wait_for_port

SHIPPED, PLAIN, PIPECAT, FLOOR = "callwright", "plain", "pipecat", "floor"
BRIDGES = (SHIPPED, PLAIN, PIPECAT, FLOOR)
TITLES = {
    SHIPPED: "callwright bridge, everything on",
    PLAIN: "FastAPI + websockets + json",
    PIPECAT: "Pipecat, tuned",
    FLOOR: "picows floor, nothing on",
}
_DRAIN_SECONDS = 30.0
_MOST_CALLS = 2_000  # the load decides, not the limit


@dataclass(frozen=True, slots=True)
class Started:
    """A running bridge, and the load generator's options for it."""

    pid: int
    options: tuple[str, ...] = ()


class Fleet:
    """Starts any of the bridges on `phone_port`, joined to the model at `model_port` (the shipped one by TLS)."""

    def __init__(
        self, folder: Path, stores: Settings, *, phone_port: int, model_port: int, tls: tuple[int, Path] | None
    ) -> None:
        self._folder = folder
        self._phone_port = phone_port
        self._model_port = model_port
        self._tls = tls
        port, scheme = (model_port, "http") if tls is None else (tls[0], "https")
        self._settings = sandboxed(stores).model_copy(
            update={
                "sandbox_url": f"{scheme}://127.0.0.1:{port}",
                "bridge_port": phone_port,
                "bridge_max_calls": _MOST_CALLS,
                "bridge_stream_url": f"ws://127.0.0.1:{phone_port}/media",
                "twilio_auth_token": SecretStr(SANDBOX_AUTH_TOKEN),
            }
        )
        self.missing: dict[str, str] = {}

    def prepare(self, names: tuple[str, ...]) -> None:
        """Installs the peers; one that cannot be had is noted in `missing`."""
        for name in names:
            if name in (PLAIN, PIPECAT):
                try:
                    environment(self._folder, name)
                except Missing as missing:
                    self.missing[name] = str(missing)

    @contextmanager
    def run(self, name: str) -> Iterator[Started]:
        """The bridge on its own processor, from an open port to its end."""
        command, variables = self._command(name)
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*on_cpu(BRIDGE_CPU), *command],
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
            )
            try:
                if not wait_for_port(self._phone_port, process):
                    raise Missing(f"did not start: see {self._folder / name}.log")
                yield Started(process.pid, self._options(name))
            finally:
                stop(process, _DRAIN_SECONDS)

    def starts(self, name: str, calls: int) -> tuple[str, ...]:
        """Options that give each call its own `start` message; the shipped bridge lets in nobody else."""
        if name != SHIPPED:
            return ()
        seeded = subprocess.run(
            [sys.executable, "-m", "callwright.app.cli", "bench-calls", str(calls)],
            env={**os.environ, **self._settings.as_environment()},
            capture_output=True,
            text=True,
            check=True,
        )
        file = self._folder / "starts.tsv"
        file.write_text(seeded.stdout)
        assert all(json.loads(line.split("\t")[1]) for line in seeded.stdout.splitlines())
        return ("--starts", str(file))

    def _command(self, name: str) -> tuple[list[str], dict[str, str]]:
        if name == SHIPPED:
            variables = self._settings.as_environment()
            if self._tls is not None:
                variables["SSL_CERT_FILE"] = str(self._tls[1])
            return [sys.executable, "-m", "callwright.app.cli", "bridge"], variables
        variables = {
            "PHONE_PORT": str(self._phone_port),
            "MODEL_URL": f"ws://127.0.0.1:{self._model_port}/v1/realtime?model=gpt-realtime",
        }
        if name == FLOOR:
            return [sys.executable, str(PEERS / "floor.py")], variables
        script = {PLAIN: "plain.py", PIPECAT: "pipecat_tuned.py"}[name]
        return [str(environment(self._folder, name)), str(PEERS / script)], variables

    def _options(self, name: str) -> tuple[str, ...]:
        if name == PIPECAT:
            return ("--fmt", "pcm24")
        if name != SHIPPED:
            return ()
        url = self._settings.bridge_stream_url
        signature = RequestValidator(SANDBOX_AUTH_TOKEN).compute_signature(url, {})
        return ("--path", urlsplit(url).path, "--header", f"X-Twilio-Signature: {signature}")
