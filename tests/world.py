"""Makes the people, businesses, leads and calls that a test's story needs."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

from callwright.app.accounts.actor import Actor
from callwright.app.accounts.models import Business, Membership, Plan, Role, User
from callwright.app.calls.lifecycle import PRIORITY, AttemptStatus, CallStatus, CallType
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.compliance.models import Consent, ConsentKind
from callwright.app.database.sessions import Database
from callwright.app.leads.models import Consumer, Lead, Urgency

CALLER_ID = "+13125550190"


class World:
    """A factory over one database. Every person gets an own fictional number (NPA 555 01xx)."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._count = itertools.count(1)
        self._areas = itertools.cycle([312, 212, 415, 617, 206, 303, 404, 512, 602, 713])

    def phone_number(self, last_two: int = 0) -> str:
        """A fictional number whose last digits choose the sandbox's persona."""
        return f"+1{next(self._areas)}55501{last_two:02d}"

    async def plan(self, included_calls: int = 100) -> Plan:
        async with self.database.system() as session:
            plan = Plan(
                code=f"professional-{next(self._count)}",
                name="Professional",
                monthly_price_micros=149_000_000,
                included_calls=included_calls,
            )
            session.add(plan)
        return plan

    async def business(self, name: str | None = None, *, included_calls: int = 100) -> Business:
        plan = await self.plan(included_calls)
        async with self.database.system() as session:
            business = Business(
                name=name or f"Rivera Plumbing {next(self._count)}",
                registered_name="Rivera Plumbing LLC",
                industry="plumbing",
                caller_id=CALLER_ID,
                callback_number=CALLER_ID,
                plan_id=plan.id,
            )
            session.add(business)
        return business

    async def user(self, role: Role, business: Business | None = None, *, password_hash: str | None = None) -> User:
        async with self.database.system() as session:
            number = next(self._count)
            user = User(
                email=f"{role.value}{number}@example.com",
                full_name=f"Pat {role.value.title()} {number}",
                role=role,
                password_hash=password_hash,
            )
            session.add(user)
            await session.flush()
            if business is not None:
                session.add(Membership(user_id=user.id, business_id=business.id))
        return user

    async def actor(self, role: Role, business: Business | None = None) -> Actor:
        user = await self.user(role, business)
        return Actor(user.id, role)

    async def consumer(self, phone_number: str | None = None, user: User | None = None) -> Consumer:
        async with self.database.system() as session:
            consumer = Consumer(
                full_name=f"Jordan Ames {next(self._count)}",
                phone_number=phone_number or self.phone_number(),
                user_id=user.id if user else None,
            )
            session.add(consumer)
        return consumer

    async def lead(
        self,
        business: Business | None = None,
        consumer: Consumer | None = None,
        *,
        phone_number: str | None = None,
        consent: ConsentKind | None = ConsentKind.WRITTEN,
    ) -> Lead:
        business = business or await self.business()
        consumer = consumer or await self.consumer(phone_number)
        async with self.database.system() as session:
            lead = Lead(
                business_id=business.id,
                consumer_id=consumer.id,
                category="plumbing",
                description="The kitchen sink leaks under the cabinet.",
                urgency=Urgency.SOON,
                address_line="12 Elm Street",
                city="Chicago",
                state="IL",
                postal_code="60601",
                budget="up to 500 dollars",
                timeline="this week",
            )
            session.add(lead)
            await session.flush()
            if consent is not None:
                session.add(
                    Consent(
                        consumer_id=consumer.id,
                        business_id=business.id,
                        kind=consent,
                        phone_number=consumer.phone_number,
                        wording="I agree to receive calls, also with an artificial voice, about my request.",
                        seller=business.name,
                        method="web form",
                        obtained_at=datetime.now(UTC) - timedelta(days=1),
                    )
                )
        return lead

    async def call(
        self,
        lead: Lead | None = None,
        *,
        call_type: CallType = CallType.QUALIFY_LEAD,
        status: CallStatus = CallStatus.QUEUED,
        due_at: datetime | None = None,
        max_attempts: int = 3,
    ) -> Call:
        lead = lead or await self.lead()
        async with self.database.system() as session:
            consumer = await session.get_one(Consumer, lead.consumer_id)
            call = Call(
                lead_id=lead.id,
                business_id=lead.business_id,
                consumer_id=lead.consumer_id,
                call_type=call_type,
                objective="Find out what is needed and when.",
                phone_number=consumer.phone_number,
                from_number=CALLER_ID,
                status=status,
                priority=PRIORITY[call_type],
                due_at=due_at or datetime.now(UTC),
                max_attempts=max_attempts,
            )
            session.add(call)
        return call

    async def attempt(
        self, call: Call, *, status: AttemptStatus = AttemptStatus.IN_PROGRESS, carrier_sid: str | None = None
    ) -> CallAttempt:
        async with self.database.system() as session:
            stored = await session.get_one(Call, call.id)
            stored.attempt_count += 1
            attempt = CallAttempt(
                call_id=call.id,
                business_id=call.business_id,
                number=stored.attempt_count,
                phone_number=call.phone_number,
                status=status,
                carrier_sid=carrier_sid,
                dialed_at=None if status is AttemptStatus.ADMITTED else datetime.now(UTC),
            )
            session.add(attempt)
        return attempt

    async def reload(self, model: type[Call], row_id: UUID) -> Call:
        async with self.database.system() as session:
            return await session.get_one(model, row_id)
