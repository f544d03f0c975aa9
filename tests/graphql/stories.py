"""A finished call with everything that belongs to it, as the tests of reading need it."""

from datetime import datetime

from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus, CallType, InterestLevel
from callwright.app.calls.models import (
    Call,
    CallAttempt,
    CallEvent,
    CallSummary,
    Sentiment,
    Speaker,
    SummarySource,
    TranscriptTurn,
)
from callwright.app.costs.models import CostItem, Provider
from callwright.app.leads.models import Lead
from callwright.app.recordings.models import Recording
from tests.world import World

WORDS = ("Hello, this is Rivera Plumbing; I'm an AI assistant.", "Hello. The sink leaks.", "We can come tomorrow.")


async def finished_call(
    world: World,
    lead: Lead,
    now: datetime,
    *,
    call_type: CallType = CallType.QUALIFY_LEAD,
    outcome: CallOutcome = CallOutcome.GOAL_ACHIEVED,
    seconds: int = 180,
) -> Call:
    """A call that was answered, talked, recorded, summarised and metered (0.972 USD estimated, 0.5 metered)."""
    call = await world.call(lead, call_type=call_type, status=CallStatus.COMPLETED)
    attempt = await world.attempt(call, status=AttemptStatus.COMPLETED)
    async with world.database.system() as session:
        stored = await session.get_one(Call, call.id)
        stored.outcome = outcome
        stored.goal_achieved = outcome is CallOutcome.GOAL_ACHIEVED
        stored.interest_level = InterestLevel.HIGH
        stored.created_at = stored.answered_at = stored.ended_at = stored.summarised_at = now
        stored.duration_seconds = seconds
        stored.estimated_cost_micros, stored.metered_cost_micros = 972_000, 500_000
        dial = await session.get_one(CallAttempt, attempt.id)
        dial.stream_started_at = dial.stream_ended_at = dial.ended_at = now
        session.add_all(_turns(call, attempt))
        session.add(CallEvent(call_id=call.id, attempt_id=attempt.id, kind="stream.started", data={"at_ms": 0}))
        session.add(_summary(call, outcome))
        session.add(
            Recording(
                call_id=call.id, attempt_id=attempt.id, object_key=f"{call.id}.wav", duration_ms=180_000, size_bytes=9
            )
        )
        session.add_all(
            CostItem(
                call_id=call.id, provider=provider, unit="seconds", reference="test", quantity=1, amount_micros=micros
            )
            for provider, micros in ((Provider.TELEPHONY, 42_000), (Provider.VOICE_MODEL, 458_000))
        )
    return stored


def turn(attempt: CallAttempt, index: int, text: str) -> TranscriptTurn:
    """The turn of that index; the agent begins."""
    return TranscriptTurn(
        call_id=attempt.call_id,
        attempt_id=attempt.id,
        index=index,
        speaker=Speaker.PERSON if index % 2 else Speaker.AGENT,
        text=text,
        start_ms=index * 1000,
        end_ms=index * 1000 + 900,
    )


def _turns(call: Call, attempt: CallAttempt) -> list[TranscriptTurn]:
    return [turn(attempt, index, text) for index, text in enumerate(WORDS)]


def _summary(call: Call, outcome: CallOutcome) -> CallSummary:
    return CallSummary(
        call_id=call.id,
        source=SummarySource.CLAUDE,
        outcome=outcome,
        goal_achieved=outcome is CallOutcome.GOAL_ACHIEVED,
        interest_level=InterestLevel.HIGH,
        summary="The sink leaks; a visit tomorrow suits.",
        key_points=["sink leaks", "tomorrow"],
        next_action="Send a plumber tomorrow.",
        sentiment=Sentiment.POSITIVE,
        do_not_call=False,
    )
