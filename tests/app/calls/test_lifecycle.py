"""The lifecycle tables are the specification; every pair of states is walked."""

import itertools
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlmodel import col

from callwright.app.calls.lifecycle import (
    ATTEMPT_ENDED,
    ENDED,
    AttemptStatus,
    CallStatus,
    attempt_may_follow,
    may_follow,
)
from callwright.app.calls.models import Call, CallEvent
from callwright.app.calls.progress import IllegalTransition, move_attempt, move_call
from callwright.app.database.sessions import Database
from tests.world import World

S, A = CallStatus, AttemptStatus
REFUSED_OR_CANCELED = {S.FAILED, S.CANCELED}
LEGAL_CALL_STEPS = {
    *((S.SCHEDULED, to) for to in {S.QUEUED, *REFUSED_OR_CANCELED}),
    *((S.QUEUED, to) for to in {S.DIALING, *REFUSED_OR_CANCELED}),
    *(
        (S.DIALING, to)
        for to in {S.RINGING, S.IN_PROGRESS, S.QUEUED, S.COMPLETED, S.NO_ANSWER, S.BUSY, S.FAILED, S.CANCELED}
    ),
    *((S.RINGING, to) for to in {S.IN_PROGRESS, S.QUEUED, S.COMPLETED, S.NO_ANSWER, S.BUSY, S.FAILED, S.CANCELED}),
    *((S.IN_PROGRESS, to) for to in {S.COMPLETED, S.FAILED, S.CANCELED}),
}
ORDER = [A.ADMITTED, A.DIALING, A.RINGING, A.IN_PROGRESS]


@pytest.mark.parametrize(("current", "following"), list(itertools.product(CallStatus, repeat=2)))
def test_every_pair_of_call_states(current: CallStatus, following: CallStatus) -> None:
    assert may_follow(current, following) is ((current, following) in LEGAL_CALL_STEPS)


@pytest.mark.parametrize(("current", "following"), list(itertools.product(AttemptStatus, repeat=2)))
def test_every_pair_of_attempt_states_moves_only_forward(current: AttemptStatus, following: AttemptStatus) -> None:
    allowed = attempt_may_follow(current, following)
    if current in ATTEMPT_ENDED:
        assert not allowed
    elif following not in ATTEMPT_ENDED and allowed:
        assert ORDER.index(following) > ORDER.index(current)
    elif current is not A.ADMITTED and following in {A.COMPLETED, A.FAILED, A.CANCELED}:
        assert allowed


async def test_a_step_is_written_to_the_timeline_and_an_illegal_one_changes_nothing(
    database: Database, world: World
) -> None:
    call = await world.call()
    async with database.system() as session:
        locked = await session.get_one(Call, call.id, with_for_update=True)
        move_call(session, locked, S.DIALING, datetime.now(UTC))
    async with database.system() as session:
        locked = await session.get_one(Call, call.id, with_for_update=True)
        with pytest.raises(IllegalTransition, match="scheduled may not follow dialing"):
            move_call(session, locked, S.SCHEDULED, datetime.now(UTC))
    async with database.system() as session:
        events = list(await session.scalars(select(CallEvent).where(col(CallEvent.call_id) == call.id)))
        stored = await session.get_one(Call, call.id)
    assert [event.data["to"] for event in events] == ["dialing"]
    assert stored.status is S.DIALING


async def test_an_ended_attempt_keeps_its_times(database: Database, world: World) -> None:
    call = await world.call()
    attempt = await world.attempt(call, status=A.RINGING)
    at = datetime.now(UTC)
    async with database.system() as session:
        stored = await session.get_one(type(attempt), attempt.id)
        move_attempt(session, stored, A.IN_PROGRESS, at)
        move_attempt(session, stored, A.COMPLETED, at, "goal_achieved")
        with pytest.raises(IllegalTransition):
            move_attempt(session, stored, A.FAILED, at)
    assert (stored.answered_at, stored.ended_at, stored.end_reason) == (at, at, "goal_achieved")
    assert ENDED.isdisjoint({S.QUEUED})
