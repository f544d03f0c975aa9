"""People who sign in, the businesses they work for, and what those businesses pay."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from callwright.app.database.columns import created_field, enum_field, id_field, json_field, time_field


class Role(StrEnum):
    """What a signed-in person is to the marketplace."""

    CONSUMER = "consumer"
    BUSINESS = "business"
    ADMIN = "admin"


class MembershipRole(StrEnum):
    """What a person may do in one business."""

    OWNER = "owner"
    MEMBER = "member"


class Plan(SQLModel, table=True):
    """A price list entry; money in micro-dollars."""

    __tablename__ = "plans"

    id: UUID = id_field()
    code: str = Field(unique=True, max_length=40)
    name: str = Field(max_length=80)
    monthly_price_micros: int = Field(sa_type=BigInteger)
    included_calls: int


class User(SQLModel, table=True):
    """A person who can sign in. E-mail is unique without regard to case."""

    __tablename__ = "users"
    __table_args__ = (Index("uq_users_email_lower", text("lower(email)"), unique=True),)

    id: UUID = id_field()
    email: str = Field(max_length=254)
    password_hash: str | None = Field(default=None, max_length=256)
    full_name: str = Field(max_length=120)
    role: Role = enum_field(Role)
    time_zone: str = Field(default="America/New_York", max_length=64)
    created_at: datetime = created_field()
    disabled_at: datetime | None = time_field()


class Business(SQLModel, table=True):
    """A home-services company that calls its leads."""

    __tablename__ = "businesses"

    id: UUID = id_field()
    name: str = Field(max_length=120)
    registered_name: str | None = Field(default=None, max_length=160)
    industry: str = Field(default="home services", max_length=60)
    caller_id: str | None = Field(default=None, max_length=20)
    callback_number: str | None = Field(default=None, max_length=20)
    time_zone: str = Field(default="America/New_York", max_length=64)
    plan_id: UUID = Field(foreign_key="plans.id")
    max_concurrent_calls: int | None = Field(default=None)
    max_dials_per_minute: int | None = Field(default=None)
    agent_settings: dict[str, Any] = json_field()
    created_at: datetime = created_field()


class Membership(SQLModel, table=True):
    """One person's place in one business."""

    __tablename__ = "memberships"

    user_id: UUID = Field(foreign_key="users.id", primary_key=True)
    business_id: UUID = Field(foreign_key="businesses.id", primary_key=True, index=True)
    role: MembershipRole = enum_field(MembershipRole, MembershipRole.MEMBER)
    created_at: datetime = created_field()


class Usage(SQLModel, table=True):
    """What one business used of its plan in one calendar month (UTC), kept by the calls that ended in it."""

    __tablename__ = "usage"
    __table_args__ = (UniqueConstraint("business_id", "month"),)

    id: UUID = id_field()
    business_id: UUID = Field(foreign_key="businesses.id")
    month: str = Field(max_length=7)
    calls: int = Field(default=0)
    seconds: int = Field(default=0)
    cost_micros: int = Field(default=0, sa_type=BigInteger)


class ApiToken(SQLModel, table=True):
    """A personal API token. Only its SHA-256 is stored; the token itself carries 256 random bits."""

    __tablename__ = "api_tokens"

    id: UUID = id_field()
    user_id: UUID = Field(foreign_key="users.id", index=True)
    name: str = Field(max_length=80)
    token_hash: str = Field(unique=True, max_length=64)
    created_at: datetime = created_field()
    expires_at: datetime | None = time_field()
    last_used_at: datetime | None = time_field()
    revoked_at: datetime | None = time_field()
