"""The real Twilio SDK against the sandbox over the wire: what each answer of the carrier becomes."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from callwright.app.identifiers import new_id
from callwright.app.settings import Settings
from callwright.app.telephony.carrier import (
    CarrierError,
    CarrierRefused,
    CarrierStatus,
    CarrierThrottled,
    CarrierUnsure,
    CreateCall,
)
from callwright.app.telephony.twilio_carrier import TwilioCarrier
from tests.app.telephony.line import SandboxCarrier

FROM = "+13125550190"


def a_call(to: str) -> CreateCall:
    nowhere = "http://127.0.0.1:9/nowhere"
    return CreateCall(new_id(), to, FROM, nowhere, nowhere, ring_seconds=30, max_seconds=60)


async def test_a_call_is_placed_fetched_listed_and_hung_up(carrier: TwilioCarrier, sandbox: SandboxCarrier) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    sid = await carrier.create_call(a_call("+12125550107"))
    fetched = await carrier.fetch_call(sid)
    assert fetched is not None
    assert fetched.status in (CarrierStatus.QUEUED, CarrierStatus.RINGING)
    assert [call.sid for call in await carrier.calls_since("+12125550107", FROM, before)] == [sid]
    assert not await carrier.calls_since("+12125550107", FROM, before + timedelta(hours=1))
    assert not await carrier.calls_since("+12125550107", "+13125550191", before)
    for _ in range(2):  # a second hang-up comes too late, which is fine
        await carrier.hang_up(sid)
    ended = await carrier.fetch_call(sid)
    assert ended is not None
    assert ended.status in (CarrierStatus.CANCELED, CarrierStatus.COMPLETED)
    assert await sandbox.posts_to("+12125550107") == 1


async def test_an_unknown_call_is_none(carrier: TwilioCarrier) -> None:
    assert await carrier.fetch_call("CA" + "f" * 32) is None


async def test_a_permanent_refusal_names_its_code_and_no_number(carrier: TwilioCarrier) -> None:
    with pytest.raises(CarrierRefused) as refused:
        await carrier.create_call(a_call("+12125550109"))
    assert (refused.value.code, refused.value.permanent) == (21211, True)
    assert "555" not in str(refused.value)


async def test_wrong_credentials_are_refused_but_not_for_good(sandbox: SandboxCarrier, settings: Settings) -> None:
    wrong = {"sandbox_url": sandbox.url, "twilio_auth_token": SecretStr("wrong")}
    carrier = TwilioCarrier(settings.model_copy(update=wrong))
    try:
        with pytest.raises(CarrierRefused) as refused:
            await carrier.create_call(a_call("+12125550100"))
    finally:
        await carrier.close()
    assert (refused.value.code, refused.value.permanent) == (20003, False)


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ("status", 429, CarrierThrottled),
        ("status", 500, CarrierUnsure),
        ("status", 503, CarrierUnsure),
        ("drop", 500, CarrierUnsure),
        ("hang", 500, CarrierUnsure),
    ],
)
async def test_every_bad_answer_becomes_one_of_three_errors(
    sandbox: SandboxCarrier, settings: Settings, fault: str, status: int, error: type[CarrierError]
) -> None:
    carrier = TwilioCarrier(settings.model_copy(update={"sandbox_url": sandbox.url}), answer_seconds=0.3)
    try:
        before = await sandbox.posts_to("+12125550100")
        await sandbox.fault(fault, status=status)
        with pytest.raises(error):
            await carrier.create_call(a_call("+12125550100"))
        assert await sandbox.posts_to("+12125550100") == before  # the SDK asked once, and the fault took it
    finally:
        await carrier.close()


async def test_a_lost_answer_is_unsure_and_the_call_exists(carrier: TwilioCarrier, sandbox: SandboxCarrier) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    with pytest.raises(CarrierUnsure):
        await carrier.create_call(a_call("+12125550118"))
    assert len(await carrier.calls_since("+12125550118", FROM, before)) == 1
    assert await sandbox.posts_to("+12125550118") == 1


async def test_a_carrier_that_cannot_be_reached_did_nothing(settings: Settings) -> None:
    carrier = TwilioCarrier(settings)  # nobody listens there
    try:
        with pytest.raises(CarrierThrottled):
            await carrier.create_call(a_call("+12125550100"))
    finally:
        await carrier.close()


async def test_a_message_is_sent(carrier: TwilioCarrier, sandbox: SandboxCarrier, settings: Settings) -> None:
    sid = await carrier.send_message("+12125550122", FROM, "Callwright, call 1: The call reached its goal.")
    messages = await sandbox.messages_to("+12125550122", settings)
    assert [message["sid"] for message in messages] == [sid]
