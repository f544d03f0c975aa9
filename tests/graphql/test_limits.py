"""What an operation may ask for: measured exactly, cheaply, and refused before anything runs."""

import asyncio

import httpx2
import psycopg
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

from callwright.app.state import AppState
from callwright.graphql.limits import LIST_ROWS, Limits, Measure, measure
from callwright.graphql.schema import build_schema
from tests.graphql.client import Client
from tests.graphql.conftest import Callers, serving
from tests.world import World

SCHEMA = build_schema(Limits(), production=False).core


def _measured(document: str, **variables: object) -> Measure:
    return measure(parse(document), SCHEMA, variables)


def test_fields_are_counted_for_every_row() -> None:
    assert _measured("{ me { id email } }") == Measure(2, 0, 3)
    assert _measured("{ leads(first: 7) { edges { node { id } } } }").complexity == 1 + 7 * 3
    assert _measured("{ leads { edges { node { id } } } }").complexity == 1 + 20 * 3
    asked = "query($n: Int!) { leads(first: $n) { edges { node { id } } } }"
    assert _measured(asked, n=9).complexity == 1 + 9 * 3
    assert _measured(asked).complexity == 1 + 100 * 3
    turns = "{ callTranscript(callId: 1) { text speaker } }"
    assert _measured(turns).complexity == 1 + LIST_ROWS * 2


def test_fragments_count_where_they_are_spread() -> None:
    document = """query { a: leads(first: 5) { ...page } b: leads(first: 7) { ...page } }
      fragment page on LeadConnection { edges { node { ... on Lead { x: id } } } }"""
    assert _measured(document) == Measure(4, 4, 2 + 12 * 3)


def test_a_bomb_of_fragments_is_measured_at_once() -> None:
    bomb = "query { ...f0 }" + "".join(
        f"fragment f{level} on Query {{ ...f{level + 1} ...f{level + 1} ...f{level + 1} }}" for level in range(150)
    )
    assert _measured(bomb + "fragment f150 on Query { __typename }").complexity == 3**150


def test_documents_that_are_not_valid_are_measured_too() -> None:
    assert _measured("{ ...a } fragment a on Query { ...a me { id } }") == Measure(2, 0, 2)
    assert _measured("{ ...nowhere nothing { no { where } } }") == Measure(3, 0, 3)
    assert _measured("{ leads(first: -5) { pageInfo { hasNextPage } } }").complexity == 3


def _selections(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["id", "a: id", "category"])
    if depth == 0:
        return leaf
    inner = st.lists(_selections(depth - 1), min_size=1, max_size=3).map(" ".join)
    return st.one_of(leaf, inner.map("business {{ {} }}".format), inner.map("... on Lead {{ {} }}".format))


@given(
    fragments=st.lists(st.lists(_selections(2), min_size=1, max_size=3).map(" ".join), min_size=1, max_size=4),
    spreads=st.lists(st.integers(0, 3), max_size=6),
)
def test_measuring_agrees_with_writing_every_fragment_out(fragments: list[str], spreads: list[int]) -> None:
    texts = []
    for number, body in enumerate(fragments):
        # A fragment spreads only later ones, so that there is no cycle.
        targets = [spread for spread in spreads if number < spread < len(fragments)]
        texts.append(f"fragment f{number} on Lead {{ {body} {' '.join(f'...f{target}' for target in targets)} }}")
    document = "{ lead(id: 1) { ...f0 ...f0 } } " + " ".join(texts)
    size = _measured(document)
    assert (size.depth, size.aliases, size.complexity) == _written_out(document)


def _written_out(document: str) -> tuple[int, int, int]:
    """The same measures by the plain definition; nothing here is a list, so every field counts once."""
    definitions = parse(document).definitions
    fragments = {node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)}

    def walk(selection: SelectionSetNode) -> tuple[int, int, int]:
        depth = aliases = fields = 0
        for node in selection.selections:
            if isinstance(node, FieldNode):
                inner = walk(node.selection_set) if node.selection_set else (0, 0, 0)
                found = (inner[0] + 1, inner[1] + (node.alias is not None), inner[2] + 1)
            elif isinstance(node, FragmentSpreadNode):
                found = walk(fragments[node.name.value].selection_set)
            else:
                found = walk(node.selection_set)  # type: ignore[attr-defined]
            depth, aliases, fields = max(depth, found[0]), aliases + found[1], fields + found[2]
        return depth, aliases, fields

    (operation,) = (node for node in definitions if isinstance(node, OperationDefinitionNode))
    return walk(operation.selection_set)


def _nested(levels: int) -> str:
    return "{ me " * levels + "{ id }" + " }" * levels


OVER = [
    (_nested(10), "QUERY_TOO_DEEP"),
    (_nested(190), "QUERY_TOO_DEEP"),
    (_nested(480), "GRAPHQL_PARSE_FAILED"),
    ("{" + " ".join(f"a{n}: __typename" for n in range(16)) + "}", "TOO_MANY_ALIASES"),
    (
        "{ leads(first: 100) { edges { node { " + "id " * 101 + "} } } }",
        "QUERY_TOO_COMPLEX",
    ),
    (
        "query { ...f0 }"
        + "".join(f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(90))
        + "fragment f90 on Query { __typename }",
        "QUERY_TOO_COMPLEX",
    ),
    ("{" + " __typename" * 2000 + "}", "GRAPHQL_PARSE_FAILED"),
]


async def test_over_the_limits(callers: Callers) -> None:
    admin = await callers.admin()
    for document, code in OVER:
        answer = await admin.run(document)
        assert answer["errors"][0]["extensions"]["code"] == code, document[:80]
        assert answer.get("data") is None


async def test_an_ordinary_page_is_within_the_limits(callers: Callers) -> None:
    admin = await callers.admin()
    document = """{ adminCalls(first: 100) { pageInfo { hasNextPage } edges { cursor node { id status outcome createdAt
      lead { category consumer { fullName } } business { name } attempts { number } summary { summary } } } } }"""
    assert _measured(document).complexity < Limits().complexity
    assert (await admin.data(document))["adminCalls"]["edges"] == []


async def test_page_lengths_and_periods(callers: Callers) -> None:
    admin = await callers.admin()
    for first in (0, -1, 101):
        error = await admin.error("query($n: Int!) { leads(first: $n) { edges { cursor } } }", n=first)
        assert (error["code"], error["field"]) == ("INVALID_INPUT", "first")
    for days in (-5, 0, 366):
        for name in ("callStats", "adminCallCosts"):
            error = await admin.error(f"query($days: Int!) {{ {name}(days: $days) {{ totalCalls }} }}", days=days)
            assert (error["code"], error["field"]) == ("INVALID_INPUT", "days")
            assert error["remedy"] == ("Ask for at least one day." if days < 1 else "Ask for a shorter period.")


def _waiting(connection: psycopg.Connection[tuple[int]]) -> int:
    """How many statements wait for a lock."""
    row = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    assert row is not None
    return row[0]


async def test_a_slow_query_is_stopped_and_leaves_the_server_well(
    state: AppState, world: World, http: httpx2.AsyncClient
) -> None:
    assert state.settings.database_url is not None
    await world.call()
    asked = "{ adminCalls { edges { node { id summary { summary } attempts { number } } } } }"
    async with serving(state, Limits(query_seconds=0.5)) as url:
        admin = await Callers(Client(url, http), world, state).admin()
        # The list itself is slow, and a loader's batch is.
        for table in ("calls", "call_summaries"):
            with psycopg.connect(state.settings.database_url) as other:
                other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                assert (await admin.error(asked))["code"] == "QUERY_TIMED_OUT"
                async with admin.socket() as socket:
                    await socket.start(asked)
                    message = await socket.message()
                    assert message["payload"][0]["extensions"]["code"] == "QUERY_TIMED_OUT"
                async with asyncio.timeout(10):
                    while await asyncio.to_thread(_waiting, other):
                        pass
            assert len((await admin.data(asked))["adminCalls"]["edges"]) == 1
