"""Reads of calls: order of what belongs to them, and an administrator's filters."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from callwright.app.accounts.models import Role
from callwright.app.calls.lifecycle import AttemptStatus, CallStatus, CallType
from callwright.app.calls.models import CallAttempt, Speaker, TranscriptTurn
from callwright.app.calls.queries import (
    CallFilter,
    admin_calls,
    attempts_of,
    get_call,
    recordings_of,
    summaries_of,
    transcripts_of,
)
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.recordings.models import Recording
from tests.world import World


def _turn(attempt: CallAttempt, index: int) -> TranscriptTurn:
    return TranscriptTurn(
        call_id=attempt.call_id,
        attempt_id=attempt.id,
        index=index,
        speaker=Speaker.AGENT,
        text=f"{attempt.number}.{index}",
        start_ms=index,
        end_ms=index,
    )


async def test_turns_are_told_by_attempt_and_index_however_they_were_stored(world: World) -> None:
    call = await world.call(status=CallStatus.IN_PROGRESS)
    first = await world.attempt(call, status=AttemptStatus.NO_ANSWER)
    second = await world.attempt(call)
    async with world.database.system() as session:
        session.add_all([_turn(second, 1), _turn(first, 3), _turn(second, 0), _turn(first, 0)])
    actor = await world.actor(Role.ADMIN)
    async with world.database.tenant(actor) as session:
        turns = await transcripts_of(session, [call.id, uuid4()])
        attempts = await attempts_of(session, [call.id])
        assert await summaries_of(session, [call.id]) == {}
    assert [turn.text for turn in turns[call.id]] == ["1.0", "1.3", "2.0", "2.1"]
    assert [attempt.number for attempt in attempts[call.id]] == [1, 2]


async def test_the_latest_recording_that_was_not_deleted(world: World) -> None:
    call = await world.call(status=CallStatus.COMPLETED)
    keys = []
    for number in range(3):
        attempt = await world.attempt(call, status=AttemptStatus.COMPLETED)
        async with world.database.system() as session:
            recording = Recording(
                call_id=call.id, attempt_id=attempt.id, object_key=str(number), duration_ms=1, size_bytes=1
            )
            recording.deleted_at = datetime.now(UTC) if number == 2 else None
            session.add(recording)
        keys.append(recording.id)
    actor = await world.actor(Role.ADMIN)
    async with world.database.tenant(actor) as session:
        assert (await recordings_of(session, [call.id]))[call.id].id == keys[1]


async def test_an_unknown_call_is_not_found(world: World) -> None:
    async with world.database.tenant(await world.actor(Role.ADMIN)) as session:
        with pytest.raises(CallwrightError) as missing:
            await get_call(session, uuid4())
    assert missing.value.code is ErrorCode.CALL_NOT_FOUND


async def test_filters_narrow_together(world: World) -> None:
    now = datetime.now(UTC)
    calls = {
        (call_type, status): await world.call(call_type=call_type, status=status)
        for call_type in (CallType.FOLLOW_UP, CallType.QUALIFY_LEAD)
        for status in (CallStatus.BUSY, CallStatus.NO_ANSWER)
    }
    chosen = calls[CallType.FOLLOW_UP, CallStatus.BUSY]

    async def found(wanted: CallFilter) -> set[UUID]:
        async with world.database.tenant(await world.actor(Role.ADMIN)) as session:
            return {call.id for call, _ in (await admin_calls(session, wanted, first=100, after=None)).rows}

    everything = {call.id for call in calls.values()}
    assert await found(CallFilter()) == everything
    assert await found(CallFilter(since=now - timedelta(hours=1), before=now + timedelta(hours=1))) == everything
    assert await found(CallFilter(since=now + timedelta(hours=1))) == set()
    assert await found(CallFilter(before=now - timedelta(hours=1))) == set()
    assert len(await found(CallFilter(status=CallStatus.BUSY))) == 2
    assert len(await found(CallFilter(call_type=CallType.FOLLOW_UP))) == 2
    assert await found(CallFilter(status=CallStatus.BUSY, call_type=CallType.FOLLOW_UP)) == {chosen.id}
    assert await found(CallFilter(business_id=chosen.business_id)) == {chosen.id}


@pytest.mark.parametrize("role", [Role.BUSINESS, Role.CONSUMER])
async def test_only_administrators_ask_for_everybodys_calls(world: World, role: Role) -> None:
    async with world.database.tenant(await world.actor(role)) as session:
        with pytest.raises(CallwrightError) as refused:
            await admin_calls(session, CallFilter(), first=1, after=None)
    assert refused.value.code is ErrorCode.FORBIDDEN
