"""A small GraphQL client over HTTP and `graphql-transport-ws`: the demo uses the API as anybody would."""

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import aiohttp

JsonObject = dict[str, Any]


class GraphQLError(RuntimeError):
    """The server answered with errors."""


class GraphQLClient:
    """Speaks to one server; `token` is sent with everything once it is set."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession()
        self._ids = itertools.count(1)
        self.token: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def execute(self, document: str, variables: Mapping[str, object] | None = None) -> JsonObject:
        """The `data` of one query or mutation. Raises GraphQLError."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        body = {"query": document, "variables": dict(variables or {})}
        async with self._session.post(self._url, json=body, headers=headers) as response:
            answer = await response.json()
        return _data_of(answer)

    async def subscribe(self, document: str, variables: Mapping[str, object]) -> AsyncIterator[JsonObject]:
        """The `data` of each event until the server completes the subscription."""
        async with self._session.ws_connect(self._url, protocols=["graphql-transport-ws"]) as socket:
            await socket.send_json(
                {"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}},
            )
            operation = str(next(self._ids))
            async for frame in socket:
                message = frame.json()
                kind = message["type"]
                if kind == "connection_ack":
                    payload = {"query": document, "variables": dict(variables)}
                    await socket.send_json({"id": operation, "type": "subscribe", "payload": payload})
                elif kind == "ping":
                    await socket.send_json({"type": "pong"})
                elif kind == "next":
                    yield _data_of(message["payload"])
                elif kind == "error":
                    raise GraphQLError(message["payload"][0]["message"])
                elif kind == "complete":
                    return

    async def download(self, url: str) -> bytes:
        """The body of a signed link."""
        async with self._session.get(url) as response:
            response.raise_for_status()
            return await response.read()


def _data_of(answer: JsonObject) -> JsonObject:
    if answer.get("errors"):
        raise GraphQLError(answer["errors"][0]["message"])
    data: JsonObject = answer["data"]
    return data
