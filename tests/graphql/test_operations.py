"""The nine call operations and the reads around them, each over HTTP and over WebSocket."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from callwright.app.accounts.models import Business
from callwright.app.calls.lifecycle import CallOutcome, CallStatus, CallType
from callwright.app.calls.models import Call
from callwright.app.database.sessions import Database
from callwright.app.leads.models import Lead
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.graphql.client import Client, JsonObject
from tests.graphql.conftest import Callers
from tests.graphql.stories import WORDS, finished_call
from tests.world import World

Run = Callable[..., Awaitable[JsonObject]]

INITIATE = """mutation($input: InitiateCallInput!) { initiateCall(input: $input) {
  __typename
  ... on CallStarted { call { id status callType objective phoneNumber scheduledAt lead { id } business { name } } }
  ... on CallRefusal { code field rule reason remedy until }
} }"""
CANCEL = """mutation($id: UUID!) { cancelCall(id: $id) {
  __typename ... on CallCanceled { call { id status } } ... on CallRefusal { code field rule reason remedy }
} }"""
CALL = """query($id: UUID!) { call(id: $id) {
  id status outcome callType objective phoneNumber createdAt answeredAt endedAt durationSeconds
  goalAchieved interestLevel
  attempts { number status } events { kind data } transcript { speaker text index startMs endMs interrupted }
  summary { source outcome goalAchieved interestLevel summary keyPoints nextAction sentiment doNotCall }
  recording { url expiresAt durationSeconds } costs { estimatedUsd meteredUsd breakdown { provider costUsd } }
  lead { category urgency consumer { fullName } } business { name }
} }"""


@pytest.fixture(params=["http", "websocket"])
def transport(request: pytest.FixtureRequest) -> Callable[[Client], Run]:
    """Runs an operation over one of the transports; the same documents must work on both."""

    def over(client: Client) -> Run:
        async def run(document: str, **variables: object) -> JsonObject:
            if request.param == "http":
                return await client.run(document, **variables)
            async with client.socket() as socket:
                await socket.start(document, **variables)
                (answer,) = await socket.rest()
                return answer

        return run

    return over


@pytest.fixture
async def lead(world: World) -> Lead:
    return await world.lead()


@pytest.fixture
async def business(callers: Callers, lead: Lead, transport: Callable[[Client], Run]) -> Run:
    """Runs operations as a member of the lead's business."""
    async with callers.world.database.system() as session:
        owner = await session.get_one(Business, lead.business_id)
    return transport(await callers.business(owner))


async def test_initiate_then_cancel(business: Run, lead: Lead, clock: SettableClock) -> None:
    clock.advance(60)  # the consent was obtained by the wall clock
    scheduled = (clock.now() + timedelta(days=1)).isoformat()
    wanted = {"leadId": str(lead.id), "callType": "QUALIFY_LEAD", "objective": "Ask.", "scheduledTime": scheduled}
    started = (await business(INITIATE, input=wanted))["data"]["initiateCall"]
    assert started["__typename"] == "CallStarted", started
    assert started["call"]["status"] == "SCHEDULED"
    assert started["call"]["objective"] == "Ask."
    assert started["call"]["lead"]["id"] == str(lead.id)
    call_id = started["call"]["id"]

    canceled = (await business(CANCEL, id=call_id))["data"]["cancelCall"]
    assert canceled == {"__typename": "CallCanceled", "call": {"id": call_id, "status": "CANCELED"}}
    again = (await business(CANCEL, id=call_id))["data"]["cancelCall"]
    assert again["__typename"] == "CallRefusal"
    assert again["code"] == "CALL_ALREADY_ENDED"
    assert again["field"] == "id"


@pytest.mark.parametrize(
    ("changed", "code", "field"),
    [
        ({"phoneNumber": "12"}, "INVALID_PHONE_NUMBER", "phoneNumber"),
        ({"scheduledTime": "2001-01-01T00:00:00Z"}, "INVALID_TIME", "scheduledTime"),
        ({"leadId": str(uuid4())}, "LEAD_NOT_FOUND", "leadId"),
    ],
)
async def test_a_refusal_names_field_rule_and_remedy(
    business: Run, lead: Lead, changed: dict[str, str], code: str, field: str
) -> None:
    wanted = {"leadId": str(lead.id), "callType": "QUALIFY_LEAD", **changed}
    refusal = (await business(INITIATE, input=wanted))["data"]["initiateCall"]
    assert refusal["__typename"] == "CallRefusal"
    assert (refusal["code"], refusal["field"]) == (code, field)
    assert refusal["rule"]
    assert refusal["remedy"]
    answer = await business("query($id: UUID!) { callsByLead(leadId: $id) { edges { node { id } } } }", id=str(lead.id))
    assert answer["data"]["callsByLead"]["edges"] == []


async def test_a_call_with_all_that_belongs_to_it(
    business: Run, world: World, lead: Lead, clock: SettableClock
) -> None:
    stored = await finished_call(world, lead, clock.now())
    call = (await business(CALL, id=str(stored.id)))["data"]["call"]
    assert call["status"] == "COMPLETED"
    assert call["outcome"] == "GOAL_ACHIEVED"
    assert call["callType"] == "QUALIFY_LEAD"
    assert call["durationSeconds"] == 180
    assert call["attempts"] == [{"number": 1, "status": "COMPLETED"}]
    assert call["events"] == [{"kind": "stream.started", "data": {"at_ms": 0}}]
    assert [turn["text"] for turn in call["transcript"]] == list(WORDS)
    assert [turn["speaker"] for turn in call["transcript"]] == ["AGENT", "PERSON", "AGENT"]
    assert call["summary"]["keyPoints"] == ["sink leaks", "tomorrow"]
    assert call["summary"]["sentiment"] == "POSITIVE"
    assert call["recording"]["url"].startswith("http://127.0.0.1:8000/recordings/")
    assert call["costs"]["estimatedUsd"] == "0.972000"
    assert call["costs"]["meteredUsd"] == "0.500000"
    assert {item["provider"]: item["costUsd"] for item in call["costs"]["breakdown"]} == {
        "TELEPHONY": "0.042000",
        "VOICE_MODEL": "0.458000",
    }
    assert call["lead"]["urgency"] == "SOON"
    assert call["lead"]["consumer"]["fullName"].startswith("Jordan Ames")


async def test_metered_costs_are_the_calls_own_figure(
    business: Run, world: World, lead: Lead, database: Database
) -> None:
    asked = "query($id: UUID!) { call(id: $id) { costs { meteredUsd breakdown { costUsd } } } }"
    call = await world.call(lead, status=CallStatus.BUSY)
    for micros, shown in ((None, None), (0, "0.000000"), (1, "0.000001")):
        async with database.system() as session:
            (await session.get_one(Call, call.id)).metered_cost_micros = micros
        costs = (await business(asked, id=str(call.id)))["data"]["call"]["costs"]
        assert costs == {"meteredUsd": shown, "breakdown": []}


async def test_transcript_and_recording(business: Run, world: World, lead: Lead, clock: SettableClock) -> None:
    stored = await finished_call(world, lead, clock.now())
    asked = """query($id: UUID!) {
      callTranscript(callId: $id) { text startMs } callRecording(callId: $id) { url expiresAt } }"""
    data = (await business(asked, id=str(stored.id)))["data"]
    assert [turn["text"] for turn in data["callTranscript"]] == list(WORDS)
    assert "signature=" in data["callRecording"]["url"]
    hour = (clock.now() + timedelta(hours=1)).replace(microsecond=0)
    assert data["callRecording"]["expiresAt"] == hour.isoformat()

    silent = await world.call(lead, status=CallStatus.BUSY)
    data = (await business(asked, id=str(silent.id)))["data"]
    assert data == {"callTranscript": [], "callRecording": None}


async def test_calls_by_lead_in_pages(business: Run, world: World, lead: Lead) -> None:
    made = [str((await world.call(lead, status=CallStatus.BUSY)).id) for _ in range(5)]
    seen: list[str] = []
    after = None
    asked = """query($id: UUID!, $after: String) { callsByLead(leadId: $id, first: 2, after: $after) {
      edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    for page in range(3):
        found = (await business(asked, id=str(lead.id), after=after))["data"]["callsByLead"]
        seen += [edge["node"]["id"] for edge in found["edges"]]
        assert found["pageInfo"]["hasNextPage"] is (page < 2)
        assert found["pageInfo"]["hasPreviousPage"] is (page > 0)
        assert found["pageInfo"]["startCursor"] == found["edges"][0]["cursor"]
        after = found["pageInfo"]["endCursor"]
    assert seen == made[::-1]


async def test_call_stats(business: Run, world: World, lead: Lead, clock: SettableClock) -> None:
    await finished_call(world, lead, clock.now())
    await finished_call(world, lead, clock.now(), outcome=CallOutcome.VOICEMAIL_LEFT, seconds=60)
    await finished_call(world, lead, clock.now(), call_type=CallType.FOLLOW_UP, outcome=CallOutcome.DECLINED)
    await world.call(lead, status=CallStatus.CANCELED)
    asked = """{ callStats(days: 7) { totalCalls goalAchieved successRate avgDuration voicemailRate
      byType { callType totalCalls successRate } byDay { day totalCalls } } }"""
    stats = (await business(asked))["data"]["callStats"]
    assert stats["totalCalls"] == 4
    assert stats["goalAchieved"] == 1
    assert stats["successRate"] == pytest.approx(1 / 3)
    assert stats["voicemailRate"] == pytest.approx(1 / 3)
    assert stats["avgDuration"] == pytest.approx(140)
    types = {entry["callType"]: entry for entry in stats["byType"]}
    assert types["QUALIFY_LEAD"]["successRate"] == pytest.approx(1 / 2)
    assert types["CONFIRM_APPOINTMENT"] == {"callType": "CONFIRM_APPOINTMENT", "totalCalls": 0, "successRate": None}
    assert len(stats["byDay"]) == 7
    assert sum(day["totalCalls"] for day in stats["byDay"]) == 4


async def test_admin_calls_and_costs(
    callers: Callers,
    transport: Callable[[Client], Run],
    world: World,
    lead: Lead,
    clock: SettableClock,
    state: AppState,
) -> None:
    wanted = await finished_call(world, lead, clock.now())
    await world.call(await world.lead(), status=CallStatus.BUSY)
    admin = transport(await callers.admin())
    asked = """query($filter: AdminCallFilter) { adminCalls(filter: $filter, first: 10) { edges { node { id } } } }"""
    chosen = {
        "status": "COMPLETED",
        "callType": "QUALIFY_LEAD",
        "businessId": str(lead.business_id),
        "from": (clock.now() - timedelta(hours=1)).isoformat(),
        "to": (clock.now() + timedelta(hours=1)).isoformat(),
    }
    everything = (await admin(asked))["data"]["adminCalls"]["edges"]
    assert len(everything) == 2
    for given in (chosen, *({name: value} for name, value in chosen.items() if name in ("status", "businessId"))):
        found = (await admin(asked, filter=given))["data"]["adminCalls"]["edges"]
        assert [edge["node"]["id"] for edge in found] == [str(wanted.id)]
    nothing = (await admin(asked, filter={**chosen, "to": chosen["from"]}))["data"]["adminCalls"]["edges"]
    assert nothing == []

    costs = (
        await admin("""{ adminCallCosts(days: 15) { totalCalls totalMinutes estimatedCost meteredCost
          breakdown { provider costUsd } marginPerPlan { plan businesses totalCalls revenue meteredCost margin } } }""")
    )["data"]["adminCallCosts"]
    assert costs["totalCalls"] == 1
    assert costs["totalMinutes"] == 3.0
    assert costs["estimatedCost"] == "0.972000"
    assert costs["meteredCost"] == "0.500000"
    assert [item["costUsd"] for item in costs["breakdown"]] == ["0.042000", "0.458000", "0.000000"]
    # 149 USD a month for 15 days of one business, less what its call cost; the other business had no cost.
    assert sorted(plan["margin"] for plan in costs["marginPerPlan"]) == ["74.000000", "74.500000"]
    assert {plan["revenue"] for plan in costs["marginPerPlan"]} == {"74.500000"}


async def test_me_and_leads(business: Run, world: World, lead: Lead) -> None:
    asked = """query($id: UUID!) { me { email role memberships { role business { id name } } }
      leads(status: NEW) { edges { node { id status } } } lead(id: $id) { city business { id } } }"""
    data = (await business(asked, id=str(lead.id)))["data"]
    assert data["me"]["role"] == "BUSINESS"
    assert data["me"]["memberships"][0]["business"]["id"] == str(lead.business_id)
    assert data["leads"]["edges"] == [{"node": {"id": str(lead.id), "status": "NEW"}}]
    assert data["lead"] == {"city": "Chicago", "business": {"id": str(lead.business_id)}}
    none = await business("{ leads(status: QUALIFIED) { edges { node { id } } } }")
    assert none["data"]["leads"]["edges"] == []
