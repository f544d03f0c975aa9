"""Entries of many calls in one transaction: all stored, in order, once, and none taken down by another."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from callwright.app.calls.models import CallAttempt, CallEvent, TranscriptTurn
from callwright.app.calls.scribe import Entry, Scribe
from callwright.app.demo.bench_calls import seed_bench_calls
from callwright.app.state import AppState


async def attempts(state: AppState, count: int) -> list[CallAttempt]:
    await seed_bench_calls(state.database, state.settings, count, state.clock.now(), timedelta(minutes=5))
    async with state.database.system() as session:
        return list(await session.scalars(select(CallAttempt).order_by(col(CallAttempt.id))))


def entry(attempt: CallAttempt, index: int, words: str) -> Entry:
    turn: dict[str, object] = {"index": index, "speaker": "agent", "text": words, "start_ms": 0, "end_ms": 900}
    data = {"index": index}
    return Entry(attempt.call_id, attempt.id, "transcript.turn", data, {**turn, "interrupted": False})


async def test_many_calls_at_once(state: AppState) -> None:
    scribe = Scribe(state.database)
    several = await attempts(state, 20)
    await asyncio.gather(*(scribe.write(entry(one, 0, "Hel")) for one in several))
    await asyncio.gather(*(scribe.write(entry(one, index, "Hello")) for one in several for index in (0, 1)))
    async with state.database.system() as session:
        turns = list(await session.scalars(select(TranscriptTurn)))
        events = list(await session.scalars(select(CallEvent).order_by(col(CallEvent.id))))
    assert len(turns) == len(events) == 40
    assert {turn.text for turn in turns} == {"Hello"}
    for one in several:
        assert [event.data["index"] for event in events if event.attempt_id == one.id] == [0, 1]


async def test_one_that_cannot_be_stored_does_not_harm_the_others(state: AppState) -> None:
    scribe = Scribe(state.database)
    first, second = await attempts(state, 2)
    nobodys = Entry(uuid4(), uuid4(), "barge_in", {})
    done = await asyncio.gather(
        scribe.write(entry(first, 0, "One")),
        scribe.write(nobodys),
        scribe.write(entry(second, 0, "Two")),
        return_exceptions=True,
    )
    assert done[0] is done[2] is None
    assert isinstance(done[1], IntegrityError)
    async with state.database.system() as session:
        assert set(await session.scalars(select(col(TranscriptTurn.text)))) == {"One", "Two"}


async def test_a_database_that_is_away_is_told_to_each(state: AppState) -> None:
    scribe = Scribe(type(state.database)("postgresql://nobody@127.0.0.1:9/none"))
    lost = Entry(uuid4(), uuid4(), "barge_in", {})
    done = await asyncio.gather(scribe.write(lost), scribe.write(lost), return_exceptions=True)
    assert all(isinstance(error, Exception) for error in done)
    with pytest.raises(Exception, match="connection"):
        await scribe.write(lost)
