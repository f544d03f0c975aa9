"""The edges of the HTTP endpoint: what is not a GraphQL request gets a 4xx with a code, never a 500."""

from collections.abc import AsyncIterator

from tests.graphql.client import Client

JSON = {"Content-Type": "application/json"}
REFUSED = [
    (b"", 400),
    (b"{", 400),
    (b"null", 400),
    (b'"text"', 400),
    (b"7", 400),
    (b"{}", 400),
    (b'{"query": 7}', 400),
    (b'{"query": "{ __typename }", "variables": []}', 400),
    (b'{"query": "{ __typename }", "extensions": 1}', 400),
    (b'{"query": "subscription { __typename }"}', 400),
    (b'[{"query": "{ __typename }"}, {"query": "{ __typename }"}]', 400),
    (b"\xff\xfe\x00", 400),
    (b"[" * 100_000, 400),
    (b'{"query": "' + b"x" * 300_000 + b'"}', 413),
]


async def test_not_a_request(anyone: Client) -> None:
    for body, status in REFUSED:
        answer = await anyone.http.post(anyone.url, content=body, headers=JSON)
        assert answer.status_code == status, body[:60]
        assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST", body[:60]


async def test_an_operation_name_of_another_shape_is_the_clients_mistake(anyone: Client) -> None:
    answer = await anyone.http.post(anyone.url, json={"query": "{ __typename }", "operationName": ["a"]})
    assert answer.status_code in (200, 400)
    assert answer.json()["errors"][0]["extensions"]["code"] in ("BAD_REQUEST", "GRAPHQL_VALIDATION_FAILED")


async def test_a_body_without_a_length_is_measured_as_it_comes(anyone: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield b"x" * 1024

    answer = await anyone.http.post(anyone.url, content=endless(), headers=JSON)
    assert answer.status_code == 413


async def test_only_json_is_taken_and_only_by_post(anyone: Client) -> None:
    form = await anyone.http.post(anyone.url, data={"query": "{ __typename }"})
    assert form.status_code == 400
    got = await anyone.http.get(anyone.url, params={"query": "{ __typename }"})
    assert got.status_code == 400
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await anyone.http.request(method, anyone.url)).status_code == 405
