"""Where a call's audio is kept."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from callwright.app.database.columns import created_field, id_field, time_field


class Recording(SQLModel, table=True):
    """A stereo mu-law WAV in the object store: person left, agent (as heard) right."""

    __tablename__ = "recordings"

    id: UUID = id_field()
    call_id: UUID = Field(foreign_key="calls.id", index=True)
    attempt_id: UUID = Field(foreign_key="call_attempts.id", unique=True)
    object_key: str = Field(max_length=200)
    duration_ms: int
    size_bytes: int = Field(sa_type=BigInteger)
    created_at: datetime = created_field()
    deleted_at: datetime | None = time_field()
