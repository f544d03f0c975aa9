"""The schema kept in the repository is the one that is served; production hides it and GraphiQL."""

import dataclasses
from collections.abc import AsyncIterator

import httpx2
import pytest

from callwright.app.settings import Environment
from callwright.app.state import AppState
from callwright.graphql.schema import EXPORTED, export
from tests.graphql.client import Client
from tests.graphql.conftest import serving

INTROSPECTION = "{ __schema { queryType { name } } }"


@pytest.fixture
async def in_production(state: AppState, http: httpx2.AsyncClient) -> AsyncIterator[Client]:
    settings = state.settings.model_copy(update={"environment": Environment.PRODUCTION, "sandbox_url": None})
    async with serving(dataclasses.replace(state, settings=settings)) as url:
        yield Client(url, http)


def test_the_exported_schema_is_up_to_date() -> None:
    assert EXPORTED.read_text(encoding="utf-8") == export(), "graphql/schema.graphql has drifted: run `make schema`"


async def test_development_shows_the_schema_and_graphiql(anyone: Client) -> None:
    assert (await anyone.data(INTROSPECTION))["__schema"]["queryType"]["name"] == "Query"
    page = await anyone.http.get(anyone.url, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "graphiql" in page.text.lower()
    assert "did you mean" in (await anyone.error("{ mee { id } }"))["message"].lower()


async def test_production_hides_the_schema_and_graphiql(in_production: Client) -> None:
    refused = await in_production.run(INTROSPECTION)
    assert "data" not in refused or refused["data"] is None
    assert {error["extensions"]["code"] for error in refused["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}
    assert (await in_production.data("{ __typename }")) == {"__typename": "Query"}
    page = await in_production.http.get(in_production.url, headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "did you mean" not in (await in_production.error("{ mee { id } }"))["message"].lower()
