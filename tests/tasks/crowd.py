"""Many calls at once, and what their rows say about the limits."""

import itertools
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlmodel import col

from callwright.app.calls.lifecycle import CallType
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.database.sessions import Database
from tests.world import World

AREAS = [
    "201",
    "202",
    "203",
    "205",
    "206",
    "207",
    "208",
    "209",
    "210",
    "212",
    "213",
    "214",
    "215",
    "216",
    "217",
    "218",
    "219",
    "224",
    "225",
    "228",
    "229",
    "231",
    "234",
    "239",
    "240",
    "248",
    "251",
    "252",
    "253",
    "254",
    "256",
    "260",
    "262",
    "267",
    "269",
    "270",
    "276",
    "281",
    "301",
    "302",
    "303",
    "304",
    "305",
    "307",
    "308",
    "309",
    "310",
    "312",
    "313",
    "314",
    "315",
    "316",
    "317",
    "318",
    "319",
    "320",
    "321",
    "323",
    "325",
    "330",
]


async def make_crowd(world: World, last_four: str, *, max_attempts: int = 1) -> list[Call]:
    """Sixty due calls of mixed priority to sixty numbers of one persona, for two businesses."""
    businesses = [await world.business(), await world.business()]
    kinds = itertools.cycle([CallType.FOLLOW_UP, CallType.QUALIFY_LEAD, CallType.CONFIRM_APPOINTMENT])
    calls = []
    for number, area in enumerate(AREAS):
        lead = await world.lead(businesses[number % 2], phone_number=f"+1{area}555{last_four}")
        calls.append(await world.call(lead, call_type=next(kinds), max_attempts=max_attempts))
    return calls


async def attempts_of_all(database: Database) -> list[tuple[CallAttempt, Call]]:
    """Every attempt with its call, in the order of admission."""
    query = select(CallAttempt, Call).join(Call, col(Call.id) == col(CallAttempt.call_id))
    async with database.system() as session:
        rows = await session.execute(query.order_by(col(CallAttempt.admitted_at), col(CallAttempt.id)))
    return [(attempt, call) for attempt, call in rows]


def most_at_once(attempts: Sequence[CallAttempt]) -> int:
    """The most attempts that were live at the same time; an end comes before a begin of the same instant."""
    changes = sorted(
        change
        for attempt in attempts
        for change in ((attempt.admitted_at, 1), (attempt.ended_at, -1))
        if change[0] is not None
    )
    return max(itertools.accumulate(step for _, step in changes))


def most_in_a_minute(attempts: Sequence[CallAttempt]) -> int:
    """The most dials in any 60 seconds, the last instant of which belongs to the next."""
    dials = sorted(attempt.dialed_at for attempt in attempts if attempt.dialed_at is not None)
    minute = timedelta(seconds=60)
    return max(sum(end - minute < dial <= end for dial in dials) for end in dials)
