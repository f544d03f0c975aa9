"""The endpoints over the wire: signed requests are applied once, forged ones get 403 and change nothing."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
import pytest
from sqlalchemy import func, select
from sqlmodel import col
from twilio.request_validator import RequestValidator

from callwright.app.calls.lifecycle import AttemptStatus, CallStatus
from callwright.app.calls.models import CallAttempt, CallEvent
from callwright.app.events.models import WebhookInbox
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from tests.app.telephony.line import Line, SandboxCarrier, lay_line
from tests.conftest import SettableClock
from tests.world import World

SID = "CA" + "2" * 32
FIELDS = {
    "CallSid": SID,
    "CallStatus": "ringing",
    "SequenceNumber": "1",
    "From": "+13125550190",
    "To": "+12125550100",
    "ToCity": "",
}


class Sender:
    """Posts to our endpoints as Twilio does, or not quite."""

    def __init__(self, state: AppState, token: str = "sandbox-token") -> None:
        self.state = state
        self.validator = RequestValidator(token)

    async def post(
        self,
        path: str,
        fields: Mapping[str, str],
        *,
        sent_path: str | None = None,
        sent: Mapping[str, str] | None = None,
        signature: str | None = None,
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, str]:
        base = self.state.settings.public_url
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        if signature is None:
            signature = self.validator.compute_signature(base + path, dict(fields))
        if signature:
            headers["X-Twilio-Signature"] = signature
        payload = urlencode(fields if sent is None else sent).encode() if body is None else body
        async with aiohttp.ClientSession() as session:
            url = base + (sent_path or path)
            async with session.post(url, data=payload, headers=headers, skip_auto_headers=["User-Agent"]) as response:
                return response.status, await response.text()


@pytest.fixture
async def sender(sandbox: SandboxCarrier, settings: Settings, clock: SettableClock) -> AsyncIterator[Sender]:
    line: Line = lay_line(sandbox, settings)
    async with open_state(line.settings, clock=clock) as state, line.answer(state):
        yield Sender(state)


@pytest.fixture
async def attempt(world: World) -> CallAttempt:
    return await world.attempt(await world.call(status=CallStatus.DIALING), status=AttemptStatus.DIALING)


async def rows(state: AppState, attempt_id: UUID) -> tuple[AttemptStatus, int, int]:
    """The attempt's status, the stored webhooks and the timeline's length."""
    async with state.database.system() as session:
        attempt = await session.get_one(CallAttempt, attempt_id)
        stored = await session.scalar(select(func.count()).select_from(WebhookInbox))
        events = await session.scalar(select(func.count()).select_from(CallEvent))
    return attempt.status, stored or 0, events or 0


async def test_a_signed_callback_is_applied_and_its_replay_refused(sender: Sender, attempt: CallAttempt) -> None:
    path = f"/webhooks/twilio/status?attempt={attempt.id}"
    assert (await sender.post(path, FIELDS))[0] == 204
    after = await rows(sender.state, attempt.id)
    assert after[:2] == (AttemptStatus.RINGING, 1)
    # A captured request, sent again as it was and under another unsigned token.
    replayed: dict[str, Any] = {"I-Twilio-Idempotency-Token": "another"}
    assert (await sender.post(path, FIELDS))[0] == 403
    assert (await sender.post(path, FIELDS, **replayed))[0] == 403
    assert await rows(sender.state, attempt.id) == after


async def test_forged_requests_are_refused_and_change_nothing(
    sender: Sender, attempt: CallAttempt, world: World
) -> None:
    other = await world.attempt(await world.call(status=CallStatus.DIALING), status=AttemptStatus.DIALING)
    path = f"/webhooks/twilio/status?attempt={attempt.id}"
    before = await rows(sender.state, attempt.id)
    answers = [
        await sender.post(path, FIELDS, signature=""),
        await sender.post(path, FIELDS, signature="nonsense"),
        await sender.post(path, FIELDS, signature="é".encode().decode("latin-1")),
        await sender.post(path, FIELDS, sent={**FIELDS, "CallStatus": "completed"}),
        await sender.post(path, FIELDS, sent={**FIELDS, "Extra": "1"}),
        await sender.post(path, FIELDS, sent_path=f"/webhooks/twilio/status?attempt={other.id}"),
        await sender.post(path, FIELDS, sent_path=f"/webhooks/twilio/amd?attempt={attempt.id}"),
        await sender.post(path, FIELDS, sent_path="/webhooks/twilio/status"),
        await sender.post(path, FIELDS, body=b"\xff\xfe"),
        await sender.post(path, FIELDS, body=b"&".join(b"a%d=1" % number for number in range(500))),
        await Sender(sender.state, "another token").post(path, FIELDS),
        await Sender(sender.state, "another token").post(f"/twiml/call/{attempt.call_id}?attempt={attempt.id}", FIELDS),
    ]
    assert {status for status, _ in answers} == {403}
    assert await rows(sender.state, attempt.id) == before
    assert (await rows(sender.state, other.id))[0] is AttemptStatus.DIALING


async def test_a_body_beyond_the_limit_is_not_read(sender: Sender, attempt: CallAttempt) -> None:
    path = f"/webhooks/twilio/status?attempt={attempt.id}"
    status, _ = await sender.post(path, FIELDS, body=b"x=" + b"y" * 100_000)
    assert status == 413


async def test_the_other_webhooks_are_stored_and_shown_in_the_timeline(sender: Sender, attempt: CallAttempt) -> None:
    await sender.post(f"/webhooks/twilio/status?attempt={attempt.id}", FIELDS)
    amd = {"CallSid": SID, "AnsweredBy": "machine_end_beep", "MachineDetectionDuration": "4000"}
    recording = {"CallSid": SID, "RecordingSid": "RE" + "3" * 32, "RecordingStatus": "completed"}
    assert (await sender.post(f"/webhooks/twilio/amd?attempt={attempt.id}", amd))[0] == 204
    assert (await sender.post(f"/webhooks/twilio/recording?attempt={attempt.id}", recording))[0] == 204
    async with sender.state.database.system() as session:
        stored = await session.get_one(CallAttempt, attempt.id)
        kinds = set(await session.scalars(select(col(CallEvent.kind))))
    assert stored.answered_by == "machine_end_beep"
    assert {"carrier.machine_detection", "carrier.recording"} <= kinds


async def test_twiml_streams_to_the_bridge_and_knows_its_own_calls_only(sender: Sender, attempt: CallAttempt) -> None:
    answered = {**FIELDS, "CallStatus": "in-progress"}
    status, document = await sender.post(f"/twiml/call/{attempt.call_id}?attempt={attempt.id}", answered)
    assert status == 200
    assert "<Connect><Stream" in document
    assert (await sender.post(f"/twiml/call/{UUID(int=7)}?attempt={attempt.id}", answered))[0] == 404
    assert (await sender.post(f"/twiml/call/{attempt.call_id}?attempt=x", answered))[0] == 404
    assert (await sender.post(f"/twiml/call/{attempt.call_id}", answered))[0] == 404
