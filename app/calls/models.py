"""Calls, the attempts to place them, their timeline, what was said, and what came of it."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from callwright.app.calls.lifecycle import (
    ATTEMPT_ENDED,
    AttemptStatus,
    CallOutcome,
    CallStatus,
    CallType,
    InterestLevel,
)
from callwright.app.database.columns import created_field, enum_field, id_field, json_field, time_field

_LIVE_ATTEMPT = "status NOT IN (" + ", ".join(f"'{status.value}'" for status in sorted(ATTEMPT_ENDED)) + ")"


class Speaker(StrEnum):
    """Who said a turn."""

    AGENT = "agent"
    PERSON = "person"


class Sentiment(StrEnum):
    """How the person felt about the call."""

    POSITIVE = "positive"
    NEUTRAL = "neutral"
    NEGATIVE = "negative"


class SummarySource(StrEnum):
    """Who wrote a summary: Claude, or the rules that stand in when Claude is down."""

    CLAUDE = "claude"
    RULES = "rules"


class Call(SQLModel, table=True):
    """One wish to talk to one person about one lead. `phone_number` is E.164; durations are seconds."""

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_due", "priority", "due_at", postgresql_where=text("status IN ('scheduled', 'queued')")),
        Index("ix_calls_business_created", "business_id", "created_at"),
        Index("ix_calls_consumer_created", "consumer_id", "created_at"),
        Index("ix_calls_lead", "lead_id", "id"),
        Index("ix_calls_created", "created_at"),
    )

    id: UUID = id_field()
    lead_id: UUID = Field(foreign_key="leads.id")
    business_id: UUID = Field(foreign_key="businesses.id")
    consumer_id: UUID = Field(foreign_key="consumers.id")
    call_type: CallType = enum_field(CallType)
    objective: str = Field(max_length=1000)
    phone_number: str = Field(max_length=20, index=True)
    from_number: str = Field(max_length=20)
    status: CallStatus = enum_field(CallStatus, CallStatus.QUEUED, index=True)
    outcome: CallOutcome | None = enum_field(CallOutcome, nullable=True)
    goal_achieved: bool | None = None
    interest_level: InterestLevel | None = enum_field(InterestLevel, nullable=True)
    priority: int
    scheduled_at: datetime | None = time_field()
    due_at: datetime = Field(sa_type=created_field().sa_type, nullable=False)
    waiting_reason: str | None = Field(default=None, max_length=300)
    failure_reason: str | None = Field(default=None, max_length=300)
    attempt_count: int = Field(default=0)
    max_attempts: int = Field(default=3)
    prompt: str | None = Field(default=None, sa_type=Text)
    prompt_version: str | None = Field(default=None, max_length=40)
    prompt_hash: str | None = Field(default=None, max_length=64)
    voicemail_claimed_at: datetime | None = time_field()
    cancel_requested_at: datetime | None = time_field()
    created_by: UUID | None = Field(default=None, foreign_key="users.id")
    created_at: datetime = created_field()
    answered_at: datetime | None = time_field()
    ended_at: datetime | None = time_field()
    summarised_at: datetime | None = time_field()
    duration_seconds: int | None = None
    estimated_cost_micros: int | None = Field(default=None, sa_type=BigInteger)
    metered_cost_micros: int | None = Field(default=None, sa_type=BigInteger)


class CallAttempt(SQLModel, table=True):
    """One dial. At most one live attempt a number: the carrier's list then identifies a lost answer without doubt."""

    __tablename__ = "call_attempts"
    __table_args__ = (
        UniqueConstraint("call_id", "number"),
        Index("uq_call_attempts_live_phone", "phone_number", unique=True, postgresql_where=text(_LIVE_ATTEMPT)),
        Index("ix_call_attempts_live", "business_id", postgresql_where=text(_LIVE_ATTEMPT)),
        Index("ix_call_attempts_phone_dialed", "phone_number", "dialed_at"),
    )

    id: UUID = id_field()
    call_id: UUID = Field(foreign_key="calls.id")
    business_id: UUID = Field(foreign_key="businesses.id")
    number: int
    phone_number: str = Field(max_length=20)
    status: AttemptStatus = enum_field(AttemptStatus, AttemptStatus.ADMITTED)
    carrier_sid: str | None = Field(default=None, max_length=40, unique=True)
    carrier_sequence: int = Field(default=-1)
    stream_token_hash: str | None = Field(default=None, max_length=64)
    stream_started_at: datetime | None = time_field()
    stream_ended_at: datetime | None = time_field()
    admitted_at: datetime = created_field()
    dialed_at: datetime | None = time_field(index=True)
    carrier_tries: int = Field(default=0)
    ambiguous_since: datetime | None = time_field()
    answered_at: datetime | None = time_field()
    ended_at: datetime | None = time_field()
    duration_seconds: int | None = None
    answered_by: str | None = Field(default=None, max_length=30)
    end_reason: str | None = Field(default=None, max_length=60)
    carrier_error_code: int | None = None
    sip_response_code: int | None = None
    voice_usage: dict[str, Any] = json_field()
    talk_metrics: dict[str, Any] = json_field()


class CallEvent(SQLModel, table=True):
    """The append-only timeline of a call. `data` holds ids and figures, never words or numbers of a person."""

    __tablename__ = "call_events"
    __table_args__ = (Index("ix_call_events_call", "call_id", "id"),)

    id: int | None = Field(default=None, sa_type=BigInteger, sa_column_args=(Identity(always=True),), primary_key=True)
    call_id: UUID = Field(foreign_key="calls.id")
    attempt_id: UUID | None = Field(default=None, foreign_key="call_attempts.id")
    kind: str = Field(max_length=60)
    at: datetime = created_field()
    data: dict[str, Any] = json_field()


class TranscriptTurn(SQLModel, table=True):
    """What one side said. Times are milliseconds since the media stream's start; agent turns hold what was heard."""

    __tablename__ = "transcript_turns"
    __table_args__ = (UniqueConstraint("attempt_id", "index"), Index("ix_transcript_turns_call", "call_id", "id"))

    id: UUID = id_field()
    call_id: UUID = Field(foreign_key="calls.id")
    attempt_id: UUID = Field(foreign_key="call_attempts.id")
    index: int
    speaker: Speaker = enum_field(Speaker)
    text: str = Field(sa_type=Text)
    start_ms: int
    end_ms: int
    interrupted: bool = False
    created_at: datetime = created_field()


class CallSummary(SQLModel, table=True):
    """The structured result of a call."""

    __tablename__ = "call_summaries"

    call_id: UUID = Field(foreign_key="calls.id", primary_key=True)
    source: SummarySource = enum_field(SummarySource)
    model: str | None = Field(default=None, max_length=80)
    outcome: CallOutcome = enum_field(CallOutcome)
    goal_achieved: bool
    interest_level: InterestLevel = enum_field(InterestLevel)
    summary: str = Field(sa_type=Text)
    key_points: list[str] = Field(default_factory=list, sa_type=ARRAY(Text), nullable=False)
    next_action: str = Field(max_length=500)
    sentiment: Sentiment = enum_field(Sentiment)
    do_not_call: bool
    created_at: datetime = created_field()
