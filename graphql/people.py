"""Types of accounts, businesses and leads."""

from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry

from callwright.app.accounts import models as accounts
from callwright.app.accounts.models import MembershipRole, Role
from callwright.app.accounts.queries import memberships
from callwright.app.leads import models as stored
from callwright.app.leads.models import LeadStatus, Urgency
from callwright.graphql.context import Info


@strawberry.type(description="A home-services company.")
class Business:
    id: UUID
    name: str
    industry: str
    time_zone: str
    callback_number: str | None

    @classmethod
    def of(cls, row: accounts.Business) -> Self:
        return cls(
            id=row.id,
            name=row.name,
            industry=row.industry,
            time_zone=row.time_zone,
            callback_number=row.callback_number,
        )


@strawberry.type(description="A business the signed-in person works for.")
class Membership:
    business: Business
    role: MembershipRole


@strawberry.type(description="The signed-in person.")
class Me:
    id: UUID
    email: str
    full_name: str
    role: Role
    time_zone: str

    @classmethod
    def of(cls, row: accounts.User) -> Self:
        return cls(id=row.id, email=row.email, full_name=row.full_name, role=row.role, time_zone=row.time_zone)

    @strawberry.field
    async def memberships(self, info: Info) -> list[Membership]:
        async with info.context.reads.session() as session:
            rows = await memberships(session)
        return [Membership(business=Business.of(business), role=role) for business, role in rows]


@strawberry.type(description="A bearer token of the signed-in person; the token itself is shown only when it is made.")
class ApiToken:
    id: UUID
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: accounts.ApiToken) -> Self:
        return cls(
            id=row.id,
            name=row.name,
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
        )


@strawberry.type(description="A person who asked for help. The phone number is E.164.")
class Consumer:
    id: UUID
    full_name: str
    phone_number: str
    email: str | None

    @classmethod
    def of(cls, row: stored.Consumer) -> Self:
        return cls(id=row.id, full_name=row.full_name, phone_number=row.phone_number, email=row.email)


@strawberry.type(description="A service request, sold to one business. `budget` and `timeline` are the person's words.")
class Lead:
    id: UUID
    category: str
    description: str
    urgency: Urgency
    address_line: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    budget: str | None
    timeline: str | None
    status: LeadStatus
    next_action: str | None
    created_at: datetime
    business_id: strawberry.Private[UUID]
    consumer_id: strawberry.Private[UUID]

    @classmethod
    def of(cls, row: stored.Lead) -> Self:
        return cls(
            id=row.id,
            category=row.category,
            description=row.description,
            urgency=row.urgency,
            address_line=row.address_line,
            city=row.city,
            state=row.state,
            postal_code=row.postal_code,
            budget=row.budget,
            timeline=row.timeline,
            status=row.status,
            next_action=row.next_action,
            created_at=row.created_at,
            business_id=row.business_id,
            consumer_id=row.consumer_id,
        )

    @strawberry.field
    async def business(self, info: Info) -> Business | None:
        row = await info.context.reads.businesses.load(self.business_id)
        return Business.of(row) if row else None

    @strawberry.field
    async def consumer(self, info: Info) -> Consumer | None:
        row = await info.context.reads.consumers.load(self.consumer_id)
        return Consumer.of(row) if row else None
