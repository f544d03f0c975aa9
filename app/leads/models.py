"""Consumers and the service requests (leads) they made."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from callwright.app.database.columns import created_field, enum_field, id_field


class Urgency(StrEnum):
    """How soon the person wants the work done."""

    EMERGENCY = "emergency"
    SOON = "soon"
    FLEXIBLE = "flexible"


class LeadStatus(StrEnum):
    """Where the service request is in the sale."""

    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    APPOINTMENT_CONFIRMED = "appointment_confirmed"
    COMPLETED = "completed"
    DECLINED = "declined"
    UNREACHABLE = "unreachable"


class Consumer(SQLModel, table=True):
    """A person who asked for help."""

    __tablename__ = "consumers"

    id: UUID = id_field()
    user_id: UUID | None = Field(default=None, foreign_key="users.id", unique=True)
    full_name: str = Field(max_length=120)
    phone_number: str = Field(max_length=20, index=True)
    email: str | None = Field(default=None, max_length=254)
    created_at: datetime = created_field()


class Lead(SQLModel, table=True):
    """One service request, sold to one business. Budget is the person's own words."""

    __tablename__ = "leads"
    __table_args__ = (Index("ix_leads_business_created", "business_id", "created_at"),)

    id: UUID = id_field()
    business_id: UUID = Field(foreign_key="businesses.id")
    consumer_id: UUID = Field(foreign_key="consumers.id", index=True)
    category: str = Field(max_length=60)
    description: str = Field(max_length=4000)
    urgency: Urgency = enum_field(Urgency, Urgency.FLEXIBLE)
    address_line: str | None = Field(default=None, max_length=200)
    city: str | None = Field(default=None, max_length=80)
    state: str | None = Field(default=None, max_length=2)
    postal_code: str | None = Field(default=None, max_length=10)
    budget: str | None = Field(default=None, max_length=120)
    timeline: str | None = Field(default=None, max_length=200)
    status: LeadStatus = enum_field(LeadStatus, LeadStatus.NEW)
    next_action: str | None = Field(default=None, max_length=500)
    created_at: datetime = created_field()
