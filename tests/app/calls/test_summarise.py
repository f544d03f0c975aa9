"""An ended call becomes an outcome, and all that follows from it, in one transaction and once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Usage
from callwright.app.audit.models import AuditEntry
from callwright.app.calls.conversation import AnsweredBy, CallBrief, CallReport, EndCause, Speaker, VoiceUsage
from callwright.app.calls.desk import DatabaseCallDesk
from callwright.app.calls.lifecycle import CallOutcome, CallStatus, CallType, InterestLevel
from callwright.app.calls.models import Call, CallSummary, SummarySource
from callwright.app.calls.summarise import summarise_call
from callwright.app.compliance.models import Suppression, SuppressionSource
from callwright.app.costs.models import CostItem, Provider
from callwright.app.events.outbox import Job
from callwright.app.leads.models import Lead, LeadStatus
from callwright.app.leads.progress import lead_status_after
from callwright.app.settings import Settings
from callwright.app.state import AppState, open_state
from tests.app.agent.samples import GOOD_TALK
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

O = CallOutcome  # noqa: E741 - the tables below are easier to read so
Said = tuple[tuple[Speaker, str], ...]
OPENING: tuple[Speaker, str] = ("agent", "Hello, this is Rivera Plumbing; I'm an AI assistant. Is now a good time?")
GOODBYE: tuple[Speaker, str] = ("agent", "Thank you for your time. Goodbye!")


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with claude_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
async def state(settings: Settings, clock: SettableClock, stand_in: StandIn) -> AsyncIterator[AppState]:
    async with open_state(settings.model_copy(update={"sandbox_url": stand_in.url}), clock=clock) as state:
        yield state


@dataclass(frozen=True, slots=True)
class Story:
    """One call to live through and end."""

    state: AppState
    desk: DatabaseCallDesk
    brief: CallBrief

    async def end(self, said: Said, cause: EndCause, end_reason: str | None, seconds: int = 180) -> None:
        for index, (speaker, text) in enumerate(said):
            await self.desk.turn(self.brief, turn(index, speaker, text))
        report = CallReport(cause, seconds * 1000, AnsweredBy.HUMAN, end_reason, VoiceUsage(output_audio_tokens=1000))
        await self.desk.finished(self.brief, report)
        await carrier_completes(self.state, self.brief.attempt_id, seconds)

    async def summarise(self) -> Call:
        await summarise_call(self.state, self.brief.call_id)
        return await call_of(self.state, self.brief.call_id)

    async def summary(self) -> CallSummary:
        async with self.state.database.system() as session:
            return await session.get_one(CallSummary, self.brief.call_id)

    async def lead(self) -> Lead:
        async with self.state.database.system() as session:
            return await session.get_one(Lead, (await session.get_one(Call, self.brief.call_id)).lead_id)


@asynccontextmanager
async def story_of(state: AppState, world: World, call_type: CallType = CallType.QUALIFY_LEAD) -> AsyncIterator[Story]:
    await live_attempt(state, world, call_type=call_type)
    async with desk_of(state) as desk:
        yield Story(state, desk, await desk.open(sid_of(1), TOKEN))


@pytest.fixture
async def story(state: AppState, world: World) -> AsyncIterator[Story]:
    async with story_of(state, world) as story:
        yield story


def good_talk() -> Said:
    return tuple(("agent" if speaker == "agent" else "person", text) for speaker, text in GOOD_TALK)


async def suppressions(state: AppState) -> list[Suppression]:
    async with state.database.system() as session:
        return list(await session.scalars(select(Suppression)))


async def test_a_good_talk_moves_everything_at_once(state: AppState, story: Story) -> None:
    await story.end(good_talk(), EndCause.AGENT_ENDED, "goal_achieved")
    call = await story.summarise()
    assert (call.outcome, call.goal_achieved, call.interest_level) == (O.GOAL_ACHIEVED, True, InterestLevel.HIGH)
    assert call.summarised_at == state.clock.now()
    assert call.estimated_cost_micros == 972_000
    summary, lead = await story.summary(), await story.lead()
    assert (summary.source, summary.model) == (SummarySource.CLAUDE, "claude-sonnet-5-5")
    assert summary.key_points
    assert (lead.status, lead.next_action) == (LeadStatus.QUALIFIED, summary.next_action)
    assert await jobs(state, Job.NOTIFY, call.id) == 1
    assert await jobs(state, Job.AUDIT, call.id) == 1
    (event,) = await events_of(state, call.id, "call.summarised")
    assert event.data == {"outcome": "goal_achieved", "source": "claude", "replaced": False}
    async with state.database.system() as session:
        assert call.business_id == (
            await session.scalar(select(col(AuditEntry.business_id)).where(col(AuditEntry.action) == "call.summarised"))
        )


async def test_costs_are_metered_by_provider_and_counted_in_the_month(state: AppState, story: Story) -> None:
    await story.end(good_talk(), EndCause.AGENT_ENDED, "goal_achieved")
    call = await story.summarise()
    async with state.database.system() as session:
        items = list(await session.scalars(select(CostItem)))
        (usage,) = list(await session.scalars(select(Usage)))
    by_provider = {
        provider: sum(item.amount_micros for item in items if item.provider is provider) for provider in Provider
    }
    assert by_provider[Provider.TELEPHONY] == 42_000
    assert by_provider[Provider.VOICE_MODEL] == 64_000
    assert by_provider[Provider.REASONING] > 0
    assert call.metered_cost_micros == sum(by_provider.values()) == usage.cost_micros
    assert (usage.calls, usage.seconds) == (1, 180)


async def test_summarising_again_changes_nothing(state: AppState, story: Story, stand_in: StandIn) -> None:
    await story.end(good_talk(), EndCause.AGENT_ENDED, "goal_achieved")
    first = await story.summarise()
    second = await story.summarise()
    assert first.model_dump() == second.model_dump()
    assert stand_in.asked("summary") == 1
    assert await jobs(state, Job.NOTIFY, first.id) == 1


async def test_two_workers_at_once_apply_it_once(state: AppState, story: Story) -> None:
    await story.end(good_talk(), EndCause.AGENT_ENDED, "goal_achieved")
    await asyncio.gather(*(summarise_call(state, story.brief.call_id) for _ in range(3)))
    assert len(await events_of(state, story.brief.call_id, "call.summarised")) == 1
    assert await jobs(state, Job.NOTIFY, story.brief.call_id) == 1
    call = await call_of(state, story.brief.call_id)
    async with state.database.system() as session:
        (usage,) = list(await session.scalars(select(Usage)))
    assert usage.cost_micros == call.metered_cost_micros


@pytest.mark.parametrize(
    ("said", "cause", "end_reason", "outcome", "interest"),
    [
        (
            (
                OPENING,
                ("person", "We want it done, but later this year, maybe in the fall."),
                GOODBYE,
                ("person", "Bye."),
            ),
            EndCause.AGENT_ENDED,
            "follow_up_later",
            O.FOLLOW_UP_LATER,
            InterestLevel.MEDIUM,
        ),
        (
            (OPENING, ("person", "No thank you, I'm not interested."), GOODBYE),
            EndCause.AGENT_ENDED,
            "declined",
            O.DECLINED,
            InterestLevel.NONE,
        ),
        (
            (OPENING, ("person", "I think you have the wrong number."), GOODBYE),
            EndCause.AGENT_ENDED,
            "wrong_number",
            O.WRONG_NUMBER,
            InterestLevel.NONE,
        ),
        ((OPENING, ("person", "Well, the thing is")), EndCause.PERSON_HUNG_UP, None, O.HUNG_UP, None),
        (
            (OPENING, ("agent", "Are you still there?"), GOODBYE),
            EndCause.NO_RESPONSE,
            "no_response",
            O.NO_RESPONSE,
            None,
        ),
    ],
)
async def test_other_ends(
    story: Story,
    said: Said,
    cause: EndCause,
    end_reason: str | None,
    outcome: CallOutcome,
    interest: InterestLevel | None,
) -> None:
    await story.end(said, cause, end_reason)
    call = await story.summarise()
    assert call.outcome is outcome
    assert interest is None or call.interest_level is interest
    assert await jobs(story.state, Job.NOTIFY, call.id) == 0


async def test_an_opt_out_during_the_call_outranks_the_words(state: AppState, story: Story) -> None:
    await story.desk.opt_out(story.brief, "pressed 9")
    await story.end(good_talk(), EndCause.OPTED_OUT, "do_not_call")
    call = await story.summarise()
    assert (call.outcome, call.interest_level) == (O.DO_NOT_CALL, InterestLevel.NONE)
    (suppressed,) = await suppressions(state)
    assert suppressed.source is SuppressionSource.KEYPRESS
    assert (await story.lead()).status is LeadStatus.DECLINED
    assert (await story.summary()).do_not_call


async def test_a_stop_request_that_everybody_missed_is_suppressed_by_the_summary(state: AppState, story: Story) -> None:
    said: Said = (OPENING, ("person", "Please stop calling me."), GOODBYE)
    await story.end(said, EndCause.PERSON_HUNG_UP, None)
    call = await story.summarise()
    assert call.outcome is O.DO_NOT_CALL
    (suppressed,) = await suppressions(state)
    assert (suppressed.phone_number, suppressed.source) == (call.phone_number, SuppressionSource.SUMMARY)


async def test_a_claimed_voicemail_is_a_voicemail_left(state: AppState, story: Story) -> None:
    assert await story.desk.claim_voicemail(story.brief)
    said: Said = (("person", "You have reached the Ames family, please leave a message."), OPENING)
    await story.end(said, EndCause.VOICEMAIL, "voicemail_left", seconds=40)
    assert (await story.summarise()).outcome is O.VOICEMAIL_LEFT


async def test_a_wish_for_a_person_stays_the_next_action(state: AppState, story: Story) -> None:
    await story.desk.request_human(story.brief, "the old boiler")
    await story.end(
        (OPENING, ("person", "I want to talk to a person."), GOODBYE), EndCause.HUMAN_REQUESTED, "human_requested"
    )
    call = await story.summarise()
    assert call.outcome is O.HUMAN_REQUESTED
    lead = await story.lead()
    assert (lead.status, lead.next_action) == (
        LeadStatus.CONTACTED,
        "Call the person back in person. They said: the old boiler",
    )
    assert await jobs(state, Job.NOTIFY, call.id) == 1


@pytest.mark.parametrize("fault", ["status", "cut_json", "refusal"])
async def test_without_claude_the_rules_summarise_and_say_so(
    state: AppState, story: Story, stand_in: StandIn, fault: str
) -> None:
    stand_in.fail(fault, status=529, times=3)
    await story.end(good_talk(), EndCause.AGENT_ENDED, "goal_achieved")
    call = await story.summarise()
    assert (call.outcome, call.interest_level) == (O.GOAL_ACHIEVED, InterestLevel.HIGH)
    summary = await story.summary()
    assert (summary.source, summary.model) == (SummarySource.RULES, None)
    # A refusal will not become an answer by asking again.
    assert await jobs(state, Job.SUMMARISE, call.id) == (1 if fault == "refusal" else 2)


async def test_claude_replaces_the_rules_later_and_never_the_other_way_round(
    state: AppState, story: Story, stand_in: StandIn
) -> None:
    stand_in.fail("status", status=500, times=3)
    said: Said = (
        OPENING,
        ("person", "Hm, well."),
        ("agent", "What do you need?"),
        ("person", "Not interested, thank you."),
    )
    await story.end(said, EndCause.PERSON_HUNG_UP, None)
    assert (await story.summarise()).outcome is O.DECLINED
    by_rules = await call_of(state, story.brief.call_id)
    call = await story.summarise()
    assert (await story.summary()).source is SummarySource.CLAUDE
    assert call.outcome is O.DECLINED
    assert call.metered_cost_micros is not None
    assert by_rules.metered_cost_micros is not None
    assert call.metered_cost_micros > by_rules.metered_cost_micros
    stand_in.fail("status", status=500, times=3)
    await story.summarise()
    assert (await story.summary()).source is SummarySource.CLAUDE
    told = await events_of(state, call.id, "call.summarised")
    assert [event.data["replaced"] for event in told] == [False, True]


async def test_claude_is_not_asked_for_ever(
    state: AppState, story: Story, stand_in: StandIn, clock: SettableClock
) -> None:
    stand_in.fail("status", status=400, times=1)
    stand_in.fail("status", status=500, times=6)
    await story.end(good_talk(), EndCause.AGENT_ENDED, "goal_achieved")
    await story.summarise()
    clock.advance(3000)
    await story.summarise()
    asked = await jobs(state, Job.SUMMARISE, story.brief.call_id)
    clock.advance(1000)
    await story.summarise()
    assert await jobs(state, Job.SUMMARISE, story.brief.call_id) == asked == 2


async def test_a_call_that_nobody_answered_or_that_goes_on_is_left_alone(
    state: AppState, story: Story, world: World, stand_in: StandIn
) -> None:
    for call in (await world.call(status=CallStatus.NO_ANSWER), await call_of(state, story.brief.call_id)):
        await summarise_call(state, call.id)
        assert (await call_of(state, call.id)).summarised_at is None
    assert stand_in.asked("summary") == 0


async def test_a_call_whose_bridge_died_is_summarised_from_what_is_there(story: Story) -> None:
    await story.desk.turn(story.brief, turn(0, *OPENING))
    await carrier_completes(story.state, story.brief.attempt_id, 9)
    call = await story.summarise()
    assert call.outcome is O.INCOMPLETE
    assert call.estimated_cost_micros == 77_100


@pytest.mark.parametrize(
    ("current", "call_type", "outcome", "after"),
    [
        (LeadStatus.NEW, CallType.QUALIFY_LEAD, O.GOAL_ACHIEVED, LeadStatus.QUALIFIED),
        (LeadStatus.QUALIFIED, CallType.CONFIRM_APPOINTMENT, O.GOAL_ACHIEVED, LeadStatus.APPOINTMENT_CONFIRMED),
        (LeadStatus.APPOINTMENT_CONFIRMED, CallType.FOLLOW_UP, O.GOAL_ACHIEVED, LeadStatus.COMPLETED),
        (LeadStatus.NEW, CallType.CONSUMER_CALLBACK, O.GOAL_ACHIEVED, LeadStatus.CONTACTED),
        (LeadStatus.COMPLETED, CallType.QUALIFY_LEAD, O.GOAL_ACHIEVED, LeadStatus.COMPLETED),
        (LeadStatus.COMPLETED, CallType.FOLLOW_UP, O.DECLINED, LeadStatus.COMPLETED),
        (LeadStatus.QUALIFIED, CallType.QUALIFY_LEAD, O.FOLLOW_UP_LATER, LeadStatus.QUALIFIED),
        (LeadStatus.NEW, CallType.QUALIFY_LEAD, O.HUNG_UP, LeadStatus.CONTACTED),
        (LeadStatus.NEW, CallType.QUALIFY_LEAD, O.VOICEMAIL_LEFT, LeadStatus.NEW),
        (LeadStatus.NEW, CallType.QUALIFY_LEAD, O.DECLINED, LeadStatus.DECLINED),
        (LeadStatus.COMPLETED, CallType.FOLLOW_UP, O.DO_NOT_CALL, LeadStatus.DECLINED),
        (LeadStatus.NEW, CallType.QUALIFY_LEAD, O.WRONG_NUMBER, LeadStatus.UNREACHABLE),
        (LeadStatus.QUALIFIED, CallType.QUALIFY_LEAD, O.WRONG_NUMBER, LeadStatus.QUALIFIED),
        (LeadStatus.UNREACHABLE, CallType.QUALIFY_LEAD, O.FOLLOW_UP_LATER, LeadStatus.CONTACTED),
    ],
)
def test_a_lead_only_goes_forward(
    current: LeadStatus, call_type: CallType, outcome: CallOutcome, after: LeadStatus
) -> None:
    assert lead_status_after(current, call_type, outcome) is after
