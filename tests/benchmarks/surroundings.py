"""What a run needs around the bridges: the load generator, peers' environments, stores, a TLS terminator, ports."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOADGEN_SOURCES = HERE / "loadgen"
PEERS = HERE / "peers"
BRIDGE_CPU, LOAD_CPU = 0, 1

_INSTALL_SECONDS = 900
PACKAGES: Mapping[str, Sequence[str]] = {
    "plain": ("fastapi", "uvicorn[standard]", "websockets", "uvloop"),
    "pipecat": ("pipecat-ai[openai,websocket,silero,runner]>=1.14", "uvicorn[standard]", "fastapi", "uvloop"),
}
# What of it the report names.
NAMED = {"plain": ("fastapi", "websockets", "uvicorn"), "pipecat": ("pipecat-ai", "uvicorn")}


class Missing(Exception):
    """Something the benchmark needs is not on this machine; the message says what to do."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 60.0) -> bool:
    """Whether the port opens in time, while the process that should open it lives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return True
        time.sleep(0.05)
    return False


def stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """SIGTERM, and SIGKILL for what is still there afterwards."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def pin_to_load_cpu() -> None:
    """This process and all it starts leave the bridge's processor alone."""
    available = os.sched_getaffinity(0)
    if not {BRIDGE_CPU, LOAD_CPU} <= available:
        raise Missing(f"the benchmark needs processors {BRIDGE_CPU} and {LOAD_CPU}; there are {sorted(available)}")
    os.sched_setaffinity(0, {LOAD_CPU})


def on_cpu(cpu: int) -> list[str]:
    """What to put before a command that must run there, ahead of whatever else the machine does (if we may)."""
    pinned = ["taskset", "-c", str(cpu)]
    first = ["chrt", "--rr", "10"]
    may = shutil.which("chrt") and subprocess.run([*first, "true"], capture_output=True, check=False).returncode == 0
    return [*first, *pinned] if may else pinned


def build_loadgen(folder: Path) -> Path:
    """Compiles the load generator when a source is newer than the program."""
    program = folder / "loadgen"
    sources = sorted(LOADGEN_SOURCES.glob("*.c"))
    newest = max(file.stat().st_mtime for file in LOADGEN_SOURCES.iterdir())
    if program.exists() and program.stat().st_mtime > newest:
        return program
    if shutil.which("gcc") is None:
        raise Missing("gcc is needed for the load generator: apt-get install gcc")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, *sources, "-lm"], check=True)
    return program


def environment(folder: Path, name: str) -> Path:
    """The Python of a peer's own virtual environment, installed from PyPI when it is not there. Raises `Missing`."""
    venv = folder / f"venv-{name}"
    python, done = venv / "bin" / "python", venv / ".installed"
    wanted = "\n".join(PACKAGES[name])
    if done.exists() and done.read_text() == wanted:
        return python
    uv = Path(sys.executable).with_name("uv")
    try:
        for command in (
            [str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)],
            [str(uv), "pip", "install", "--quiet", "--python", str(python), *PACKAGES[name]],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise Missing(f"could not be installed: {said[-1] if said else type(error).__name__}") from error
    done.write_text(wanted)
    return python


def versions(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Installed versions by package name."""
    program = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    run = subprocess.run([python, "-c", program, *packages], capture_output=True, text=True, check=True)
    return dict(zip(packages, run.stdout.split(), strict=True))


@contextlib.contextmanager
def tls_terminator(folder: Path, target_port: int) -> Iterator[tuple[int, Path]]:
    """stunnel before the model's port: yields its port and the certificate that clients must trust."""
    stunnel = shutil.which("stunnel") or shutil.which("stunnel4")
    if stunnel is None:
        raise Missing("stunnel is needed for TLS to the model: apt-get install stunnel4 (or run with --no-tls)")
    key, certificate, config = folder / "tls.key", folder / "tls.pem", folder / "stunnel.conf"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    paths = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *request.split(), *paths], check=True, capture_output=True)
    port = free_port()
    config.write_text(
        f"foreground = yes\npid =\ndebug = 4\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n"
        f"[model]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{target_port}\ncert = {certificate}\nkey = {key}\n"
    )
    with (folder / "stunnel.log").open("wb") as log:
        process = subprocess.Popen([*on_cpu(LOAD_CPU), stunnel, str(config)], stdout=log, stderr=log)
        try:
            if not wait_for_port(port, process):
                raise Missing(f"stunnel did not start: see {folder / 'stunnel.log'}")
            yield port, certificate
        finally:
            stop(process, 5)


def core_speed_ms() -> float:
    """Milliseconds for a fixed loop on the bridge's processor: neighbours on the host change it by half."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {BRIDGE_CPU})
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        total = 0
        for number in range(300_000):
            total += number & 7
        best = min(best, time.perf_counter() - started)
    os.sched_setaffinity(0, before)
    return best * 1000
