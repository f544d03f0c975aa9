"""Lists cost a fixed number of SQL statements, however long they are."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.graphql.conftest import Callers
from tests.graphql.stories import finished_call
from tests.world import World

LIST = """query($first: Int!) { adminCalls(first: $first) { edges { node {
  id status lead { category consumer { fullName } } business { name } summary { summary } attempts { number status }
  recording { url } } } pageInfo { hasNextPage } } }"""
EVERYTHING = """query($first: Int!) { adminCalls(first: $first) { edges { node {
  id transcript { text } events { kind } costs { meteredUsd } } } } }"""


@contextmanager
def statements(state: AppState) -> Iterator[list[str]]:
    """Collects what the server sends to Postgres."""
    seen: list[str] = []

    def note(*arguments: object) -> None:
        seen.append(str(arguments[2]))

    engine = state.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_fifty_calls_cost_as_many_statements_as_five(
    callers: Callers, world: World, state: AppState, clock: SettableClock
) -> None:
    for _ in range(10):
        lead = await world.lead()
        for _ in range(5):
            await finished_call(world, lead, clock.now())
    admin = await callers.admin()
    await admin.data("{ me { id } }")
    for document, most in ((LIST, 11), (EVERYTHING, 8)):
        counts = []
        for first in (5, 50):
            with statements(state) as seen:
                calls = (await admin.data(document, first=first))["adminCalls"]["edges"]
            assert len(calls) == first
            counts.append(len(seen))
            # Who asks: 2; the tenant's session: 2; the page: 1; then one for each relation.
            assert len(seen) <= most, seen
        assert counts[0] == counts[1]
