"""Cursors keep their place exactly; pages neither repeat nor lose a row, whatever arrives meanwhile."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.app.accounts.models import Role
from callwright.app.calls.lifecycle import CallStatus
from callwright.app.calls.models import Call
from callwright.app.calls.queries import calls_by_lead
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.pagination import Cursor
from tests.world import World

moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


@given(moments, st.uuids())
def test_a_cursor_comes_back_as_it_was(created_at: datetime, row_id: UUID) -> None:
    cursor = Cursor(created_at, row_id)
    assert Cursor.decode(cursor.encode()) == cursor


@given(st.text(max_size=60))
def test_any_other_text_is_refused_or_is_a_cursor(text: str) -> None:
    try:
        cursor = Cursor.decode(text)
    except CallwrightError as error:
        assert (error.code, error.field) == (ErrorCode.INVALID_INPUT, "after")  # noqa: PT017
    else:
        assert cursor.encode() == text


@pytest.mark.parametrize("first", [0, 101, -1])
async def test_a_page_has_one_to_a_hundred_rows(world: World, first: int) -> None:
    lead = await world.lead()
    actor = await world.actor(Role.ADMIN)
    async with world.database.tenant(actor) as session:
        with pytest.raises(CallwrightError) as refused:
            await calls_by_lead(session, lead.id, first=first, after=None)
    assert refused.value.field == "first"


async def test_rows_of_one_moment_and_rows_that_arrive_meanwhile(world: World) -> None:
    lead = await world.lead()
    actor = await world.actor(Role.ADMIN)
    made = [await world.call(lead, status=CallStatus.BUSY) for _ in range(7)]
    moment = datetime.now(UTC) - timedelta(minutes=1)
    async with world.database.system() as session:
        for number, call in enumerate(made):
            # Four rows share a moment: the id decides between them.
            (await session.get_one(Call, call.id)).created_at = moment + timedelta(seconds=max(0, number - 3))
    seen: list[UUID] = []
    after = None
    while True:
        async with world.database.tenant(actor) as session:
            page = await calls_by_lead(session, lead.id, first=2, after=after)
        seen += [call.id for call, _ in page.rows]
        if not page.has_next:
            break
        after = page.rows[-1][1].encode()
        await world.call(lead, status=CallStatus.BUSY)
    assert seen == [call.id for call in made[:3:-1]] + sorted((call.id for call in made[:4]), reverse=True)
