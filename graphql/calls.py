"""Types of calls and of all that belongs to them. Durations are seconds, times UTC, money exact US dollars."""

from datetime import datetime
from decimal import Decimal
from typing import Self
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from callwright.app.accounts.models import Role
from callwright.app.calls import models as stored
from callwright.app.calls.lifecycle import AttemptStatus, CallOutcome, CallStatus, CallType, InterestLevel
from callwright.app.calls.models import Sentiment, Speaker, SummarySource
from callwright.app.costs.models import Provider
from callwright.app.recordings.links import sign
from callwright.app.recordings.models import Recording as StoredRecording
from callwright.graphql.context import Context, Info
from callwright.graphql.fields import field
from callwright.graphql.people import Business, Lead
from callwright.graphql.scalars import usd


@strawberry.type(description="One dial.")
class CallAttempt:
    id: UUID
    number: int
    status: AttemptStatus
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    answered_by: str | None
    end_reason: str | None
    carrier_error_code: int | None

    @classmethod
    def of(cls, row: stored.CallAttempt) -> Self:
        return cls(
            id=row.id,
            number=row.number,
            status=row.status,
            dialed_at=row.dialed_at,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            duration_seconds=row.duration_seconds,
            answered_by=row.answered_by,
            end_reason=row.end_reason,
            carrier_error_code=row.carrier_error_code,
        )


@strawberry.type(description="A step in a call's life, such as `call.status`. `data` holds ids and figures.")
class CallEvent:
    kind: str
    at: datetime
    data: JSON

    @classmethod
    def of(cls, row: stored.CallEvent) -> Self:
        return cls(kind=row.kind, at=row.at, data=JSON(row.data))


@strawberry.type(
    description="What one side said; an interrupted agent's turn holds what was heard. Times are milliseconds of the "
    "attempt's audio. `index` orders the turns of an attempt by their beginning and may have holes."
)
class TranscriptTurn:
    id: UUID
    attempt_id: UUID
    index: int
    speaker: Speaker
    text: str
    start_ms: int
    end_ms: int
    interrupted: bool

    @classmethod
    def of(cls, row: stored.TranscriptTurn) -> Self:
        return cls(
            id=row.id,
            attempt_id=row.attempt_id,
            index=row.index,
            speaker=row.speaker,
            text=row.text,
            start_ms=row.start_ms,
            end_ms=row.end_ms,
            interrupted=row.interrupted,
        )


@strawberry.type(description="What came of a call. `source` is RULES when Claude could not be asked.")
class CallSummary:
    source: SummarySource
    outcome: CallOutcome
    goal_achieved: bool
    interest_level: InterestLevel
    summary: str
    key_points: list[str]
    next_action: str
    sentiment: Sentiment
    do_not_call: bool
    created_at: datetime

    @classmethod
    def of(cls, row: stored.CallSummary) -> Self:
        return cls(
            source=row.source,
            outcome=row.outcome,
            goal_achieved=row.goal_achieved,
            interest_level=row.interest_level,
            summary=row.summary,
            key_points=list(row.key_points),
            next_action=row.next_action,
            sentiment=row.sentiment,
            do_not_call=row.do_not_call,
            created_at=row.created_at,
        )


@strawberry.type(description="A signed link to a call's audio (stereo WAV: the person left, the agent right).")
class CallRecording:
    url: str
    expires_at: datetime
    duration_seconds: float
    size_bytes: int

    @classmethod
    def of(cls, row: StoredRecording, context: Context) -> Self:
        link = sign(row.id, context.state.clock.now(), context.state.settings)
        return cls(
            url=link.url,
            expires_at=link.expires_at,
            duration_seconds=row.duration_ms / 1000,
            size_bytes=row.size_bytes,
        )


@strawberry.type(description="What one provider charged.")
class ProviderCost:
    provider: Provider
    cost_usd: Decimal


@strawberry.type(
    description="A call's cost in exact US dollars (six decimals; round to show): estimated by the published rates, "
    "metered from what the providers report. Null until known."
)
class CallCosts:
    estimated_usd: Decimal | None
    metered_usd: Decimal | None
    breakdown: list[ProviderCost]


@strawberry.type(
    description="A wish to talk to one person about one lead: where it is (status), and what came of it (outcome)."
)
class Call:
    id: UUID
    status: CallStatus
    outcome: CallOutcome | None
    call_type: CallType
    objective: str
    phone_number: str
    scheduled_at: datetime | None
    due_at: datetime
    waiting_reason: str | None
    failure_reason: str | None
    created_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    goal_achieved: bool | None
    interest_level: InterestLevel | None
    row: strawberry.Private[stored.Call]

    @classmethod
    def of(cls, row: stored.Call) -> Self:
        return cls(
            id=row.id,
            status=row.status,
            outcome=row.outcome,
            call_type=row.call_type,
            objective=row.objective,
            phone_number=row.phone_number,
            scheduled_at=row.scheduled_at,
            due_at=row.due_at,
            waiting_reason=row.waiting_reason,
            failure_reason=row.failure_reason,
            created_at=row.created_at,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            duration_seconds=row.duration_seconds,
            goal_achieved=row.goal_achieved,
            interest_level=row.interest_level,
            row=row,
        )

    @strawberry.field
    async def lead(self, info: Info) -> Lead | None:
        row = await info.context.reads.leads.load(self.row.lead_id)
        return Lead.of(row) if row else None

    @strawberry.field
    async def business(self, info: Info) -> Business | None:
        row = await info.context.reads.businesses.load(self.row.business_id)
        return Business.of(row) if row else None

    @field("First to last.")
    async def attempts(self, info: Info) -> list[CallAttempt]:
        rows = await info.context.reads.attempts.load(self.row.id)
        return [CallAttempt.of(row) for row in rows or ()]

    @field("The call's timeline, oldest first.")
    async def events(self, info: Info) -> list[CallEvent]:
        rows = await info.context.reads.events.load(self.row.id)
        return [CallEvent.of(row) for row in rows or ()]

    @strawberry.field
    async def transcript(self, info: Info) -> list[TranscriptTurn]:
        return await transcript_of(info, self.row.id)

    @strawberry.field
    async def summary(self, info: Info) -> CallSummary | None:
        row = await info.context.reads.summaries.load(self.row.id)
        return CallSummary.of(row) if row else None

    @field("The latest attempt's; null when there is none.")
    async def recording(self, info: Info) -> CallRecording | None:
        return await recording_of(info, self.row.id)

    @field("Null to consumers.")
    async def costs(self, info: Info) -> CallCosts | None:
        if info.context.require_actor().role is Role.CONSUMER:
            return None
        by_provider = await info.context.reads.metered_costs.load(self.row.id) or {}
        estimated, metered = self.row.estimated_cost_micros, self.row.metered_cost_micros
        return CallCosts(
            estimated_usd=None if estimated is None else usd(estimated),
            metered_usd=None if metered is None else usd(metered),
            breakdown=[
                ProviderCost(provider=provider, cost_usd=usd(micros)) for provider, micros in by_provider.items()
            ],
        )


async def transcript_of(info: Info, call_id: UUID) -> list[TranscriptTurn]:
    """What was said so far, by attempt and in order."""
    rows = await info.context.reads.transcripts.load(call_id)
    return [TranscriptTurn.of(row) for row in rows or ()]


async def recording_of(info: Info, call_id: UUID) -> CallRecording | None:
    """A link to the call's latest recording that works for an hour."""
    row = await info.context.reads.recordings.load(call_id)
    return CallRecording.of(row, info.context) if row else None
