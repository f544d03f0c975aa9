"""The bridge's counterpart in the domain: redeems streams, keeps what is said, acts on what people ask for.

Every method is one transaction and may be repeated after a failure; the bridge keeps the order and does the repeating.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog
from anthropic import AsyncAnthropic
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlmodel import col

from callwright.app.agent.claude import claude_client
from callwright.app.agent.facts import PromptFacts, load_facts
from callwright.app.agent.fence import one_line
from callwright.app.agent.guidance import ask_guidance
from callwright.app.agent.prompt import build_brief, render_prompt
from callwright.app.calls.conversation import AnsweredBy, CallBrief, CallReport, StreamRefused, Turn
from callwright.app.calls.finish import CANCEL_REQUESTED, summarise_when_complete
from callwright.app.calls.lifecycle import ATTEMPT_ENDED, ENDED, AttemptStatus
from callwright.app.calls.locks import lock_attempt
from callwright.app.calls.models import Call, CallAttempt, CallEvent
from callwright.app.calls.progress import append_event
from callwright.app.calls.scribe import Entry, Scribe
from callwright.app.compliance.models import SuppressionSource
from callwright.app.compliance.suppress import suppress_number
from callwright.app.costs.metering import ReasoningUsage, meter, reasoning_items, voice_items
from callwright.app.costs.settle import settle_metered_cost
from callwright.app.database.sessions import SystemSession
from callwright.app.identifiers import new_id
from callwright.app.leads.models import Lead
from callwright.app.recordings.models import Recording
from callwright.app.settings import Rates, Settings
from callwright.app.state import AppState

log = structlog.get_logger(__name__)

# Timeline kinds that the summary reads.
OPTED_OUT = "opt_out"
HUMAN_REQUESTED = "human.requested"
STREAM_FINISHED = "stream.finished"
# How the words begin that the bridge passes for an opt-out by keypress; the digit follows.
PRESSED = "pressed "
LONGEST_REASON = 200


@dataclass(slots=True)
class _Talk:
    """What the desk remembers of a stream while it is open."""

    facts: PromptFacts
    reasoning: list[ReasoningUsage] = field(default_factory=list)


class DatabaseCallDesk:
    """The `CallDesk` on Postgres, the carrier and Claude. One per bridge process; `close` it at the end."""

    def __init__(self, state: AppState) -> None:
        """Raises CONFIGURATION without a key for Claude outside the sandbox."""
        self._state = state
        self._claude: AsyncAnthropic = claude_client(state.settings)
        self._rates = Rates()
        self._talks: dict[UUID, _Talk] = {}
        self._scribe = Scribe(state.database)

    async def close(self) -> None:
        await self._claude.close()

    async def prepare(self, attempt_id: UUID) -> CallBrief:
        """The brief as it would be now. Stores nothing: the call may never be answered."""
        state, now = self._state, self._state.clock.now()
        async with state.database.system() as session:
            attempt = await session.get(CallAttempt, attempt_id)
            call = None if attempt is None else await session.get(Call, attempt.call_id)
            if attempt is None or call is None:
                raise StreamRefused("attempt_unknown")
            if attempt.stream_started_at is not None or _is_over(call, attempt):
                raise StreamRefused("call_over")
            facts = await load_facts(session, call, now=now, max_seconds=state.settings.max_call_seconds)
        prompt = render_prompt(facts)
        return build_brief(facts, prompt, state.settings, call_id=call.id, attempt_id=attempt.id)

    async def open(self, call_sid: str, token: str) -> CallBrief:
        """Redeems the token, which works once and for a short time, and stores the prompt the call is held with."""
        state, now = self._state, self._state.clock.now()
        token_hash = hashlib.sha256(token.encode(errors="replace")).hexdigest()
        async with state.database.system() as session:
            call, attempt = await _redeemable(session, call_sid, token_hash)
            self._check_open(call, attempt, now)
            facts = await load_facts(session, call, now=now, max_seconds=state.settings.max_call_seconds)
            prompt = render_prompt(facts)
            attempt.carrier_sid = call_sid
            attempt.stream_started_at = now
            call.prompt, call.prompt_version, call.prompt_hash = prompt.text, prompt.version, prompt.sha256
            data = {"prompt_version": prompt.version, "prompt_hash": prompt.sha256}
            append_event(session, call.id, "stream.opened", data, attempt_id=attempt.id)
        self._talks[attempt.id] = _Talk(facts)
        return build_brief(facts, prompt, state.settings, call_id=call.id, attempt_id=attempt.id)

    def _check_open(self, call: Call, attempt: CallAttempt, now: datetime) -> None:
        """Raises StreamRefused for a token that was used, came late, or whose call is over."""
        if attempt.stream_started_at is not None:
            raise StreamRefused("token_used")
        if _is_over(call, attempt):
            raise StreamRefused("call_over")
        expires = _token_expires(attempt, self._state.settings)
        if expires is None or now > expires:
            raise StreamRefused("token_expired")

    async def turn(self, brief: CallBrief, turn: Turn) -> None:
        """Stores the turn, or its later and better version."""
        said = {
            "index": turn.index,
            "speaker": turn.speaker,
            "text": turn.text.replace("\0", ""),
            "start_ms": turn.start_ms,
            "end_ms": turn.end_ms,
            "interrupted": turn.interrupted,
        }
        data = {"index": turn.index, "speaker": turn.speaker}
        await self._scribe.write(Entry(brief.call_id, brief.attempt_id, "transcript.turn", data, said))

    async def event(self, brief: CallBrief, kind: str, at_ms: int, data: Mapping[str, object]) -> None:
        """Adds to the timeline; the same event of the same moment is kept once."""
        await self._scribe.write(Entry(brief.call_id, brief.attempt_id, kind, {**data, "at_ms": at_ms}))

    async def claim_voicemail(self, brief: CallBrief) -> bool:
        """True for the one attempt that may leave the message. A claim whose answer got lost stays: none beats two."""
        async with self._state.database.system() as session:
            claimed = await session.scalar(
                update(Call)
                .where(col(Call.id) == brief.call_id, col(Call.voicemail_claimed_at).is_(None))
                .values(voicemail_claimed_at=self._state.clock.now())
                .returning(col(Call.id))
            )
            if claimed is not None:
                append_event(session, brief.call_id, "voicemail.claimed", attempt_id=brief.attempt_id)
        return claimed is not None

    async def opt_out(self, brief: CallBrief, words: str) -> None:
        """Suppresses the number for every business at once. The words stay in the transcript alone."""
        source = SuppressionSource.KEYPRESS if words.startswith(PRESSED) else SuppressionSource.VOICE
        async with self._state.database.system() as session:
            call, _ = await _locked(session, brief)
            await self._suppress(session, call, source)
            await _append_once(session, brief, OPTED_OUT, {"source": source})

    async def request_human(self, brief: CallBrief, reason: str) -> None:
        """Makes the call-back the lead's next action, with what the person wants to talk about."""
        about = one_line(reason, LONGEST_REASON)
        async with self._state.database.system() as session:
            call, _ = await _locked(session, brief)
            wish = "Call the person back in person."
            await session.execute(
                update(Lead)
                .where(col(Lead.id) == call.lead_id)
                .values(next_action=f"{wish} They said: {about}" if about else wish)
            )
            await _append_once(session, brief, HUMAN_REQUESTED, {})

    async def guidance(self, brief: CallBrief, question: str, transcript: Sequence[Turn]) -> str | None:
        """Claude's advice in time, or None."""
        talk = self._talks.get(brief.attempt_id)
        if talk is None:
            return None
        advice = await ask_guidance(self._claude, self._state.settings, talk.facts, transcript, question)
        if advice is None:
            return None
        if advice.usage is not None:
            talk.reasoning.append(advice.usage)
        return advice.text

    async def hang_up(self, brief: CallBrief, call_sid: str) -> None:
        """Raises CarrierError when the carrier does not answer well."""
        await self._state.carrier.hang_up(call_sid)

    async def finished(self, brief: CallBrief, report: CallReport) -> None:
        """Stores the recording, the usage and how the talk ended; then the summary may begin. Repeatable."""
        stored = await self._store_audio(brief, report.recording) if report.recording is not None else None
        state, now = self._state, self._state.clock.now()
        talk = self._talks.get(brief.attempt_id)
        async with state.database.system() as session:
            call, attempt = await _locked(session, brief)
            if stored is not None:
                await session.execute(_recording_row(brief, report, *stored))
            rates, reference = self._rates, str(attempt.id)
            items = voice_items(report.usage, rates, reference=reference)
            for usage in talk.reasoning if talk is not None else ():
                items += reasoning_items(usage, rates)
            await meter(session, call.id, items)
            if attempt.stream_ended_at is None:
                _take_report(session, attempt, report, now)
                if call.cancel_requested_at is not None:
                    attempt.end_reason = CANCEL_REQUESTED
                if report.opted_out or report.end_reason == "do_not_call":
                    await self._suppress(session, call, SuppressionSource.VOICE)
            if call.summarised_at is not None:
                await settle_metered_cost(session, call, now)
            await summarise_when_complete(session, call, attempt)
        self._talks.pop(brief.attempt_id, None)
        if report.recording is not None:
            await asyncio.to_thread(report.recording.unlink, missing_ok=True)

    async def _suppress(self, session: SystemSession, call: Call, source: SuppressionSource) -> None:
        await suppress_number(
            session,
            call.phone_number,
            source=source,
            reason="The person asked during a call.",
            now=self._state.clock.now(),
            call_id=call.id,
        )

    async def _store_audio(self, brief: CallBrief, file: Path) -> tuple[str, int] | None:
        """The object's key and size; None when the file is gone because an earlier try stored it."""
        key = f"{brief.call_id}/{brief.attempt_id}.wav"
        try:
            return key, await self._state.recordings.put(key, file)
        except FileNotFoundError:
            log.warning("recording.file_gone", call_id=str(brief.call_id), attempt_id=str(brief.attempt_id))
            return None


async def _redeemable(session: SystemSession, call_sid: str, token_hash: str) -> tuple[Call, CallAttempt]:
    """The locked call and attempt that the carrier's id and the token both belong to. Raises StreamRefused."""
    attempt_id = await session.scalar(select(col(CallAttempt.id)).where(col(CallAttempt.carrier_sid) == call_sid))
    if attempt_id is None:
        # The carrier may be faster with the audio than with its answer to our request.
        attempt_id = await session.scalar(
            select(col(CallAttempt.id)).where(
                col(CallAttempt.stream_token_hash) == token_hash,
                col(CallAttempt.carrier_sid).is_(None),
                col(CallAttempt.status).not_in(ATTEMPT_ENDED),
            )
        )
    locked = None if attempt_id is None else await lock_attempt(session, attempt_id)
    if locked is None:
        raise StreamRefused("token_unknown")
    call, attempt = locked
    known = attempt.carrier_sid in (None, call_sid)
    if not hmac.compare_digest(attempt.stream_token_hash or "", token_hash) or not known:
        raise StreamRefused("token_unknown")
    return call, attempt


def _token_expires(attempt: CallAttempt, settings: Settings) -> datetime | None:
    """`stream_token_seconds` from the answer on, for which machine detection and the carrier's own delays leave enough;
    while the answer is not known, from the end of the ringing on.
    """
    lifetime = timedelta(seconds=settings.stream_token_seconds)
    if attempt.answered_at is not None:
        return attempt.answered_at + lifetime
    if attempt.dialed_at is not None:
        return attempt.dialed_at + timedelta(seconds=settings.ring_seconds) + lifetime
    return None


def _is_over(call: Call, attempt: CallAttempt) -> bool:
    over = attempt.status in ATTEMPT_ENDED or attempt.status is AttemptStatus.ADMITTED or call.status in ENDED
    return over or call.cancel_requested_at is not None


async def _locked(session: SystemSession, brief: CallBrief) -> tuple[Call, CallAttempt]:
    locked = await lock_attempt(session, brief.attempt_id)
    assert locked is not None, "an opened stream's attempt is never deleted"
    return locked


async def _append_once(session: SystemSession, brief: CallBrief, kind: str, data: Mapping[str, object]) -> None:
    """Appends an event unless the attempt has this very one: a repeated request must not tell the story twice."""
    there = await session.scalar(
        select(col(CallEvent.id))
        .where(
            col(CallEvent.call_id) == brief.call_id,
            col(CallEvent.attempt_id) == brief.attempt_id,
            col(CallEvent.kind) == kind,
            col(CallEvent.data) == dict(data),
        )
        .limit(1)
    )
    if there is None:
        append_event(session, brief.call_id, kind, data, attempt_id=brief.attempt_id)


def _recording_row(brief: CallBrief, report: CallReport, key: str, size: int) -> Insert:
    row = insert(Recording).values(
        id=new_id(),
        call_id=brief.call_id,
        attempt_id=brief.attempt_id,
        object_key=key,
        duration_ms=report.recording_ms,
        size_bytes=size,
    )
    return row.on_conflict_do_nothing(index_elements=["attempt_id"])


def _take_report(session: SystemSession, attempt: CallAttempt, report: CallReport, now: datetime) -> None:
    attempt.stream_ended_at = now
    attempt.end_reason = report.end_reason or report.reason.value
    attempt.voice_usage = asdict(report.usage)
    attempt.talk_metrics = _talk_metrics(report)
    if report.answered_by is not AnsweredBy.UNKNOWN:
        attempt.answered_by = report.answered_by.value
    data: dict[str, object] = {
        "cause": report.reason,
        "end_reason": report.end_reason,
        "duration_ms": report.duration_ms,
        "answered_by": report.answered_by,
        "interruptions": report.interruptions,
        "truncations": report.truncations,
        "voicemail_left": report.voicemail_left,
        "opted_out": report.opted_out,
        "human_requested": report.human_requested,
        "voicemail": asdict(report.voicemail) if report.voicemail is not None else None,
        "response_ms_median": attempt.talk_metrics["response_ms_p50"],
        "model_reconnects": report.model_reconnects,
    }
    append_event(session, attempt.call_id, STREAM_FINISHED, data, attempt_id=attempt.id)


def _talk_metrics(report: CallReport) -> dict[str, object]:
    """How the talk went; `*_ms` None where there was nothing to measure."""
    latencies = sorted(report.response_latencies_ms)

    def percentile(share: float) -> int | None:
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else None

    return {
        **asdict(report.talk),
        "talk_ratio": report.talk.agent_share,
        "interruptions": report.interruptions,
        "responses": len(latencies),
        "response_ms_p50": percentile(0.5),
        "response_ms_p90": percentile(0.9),
        "response_ms_max": latencies[-1] if latencies else None,
    }
