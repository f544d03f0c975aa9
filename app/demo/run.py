"""`callwright demo`: one call from nothing to its summary, through the public API, on embedded stores and stand-ins."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
from rich.console import Console
from rich.markup import escape

from callwright.app.calls.lifecycle import CallType
from callwright.app.database.sessions import Database
from callwright.app.demo.client import GraphQLClient, GraphQLError, JsonObject
from callwright.app.demo.seed import DEMO_PASSWORD, add_lead, seed_marketplace
from callwright.app.demo.story import Story, print_result
from callwright.app.errors import CallwrightError, ErrorCode, ToldError
from callwright.app.settings import Settings
from callwright.app.stack import children_of, free_port, on_free_ports, private_folder, sandboxed, stores
from callwright.app.supervisor import ChildEvent, ChildState, Supervisor

LONGEST_SECONDS = 420.0  # at the speed of real time or above

SIGN_IN = "mutation($email: String!, $password: String!) { signIn(email: $email, password: $password) { token } }"
INITIATE = """
mutation($input: InitiateCallInput!) { initiateCall(input: $input) {
  ... on CallStarted { call { id status } }
  ... on CallRefusal { code field rule reason remedy }
} }"""
STATUS = "subscription($id: UUID!) { callStatus(callId: $id) { status outcome waitingReason } }"
TRANSCRIPT = """
subscription($id: UUID!) { callTranscript(callId: $id) { speaker text startMs endMs interrupted } }"""
RESULT = """
query($id: UUID!) { call(id: $id) {
  id phoneNumber status outcome callType goalAchieved interestLevel durationSeconds failureReason
  attempts { number status }
  events { kind data }
  transcript { speaker text startMs endMs interrupted }
  summary { source outcome goalAchieved interestLevel summary keyPoints nextAction sentiment doNotCall }
  costs { estimatedUsd meteredUsd }
} }"""
RECORDING = "query($id: UUID!) { callRecording(callId: $id) { url expiresAt } }"


class DemoError(ToldError):
    """The demo did not come to its end; the message says why and where to look."""


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo call as it is being followed."""

    client: GraphQLClient
    settings: Settings
    persona: str
    call_type: CallType
    lead_id: UUID
    story: Story


async def run_demo(
    settings: Settings, persona: str, call_type: CallType, *, as_json: bool, speed: float, personas: Path | None
) -> int:
    """Runs the demo and returns the exit code. Its stores, logs and recordings stay in `settings.data_dir`."""
    settings = on_free_ports(sandboxed(settings, port=free_port(), speed=speed))
    settings = settings.model_copy(update={"retry_base_seconds": 2.0 / speed, "dispatch_interval_seconds": 0.25})
    console = Console(stderr=as_json, quiet=as_json)
    console.print("[bold]Callwright demo[/bold] · sandbox: nobody is really called; calling hours are always open")
    with _stopping_on_signals(Console(stderr=True)):
        async with stores(settings) as ready:
            database = Database(ready.database_url or "")
            try:
                place = await seed_marketplace(database, f"run-{uuid4().hex[:8]}")
                lead_id = await add_lead(database, place.business_id, persona)
            finally:
                await database.close()
            log_dir = ready.data_dir / "logs"
            children = children_of(ready, log_dir=log_dir, personas=personas)
            console.print(f"Starting {', '.join(child.name for child in children)} …")

            def tell(event: ChildEvent) -> None:
                if event.state is ChildState.DIED:
                    console.print(f"[yellow]{escape(str(event))}[/yellow]", highlight=False)

            async def call() -> JsonObject:
                async with GraphQLClient(f"{ready.public_url}/graphql") as client:
                    person = {"email": place.owner_email, "password": DEMO_PASSWORD}
                    client.token = (await client.execute(SIGN_IN, person))["signIn"]["token"]
                    return await place_call(Demo(client, ready, persona, call_type, lead_id, Story(console)))

            async with Supervisor(children, report=tell) as supervisor, _explained(log_dir, speed):
                result = await supervisor.during(call())
                if as_json:
                    print(json.dumps(result, indent=2), flush=True)  # noqa: T201 - the command's output
                else:
                    print_result(console, result)
    return 0


@contextlib.contextmanager
def _stopping_on_signals(console: Console) -> Iterator[None]:
    """SIGINT and SIGTERM cancel the block, and the person sees that the processes are being stopped."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()

    def stop() -> None:
        console.print("Stopping …")
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _explained(log_dir: Path, speed: float, *, longest: float = LONGEST_SECONDS) -> AsyncIterator[None]:
    """Bounds the block's time; a failure of the API or the time's end becomes a DemoError."""
    seconds = longest / min(1.0, speed)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DemoError(f"the call did not end within {seconds:g} s; see the processes' logs in {log_dir}") from None
    except (GraphQLError, aiohttp.ClientError) as error:
        what = str(error) or type(error).__name__
        raise DemoError(f"the API failed: {what}; see the processes' logs in {log_dir}") from error


async def place_call(demo: Demo) -> JsonObject:
    """Asks for the call, follows it to the end, and returns everything known of it."""
    started = await _initiate(demo)
    if "call" not in started:
        raise CallwrightError(
            ErrorCode(started["code"]), started["reason"], field=started["field"], remedy=started["remedy"]
        )
    call_id = started["call"]["id"]
    following = asyncio.create_task(_follow_transcript(demo, call_id))
    try:
        async for event in demo.client.subscribe(STATUS, {"id": call_id}):
            demo.story.status(event["callStatus"])
        await following
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    call: JsonObject = (await demo.client.execute(RESULT, {"id": call_id}))["call"]
    result = {
        "callId": call_id,
        "persona": demo.persona,
        **{key: value for key, value in call.items() if key not in ("id", "phoneNumber", "events")},
        "timeline": [event["kind"] for event in call["events"]],
        "recording": await _recording(demo, call_id),
        "carrier": await _carrier_record(demo, call["phoneNumber"]),
    }
    if call["summary"] is not None and call["summary"]["doNotCall"]:
        result["nextCall"] = await _initiate(demo)
    return result


async def _initiate(demo: Demo) -> JsonObject:
    request = {"leadId": str(demo.lead_id), "callType": demo.call_type.name}
    answer: JsonObject = (await demo.client.execute(INITIATE, {"input": request}))["initiateCall"]
    return answer


async def _follow_transcript(demo: Demo, call_id: str) -> None:
    async for event in demo.client.subscribe(TRANSCRIPT, {"id": call_id}):
        demo.story.turn(event["callTranscript"])


async def _recording(demo: Demo, call_id: str) -> JsonObject | None:
    link = (await demo.client.execute(RECORDING, {"id": call_id}))["callRecording"]
    if link is None:
        return None
    folder = private_folder(demo.settings.data_dir / "calls")
    path = folder / f"{demo.persona}-{call_id}.wav"
    audio = await demo.client.download(link["url"])
    for file in (path, folder / "latest.wav"):
        await asyncio.to_thread(_write_private, file, audio)
    # Stereo mu-law at 8 kHz: 16,000 bytes a second after the 58-byte header.
    return {"path": str(path), "seconds": round((len(audio) - 58) / 16_000, 2), "bytes": len(audio)}


def _write_private(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_bytes(content)


async def _carrier_record(demo: Demo, phone_number: str) -> JsonObject:
    """How often the carrier stand-in dialled the number, by its own ledger."""
    base = (demo.settings.sandbox_url or "").rstrip("/")
    seen = json.loads(await demo.client.download(f"{base}/sandbox/calls"))
    calls = [call for call in seen["calls"] if call["to"] == phone_number]
    return {"callsPlaced": len(calls), "statuses": [call["status"] for call in calls]}
