"""`callwright demo`: one call from nothing to its summary, through the public API, on embedded stores and stand-ins."""

import asyncio
import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from rich.console import Console

from callwright.app.calls.lifecycle import CallType
from callwright.app.database.sessions import Database
from callwright.app.demo.client import GraphQLClient, JsonObject
from callwright.app.demo.seed import DEMO_PASSWORD, add_lead, seed_marketplace
from callwright.app.demo.story import Story, print_result
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.settings import Settings
from callwright.app.stack import children_of, free_port, on_free_ports, sandboxed, stores
from callwright.app.supervisor import ChildEvent, Supervisor

LONGEST_SECONDS = 420.0
ENDED = {"COMPLETED", "NO_ANSWER", "BUSY", "FAILED", "CANCELED"}

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
    async with stores(settings) as ready:
        database = Database(ready.database_url or "")
        try:
            place = await seed_marketplace(database, f"run-{uuid4().hex[:8]}")
            lead_id = await add_lead(database, place.business_id, persona)
        finally:
            await database.close()
        children = children_of(ready, log_dir=ready.data_dir / "logs", personas=personas)
        console.print(f"Starting {', '.join(child.name for child in children)} …")
        deaths: list[ChildEvent] = []
        async with (
            Supervisor(children, report=deaths.append),
            GraphQLClient(f"{ready.public_url}/graphql") as client,
            asyncio.timeout(LONGEST_SECONDS),
        ):
            signed_in = await client.execute(SIGN_IN, {"email": place.owner_email, "password": DEMO_PASSWORD})
            client.token = signed_in["signIn"]["token"]
            result = await place_call(Demo(client, ready, persona, call_type, lead_id, Story(console)))
            if as_json:
                print(json.dumps(result, indent=2), flush=True)  # noqa: T201 - the command's output
            else:
                print_result(console, result)
    return 0


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
    path = demo.settings.data_dir / "calls" / f"{demo.persona}-{call_id}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = await demo.client.download(link["url"])
    await asyncio.to_thread(path.write_bytes, audio)
    latest = path.parent / "latest.wav"
    await asyncio.to_thread(shutil.copyfile, path, latest)
    # Stereo mu-law at 8 kHz: 16,000 bytes a second after the 58-byte header.
    return {"path": str(path), "seconds": round((len(audio) - 58) / 16_000, 2), "bytes": len(audio)}


async def _carrier_record(demo: Demo, phone_number: str) -> JsonObject:
    """How often the carrier stand-in dialled the number, by its own ledger."""
    base = (demo.settings.sandbox_url or "").rstrip("/")
    seen = json.loads(await demo.client.download(f"{base}/sandbox/calls"))
    calls = [call for call in seen["calls"] if call["to"] == phone_number]
    return {"callsPlaced": len(calls), "statuses": [call["status"] for call in calls]}
