"""The life of a call: signed callbacks, TwiML, transfer, recordings, answering-machine detection."""

import io
import wave
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest

from callwright.app.sandbox.server import SandboxSettings
from callwright.app.sandbox.twilio_webhooks import Delivery
from tests.app.sandbox.customer import OURS, Carrier, Customer, Json, Media, carrier, customer

EVENTS = ["initiated", "ringing", "answered", "completed"]


@pytest.fixture
async def shop() -> AsyncIterator[Customer]:
    async with customer() as it:
        yield it


@pytest.fixture
async def twilio() -> AsyncIterator[Carrier]:
    async with carrier() as it:
        yield it


async def place(twilio: Carrier, shop: Customer, to: str, **options: object) -> str:
    call = await twilio.client.calls.create_async(
        to=to,
        from_=OURS,
        status_callback=shop.url + "/status",
        status_callback_event=EVENTS,
        **{"url": shop.url + "/twiml", **options},
    )
    return str(call.sid)


@pytest.mark.parametrize(
    ("to", "statuses", "sip"),
    [
        ("+13125550100", ["initiated", "ringing", "in-progress", "completed"], "200"),
        ("+13125550107", ["initiated", "ringing", "no-answer"], "487"),
        ("+13125550108", ["initiated", "busy"], "486"),
    ],
)
async def test_each_status_is_reported_signed_and_numbered(
    twilio: Carrier, shop: Customer, to: str, statuses: list[str], sip: str
) -> None:
    sid = await place(twilio, shop, to, timeout=20)
    await shop.wait_for("/status", CallStatus=statuses[-1])
    hooks = await shop.wait_for("/status", len(statuses))
    hooks.sort(key=lambda hook: int(hook.fields["SequenceNumber"]))
    assert [hook.fields["CallStatus"] for hook in hooks] == statuses
    assert [hook.fields["SequenceNumber"] for hook in hooks] == [str(n) for n in range(len(statuses))]
    assert all(hook.signed and hook.idempotency for hook in hooks)
    assert len({hook.idempotency for hook in hooks}) == len(statuses)
    last = hooks[-1].fields
    assert (last["CallSid"], last["To"], last["Caller"], last["Direction"]) == (sid, to, OURS, "outbound-api")
    assert (last["CallbackSource"], last["SipResponseCode"]) == ("call-progress-events", sip)
    assert parsedate_to_datetime(last["Timestamp"]).tzinfo is not None
    assert "CallDuration" in last


async def test_only_the_end_is_reported_by_default(twilio: Carrier, shop: Customer) -> None:
    await twilio.client.calls.create_async(
        to="+13125550108", from_=OURS, url=shop.url + "/twiml", status_callback=shop.url + "/status"
    )
    await shop.wait_for("/status", CallStatus="busy")
    assert len(shop.webhooks) == 1


async def test_callbacks_can_come_twice_and_out_of_order(shop: Customer) -> None:
    settings = SandboxSettings(speed=20, seed=3, delivery=Delivery(shuffle=True, duplicate=True))
    async with carrier(settings) as twilio:
        await place(twilio, shop, "+13125550100")
        hooks = await shop.wait_for("/status", 8)
    assert sorted(int(hook.fields["SequenceNumber"]) for hook in hooks) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len({hook.idempotency for hook in hooks}) == 4
    assert [hook.fields["SequenceNumber"] for hook in hooks] != sorted(hook.fields["SequenceNumber"] for hook in hooks)


async def test_a_failing_receiver_is_asked_once_more(twilio: Carrier, shop: Customer) -> None:
    shop.answers["/status"] = 500
    await twilio.client.calls.create_async(
        to="+13125550108", from_=OURS, url=shop.url + "/twiml", status_callback=shop.url + "/status"
    )
    first, second = await shop.wait_for("/status", 2)
    assert first.idempotency == second.idempotency


async def test_twiml_is_asked_for_with_a_signed_post_on_answer(twilio: Carrier, shop: Customer) -> None:
    sid = await place(twilio, shop, "+13125550100", url=shop.url + "/twiml?order=7")
    (hook,) = await shop.wait_for("/twiml")
    assert hook.signed and hook.method == "POST"
    assert (hook.fields["CallSid"], hook.fields["CallStatus"], hook.fields["CalledState"]) == (sid, "in-progress", "")


async def test_twiml_can_be_asked_for_by_get(twilio: Carrier, shop: Customer) -> None:
    await place(twilio, shop, "+13125550100", method="GET")
    (hook,) = await shop.wait_for("/twiml")
    assert hook.signed and hook.method == "GET" and hook.fields["CallStatus"] == "in-progress"


async def test_the_fallback_is_asked_when_the_page_fails(twilio: Carrier, shop: Customer) -> None:
    shop.answers["/twiml"] = 500
    shop.pages["/fallback"] = "<Response><Say>Sorry, we will call again.</Say></Response>"
    await place(twilio, shop, "+13125550100", fallback_url=shop.url + "/fallback")
    await shop.wait_for("/status", CallStatus="completed")
    (hook,) = await shop.wait_for("/fallback", ErrorCode="11200")
    assert hook.signed
    (call,) = await twilio.calls()
    assert [line["text"] for line in call["heard"]] == ["Sorry, we will call again."]


async def test_pages_follow_one_another(twilio: Carrier, shop: Customer) -> None:
    shop.pages["/twiml"] = "<Response><Play>x</Play><Say>One.</Say><Redirect>/two</Redirect><Say>No.</Say></Response>"
    shop.pages["/two"] = "<Response><Pause length='2'/><Say loop='2'>Two.</Say><Hangup/><Say>Never.</Say></Response>"
    await place(twilio, shop, "+13125550112")
    await shop.wait_for("/status", CallStatus="completed")
    (call,) = await twilio.calls()
    assert " ".join(line["text"] for line in call["heard"]) == "One. Two. Two."
    assert call["endedBy"] == "twiml"
    assert [entry.facts["verb"] for entry in twilio.sandbox.ledger.entries("twilio", "twiml.ignored")] == ["Play"]


async def test_a_call_is_transferred_by_new_twiml(twilio: Carrier, shop: Customer) -> None:
    stopped: list[Json] = []

    async def bridge(media: Media) -> None:
        await media.next("media")
        dial = f'<Dial callerId="{OURS}" action="{shop.url}/dialled"><Number>+13125550150</Number></Dial>'
        await twilio.client.calls(sid).update_async(twiml=f"<Response>{dial}</Response>")
        stopped.append((await media.next("stop"))["stop"])

    shop.bridge = bridge
    shop.pages["/twiml"] = shop.connect()
    shop.pages["/dialled"] = "<Response><Say>Goodbye.</Say></Response>"
    sid = await place(twilio, shop, "+13125550100")
    (hook,) = await shop.wait_for("/dialled")
    assert (hook.fields["DialCallStatus"], hook.fields["DialBridged"]) == ("completed", "true")
    assert int(hook.fields["DialCallDuration"]) > 0
    await shop.wait_for("/status", CallStatus="completed", CallSid=sid)
    (call,) = await twilio.calls()
    (leg,) = call["legs"]
    assert leg["sid"] == hook.fields["DialCallSid"]
    assert leg["said"][0]["text"] == "Hi, this is Dana at the office. How can I help you?"
    assert call["heard"][0]["text"] == leg["said"][0]["text"]
    assert stopped[0]["callSid"] == sid
    (row,) = await twilio.client.calls.list_async(parent_call_sid=sid)
    assert (row.direction, row.status) == ("outbound-dial", "completed")


async def test_the_time_limit_ends_the_call(twilio: Carrier, shop: Customer) -> None:
    shop.pages["/twiml"] = "<Response><Pause length='50'/></Response>"
    await place(twilio, shop, "+13125550112", time_limit=5)
    (hook,) = await shop.wait_for("/status", CallStatus="completed")
    assert (hook.fields["CallDuration"], hook.fields["Duration"]) == ("5", "1")


async def test_a_call_is_ended_by_the_api(twilio: Carrier, shop: Customer) -> None:
    shop.pages["/twiml"] = "<Response><Pause length='50'/></Response>"
    sid = await place(twilio, shop, "+13125550112")
    await shop.wait_for("/twiml")
    await twilio.client.calls(sid).update_async(status="completed")
    await shop.wait_for("/status", CallStatus="completed")
    assert (await twilio.calls())[0]["endedBy"] == "api"


@pytest.mark.parametrize(
    ("to", "mode", "verdict"),
    [
        ("+13125550100", "Enable", "human"),
        ("+13125550105", "Enable", "machine_start"),
        ("+13125550105", "DetectMessageEnd", "machine_end_beep"),
        ("+13125550106", "DetectMessageEnd", "machine_end_silence"),
        ("+13125550112", "Enable", "unknown"),
    ],
)
async def test_machines_are_detected(twilio: Carrier, shop: Customer, to: str, mode: str, verdict: str) -> None:
    await place(twilio, shop, to, machine_detection=mode)
    (hook,) = await shop.wait_for("/twiml")
    assert hook.fields["AnsweredBy"] == verdict


async def test_machine_detection_can_run_beside_the_call(twilio: Carrier, shop: Customer) -> None:
    shop.pages["/twiml"] = "<Response><Pause length='20'/></Response>"
    sid = await place(
        twilio, shop, "+13125550105", machine_detection="Enable", async_amd="true",
        async_amd_status_callback=shop.url + "/amd",
    )  # fmt: skip
    (hook,) = await shop.wait_for("/amd")
    assert hook.signed and (hook.fields["CallSid"], hook.fields["AnsweredBy"]) == (sid, "machine_start")
    assert "AnsweredBy" not in (await shop.wait_for("/twiml"))[0].fields
    assert (await twilio.client.calls(sid).fetch_async()).answered_by == "machine_start"


async def test_a_recording_is_reported_served_and_deleted(twilio: Carrier, shop: Customer) -> None:
    shop.pages["/twiml"] = "<Response><Say>This call is recorded.</Say><Pause length='2'/></Response>"
    sid = await place(
        twilio, shop, "+13125550100", record=True, recording_channels="dual",
        recording_status_callback=shop.url + "/recording",
        recording_status_callback_event="in-progress completed",
    )  # fmt: skip
    (hook,) = await shop.wait_for("/recording", RecordingStatus="completed")
    await shop.wait_for("/recording", RecordingStatus="in-progress")
    (end,) = await shop.wait_for("/status", CallStatus="completed")
    assert hook.signed and hook.fields["RecordingChannels"] == "2"
    assert end.fields["RecordingSid"] == hook.fields["RecordingSid"]
    (recording,) = await twilio.client.calls(sid).recordings.list_async()
    assert (recording.sid, recording.status, recording.duration) == (
        hook.fields["RecordingSid"], "completed", hook.fields["RecordingDuration"],
    )  # fmt: skip
    for query, channels in (("", 2), ("?RequestedChannels=1", 1)):
        status, body = await twilio.get(f"Recordings/{recording.sid}.wav{query}")
        with wave.open(io.BytesIO(body)) as file:
            assert (status, file.getnchannels(), file.getframerate()) == (200, channels, 8000)
            assert 0 <= int(hook.fields["RecordingDuration"]) - file.getnframes() / 8000 < 1
            assert any(file.readframes(file.getnframes()))
    assert await twilio.client.recordings(str(recording.sid)).delete_async()
    assert await twilio.client.recordings.list_async() == []
    assert (await twilio.get(f"Recordings/{recording.sid}.wav"))[0] == 404
