"""Calls that people stop, schedule or follow, on the running system."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from callwright.app.demo.client import GraphQLClient, JsonObject
from callwright.app.demo.run import INITIATE, STATUS
from tests.e2e.conftest import RunningStack

CANCEL = """
mutation($id: UUID!) { cancelCall(id: $id) {
  ... on CallCanceled { call { id status } }
  ... on CallRefusal { code }
} }"""
CALL = "query($id: UUID!) { call(id: $id) { status outcome attempts { status } } }"


async def start(stack: RunningStack, client: GraphQLClient, persona: str, **more: object) -> str:
    lead_id = await stack.lead(persona)
    request = {"leadId": str(lead_id), "callType": "QUALIFY_LEAD", **more}
    started: JsonObject = (await client.execute(INITIATE, {"input": request}))["initiateCall"]
    call_id: str = started["call"]["id"]
    return call_id


async def follow_until(client: GraphQLClient, call_id: str, wanted: set[str]) -> str:
    async for event in client.subscribe(STATUS, {"id": call_id}):
        if event["callStatus"]["status"] in wanted:
            break
    status: str = event["callStatus"]["status"]
    return status


@pytest.mark.timeout(240)
async def test_a_live_call_is_ended_on_request(stack: RunningStack) -> None:
    async with stack.client() as client, asyncio.timeout(200):
        call_id = await start(stack, client, "0112")
        assert await follow_until(client, call_id, {"IN_PROGRESS"}) == "IN_PROGRESS"
        answer = (await client.execute(CANCEL, {"id": call_id}))["cancelCall"]
        assert "call" in answer
        assert await follow_until(client, call_id, {"CANCELED", "COMPLETED"}) == "CANCELED"
        again = (await client.execute(CANCEL, {"id": call_id}))["cancelCall"]
        assert again == {"code": "CALL_ALREADY_ENDED"}


@pytest.mark.timeout(240)
async def test_a_scheduled_call_waits_for_its_time_and_can_be_cancelled(stack: RunningStack) -> None:
    async with stack.client() as client, asyncio.timeout(200):
        later = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
        call_id = await start(stack, client, "0100", scheduledTime=later)
        assert (await client.execute(CALL, {"id": call_id}))["call"]["status"] == "SCHEDULED"
        await client.execute(CANCEL, {"id": call_id})
        call = (await client.execute(CALL, {"id": call_id}))["call"]
        assert (call["status"], call["outcome"], call["attempts"]) == ("CANCELED", "NOT_REACHED", [])


@pytest.mark.timeout(240)
async def test_a_call_scheduled_for_soon_is_dialled_then(stack: RunningStack) -> None:
    async with stack.client() as client, asyncio.timeout(200):
        soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        call_id = await start(stack, client, "0108", scheduledTime=soon)
        assert await follow_until(client, call_id, {"BUSY"}) == "BUSY"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("call_type", ["CONFIRM_APPOINTMENT", "FOLLOW_UP", "CONSUMER_CALLBACK"])
async def test_every_other_type_of_call_reaches_its_goal(stack: RunningStack, call_type: str) -> None:
    async with stack.client() as client, asyncio.timeout(200):
        call_id = await start(stack, client, "0100", callType=call_type)
        await follow_until(client, call_id, {"COMPLETED", "FAILED"})
        async for _ in client.subscribe(STATUS, {"id": call_id}):
            pass  # ends when the call is summarised
        call = (await client.execute(CALL, {"id": call_id}))["call"]
        assert (call["status"], call["outcome"]) == ("COMPLETED", "GOAL_ACHIEVED")
