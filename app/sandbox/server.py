"""The sandbox process: stand-ins for Twilio, OpenAI Realtime and Claude on one port of the loopback interface.

    python -m callwright.app.sandbox.server --port 9100

Prints one line of JSON when it listens, `{"ready": true, "url": "http://127.0.0.1:9100"}`, and ends cleanly on SIGTERM.
Every option can also be set in the environment: `--auth-token` is `CALLWRIGHT_SANDBOX_AUTH_TOKEN`.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from aiohttp import web

from callwright.app.sandbox import claude, realtime
from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.ledger import Ledger
from callwright.app.sandbox.persona import BUILT_IN, Directory, PersonaError, load
from callwright.app.sandbox.speech import Speaker, UnknownVoice
from callwright.app.sandbox.twilio_carrier import Carrier
from callwright.app.sandbox.twilio_office import Office
from callwright.app.sandbox.twilio_rest import TwilioRest
from callwright.app.sandbox.twilio_webhooks import Delivery, DialMap, Webhooks
from callwright.app.sandbox.twilio_wire import SidMaker, SimClock

DEFAULT_PORT = 9100
DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - the stand-in's public default, guards nothing
SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How the sandbox behaves. `speed` multiplies simulated time, `calls_per_second` 0 means no queue."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    speed: float = 1.0
    personas: Path | None = None
    auth_token: str = DEFAULT_TOKEN
    seed: int | None = None
    calls_per_second: float = 0.0
    delivery: Delivery = field(default_factory=Delivery)
    dial_map: DialMap = field(default_factory=DialMap)


class Sandbox:
    """The assembled stand-ins; `start` listens, `close` ends every call."""

    def __init__(self, settings: SandboxSettings) -> None:
        """Raises PersonaError."""
        self.settings = settings
        self.ledger = Ledger()
        self.ear = Ear()
        self.speaker = Speaker(self.ear)
        clock = SimClock(settings.speed)
        chance = random.Random(settings.seed)
        folders = [BUILT_IN, *([settings.personas] if settings.personas else [])]
        webhooks = Webhooks(settings.auth_token, clock, self.ledger, chance, settings.delivery, settings.dial_map)
        self.carrier = Carrier(
            Office(
                clock=clock,
                ledger=self.ledger,
                webhooks=webhooks,
                directory=load(*folders),
                speaker=self.speaker,
                ear=self.ear,
                sids=SidMaker(settings.seed),
                calls_per_second=settings.calls_per_second,
            )
        )
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    async def start(self) -> str:
        """Listens; gives the URL. Raises OSError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        await self.carrier.close()
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=32 * 2**20)
        app.add_routes(TwilioRest(self.carrier, self.settings.auth_token).routes())
        app.add_routes(realtime.routes(self.speaker, self.ear, self.ledger))
        app.add_routes(claude.routes(self.ledger))
        app.add_routes(self.ledger.routes())
        app.add_routes([web.get("/sandbox/calls", self._calls), web.get("/sandbox/health", self._health)])
        return app

    async def _calls(self, request: web.Request) -> web.Response:
        return web.json_response(self.carrier.report())

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"status": "ok", "speed": self.settings.speed, "calls": len(self.carrier.calls), "live": self.carrier.live}
        )


def read_settings(argv: Sequence[str], environ: Mapping[str, str]) -> SandboxSettings:
    """Options win over the environment. Ends the process with usage on a bad value."""
    parser = argparse.ArgumentParser(prog="callwright sandbox", description="Stand-ins for Twilio, OpenAI and Claude.")

    def option(name: str, kind: type, default: object, text: str) -> None:
        variable = "CALLWRIGHT_SANDBOX_" + name.upper().replace("-", "_")
        parser.add_argument(
            f"--{name}", type=kind, default=environ.get(variable) or default, help=f"{text} [{variable}]"
        )

    def switch(name: str, text: str) -> None:
        variable = "CALLWRIGHT_SANDBOX_" + name.upper().replace("-", "_")
        on = environ.get(variable, "").lower() in ("1", "true", "yes", "on")
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=on, help=f"{text} [{variable}]")

    option("host", str, "127.0.0.1", "address to listen on")
    option("port", int, DEFAULT_PORT, "port to listen on, 0 for any free one")
    option("speed", float, 1.0, "simulated seconds in a second")
    option("personas", Path, None, "folder of more personas, YAML")
    option("auth-token", str, DEFAULT_TOKEN, "Twilio auth token to accept and sign with")
    option("seed", int, None, "makes ids and shuffles reproducible")
    option("cps", float, 0.0, "calls started a second, the rest queue; 0 for no limit")
    switch("shuffle-callbacks", "deliver status callbacks out of order")
    switch("duplicate-callbacks", "deliver every callback twice")
    variable = "CALLWRIGHT_SANDBOX_DIAL_MAP"
    parser.add_argument(
        "--dial-map",
        action="append",
        metavar="PUBLIC=LOCAL",
        help=f"where a public URL prefix is really found; signatures keep the public one; repeatable [{variable}]",
    )
    given = parser.parse_args(argv)
    maps = [pair.partition("=") for pair in given.dial_map or environ.get(variable, "").split()]
    if given.speed <= 0 or given.cps < 0 or not all(public and local for public, _, local in maps):
        parser.error("--speed must be above 0, --cps not negative, --dial-map PUBLIC=LOCAL")
    return SandboxSettings(
        host=given.host,
        port=given.port,
        speed=given.speed,
        personas=given.personas,
        auth_token=given.auth_token,
        seed=given.seed,
        calls_per_second=given.cps,
        delivery=Delivery(given.shuffle_callbacks, given.duplicate_callbacks),
        dial_map=DialMap([(public, local) for public, _, local in maps]),
    )


def check_voices(directory: Directory, speaker: Speaker) -> None:
    """Tries every voice once, so that a wrong name shows at start and not on the phone. Raises UnknownVoice."""
    for voice in directory.voices():
        speaker.say("a", voice)


async def serve(settings: SandboxSettings) -> int:
    """Runs until SIGTERM or SIGINT; the process's exit status."""
    try:
        sandbox = Sandbox(settings)
        await asyncio.to_thread(check_voices, sandbox.carrier.office.directory, sandbox.speaker)
        url = await sandbox.start()
    except (PersonaError, UnknownVoice, OSError) as error:
        sys.stderr.write(f"callwright sandbox: {error}\n")
        return 2
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stdout.write(json.dumps({"ready": True, "url": url}) + "\n")
    sys.stdout.flush()
    try:
        await stop.wait()
    finally:
        await sandbox.close()
    return 0


def main() -> int:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(serve(read_settings(sys.argv[1:], os.environ)))
    return 130


if __name__ == "__main__":
    sys.exit(main())
