"""Who did what to what, and when. Append-only: the database grants nobody an update or a delete."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity
from sqlmodel import Field, SQLModel

from callwright.app.database.columns import created_field, json_field


class AuditEntry(SQLModel, table=True):
    """One act. `actor_id` is null when the system acted; `data` holds ids, codes and figures."""

    __tablename__ = "audit_entries"

    id: int | None = Field(default=None, sa_type=BigInteger, sa_column_args=(Identity(always=True),), primary_key=True)
    at: datetime = created_field(index=True)
    actor_id: UUID | None = Field(default=None, index=True)
    action: str = Field(max_length=60)
    subject_type: str = Field(max_length=40)
    subject_id: UUID
    business_id: UUID | None = Field(default=None, index=True)
    data: dict[str, Any] = json_field()
