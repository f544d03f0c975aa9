"""The Twilio stand-in's REST API, driven by the real SDK."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from callwright.app.sandbox.server import SandboxSettings
from tests.app.sandbox.customer import ACCOUNT, HANGUP, OURS, Carrier, Customer, carrier, customer

EVENTS = ["initiated", "ringing", "answered", "completed"]


@pytest.fixture
async def shop() -> AsyncIterator[Customer]:
    async with customer() as it:
        yield it


@pytest.fixture
async def twilio() -> AsyncIterator[Carrier]:
    async with carrier() as it:
        yield it


async def finished(twilio: Carrier, shop: Customer, to: str, **options: object) -> str:
    """Places a call and waits for its end; its sid."""
    call = await twilio.client.calls.create_async(
        to=to, from_=OURS, url=shop.url + "/twiml", status_callback=shop.url + "/status", **options
    )
    await shop.wait_for("/status", CallSid=str(call.sid))
    return str(call.sid)


async def test_a_finished_call_has_every_attribute(twilio: Carrier, shop: Customer) -> None:
    shop.pages["/twiml"] = "<Response><Pause length='61'/></Response>"
    before = datetime.now(UTC) - timedelta(seconds=2)
    sid = await finished(twilio, shop, "+13125550112")
    call = await twilio.client.calls(sid).fetch_async()
    while call.price is None:  # it comes a moment after the end
        call = await twilio.client.calls(sid).fetch_async()
    assert (call.status, call.direction, call.duration) == ("completed", "outbound-api", "60")
    assert (call.price, call.price_unit) == ("-0.01400", "USD")
    assert call.to_formatted == "(312) 555-0112"
    assert call._from == OURS
    assert call.start_time is not None and call.end_time is not None
    assert before <= call.start_time <= call.end_time
    assert call.uri.endswith(f"/Accounts/{ACCOUNT}/Calls/{sid}.json")
    assert call.subresource_uris["recordings"].endswith(f"/Calls/{sid}/Recordings.json")


async def test_the_sync_client_works_too(twilio: Carrier, shop: Customer) -> None:
    def place() -> str:
        client = twilio.sync_client()
        call = client.calls.create(to="+13125550100", from_=OURS, url=shop.url + "/twiml")
        assert call.status == "queued"
        return str(client.calls(str(call.sid)).fetch().sid)

    assert await asyncio.to_thread(place) in {call["sid"] for call in await twilio.calls()}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to": "", "from_": OURS, "twiml": HANGUP}, 21201),
        ({"to": "+1312555", "from_": OURS, "twiml": HANGUP}, 21211),
        ({"to": "3125550100", "from_": OURS, "twiml": HANGUP}, 21211),
        ({"to": "+13125550109", "from_": OURS, "twiml": HANGUP}, 21211),
        ({"to": "+13125550100", "from_": "", "twiml": HANGUP}, 21213),
        ({"to": "+13125550100", "from_": "Acme", "twiml": HANGUP}, 21212),
        ({"to": "+13125550100", "from_": OURS}, 21205),
        ({"to": "+13125550100", "from_": OURS, "url": "ftp://example.com/"}, 21205),
        ({"to": "+13125550100", "from_": OURS, "twiml": HANGUP, "machine_detection": "Maybe"}, 21234),
    ],
)
async def test_a_bad_request_is_refused_with_twilios_code(twilio: Carrier, fields: dict[str, str], code: int) -> None:
    with pytest.raises(TwilioRestException) as refused:
        await twilio.client.calls.create_async(**fields)
    assert (refused.value.code, refused.value.status) == (code, 400)
    assert await twilio.calls() == []


async def test_a_wrong_token_is_refused(twilio: Carrier) -> None:
    def fetch() -> None:
        client = Client(ACCOUNT, "wrong")
        client.api.base_url = twilio.url
        client.calls("CA" + "1" * 32).fetch()

    with pytest.raises(TwilioRestException) as refused:
        await asyncio.to_thread(fetch)
    assert (refused.value.code, refused.value.status) == (20003, 401)


async def test_unknown_resources_are_not_found(twilio: Carrier) -> None:
    for work in (
        twilio.client.calls("CA" + "1" * 32).fetch_async(),
        twilio.client.messages("SM" + "1" * 32).fetch_async(),
        twilio.client.recordings("RE" + "1" * 32).fetch_async(),
        twilio.client.applications("AP" + "1" * 32).fetch_async(),  # a resource the stand-in does not have
    ):
        with pytest.raises(TwilioRestException) as refused:
            await work
        assert (refused.value.code, refused.value.status) == (20404, 404)


async def test_calls_are_listed_by_filter_and_page(twilio: Carrier, shop: Customer) -> None:
    start = datetime.now(UTC) - timedelta(seconds=1)
    sids = [await finished(twilio, shop, to) for to in ("+13125550107", "+13125550108", "+13125550108")]
    everything = await twilio.client.calls.list_async(page_size=1)
    assert [call.sid for call in everything] == sids[::-1]
    busy = await twilio.client.calls.list_async(to="+13125550108", status="busy", start_time_after=start)
    assert {call.sid for call in busy} == set(sids[1:])
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await twilio.client.calls.list_async(start_time_after=later) == []
    assert await twilio.client.calls.list_async(from_="+13125550198") == []


async def test_429_twice_then_the_call_is_placed_once(twilio: Carrier, shop: Customer) -> None:
    for _ in range(2):
        with pytest.raises(TwilioRestException) as refused:
            await twilio.client.calls.create_async(to="+13125550117", from_=OURS, twiml=HANGUP)
        assert (refused.value.code, refused.value.status) == (20429, 429)
    await twilio.client.calls.create_async(to="+13125550117", from_=OURS, twiml=HANGUP)
    calls = await twilio.calls()
    assert [(call["to"], call["posts"]) for call in calls] == [("+13125550117", 3)]


async def test_a_lost_answer_leaves_a_call_that_can_be_found(twilio: Carrier, shop: Customer) -> None:
    with pytest.raises(aiohttp.ClientError):
        await twilio.client.calls.create_async(
            to="+13125550118", from_=OURS, url=shop.url + "/twiml", status_callback=shop.url + "/status"
        )
    await shop.wait_for("/status", CallStatus="completed")
    found = await twilio.client.calls.list_async(to="+13125550118")
    assert [call.status for call in found] == ["completed"]


async def test_cancelling_a_queued_call_tells_nobody(shop: Customer) -> None:
    async with carrier(SandboxSettings(speed=20, calls_per_second=0.001)) as twilio:
        await finished(twilio, shop, "+13125550108")  # takes the only place for a long time
        options = {"url": shop.url + "/twiml", "status_callback": shop.url + "/status", "status_callback_event": EVENTS}
        call = await twilio.client.calls.create_async(to="+13125550107", from_=OURS, **options)
        assert call.status == "queued" and int(str(call.queue_time)) > 0
        assert (await call.update_async(status="canceled")).status == "canceled"
    assert [hook for hook in shop.webhooks if hook.fields["CallSid"] == call.sid] == []


async def test_cancelling_a_ringing_call_is_reported(twilio: Carrier, shop: Customer) -> None:
    call = await twilio.client.calls.create_async(
        to="+13125550107", from_=OURS, url=shop.url + "/twiml", status_callback=shop.url + "/status",
        status_callback_event=EVENTS,
    )  # fmt: skip
    await shop.wait_for("/status", CallStatus="ringing")
    await call.update_async(status="canceled")
    (hook,) = await shop.wait_for("/status", CallStatus="canceled")
    assert hook.fields["SequenceNumber"] == "2"
    with pytest.raises(TwilioRestException) as late:
        await call.update_async(twiml=HANGUP)
    assert late.value.code == 21220


async def test_a_finished_call_cannot_be_updated(twilio: Carrier, shop: Customer) -> None:
    sid = await finished(twilio, shop, "+13125550108")
    for change in ({"twiml": HANGUP}, {"status": "completed"}, {"url": shop.url + "/twiml"}):
        with pytest.raises(TwilioRestException) as late:
            await twilio.client.calls(sid).update_async(**change)
        assert (late.value.code, late.value.status) == (21220, 400)


async def test_messages_are_delivered_and_reported(twilio: Carrier, shop: Customer) -> None:
    message = await twilio.client.messages.create_async(
        to="+13125550100", from_=OURS, body="Your call-back is booked.", status_callback=shop.url + "/sms"
    )
    assert message.status == "queued"
    (hook,) = await shop.wait_for("/sms", MessageStatus="delivered")
    assert hook.signed and hook.fields["MessageSid"] == message.sid
    assert (await twilio.client.messages(str(message.sid)).fetch_async()).status == "delivered"
    assert [row.sid for row in await twilio.client.messages.list_async(to="+13125550100")] == [message.sid]
    with pytest.raises(TwilioRestException) as refused:
        await twilio.client.messages.create_async(to="+13125550100", from_=OURS, body="x" * 1601)
    assert refused.value.code == 21617


async def test_scripted_faults_show_on_the_rest_api(twilio: Carrier) -> None:
    fault = {"service": "twilio", "fault": "status", "status": 503}
    async with aiohttp.ClientSession() as session:
        async with session.post(twilio.url + "/sandbox/faults", json=fault) as response:
            assert response.status == 201
    with pytest.raises(TwilioRestException) as refused:
        await twilio.client.calls.create_async(to="+13125550108", from_=OURS, twiml=HANGUP)
    assert (refused.value.code, refused.value.status) == (20503, 503)
    assert await twilio.calls() == []
    await twilio.client.calls.create_async(to="+13125550108", from_=OURS, twiml=HANGUP)
