"""The edges of `graphql-transport-ws`: what the protocol forbids closes the connection with its code."""

import json

import pytest
from websockets.exceptions import ConnectionClosed

from callwright.app.accounts.models import Role
from tests.graphql.client import Client
from tests.graphql.conftest import Callers
from tests.world import World

INIT = {"type": "connection_init"}
ME = {"id": "1", "type": "subscribe", "payload": {"query": "{ me { role } }"}}

MALFORMED: list[object] = [
    "not json",
    "[" * 5000,
    '"text"',
    "[]",
    {"type": 1},
    {"type": "unheard-of"},
    {"type": "complete"},
    {"type": "complete", "id": 7},
    {"type": "subscribe", "payload": {"query": "{ me { role } }"}},
    {"type": "subscribe", "id": "1"},
    {"type": "subscribe", "id": "1", "payload": "query"},
    {"type": "subscribe", "id": "1", "payload": {"query": 1}},
    {"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}},
    {"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "operationName": {}}},
    "x" * 300_000,
]


async def _closed_with(client: Client, *messages: object, protocol: str = "graphql-transport-ws") -> int:
    with pytest.raises(ConnectionClosed) as closed:
        async with client.raw_socket(protocol=protocol) as connection:
            for message in messages:
                await connection.send(message if isinstance(message, str | bytes) else json.dumps(message))
            while True:
                await connection.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_malformed_messages(anyone: Client) -> None:
    for message in MALFORMED:
        assert await _closed_with(anyone, INIT, message) == 4400, str(message)[:60]


async def test_order_of_the_protocol(anyone: Client) -> None:
    assert await _closed_with(anyone, ME) == 4401
    assert await _closed_with(anyone, INIT, INIT) == 4429
    assert await _closed_with(anyone, {"type": "connection_init", "payload": []}) == 4400
    assert await _closed_with(anyone, protocol="graphql-ws") == 4406


async def test_an_id_is_used_once_at_a_time(callers: Callers, world: World) -> None:
    business = await world.business()
    client = await callers.business(business)
    call = await world.call(await world.lead(business))
    document = "subscription($id: UUID!) { callStatus(callId: $id) { status } }"
    async with client.socket() as socket:
        await socket.start(document, id=str(call.id))
        await socket.next()
        await socket.connection.send(json.dumps(ME))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409


async def test_subscriptions_of_a_connection_are_limited(callers: Callers, world: World) -> None:
    business = await world.business()
    client = await callers.business(business)
    call = await world.call(await world.lead(business))
    async with client.socket() as socket:
        for _ in range(20):
            await socket.start("subscription($id: UUID!) { callStatus(callId: $id) { status } }", id=str(call.id))
            await socket.next()
        operation = await socket.start("{ me { role } }")
        refused = await socket.message()
    assert (refused["type"], refused["id"]) == ("error", operation)
    assert refused["payload"][0]["extensions"] == {"code": "TOO_MANY_OPERATIONS", "limit": 20}


async def test_ping_and_errors_of_one_operation_keep_the_connection(callers: Callers) -> None:
    admin = await callers.admin()
    async with admin.socket() as socket:
        await socket.connection.send('{"type": "ping"}')
        assert (await socket.message())["type"] == "pong"
        for document, code in (
            ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
            ("{ me {", "GRAPHQL_PARSE_FAILED"),
            ("", "BAD_REQUEST"),
        ):
            await socket.start(document)
            message = await socket.message()
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == code
        await socket.start("{ me { role } }")
        assert (await socket.rest())[0]["data"] == {"me": {"role": "ADMIN"}}


async def test_who_asks_by_payload_by_header_or_not_at_all(callers: Callers, world: World) -> None:
    token = await callers.token(await world.user(Role.ADMIN))
    anyone = callers.anyone
    for payload in ({}, {"authorization": "Bearer cw_wrong"}, {"authorization": 7}, {"authorization": token}):
        async with anyone.socket(payload) as socket:
            await socket.start("{ me { role } }")
            (answer,) = await socket.rest()
            assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    async with anyone.socket({"Authorization": f"Bearer {token}"}) as socket:
        await socket.start("{ me { role } }")
        assert (await socket.rest())[0]["data"] == {"me": {"role": "ADMIN"}}
    async with anyone.raw_socket(headers={"Authorization": f"Bearer {token}"}) as connection:
        await connection.send(json.dumps(INIT))
        assert json.loads(await connection.recv())["type"] == "connection_ack"
        await connection.send(json.dumps(ME))
        assert json.loads(await connection.recv())["payload"]["data"] == {"me": {"role": "ADMIN"}}


async def test_a_foreign_page_may_not_connect(anyone: Client) -> None:
    with pytest.raises(Exception, match="403"):
        async with anyone.raw_socket(headers={"Origin": "https://elsewhere.example"}):
            pass
