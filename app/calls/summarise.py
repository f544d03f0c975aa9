"""Turns an ended call into its outcome, and lets everything that follows from it happen in one transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from callwright.app.agent.claude import claude_client
from callwright.app.agent.facts import PromptFacts, load_facts
from callwright.app.agent.outcome import CallResult, Evidence, settle
from callwright.app.agent.rules import read_by_rules
from callwright.app.agent.summary import SummaryUnavailable, read_with_claude
from callwright.app.audit.record import record
from callwright.app.calls.conversation import EndCause, Turn
from callwright.app.calls.desk import HUMAN_REQUESTED, OPTED_OUT, STREAM_FINISHED
from callwright.app.calls.lifecycle import ENDED, CallOutcome, CallStatus
from callwright.app.calls.models import Call, CallAttempt, CallEvent, CallSummary, SummarySource, TranscriptTurn
from callwright.app.calls.progress import append_event
from callwright.app.compliance.models import SuppressionSource
from callwright.app.compliance.suppress import suppress_number
from callwright.app.costs.metering import ReasoningUsage, estimate_micros, meter, reasoning_items, telephony_items
from callwright.app.costs.settle import settle_metered_cost
from callwright.app.database.sessions import SystemSession
from callwright.app.events.outbox import Job, enqueue
from callwright.app.leads.models import Lead
from callwright.app.leads.progress import lead_status_after
from callwright.app.settings import Rates
from callwright.app.state import AppState

log = structlog.get_logger(__name__)

# What the business is told about by a message.
_WORTH_A_MESSAGE = frozenset({CallOutcome.GOAL_ACHIEVED, CallOutcome.HUMAN_REQUESTED})
# While Claude is down, the rules' summary stands and Claude is asked again, for an hour.
_ASK_AGAIN = timedelta(minutes=10)
_ASK_UNTIL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Summary:
    """A settled result and where it came from. `ask_again` when Claude may do better later."""

    result: CallResult
    source: SummarySource
    model: str | None
    usage: ReasoningUsage | None
    ask_again: bool = False


async def summarise_call(state: AppState, call_id: UUID) -> None:
    """Summarises an ended call and applies what follows. May be repeated.

    A summary by the rules may be replaced by one of Claude's, never the other way round. A call that nobody answered,
    or that has not ended, is left alone.
    """
    loaded = await _load(state, call_id)
    if loaded is None:
        return
    facts, evidence = loaded
    summary = await _summarise(state, facts, evidence, call_id)
    async with state.database.system() as session:
        await _apply(session, state, call_id, summary, evidence)


async def _load(state: AppState, call_id: UUID) -> tuple[PromptFacts, Evidence] | None:
    """What there is to read, or None when there is nothing to do."""
    async with state.database.system() as session:
        call = await session.get(Call, call_id)
        if call is None or call.status not in ENDED or call.answered_at is None:
            return None
        existing = await session.get(CallSummary, call_id)
        if existing is not None and existing.source is SummarySource.CLAUDE:
            return None
        seconds = state.settings.max_call_seconds
        facts = await load_facts(session, call, now=state.clock.now(), max_seconds=seconds)
        return facts, await _evidence(session, call)


async def _evidence(session: SystemSession, call: Call) -> Evidence:
    turns = await session.scalars(
        select(TranscriptTurn)
        .join(CallAttempt, col(CallAttempt.id) == col(TranscriptTurn.attempt_id))
        .where(col(TranscriptTurn.call_id) == call.id)
        .order_by(col(CallAttempt.number), col(TranscriptTurn.index))
    )
    kinds = (OPTED_OUT, HUMAN_REQUESTED, STREAM_FINISHED)
    events = await session.scalars(
        select(CallEvent)
        .where(col(CallEvent.call_id) == call.id, col(CallEvent.kind).in_(kinds))
        .order_by(col(CallEvent.id))
    )
    happened: set[str] = set()
    report: dict[str, object] = {}
    for event in events:
        happened.add(event.kind)
        if event.kind == STREAM_FINISHED:
            report = event.data
    cause, end_reason = report.get("cause"), report.get("end_reason")
    return Evidence(
        call_type=call.call_type,
        turns=tuple(
            Turn(turn.index, turn.speaker.value, turn.text, turn.start_ms, turn.end_ms, turn.interrupted)
            for turn in turns
        ),
        cause=EndCause(cause) if isinstance(cause, str) else None,
        end_reason=end_reason if isinstance(end_reason, str) else None,
        seconds=call.duration_seconds or 0,
        opted_out=OPTED_OUT in happened or report.get("opted_out") is True,
        voicemail_left=call.voicemail_claimed_at is not None,
        human_requested=HUMAN_REQUESTED in happened or report.get("human_requested") is True,
        canceled=call.status is CallStatus.CANCELED,
    )


async def _summarise(state: AppState, facts: PromptFacts, evidence: Evidence, call_id: UUID) -> _Summary:
    if evidence.canceled and not evidence.turns:
        # Cancelled before a word was said: there is nothing for Claude to read.
        return _Summary(settle(read_by_rules(evidence), evidence), SummarySource.RULES, None, None)
    async with claude_client(state.settings) as client:
        try:
            reading = await read_with_claude(client, state.settings, facts, evidence)
        except SummaryUnavailable as error:
            log.warning("summary.by_rules", call_id=str(call_id), reason=error.reason, passing=error.passing)
            result = settle(read_by_rules(evidence), evidence)
            return _Summary(result, SummarySource.RULES, None, error.usage, error.passing)
    return _Summary(settle(reading.result, evidence), SummarySource.CLAUDE, reading.model, reading.usage)


async def _apply(session: SystemSession, state: AppState, call_id: UUID, summary: _Summary, evidence: Evidence) -> None:
    """Writes the result and all its consequences; nothing when another worker was faster with one as good."""
    now = state.clock.now()
    call = await session.get_one(Call, call_id, with_for_update=True)
    existing = await session.get(CallSummary, call_id)
    await _meter(session, call, summary, now)
    if existing is not None and (existing.source is SummarySource.CLAUDE or summary.source is SummarySource.RULES):
        await _ask_again(session, call, summary, now)
        return
    result = summary.result
    await _write_summary(session, call_id, summary)
    told_before = existing is not None and call.outcome in _WORTH_A_MESSAGE
    call.outcome, call.goal_achieved, call.interest_level = result.outcome, result.goal_achieved, result.interest_level
    call.summarised_at = now
    lead = await session.get_one(Lead, call.lead_id, with_for_update=True)
    lead.status = lead_status_after(lead.status, call.call_type, result.outcome)
    # The desk's next action for a person who wants a human says what about; a cancelled call changes no plan.
    told_by_desk = evidence.human_requested and result.outcome is CallOutcome.HUMAN_REQUESTED and lead.next_action
    if not told_by_desk and not (evidence.canceled and result.outcome is CallOutcome.INCOMPLETE):
        lead.next_action = result.next_action
    if result.do_not_call:
        await session.flush()
        await suppress_number(
            session,
            call.phone_number,
            source=SuppressionSource.SUMMARY,
            reason="The summary found that the person asked for no more calls.",
            now=now,
            call_id=call.id,
        )
    data = {"outcome": result.outcome, "source": summary.source, "replaced": existing is not None}
    append_event(session, call.id, "call.summarised", data)
    record(session, "call.summarised", "call", call.id, business_id=call.business_id, data=data)
    if result.outcome in _WORTH_A_MESSAGE and not told_before:
        await enqueue(session, Job.NOTIFY, call.id)
    await enqueue(session, Job.AUDIT, call.id)
    await _ask_again(session, call, summary, now)


async def _meter(session: SystemSession, call: Call, summary: _Summary, now: datetime) -> None:
    """The estimate once, and what the carrier and Claude reported: also a summary that is not used was paid for."""
    rates = Rates()
    call.estimated_cost_micros = estimate_micros(call.duration_seconds or 0, rates)
    items = []
    for attempt in await session.scalars(select(CallAttempt).where(col(CallAttempt.call_id) == call.id)):
        items += telephony_items(attempt.duration_seconds or 0, rates, reference=str(attempt.id))
    if summary.usage is not None:
        items += reasoning_items(summary.usage, rates)
    await meter(session, call.id, items)
    await settle_metered_cost(session, call, now)


async def _write_summary(session: SystemSession, call_id: UUID, summary: _Summary) -> None:
    result = summary.result
    values = {
        "source": summary.source,
        "model": summary.model,
        "outcome": result.outcome,
        "goal_achieved": result.goal_achieved,
        "interest_level": result.interest_level,
        "summary": result.summary,
        "key_points": list(result.key_points),
        "next_action": result.next_action,
        "sentiment": result.sentiment,
        "do_not_call": result.do_not_call,
    }
    row = insert(CallSummary).values(call_id=call_id, **values)
    await session.execute(row.on_conflict_do_update(index_elements=["call_id"], set_=values))


async def _ask_again(session: SystemSession, call: Call, summary: _Summary, now: datetime) -> None:
    if summary.ask_again and call.ended_at is not None and now - call.ended_at < _ASK_UNTIL:
        await enqueue(session, Job.SUMMARISE, call.id, due_at=now + _ASK_AGAIN)
