"""Two businesses and two consumers never see each other's rows: with the queries' own filter, and by Postgres alone."""

import dataclasses
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from callwright.app.calls.models import Call
from callwright.app.database.sessions import Database
from callwright.app.leads.models import Lead
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.graphql.client import Client
from tests.graphql.conftest import Callers, serving
from tests.graphql.stories import finished_call
from tests.graphql.test_operations import CALL, CANCEL, INITIATE
from tests.world import World

LEADS = """{ leads(first: 100) { edges { node { id description nextAction consumer { fullName phoneNumber }
  business { name } } } } }"""
LEAD = "query($id: UUID!) { lead(id: $id) { id consumer { fullName } business { name } } }"
BY_LEAD = "query($id: UUID!) { callsByLead(leadId: $id) { edges { node { id summary { summary } } } } }"
TRANSCRIPT = "query($id: UUID!) { callTranscript(callId: $id) { text } }"
RECORDING = "query($id: UUID!) { callRecording(callId: $id) { url } }"
STATS = "{ callStats(days: 30) { totalCalls } }"
ADMIN_CALLS = "{ adminCalls(first: 100) { edges { node { id } } } }"
ADMIN_COSTS = "{ adminCallCosts(days: 30) { totalCalls } }"
STATUS_LIVE = "subscription($id: UUID!) { callStatus(callId: $id) { id status } }"
TRANSCRIPT_LIVE = "subscription($id: UUID!) { callTranscript(callId: $id) { text } }"
ACCOUNT = "{ me { email memberships { business { name } } } apiTokens { name } }"


@dataclasses.dataclass
class Side:
    """One business, one consumer, their lead and their finished call."""

    business: Client
    consumer: Client
    lead: Lead
    call: Call
    marks: tuple[str, ...]


@pytest.fixture(params=[True, False], ids=["filtered", "postgres-alone"])
async def callers(
    request: pytest.FixtureRequest, state: AppState, http: httpx2.AsyncClient, world: World
) -> AsyncIterator[Callers]:
    assert state.settings.database_url is not None
    database = Database(state.settings.database_url, scoped=request.param)
    state = dataclasses.replace(state, database=database)
    async with serving(state) as url:
        yield Callers(Client(url, http), world, state)
    await database.close()


@pytest.fixture
async def sides(callers: Callers, world: World, clock: SettableClock) -> tuple[Side, Side]:
    return await _side(callers, world, clock, "Alder"), await _side(callers, world, clock, "Birch")


async def _side(callers: Callers, world: World, clock: SettableClock, name: str) -> Side:
    business = await world.business(f"{name} Plumbing")
    consumer_client, consumer = await callers.consumer()
    lead = await world.lead(business, consumer)
    call = await finished_call(world, lead, clock.now())
    marks = (str(lead.id), str(call.id), business.name, consumer.full_name, consumer.phone_number)
    return Side(await callers.business(business), consumer_client, lead, call, marks)


async def test_what_is_mine_is_found(sides: tuple[Side, Side]) -> None:
    for side in sides:
        for client in (side.business, side.consumer):
            call = (await client.data(CALL, id=str(side.call.id)))["call"]
            assert len(call["transcript"]) == 3
            assert call["summary"] is not None
            assert call["recording"] is not None
            assert (call["costs"] is None) is (client is side.consumer)
            assert (await client.data(STATS))["callStats"]["totalCalls"] == 1
            assert len((await client.data(LEADS))["leads"]["edges"]) == 1
            assert len((await client.data(BY_LEAD, id=str(side.lead.id)))["callsByLead"]["edges"]) == 1


async def test_what_is_theirs_is_not_found(sides: tuple[Side, Side]) -> None:
    for mine, theirs in (sides, sides[::-1]):
        for client in (mine.business, mine.consumer):
            for document in (CALL, TRANSCRIPT, RECORDING):
                assert (await client.error(document, id=str(theirs.call.id)))["code"] == "CALL_NOT_FOUND"
            for document in (LEAD, BY_LEAD):
                assert (await client.error(document, id=str(theirs.lead.id)))["code"] == "LEAD_NOT_FOUND"
            for document in (ADMIN_CALLS, ADMIN_COSTS):
                assert (await client.error(document))["code"] == "FORBIDDEN"
            told = [await client.run(document) for document in (LEADS, STATS, ACCOUNT, ADMIN_CALLS, ADMIN_COSTS)]
            told.append(await client.run(CALL, id=str(mine.call.id)))
            assert not [mark for mark in theirs.marks if mark in json.dumps(told)]


async def test_what_is_theirs_cannot_be_followed_or_changed(sides: tuple[Side, Side]) -> None:
    for mine, theirs in (sides, sides[::-1]):
        for client in (mine.business, mine.consumer):
            for document in (STATUS_LIVE, TRANSCRIPT_LIVE):
                async with client.socket() as socket:
                    await socket.start(document, id=str(theirs.call.id))
                    (answer,) = await socket.rest()
                    assert answer["data"] is None
                    assert answer["errors"][0]["extensions"]["code"] == "CALL_NOT_FOUND"
            wanted = {"leadId": str(theirs.lead.id), "callType": "CONSUMER_CALLBACK"}
            refusal = (await client.data(INITIATE, input=wanted))["initiateCall"]
            assert refusal["code"] == "LEAD_NOT_FOUND"
            assert (await client.data(CANCEL, id=str(theirs.call.id)))["cancelCall"]["code"] == "CALL_NOT_FOUND"


async def test_an_administrator_sees_everything(callers: Callers, sides: tuple[Side, Side]) -> None:
    admin = await callers.admin()
    ids = {str(side.call.id) for side in sides}
    found = (await admin.data(ADMIN_CALLS))["adminCalls"]["edges"]
    assert {edge["node"]["id"] for edge in found} == ids
    assert (await admin.data(ADMIN_COSTS))["adminCallCosts"]["totalCalls"] == 2
    assert (await admin.data(STATS))["callStats"]["totalCalls"] == 2
    assert len((await admin.data(LEADS))["leads"]["edges"]) == 2
    for side in sides:
        call = (await admin.data(CALL, id=str(side.call.id)))["call"]
        assert call["costs"]["meteredUsd"] == "0.500000"
