"""The gate: each rule, its field and remedy; and a property test of the calling window."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.app.calls.lifecycle import AttemptStatus, CallStatus, CallType
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.compliance.gate import WINDOW_END, WINDOW_START, CallFacts, Decision, Verdict, decide, next_open
from callwright.app.compliance.models import ConsentKind, SuppressionSource
from callwright.app.compliance.numbers import parse_number, zones_of
from callwright.app.compliance.suppress import suppress_number
from callwright.app.database.sessions import Database
from callwright.app.errors import CallwrightError, ErrorCode
from tests.world import World

NOON_CHICAGO = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)


async def ask(database: Database, call: Call, *, local_now: datetime = NOON_CHICAGO, per_day: int = 3) -> Decision:
    async with database.system() as session:
        return await decide(
            session, CallFacts.of(call), now=datetime.now(UTC), local_now=local_now, attempts_per_day=per_day
        )


async def test_a_call_with_consent_in_hours_is_allowed(database: Database, world: World) -> None:
    assert (await ask(database, await world.call())).verdict is Verdict.ALLOWED


@pytest.mark.parametrize("call_type", [CallType.QUALIFY_LEAD, CallType.FOLLOW_UP])
async def test_sales_like_calls_need_written_consent(database: Database, world: World, call_type: CallType) -> None:
    lead = await world.lead(consent=ConsentKind.INFORMATIONAL)
    decision = await ask(database, await world.call(lead, call_type=call_type))
    assert (decision.verdict, decision.code) == (Verdict.REFUSED, ErrorCode.CONSENT_MISSING)
    assert decision.field == "leadId"
    assert decision.remedy


async def test_a_missing_consent_for_another_number_is_about_that_number(database: Database, world: World) -> None:
    call = await world.call(await world.lead())
    facts = CallFacts(call.business_id, call.consumer_id, call.call_type, "+13125550199")
    now = datetime.now(UTC)
    async with database.system() as session:
        decision = await decide(session, facts, now=now, local_now=NOON_CHICAGO, attempts_per_day=3)
    assert (decision.code, decision.field) == (ErrorCode.CONSENT_MISSING, "phoneNumber")


async def test_an_appointment_may_be_confirmed_on_informational_consent(database: Database, world: World) -> None:
    lead = await world.lead(consent=ConsentKind.INFORMATIONAL)
    call = await world.call(lead, call_type=CallType.CONFIRM_APPOINTMENT)
    assert (await ask(database, call)).verdict is Verdict.ALLOWED


async def test_a_suppressed_number_is_refused_and_its_waiting_calls_are_cancelled(
    database: Database, world: World
) -> None:
    lead = await world.lead()
    waiting, asking = await world.call(lead), await world.call(lead, status=CallStatus.DIALING)
    async with database.system() as session:
        added = await suppress_number(
            session,
            asking.phone_number,
            source=SuppressionSource.VOICE,
            reason="asked in the call",
            now=datetime.now(UTC),
            call_id=asking.id,
        )
    assert added
    assert (await world.reload(Call, waiting.id)).status is CallStatus.CANCELED
    assert (await world.reload(Call, asking.id)).status is CallStatus.DIALING
    decision = await ask(database, asking)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSED, "suppression")
    async with database.system() as session:
        again = await suppress_number(
            session, asking.phone_number, source=SuppressionSource.KEYPRESS, reason="pressed 9", now=datetime.now(UTC)
        )
    assert not again


async def test_an_exhausted_plan_refuses_the_next_call_but_not_those_asked_for_before(
    database: Database, world: World
) -> None:
    lead = await world.lead(await world.business(included_calls=1))
    first, second = await world.call(lead), await world.call(lead)
    assert (await ask(database, first)).verdict is Verdict.ALLOWED
    assert (await ask(database, second)).code is ErrorCode.PLAN_EXHAUSTED


async def test_a_number_dialled_three_times_waits_a_day_from_the_first(database: Database, world: World) -> None:
    call = await world.call()
    for hours in (1, 5, 20):
        attempt = await world.attempt(call, status=AttemptStatus.NO_ANSWER)
        async with database.system() as session:
            stored = await session.get_one(CallAttempt, attempt.id)
            stored.dialed_at = datetime.now(UTC) - timedelta(hours=hours)
            oldest = stored.dialed_at
    decision = await ask(database, call)
    assert (decision.verdict, decision.rule) == (Verdict.WAIT, "attempts_per_day")
    assert decision.until == oldest + timedelta(hours=24)


async def test_at_night_the_call_waits_for_the_morning(database: Database, world: World) -> None:
    midnight_chicago = datetime(2026, 11, 18, 6, 0, tzinfo=UTC)
    call = await world.call(await world.lead(phone_number="+13125550100"))
    decision = await ask(database, call, local_now=midnight_chicago)
    assert (decision.verdict, decision.rule) == (Verdict.WAIT, "calling_window")
    assert decision.until is not None
    assert timedelta(hours=8, minutes=59) < decision.until - datetime.now(UTC) <= timedelta(hours=9)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("not a number", ErrorCode.INVALID_PHONE_NUMBER),
        ("", ErrorCode.INVALID_PHONE_NUMBER),
        ("+1 312", ErrorCode.INVALID_PHONE_NUMBER),
        ("+44 20 7123 4567", ErrorCode.NUMBER_NOT_CALLABLE),
        ("+1 800 555 0100", ErrorCode.NUMBER_NOT_CALLABLE),
        ("+1 900 555 0100", ErrorCode.NUMBER_NOT_CALLABLE),
        ("+1 500 555 0100", ErrorCode.NUMBER_NOT_CALLABLE),
        ("+1 416 555 0100", ErrorCode.NUMBER_NOT_CALLABLE),
        ("312-555-0100 x55", ErrorCode.INVALID_PHONE_NUMBER),
        ("(312) 555-0100 ext. 7", ErrorCode.INVALID_PHONE_NUMBER),
        ("312-555-0100 #55", ErrorCode.INVALID_PHONE_NUMBER),
        ("+13125550100;ext=55", ErrorCode.INVALID_PHONE_NUMBER),
        ("1-312-FLOWERS", ErrorCode.INVALID_PHONE_NUMBER),
        ("+13125550100 abc", ErrorCode.INVALID_PHONE_NUMBER),
    ],
)
def test_numbers_that_are_not_called(raw: str, code: ErrorCode) -> None:
    with pytest.raises(CallwrightError) as caught:
        parse_number(raw)
    assert (caught.value.code, caught.value.field) == (code, "phoneNumber")
    assert caught.value.remedy


@pytest.mark.parametrize("raw", ["(312) 555-0100", "312.555.0100", "+1 312 555 0100", "13125550100"])
def test_numbers_as_people_write_them(raw: str) -> None:
    assert parse_number(raw) == "+13125550100"


AREA_CODES = sorted(
    {
        prefix
        for prefix in range(200, 1000)
        if phonenumbers.is_valid_number(phonenumbers.parse(f"+1{prefix}5550100"))
        and zones_of(f"+1{prefix}5550100")
        and len(zones_of(f"+1{prefix}5550100")) < 10
    }
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(AREA_CODES),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_no_moment_the_window_allows_lies_outside_any_zone(area_code: int, now: datetime) -> None:
    zones: list[ZoneInfo] = zones_of(f"+1{area_code}5550100")
    opens = next_open(now, zones)
    assert now <= opens <= now + timedelta(days=2)
    for zone in zones:
        assert WINDOW_START <= opens.astimezone(zone).time() < WINDOW_END
