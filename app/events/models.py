"""The outbox (jobs written with the row, sent after the commit) and the webhook inbox (stored once, then applied)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, Index, func, text
from sqlmodel import Field, SQLModel

from callwright.app.database.columns import created_field, id_field, json_field, time_field


class Outbox(SQLModel, table=True):
    """A job for a Dramatiq actor. `subject_id` is the only argument: brokers carry ids, never people's data."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "due_at", postgresql_where=text("sent_at IS NULL")),)

    id: int | None = Field(default=None, sa_type=BigInteger, sa_column_args=(Identity(always=True),), primary_key=True)
    job: str = Field(max_length=40)
    subject_id: UUID
    due_at: datetime = Field(
        default=None, sa_type=DateTime(timezone=True), nullable=False, sa_column_kwargs={"server_default": func.now()}
    )
    created_at: datetime = created_field()
    sent_at: datetime | None = time_field()


class WebhookInbox(SQLModel, table=True):
    """One verified request of a provider; `provider_key` makes a repeat harmless."""

    __tablename__ = "webhook_inbox"
    __table_args__ = (Index("ix_webhook_inbox_pending", "received_at", postgresql_where=text("applied_at IS NULL")),)

    id: UUID = id_field()
    provider: str = Field(max_length=20)
    kind: str = Field(max_length=40)
    provider_key: str = Field(max_length=200, unique=True)
    attempt_id: UUID | None = Field(default=None, index=True)
    payload: dict[str, Any] = json_field()
    received_at: datetime = created_field()
    applied_at: datetime | None = time_field()
