"""Following a call over `graphql-transport-ws`: the row as it is, every change, every turn once, and a clean end."""

import asyncio
import json
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import update
from sqlmodel import col

from callwright.app.accounts.models import ApiToken, Business
from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import append_event, move_attempt, move_call
from callwright.app.events.live import channel_of
from callwright.app.leads.models import Lead
from callwright.app.state import AppState
from tests.conftest import SettableClock
from tests.graphql.client import Client, Socket
from tests.graphql.conftest import Callers
from tests.graphql.stories import WORDS, finished_call, turn
from tests.world import World

STATUS = """subscription($id: UUID!) { callStatus(callId: $id) {
  status outcome summary { summary } attempts { number status } } }"""
TRANSCRIPT = "subscription($id: UUID!) { callTranscript(callId: $id) { index text speaker } }"


@pytest.fixture
async def lead(world: World) -> Lead:
    return await world.lead()


@pytest.fixture
async def business(callers: Callers, lead: Lead) -> Client:
    async with callers.world.database.system() as session:
        owner = await session.get_one(Business, lead.business_id)
    return await callers.business(owner)


class Phone:
    """A call under way, moved on by the test as the carrier and the bridge would."""

    def __init__(self, state: AppState, call: Call, attempt: CallAttempt) -> None:
        self.state = state
        self.call = call
        self.attempt = attempt

    async def move(self, to: CallStatus, attempt_to: AttemptStatus) -> None:
        async with self.state.database.system() as session:
            now = self.state.clock.now()
            move_call(session, await session.get_one(Call, self.call.id, with_for_update=True), to, now)
            move_attempt(session, await session.get_one(CallAttempt, self.attempt.id), attempt_to, now)

    async def stream(self, *, ended: bool) -> None:
        async with self.state.database.system() as session:
            attempt = await session.get_one(CallAttempt, self.attempt.id)
            now = self.state.clock.now()
            attempt.stream_started_at = attempt.stream_started_at or now
            attempt.stream_ended_at = now if ended else None
            append_event(session, self.call.id, "stream.ended" if ended else "stream.started")

    async def say(self, *indexes: int) -> None:
        async with self.state.database.system() as session:
            session.add_all(turn(self.attempt, index, f"turn {index}") for index in indexes)
            append_event(session, self.call.id, "transcript.turn")

    async def summarise(self) -> None:
        async with self.state.database.system() as session:
            call = await session.get_one(Call, self.call.id)
            call.outcome = CallOutcome.DECLINED
            call.summarised_at = self.state.clock.now()
            append_event(session, self.call.id, "call.summarised")


@pytest.fixture
async def phone(state: AppState, world: World, lead: Lead) -> Phone:
    call = await world.call(lead, status=CallStatus.DIALING)
    return Phone(state, call, await world.attempt(call, status=AttemptStatus.DIALING))


async def test_status_from_dialing_to_summary(business: Client, phone: Phone) -> None:
    async with business.socket() as socket:
        await socket.start(STATUS, id=str(phone.call.id))
        first = (await socket.next())["data"]["callStatus"]
        assert first["status"] == "DIALING"
        assert first["attempts"] == [{"number": 1, "status": "DIALING"}]
        await phone.move(CallStatus.RINGING, AttemptStatus.RINGING)
        ringing = (await socket.next())["data"]["callStatus"]
        # What belongs to the call is read afresh, too.
        assert (ringing["status"], ringing["attempts"][0]["status"]) == ("RINGING", "RINGING")
        await phone.move(CallStatus.IN_PROGRESS, AttemptStatus.IN_PROGRESS)
        assert (await socket.next())["data"]["callStatus"]["status"] == "IN_PROGRESS"
        await phone.move(CallStatus.COMPLETED, AttemptStatus.COMPLETED)
        assert (await socket.next())["data"]["callStatus"]["outcome"] is None
        await phone.summarise()
        (last,) = await socket.rest()
        assert last["data"]["callStatus"]["outcome"] == "DECLINED"


async def test_status_of_a_finished_call_is_told_once(
    business: Client, world: World, lead: Lead, clock: SettableClock
) -> None:
    call = await finished_call(world, lead, clock.now())
    async with business.socket() as socket:
        await socket.start(STATUS, id=str(call.id))
        (only,) = await socket.rest()
    assert only["data"]["callStatus"]["summary"]["summary"].startswith("The sink")


async def test_status_ends_although_no_summary_ever_comes(business: Client, phone: Phone, clock: SettableClock) -> None:
    async with business.socket() as socket:
        await socket.start(STATUS, id=str(phone.call.id))
        await socket.next()
        await phone.move(CallStatus.IN_PROGRESS, AttemptStatus.IN_PROGRESS)
        await socket.next()
        await phone.move(CallStatus.COMPLETED, AttemptStatus.COMPLETED)
        await socket.next()
        clock.advance(timedelta(minutes=3).total_seconds())
        assert await socket.rest() == []


async def test_transcript_of_a_finished_call(business: Client, world: World, lead: Lead, clock: SettableClock) -> None:
    call = await finished_call(world, lead, clock.now())
    async with business.socket() as socket:
        await socket.start(TRANSCRIPT, id=str(call.id))
        told = await socket.rest()
    assert [payload["data"]["callTranscript"]["text"] for payload in told] == list(WORDS)


async def test_transcript_live_each_turn_once_and_in_order(business: Client, phone: Phone) -> None:
    await phone.move(CallStatus.IN_PROGRESS, AttemptStatus.IN_PROGRESS)
    await phone.stream(ended=False)
    await phone.say(0)
    async with business.socket() as socket:
        await socket.start(TRANSCRIPT, id=str(phone.call.id))
        assert await _index(socket) == 0
        await phone.say(1)
        assert await _index(socket) == 1
        # The words of turn 2 are recognised after those of turn 3.
        await phone.say(3)
        await phone.say(2)
        assert [await _index(socket), await _index(socket)] == [2, 3]
        await phone.move(CallStatus.COMPLETED, AttemptStatus.COMPLETED)
        # The carrier is faster than the bridge: turns may follow the call's end. Index 4 was noise.
        await phone.say(5)
        await phone.stream(ended=True)
        rest = await socket.rest()
    assert [payload["data"]["callTranscript"]["index"] for payload in rest] == [5]


async def test_transcript_does_not_wait_for_ever_for_a_gap(
    business: Client, phone: Phone, clock: SettableClock
) -> None:
    await phone.move(CallStatus.IN_PROGRESS, AttemptStatus.IN_PROGRESS)
    await phone.stream(ended=False)
    await phone.say(0)
    async with business.socket() as socket:
        await socket.start(TRANSCRIPT, id=str(phone.call.id))
        assert await _index(socket) == 0
        await phone.say(2)
        # Told after the hold has passed; until a look has seen the gap, the clock has nothing to count from.
        async with asyncio.timeout(20):
            told = asyncio.create_task(_index(socket))
            while not told.done():
                clock.advance(1)
                await phone.state.live.publish({phone.call.id})
        assert await told == 2
        await phone.say(1)
        assert await _index(socket) == 1


async def test_a_revoked_token_ends_what_it_follows(business: Client, phone: Phone, state: AppState) -> None:
    async with business.socket() as socket:
        await socket.start(STATUS, id=str(phone.call.id))
        await socket.next()
        async with state.database.system() as session:
            await session.execute(update(ApiToken).values(revoked_at=col(ApiToken.created_at)))
        await state.live.publish({phone.call.id})
        (last,) = await socket.rest()
    assert last["data"] is None
    assert last["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("leaves", ["complete", "disconnect"])
async def test_nothing_is_left_when_a_follower_leaves(
    business: Client, phone: Phone, state: AppState, leaves: str
) -> None:
    async with business.socket() as socket:
        operation = await socket.start(STATUS, id=str(phone.call.id))
        await socket.next()
        assert await _followers(state.live.redis, phone) == 1
        async with asyncio.timeout(10):
            # Whoever waits holds no connection to Postgres.
            while state.database.engine.pool.checkedout():  # type: ignore[attr-defined]
                await state.live.redis.ping()
        if leaves == "complete":
            await socket.connection.send(json.dumps({"type": "complete", "id": operation}))
            await _until_nobody_follows(state, phone)
            # The connection is as good as before.
            await socket.start("{ me { role } }")
            assert (await socket.rest())[0]["data"]["me"]["role"] == "BUSINESS"
    await _until_nobody_follows(state, phone)


async def _index(socket: Socket) -> int:
    index: int = (await socket.next())["data"]["callTranscript"]["index"]
    return index


async def _followers(redis: Redis, phone: Phone) -> int:
    ((_, followers),) = await redis.pubsub_numsub(channel_of(phone.call.id))
    return int(followers)


async def _until_nobody_follows(state: AppState, phone: Phone) -> None:
    async with asyncio.timeout(10):
        while await _followers(state.live.redis, phone):
            pass
