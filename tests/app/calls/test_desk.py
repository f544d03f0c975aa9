"""The desk redeems a stream once, keeps what is said, and acts on what people ask for; repeats change nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from callwright.app.calls.conversation import (
    AnsweredBy,
    CallBrief,
    CallReport,
    EndCause,
    StreamRefused,
    TalkMetrics,
    VoicemailEvidence,
    VoiceUsage,
)
from callwright.app.calls.desk import HUMAN_REQUESTED, OPTED_OUT, STREAM_FINISHED, DatabaseCallDesk
from callwright.app.calls.lifecycle import AttemptStatus, CallStatus
from callwright.app.calls.models import Call, CallAttempt, Speaker, TranscriptTurn
from callwright.app.compliance.models import Suppression, SuppressionSource
from callwright.app.costs.metering import metered_micros
from callwright.app.costs.models import CostItem, Provider
from callwright.app.events.outbox import Job
from callwright.app.leads.models import Lead, LeadStatus
from callwright.app.recordings.models import Recording
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from callwright.app.telephony.carrier import CarrierError
from tests.app.agent.standin import StandIn, claude_stand_in
from tests.app.calls.streams import (
    TOKEN,
    call_of,
    carrier_completes,
    desk_of,
    events_of,
    jobs,
    live_attempt,
    sid_of,
    turn,
)
from tests.conftest import SettableClock
from tests.world import World

USAGE = VoiceUsage(output_audio_tokens=100)
REPORT = CallReport(EndCause.AGENT_ENDED, 61_000, AnsweredBy.HUMAN, "goal_achieved", USAGE)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with claude_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
async def state(settings: Settings, clock: SettableClock, stand_in: StandIn) -> AsyncIterator[AppState]:
    async with open_state(settings.model_copy(update={"sandbox_url": stand_in.url}), clock=clock) as state:
        yield state


@pytest.fixture
async def desk(state: AppState) -> AsyncIterator[DatabaseCallDesk]:
    async with desk_of(state) as desk:
        yield desk


@pytest.fixture
async def brief(state: AppState, desk: DatabaseCallDesk, world: World) -> CallBrief:
    await live_attempt(state, world)
    return await desk.open(sid_of(1), TOKEN)


@asynccontextmanager
async def refused(code: str) -> AsyncIterator[None]:
    with pytest.raises(StreamRefused) as raised:
        yield
    assert raised.value.code == code


async def lead_of(state: AppState, brief: CallBrief) -> Lead:
    async with state.database.system() as session:
        return await session.get_one(Lead, (await session.get_one(Call, brief.call_id)).lead_id)


async def suppressions(state: AppState) -> list[Suppression]:
    async with state.database.system() as session:
        return list(await session.scalars(select(Suppression)))


async def test_opening_stores_the_prompt_and_gives_the_brief(
    state: AppState, desk: DatabaseCallDesk, world: World
) -> None:
    attempt = await live_attempt(state, world)
    brief = await desk.open(sid_of(1), TOKEN)
    assert (brief.call_id, brief.attempt_id) == (attempt.call_id, attempt.id)
    assert "Rivera Plumbing" in brief.opening_line
    assert "The kitchen sink leaks" in brief.instructions
    assert "12 Elm Street, Chicago, IL, 60601" in brief.instructions
    assert "up to 500 dollars" in brief.instructions
    call = await call_of(state, brief.call_id)
    assert call.prompt == brief.instructions
    assert call.prompt_hash is not None
    assert len(call.prompt_hash) == 64
    (event,) = await events_of(state, brief.call_id, "stream.opened")
    assert event.data == {"prompt_version": call.prompt_version, "prompt_hash": call.prompt_hash}


async def test_a_token_works_once_also_for_two_at_the_same_time(
    state: AppState, desk: DatabaseCallDesk, world: World
) -> None:
    await live_attempt(state, world)
    opened = await asyncio.gather(*(desk.open(sid_of(1), TOKEN) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, CallBrief) for one in opened) == 1
    assert {one.code for one in opened if isinstance(one, StreamRefused)} == {"token_used"}


async def test_a_sid_that_was_not_known_yet_is_adopted(state: AppState, desk: DatabaseCallDesk, world: World) -> None:
    attempt = await live_attempt(state, world, sid=None)
    await desk.open(sid_of(7), TOKEN)
    async with state.database.system() as session:
        assert (await session.get_one(CallAttempt, attempt.id)).carrier_sid == sid_of(7)


async def test_a_wrong_token_or_a_wrong_call_is_refused(state: AppState, desk: DatabaseCallDesk, world: World) -> None:
    await live_attempt(state, world)
    for sid, token in ((sid_of(1), "another token"), (sid_of(1), ""), (sid_of(2), TOKEN), ("", "\ud800")):
        async with refused("token_unknown"):
            await desk.open(sid, token)
    await desk.open(sid_of(1), TOKEN)


async def test_an_attempt_without_a_token_cannot_be_opened(
    state: AppState, desk: DatabaseCallDesk, world: World
) -> None:
    await world.attempt(await world.call(status=CallStatus.IN_PROGRESS), carrier_sid=sid_of(1))
    async with refused("token_unknown"):
        await desk.open(sid_of(1), "")


async def test_a_token_lives_for_its_time_from_the_answer(
    state: AppState, desk: DatabaseCallDesk, world: World, clock: SettableClock
) -> None:
    await live_attempt(state, world)
    clock.advance(state.settings.stream_token_seconds + 1)
    async with refused("token_expired"):
        await desk.open(sid_of(1), TOKEN)
    clock.advance(-1)
    await desk.open(sid_of(1), TOKEN)


async def test_while_the_answer_is_not_known_a_token_lives_on_from_the_end_of_the_ringing(
    state: AppState, desk: DatabaseCallDesk, world: World, clock: SettableClock
) -> None:
    attempt = await live_attempt(state, world)
    async with state.database.system() as session:
        (await session.get_one(CallAttempt, attempt.id)).answered_at = None
    clock.advance(state.settings.ring_seconds + state.settings.stream_token_seconds + 1)
    async with refused("token_expired"):
        await desk.open(sid_of(1), TOKEN)
    clock.advance(-1)
    await desk.open(sid_of(1), TOKEN)


async def test_a_ringing_phones_brief_is_that_of_the_talk_and_redeems_nothing(
    state: AppState, desk: DatabaseCallDesk, world: World
) -> None:
    attempt = await live_attempt(state, world)
    early = await desk.prepare(attempt.id)
    assert early == await desk.open(sid_of(1), TOKEN)
    async with refused("call_over"):
        await desk.prepare(attempt.id)
    async with refused("attempt_unknown"):
        await desk.prepare(attempt.call_id)


async def test_a_call_that_is_over_or_cancelled_is_refused(
    state: AppState, desk: DatabaseCallDesk, world: World
) -> None:
    ended = await live_attempt(state, world, sid=sid_of(1))
    await carrier_completes(state, ended.id, 3)
    async with refused("call_over"):
        await desk.open(sid_of(1), TOKEN)
    cancelled = await live_attempt(state, world, sid=sid_of(2))
    async with state.database.system() as session:
        (await session.get_one(Call, cancelled.call_id)).cancel_requested_at = state.clock.now()
    async with refused("call_over"):
        await desk.open(sid_of(2), TOKEN)


async def test_a_turn_is_kept_in_its_latest_version(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief, world: World
) -> None:
    await desk.turn(brief, turn(0, "agent", "Hello, this is Riv"))
    await desk.turn(brief, turn(1, "person", "Yes?\0"))
    better = replace(turn(0, "agent", "Hello, this is"), interrupted=True)
    await desk.turn(brief, better)
    await desk.turn(brief, better)
    async with state.database.system() as session:
        stored = list(await session.scalars(select(TranscriptTurn).order_by(col(TranscriptTurn.index))))
    assert [(one.speaker, one.text, one.interrupted) for one in stored] == [
        (Speaker.AGENT, "Hello, this is", True),
        (Speaker.PERSON, "Yes?", False),
    ]
    told = await events_of(state, brief.call_id, "transcript.turn")
    assert [event.data for event in told] == [{"index": 0, "speaker": "agent"}, {"index": 1, "speaker": "person"}]


async def test_subscribers_are_told_of_a_changed_turn(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief
) -> None:
    await desk.turn(brief, turn(0, "agent", "Hello"))
    async with state.live.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(f"callwright:call:{brief.call_id}")
        await desk.turn(brief, turn(0, "agent", "Hello there"))
        async with asyncio.timeout(10):
            while await pubsub.get_message(timeout=1.0) is None:
                pass


async def test_an_event_is_kept_once(state: AppState, desk: DatabaseCallDesk, brief: CallBrief) -> None:
    for at_ms in (500, 500, 900):
        await desk.event(brief, "barge_in", at_ms, {"cut_ms": 120})
    told = await events_of(state, brief.call_id, "barge_in")
    assert [event.data for event in told] == [{"cut_ms": 120, "at_ms": 500}, {"cut_ms": 120, "at_ms": 900}]
    assert told[0].attempt_id == brief.attempt_id


async def test_voicemail_is_claimed_once_across_attempts_and_at_the_same_time(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief, world: World
) -> None:
    claims = await asyncio.gather(*(desk.claim_voicemail(brief) for _ in range(5)))
    assert sum(claims) == 1
    await carrier_completes(state, brief.attempt_id, 5)
    second = await world.attempt(await call_of(state, brief.call_id), carrier_sid=sid_of(2))
    assert not await desk.claim_voicemail(replace(brief, attempt_id=second.id))
    assert len(await events_of(state, brief.call_id, "voicemail.claimed")) == 1


@pytest.mark.parametrize(
    ("words", "source"),
    [("Take me off your list", SuppressionSource.VOICE), ("pressed 9", SuppressionSource.KEYPRESS)],
)
async def test_opting_out_suppresses_at_once_and_leaks_no_words(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief, words: str, source: SuppressionSource
) -> None:
    await desk.opt_out(brief, words)
    await desk.opt_out(brief, words)
    call = await call_of(state, brief.call_id)
    (suppressed,) = await suppressions(state)
    assert (suppressed.phone_number, suppressed.business_id) == (call.phone_number, None)
    assert (suppressed.source, suppressed.call_id) == (source, call.id)
    assert (await lead_of(state, brief)).status is LeadStatus.DECLINED
    (event,) = await events_of(state, brief.call_id, OPTED_OUT)
    assert event.data == {"source": source.value}
    assert words not in suppressed.reason


async def test_asking_for_a_person_becomes_the_next_action(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief
) -> None:
    for _ in range(2):
        await desk.request_human(brief, "wants to talk\nabout the invoice")
    lead = await lead_of(state, brief)
    assert lead.next_action == "Call the person back in person. They said: wants to talk about the invoice"
    (event,) = await events_of(state, brief.call_id, HUMAN_REQUESTED)
    assert event.data == {}


async def test_guidance_is_given_and_metered(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief, stand_in: StandIn
) -> None:
    said = [turn(0, "agent", "What do you need?"), turn(1, "person", "How much is it?")]
    advice = await desk.guidance(brief, "How much does it cost?", said)
    assert advice is not None
    assert "estimate" in advice
    stand_in.fail("status", status=529)
    assert await desk.guidance(brief, "And the warranty?", said) is None
    await desk.finished(brief, REPORT)
    async with state.database.system() as session:
        items = list(await session.scalars(select(CostItem).where(col(CostItem.provider) == Provider.REASONING)))
    assert {item.unit for item in items} == {"input_tokens", "output_tokens"}


async def test_guidance_for_an_unknown_stream_is_none(desk: DatabaseCallDesk, brief: CallBrief, world: World) -> None:
    other = await world.attempt(await world.call(status=CallStatus.IN_PROGRESS))
    assert await desk.guidance(replace(brief, attempt_id=other.id), "Why?", []) is None


async def test_hanging_up_tells_when_the_carrier_does_not_answer_well(desk: DatabaseCallDesk, brief: CallBrief) -> None:
    with pytest.raises(CarrierError):
        await desk.hang_up(brief, sid_of(1))


async def test_finishing_keeps_recording_usage_and_end_once(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief, tmp_path: Path
) -> None:
    spooled = tmp_path / "spool.wav"
    spooled.write_bytes(b"RIFF" * 100)
    evidence = VoicemailEvidence("phrase", 900, 0.9, "leave_a_message")
    report = replace(
        REPORT,
        recording=spooled,
        recording_ms=61_000,
        voicemail=evidence,
        response_latencies_ms=(300, 900, 500),
        talk=TalkMetrics(agent_ms=30_000, person_ms=10_000, longest_silence_ms=2_100, first_word_ms=900),
    )
    await desk.finished(brief, report)
    await desk.finished(brief, report)
    assert not spooled.exists()
    async with state.database.system() as session:
        (recording,) = list(await session.scalars(select(Recording)))
        attempt = await session.get_one(CallAttempt, brief.attempt_id)
        assert await metered_micros(session, brief.call_id) == 6_400
    assert (recording.duration_ms, recording.size_bytes) == (61_000, 400)
    audio = await state.recordings.read(recording.object_key)
    assert audio is not None
    assert b"".join([chunk async for chunk in audio.chunks]) == b"RIFF" * 100
    assert attempt.stream_ended_at is not None
    assert (attempt.end_reason, attempt.answered_by) == ("goal_achieved", "human")
    assert attempt.voice_usage["output_audio_tokens"] == 100
    (event,) = await events_of(state, brief.call_id, STREAM_FINISHED)
    assert event.data["cause"] == "agent_ended"
    assert event.data["response_ms_median"] == 500
    assert attempt.talk_metrics == {
        "agent_ms": 30_000,
        "person_ms": 10_000,
        "longest_silence_ms": 2_100,
        "first_word_ms": 900,
        "talk_ratio": 0.75,
        "interruptions": 0,
        "responses": 3,
        "response_ms_p50": 500,
        "response_ms_p90": 900,
        "response_ms_max": 900,
    }
    assert event.data["voicemail"]["phrase"] == "leave_a_message"


@pytest.mark.parametrize("carrier_first", [True, False])
async def test_the_summary_is_asked_for_once_when_call_and_stream_have_ended(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief, *, carrier_first: bool
) -> None:
    if carrier_first:
        await carrier_completes(state, brief.attempt_id, 61)
        assert await jobs(state, Job.SUMMARISE, brief.call_id) == 0
        await desk.finished(brief, REPORT)
    else:
        await desk.finished(brief, REPORT)
        assert await jobs(state, Job.SUMMARISE, brief.call_id) == 0
        await carrier_completes(state, brief.attempt_id, 61)
    await desk.finished(brief, REPORT)
    assert await jobs(state, Job.SUMMARISE, brief.call_id) == 1
    async with state.database.system() as session:
        assert (await session.get_one(CallAttempt, brief.attempt_id)).status is AttemptStatus.COMPLETED


async def test_a_do_not_call_that_came_only_as_the_reason_for_hanging_up_suppresses(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief
) -> None:
    await desk.finished(brief, replace(REPORT, end_reason="do_not_call"))
    assert len(await suppressions(state)) == 1


async def test_what_comes_in_after_the_summary_still_counts_as_cost(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief
) -> None:
    await carrier_completes(state, brief.attempt_id, 61)
    async with state.database.system() as session:
        call = await session.get_one(Call, brief.call_id)
        call.summarised_at, call.metered_cost_micros = state.clock.now(), 0
    await desk.finished(brief, REPORT)
    assert (await call_of(state, brief.call_id)).metered_cost_micros == 6_400


async def test_while_the_database_is_away_the_bridge_is_told_and_may_repeat(
    state: AppState, desk: DatabaseCallDesk, brief: CallBrief, database_url: str, postgres_url: str
) -> None:
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        with pytest.raises(DBAPIError):
            await desk.turn(brief, turn(0, "agent", "Hello"))
        with pytest.raises(DBAPIError):
            await desk.claim_voicemail(brief)
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await desk.turn(brief, turn(0, "agent", "Hello"))
    assert await desk.claim_voicemail(brief)
    async with state.database.system() as session:
        assert await session.scalar(select(func.count()).select_from(TranscriptTurn)) == 1
