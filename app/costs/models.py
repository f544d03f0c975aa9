"""What providers reported a call to have used, and what that costs."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Numeric, UniqueConstraint
from sqlmodel import Field, SQLModel

from callwright.app.database.columns import created_field, enum_field, id_field


class Provider(StrEnum):
    """Who charges."""

    TELEPHONY = "telephony"
    VOICE_MODEL = "voice_model"
    REASONING = "reasoning"


class CostItem(SQLModel, table=True):
    """One metered quantity of one call, e.g. 1,250 `audio_output_tokens`. Written once: `reference` makes it so."""

    __tablename__ = "cost_items"
    __table_args__ = (UniqueConstraint("call_id", "provider", "unit", "reference"),)

    id: UUID = id_field()
    call_id: UUID = Field(foreign_key="calls.id", index=True)
    provider: Provider = enum_field(Provider)
    unit: str = Field(max_length=40)
    reference: str = Field(max_length=80)
    quantity: float = Field(sa_type=Numeric(16, 3))
    amount_micros: int = Field(sa_type=BigInteger)
    created_at: datetime = created_field()
