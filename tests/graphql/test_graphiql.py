"""GraphiQL over the wire: complete without another host, absent in production, and helpful where npm has not run."""

import dataclasses
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest
from graphql import OperationDefinitionNode, build_schema, get_introspection_query, parse, validate

from callwright.app.settings import Environment
from callwright.app.state import AppState
from tests.graphql.client import Client
from tests.graphql.conftest import Callers, serving
from tests.repository import ROOT
from tests.world import World

BROWSER = {"Accept": "text/html"}
TYPES = {".js": ("text/javascript", "application/javascript"), ".css": ("text/css",)}
# An address with a scheme, or one that begins with two slashes and so takes the page's scheme.
ELSEWHERE = re.compile(r"""(?:https?|wss?)://|["'(=]\s*//""")
STYLE_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]{0,5})|@import\s""")


class Page(HTMLParser):
    """The tags of a page that load or run something, and its first query."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.inline: list[str] = []
        self.query = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self._inside = tag
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value is not None]
        self.inline += [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "script":
            self.scripts.append(attributes)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.inline.append(data)
        if self._inside == "template":
            self.query += data


@pytest.fixture
async def page(anyone: Client) -> Page:
    answer = await anyone.http.get(anyone.url, headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert not ELSEWHERE.search(answer.text)
    return Page(answer.text)


def assets(page: Page) -> list[str]:
    return [address for address in page.addresses if not address.startswith("data:")]


async def test_every_asset_is_served_with_its_type(anyone: Client, page: Page) -> None:
    assert len(assets(page)) == 7
    for address in assets(page):
        answer = await anyone.http.get(str(httpx2.URL(anyone.url).join(address)))
        assert answer.status_code == 200, address
        assert answer.headers["content-type"].split(";")[0] in TYPES[Path(address).suffix], address
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.content) > 100, address
        again = await anyone.http.get(str(answer.url), headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


async def test_nothing_refers_to_another_host(anyone: Client, page: Page) -> None:
    for address in assets(page):
        text = (await anyone.http.get(str(httpx2.URL(anyone.url).join(address)))).text
        if address.endswith(".css"):
            assert {match[1] for match in STYLE_ADDRESS.finditer(text)} <= {"data:"}, address
        if address.endswith("/graphiql.js"):
            assert not ELSEWHERE.search(text)


async def test_the_policy_allows_this_host_and_no_inline_script(anyone: Client) -> None:
    first, second = [await anyone.http.get(anyone.url, headers=BROWSER) for _ in range(2)]
    policy = dict(rule.strip().split(" ", 1) for rule in first.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in first.headers["content-security-policy"]
    assert policy["frame-ancestors"] == "'none'"
    page = Page(first.text)
    assert "".join(page.inline).strip() == ""
    assert all(script["src"] for script in page.scripts)
    [nonce] = [script["nonce"] for script in page.scripts if "nonce" in script]
    assert f"'nonce-{nonce}'" in policy["style-src"]
    assert nonce is not None and nonce not in second.text


async def test_only_the_named_files_are_served(anyone: Client) -> None:
    for name in ("", "graphiql.py", "package.json", "react", "..%2fgraphiql.py", "react/package.json"):
        answer = await anyone.http.get(f"{anyone.url}/assets/{name}")
        assert answer.status_code == 404, name


async def test_the_first_query_is_valid_and_lists_leads(page: Page, callers: Callers, world: World) -> None:
    schema = build_schema((ROOT / "graphql" / "schema.graphql").read_text())
    document = parse(page.query)
    assert validate(schema, document) == []
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    names = [operation.name.value for operation in operations if operation.name]
    assert names == ["Leads", "SignIn", "StartCall", "Follow"]
    business = await world.business()
    lead = await world.lead(business)
    client = await callers.business(business)
    body = {"query": page.query, "operationName": "Leads"}
    headers = {"Authorization": f"Bearer {client.token}"}
    answer = (await client.http.post(client.url, json=body, headers=headers)).json()
    assert [edge["node"]["id"] for edge in answer["data"]["leads"]["edges"]] == [str(lead.id)]


async def test_its_introspection_stays_within_the_limits(anyone: Client) -> None:
    data = await anyone.data(get_introspection_query(schema_description=True, input_value_deprecation=True))
    assert data["__schema"]["subscriptionType"]["name"] == "Subscription"


@pytest.fixture
async def production(state: AppState, http: httpx2.AsyncClient) -> AsyncIterator[Client]:
    settings = state.settings.model_copy(update={"environment": Environment.PRODUCTION, "sandbox_url": None})
    async with serving(dataclasses.replace(state, settings=settings)) as url:
        yield Client(url, http)


async def test_production_serves_none_of_it(production: Client, page: Page) -> None:
    answer = await production.http.get(production.url, headers=BROWSER)
    assert answer.status_code == 404
    assert "graphiql" not in answer.text.lower()
    for address in assets(page):
        assert (await production.http.get(str(httpx2.URL(production.url).join(address)))).status_code == 404
    assert await production.data("{ __typename }") == {"__typename": "Query"}


async def test_without_the_scripts_the_page_says_what_to_run(
    state: AppState, http: httpx2.AsyncClient, tmp_path: Path
) -> None:
    async with serving(state, node_modules=tmp_path) as url:
        client = Client(url, http)
        answer = await http.get(client.url, headers=BROWSER)
        assert answer.status_code == 503
        assert "make setup" in answer.text
        assert not ELSEWHERE.search(answer.text)
        for address in assets(Page(answer.text)):
            assert (await http.get(f"{url}{address}")).status_code == 200
        assert (await http.get(f"{client.url}/assets/graphiql.min.js")).status_code == 404
        assert await client.data("{ __typename }") == {"__typename": "Query"}
