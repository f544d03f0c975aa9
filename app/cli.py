"""The `callwright` command.

Each command imports its own process inside the function: starting one must not load the SDKs of all the others, which
would cost seconds of start-up a process.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from callwright.app.calls.lifecycle import CallType
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.logs import configure_logging
from callwright.app.settings import Settings

app = typer.Typer(help="AI phone calls people can trust.", no_args_is_help=True, pretty_exceptions_enable=False)
out = Console()
err = Console(stderr=True)

PersonasOption = Annotated[
    Path | None,
    typer.Option(
        "--personas",
        help="A folder of persona files (*.yaml, *.yml) to add to the sandbox's.",
        exists=True,
        file_okay=False,
    ),
]
INTERRUPTED = 130  # what a shell reports after Ctrl-C
SLOWEST, FASTEST = 0.1, 50.0  # a phone beside real time


def load_settings() -> Settings:
    """The settings, or a clear list of what is wrong with them and exit code 2."""
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            where = ".".join(str(part) for part in problem["loc"])
            _complain("settings:", f"{where + ': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}")
        raise typer.Exit(2) from None


@app.command()
def up(
    sandbox: Annotated[
        bool, typer.Option(help="Use stand-ins for Twilio, OpenAI and Anthropic; needs no key.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(help="How much faster than real time the sandbox's phones run.", min=SLOWEST, max=FASTEST),
    ] = None,
    personas: PersonasOption = None,
) -> None:
    """Run every process on this machine, on embedded stores where none are set."""
    configure_logging("up")
    settings = load_settings()
    if not sandbox:
        _require_keys(settings)
    with _guarded():
        asyncio.run(_up(settings, personas, sandbox=sandbox, speed=speed))


async def _up(settings: Settings, personas: Path | None, *, sandbox: bool, speed: float | None) -> None:
    from callwright.app.stack import children_of, sandboxed, stores
    from callwright.app.supervisor import Supervisor

    if sandbox or settings.in_sandbox:
        settings = sandboxed(settings, speed=speed)
    async with stores(settings) as ready:
        if ready.in_sandbox:
            await _welcome_to_sandbox(ready)
        supervisor = Supervisor(children_of(ready, personas=personas), report=_say)
        out.print(
            f"Callwright: {ready.public_url}   GraphQL: {ready.public_url}/graphql   Ctrl-C stops", highlight=False
        )
        await supervisor.run()


async def _welcome_to_sandbox(settings: Settings) -> None:
    from callwright.app.database.sessions import Database
    from callwright.app.demo.seed import DEMO_PASSWORD, PERSONAS, add_lead, seed_marketplace

    assert settings.database_url is not None
    database = Database(settings.database_url)
    try:
        place = await seed_marketplace(database, "demo")
        if place.is_new:
            for persona in PERSONAS:
                await add_lead(database, place.business_id, persona)
    finally:
        await database.close()
    out.print("[yellow]Sandbox:[/yellow] every provider is a stand-in, and calling hours are always open.")
    out.print(f"Sign in as {place.owner_email}, password {DEMO_PASSWORD}: a lead for each persona.", highlight=False)


def _say(event: object) -> None:
    out.print(f"{datetime.now(UTC):%H:%M:%S} {event}", highlight=False)


@app.command()
def demo(
    persona: Annotated[str, typer.Option(help="The callee: the last four digits of the number dialled.")] = "0100",
    call_type: Annotated[CallType, typer.Option(help="Why the agent calls.")] = CallType.QUALIFY_LEAD,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the story.")] = False,
    speed: Annotated[
        float, typer.Option(help="How much faster than real time the phone runs.", min=SLOWEST, max=FASTEST)
    ] = 1.0,
    personas: PersonasOption = None,
) -> None:
    """Start everything, place one call to a persona, and follow it to its summary."""
    from callwright.app.demo.run import run_demo

    configure_logging("demo", level=logging.WARNING)
    if not (persona.isdigit() and len(persona) == 4 and persona.startswith("01")):
        raise typer.BadParameter("four digits from 0100 to 0199", param_hint="--persona")
    settings = load_settings()
    settings = settings.model_copy(update={"data_dir": settings.data_dir / "demo"})
    with _guarded():
        try:
            asyncio.run(run_demo(settings, persona, call_type, as_json=as_json, speed=speed, personas=personas))
        except asyncio.CancelledError:
            raise typer.Exit(INTERRUPTED) from None


@app.command()
def web() -> None:
    """Serve GraphQL, portals, TwiML and webhooks."""
    settings = _start("web")
    from callwright.app import web as process

    with _guarded():
        process.run(settings)


@app.command()
def bridge(
    processes: Annotated[int, typer.Option(help="How many, each on a port of its own from the first up.", min=1)] = 1,
) -> None:
    """Stream audio between phones and the voice model."""
    settings = _start("bridge")
    from callwright.bridge import process

    with _guarded():
        if processes == 1:
            process.run(settings)
        else:
            process.run_several(settings, processes)


@app.command()
def worker() -> None:
    """Run the Dramatiq actors that dial, summarise, notify and audit."""
    settings = _start("worker")
    from callwright.tasks import worker as process

    with _guarded():
        process.run(settings)


@app.command()
def dispatcher() -> None:
    """Release due work: admission, outbox, sweeps."""
    settings = _start("dispatcher")
    from callwright.tasks import dispatcher as process

    with _guarded():
        process.run(settings)


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sandbox(context: typer.Context) -> None:
    """Run the stand-ins for Twilio, OpenAI Realtime and Claude; options are the server's (try --help)."""
    os.execv(sys.executable, [sys.executable, "-m", "callwright.app.sandbox.server", *context.args])  # noqa: S606


@app.command()
def migrate(
    to: Annotated[
        str, typer.Option(help="A revision, up or down; `head`, or `base` to take everything down.")
    ] = "head",
) -> None:
    """Bring the database to a revision."""
    from callwright.app.database.migrate import bring_to

    settings = load_settings()
    if not settings.database_url:
        _complain("DATABASE_URL is not set.", "`callwright up` migrates its embedded database by itself.")
        raise typer.Exit(2)
    with _guarded():
        bring_to(settings.database_url, to)
    out.print(f"The database is at {to}.")


@app.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from callwright.graphql.schema import export

    with _guarded():
        sys.stdout.write(export())


@app.command()
def token(
    email: Annotated[str, typer.Argument(help="Whose token.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    days: Annotated[int, typer.Option(help="How long it lives.", min=1, max=3650)] = 90,
) -> None:
    """Make a personal API token; it is shown once."""
    database_url = _database_of(load_settings())
    with _guarded():
        sys.stdout.write(asyncio.run(_token(database_url, email, name, days)) + "\n")


def _database_of(settings: Settings) -> str:
    """The database of the settings, else the embedded one that a `callwright up` in the same data folder runs."""
    from callwright.app.database.embedded import running_url

    url = settings.database_url or running_url(settings.data_dir / "postgres")
    if url is None:
        _complain(
            "There is no database:",
            f"DATABASE_URL is not set, and no `callwright up` is running on {settings.data_dir}. "
            "Start one, or set DATABASE_URL.",
        )
        raise typer.Exit(2)
    return url


async def _token(database_url: str, email: str, name: str, days: int) -> str:
    from sqlalchemy import func, select
    from sqlmodel import col

    from callwright.app.accounts.actor import Actor
    from callwright.app.accounts.models import User
    from callwright.app.accounts.tokens import create_api_token
    from callwright.app.database.sessions import Database

    database = Database(database_url)
    try:
        async with database.system() as session:
            user = await session.scalar(select(User).where(func.lower(col(User.email)) == email.lower()))
        if user is None:
            raise CallwrightError(
                ErrorCode.INVALID_INPUT, "Nobody has that e-mail address.", remedy="Check its spelling."
            )
        now = datetime.now(UTC)
        actor = Actor(user.id, user.role)
        issued = await create_api_token(database, actor, name, now, now + timedelta(days=days))
    finally:
        await database.close()
    return issued.secret


@app.command("bench-calls")
def bench_calls(
    count: Annotated[int, typer.Argument(help="How many calls.", min=1, max=10_000)],
    minutes: Annotated[float, typer.Option(help="How long their streams may be started.", min=0.1, max=1440)] = 30,
) -> None:
    """Insert answered calls for a load generator; prints `callSid<TAB>customParameters as JSON`, one line a call."""
    configure_logging("bench-calls", level=logging.WARNING)
    settings = load_settings()
    database_url = _database_of(settings)
    with _guarded():
        lines = asyncio.run(_bench_calls(settings, database_url, count, timedelta(minutes=minutes)))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


async def _bench_calls(settings: Settings, database_url: str, count: int, valid_for: timedelta) -> list[str]:
    from callwright.app.database.sessions import Database
    from callwright.app.demo.bench_calls import seed_bench_calls

    database = Database(database_url)
    try:
        streams = await seed_bench_calls(database, settings, count, datetime.now(UTC), valid_for)
    finally:
        await database.close()
    return [stream.line() for stream in streams]


@app.command()
def doctor(sandbox: Annotated[bool, typer.Option(help="Check for running in the sandbox.")] = False) -> None:
    """Check settings, stores, keys and reachability, and say what to do."""
    from callwright.app.doctor import examine
    from callwright.app.stack import sandboxed

    settings = load_settings()
    with _guarded():
        findings = asyncio.run(examine(sandboxed(settings) if sandbox else settings))
    table = Table("check", "", "found", "what to do")
    for finding in findings:
        mark = "[green]ok[/green]" if finding.ok else "[red]no[/red]"
        table.add_row(finding.check, mark, finding.detail, "" if finding.ok else finding.remedy)
    out.print(table)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _start(process: str) -> Settings:
    configure_logging(process)
    settings = load_settings()
    _require_keys(settings)
    missing = [
        name for name, url in (("DATABASE_URL", settings.database_url), ("REDIS_URL", settings.redis_url)) if not url
    ]
    if missing:
        _complain(
            f"Missing: {', '.join(missing)}.",
            "Set what is missing, or run `callwright up`, which starts embedded stores and every process.",
        )
        raise typer.Exit(2)
    return settings


def _require_keys(settings: Settings) -> None:
    if settings.in_sandbox:
        return
    missing = settings.missing_keys()
    if missing:
        _complain(
            f"Missing: {', '.join(missing)}.",
            "Set them in the environment or in .env, or add --sandbox to `callwright up` to need none.",
        )
        raise typer.Exit(2)


def _complain(what: str, remedy: str = "") -> None:
    """One line, however narrow the terminal: a supervisor quotes the last one."""
    err.print(f"[red]{escape(what)}[/red] {escape(remedy)}".rstrip(), highlight=False, soft_wrap=True)


@contextmanager
def _guarded() -> Iterator[None]:
    """An expected failure becomes one line and its exit code; anything else keeps its traceback."""
    try:
        yield
    except Exception as error:
        from callwright.app.failures import told

        failure = told(error)
        if failure is None:
            raise
        _complain(failure.what, failure.remedy)
        raise typer.Exit(failure.exit_code) from None


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
