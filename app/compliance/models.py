"""Consent records and the do-not-call list."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from callwright.app.database.columns import created_field, enum_field, id_field, required_time, time_field


class ConsentKind(StrEnum):
    """Prior express consent: for information only, or in writing for sales-like calls (47 CFR 64.1200(f)(9))."""

    INFORMATIONAL = "informational"
    WRITTEN = "written"


class SuppressionSource(StrEnum):
    """How a stop request reached us."""

    VOICE = "voice"
    KEYPRESS = "keypress"
    SUMMARY = "summary"
    CARRIER = "carrier"
    ADMIN = "admin"
    CONSUMER = "consumer"


class Consent(SQLModel, table=True):
    """Who agreed to what, in which words, when and where. Withdrawn consents stay as records."""

    __tablename__ = "consents"
    __table_args__ = (Index("ix_consents_consumer_business", "consumer_id", "business_id"),)

    id: UUID = id_field()
    consumer_id: UUID = Field(foreign_key="consumers.id")
    business_id: UUID = Field(foreign_key="businesses.id", index=True)
    kind: ConsentKind = enum_field(ConsentKind)
    phone_number: str = Field(max_length=20)
    wording: str = Field(max_length=4000)
    seller: str = Field(max_length=160)
    method: str = Field(max_length=60)
    source_url: str | None = Field(default=None, max_length=500)
    source_ip: str | None = Field(default=None, max_length=45)
    obtained_at: datetime = required_time()
    withdrawn_at: datetime | None = time_field()
    created_at: datetime = created_field()


class Suppression(SQLModel, table=True):
    """A number nobody may dial: for every business when `business_id` is null. Rows are kept for ever."""

    __tablename__ = "suppressions"
    __table_args__ = (
        Index(
            "uq_suppressions_number_business",
            "phone_number",
            text("coalesce(business_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
            unique=True,
            postgresql_where=text("lifted_at IS NULL"),
        ),
    )

    id: UUID = id_field()
    phone_number: str = Field(max_length=20)
    business_id: UUID | None = Field(default=None, foreign_key="businesses.id", index=True)
    source: SuppressionSource = enum_field(SuppressionSource)
    reason: str = Field(max_length=500)
    call_id: UUID | None = Field(default=None, foreign_key="calls.id")
    created_at: datetime = created_field()
    lifted_at: datetime | None = time_field()
