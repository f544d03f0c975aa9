"""A generic GraphQL client: HTTP POST through httpx2, and the `graphql-transport-ws` protocol over `websockets`."""

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

JsonObject = dict[str, Any]


class Client:
    """One caller of one server; `token` is who is asking."""

    def __init__(self, base_url: str, http: httpx2.AsyncClient, token: str | None = None) -> None:
        self.url = f"{base_url}/graphql"
        self.http = http
        self.token = token

    def of(self, token: str | None) -> "Client":
        return Client(self.url.removesuffix("/graphql"), self.http, token)

    async def run(self, document: str, **variables: object) -> JsonObject:
        """The whole answer of one operation."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        # Escaped to ASCII, so that it can hold what UTF-8 cannot.
        body = json.dumps({"query": document, "variables": variables})
        response = await self.http.post(self.url, content=body, headers={"Content-Type": "application/json", **headers})
        answer: JsonObject = response.json()
        return answer

    async def data(self, document: str, **variables: object) -> JsonObject:
        """The data of an operation that must not have errors."""
        answer = await self.run(document, **variables)
        assert "errors" not in answer, answer["errors"]
        data: JsonObject = answer["data"]
        return data

    async def error(self, document: str, **variables: object) -> JsonObject:
        """The only error of an operation, with its code among its keys."""
        answer = await self.run(document, **variables)
        (error,) = answer["errors"]
        return {"message": error["message"], **error["extensions"]}

    @asynccontextmanager
    async def socket(self, payload: Mapping[str, object] | None = None) -> AsyncIterator["Socket"]:
        """A connection that was acknowledged."""
        given = payload
        if given is None:
            given = {"authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.raw_socket() as connection:
            await connection.send(json.dumps({"type": "connection_init", "payload": given}))
            assert json.loads(await connection.recv()) == {"type": "connection_ack"}
            yield Socket(connection)

    def raw_socket(
        self, *, headers: Mapping[str, str] | None = None, protocol: str = "graphql-transport-ws"
    ) -> connect:
        """A connection on which nothing was said yet."""
        return connect(
            self.url.replace("http://", "ws://"), subprotocols=[Subprotocol(protocol)], additional_headers=headers
        )


class Socket:
    """An acknowledged connection; one reader, so one operation is followed at a time."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = itertools.count(1)

    async def start(self, document: str, **variables: object) -> str:
        """Starts an operation and gives its id."""
        operation = str(next(self._ids))
        payload = {"query": document, "variables": variables}
        await self.connection.send(json.dumps({"id": operation, "type": "subscribe", "payload": payload}))
        return operation

    async def message(self) -> JsonObject:
        """The next message of the server."""
        message: JsonObject = json.loads(await self.connection.recv())
        return message

    async def next(self) -> JsonObject:
        """The payload of the next message, which must be a `next`."""
        message = await self.message()
        assert message["type"] == "next", message
        payload: JsonObject = message["payload"]
        return payload

    async def rest(self) -> list[JsonObject]:
        """The payloads up to the end of the operation."""
        payloads = []
        while (message := await self.message())["type"] == "next":
            payloads.append(message["payload"])
        assert message["type"] == "complete", message
        return payloads
