"""The sandbox's marketplace: one business, one person of each role, and a lead for any persona."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import phonenumbers
from sqlalchemy import select
from sqlmodel import col

from callwright.app.accounts.models import Business, Membership, MembershipRole, Plan, Role, User
from callwright.app.accounts.passwords import hash_password
from callwright.app.compliance.models import Consent, ConsentKind
from callwright.app.database.sessions import Database, SystemSession
from callwright.app.leads.models import Consumer, Lead, Urgency

DEMO_PASSWORD = "callwright-demo"  # noqa: S105 - of accounts that exist in the sandbox only
CALLER_ID = "+13125550190"
PERSONAS = tuple(f"{number:04d}" for number in range(100, 120) if number != 116)
_PEOPLE = ("Jordan Ames", "Casey Brooks", "Robin Diaz", "Sam Ellis", "Taylor Fox", "Morgan Gray", "Jamie Hale")


@dataclass(frozen=True, slots=True)
class Marketplace:
    """The seeded business and who signs in for it."""

    business_id: UUID
    owner_email: str
    is_new: bool


async def seed_marketplace(database: Database, label: str) -> Marketplace:
    """The business, its owner, an admin and a consumer named after `label`; what is there already is kept."""
    owner_email = f"owner@{label}.example.com"
    async with database.system() as session:
        owner = await session.scalar(select(User).where(col(User.email) == owner_email))
        if owner is not None:
            membership = await session.scalar(select(Membership).where(col(Membership.user_id) == owner.id))
            assert membership is not None
            return Marketplace(membership.business_id, owner_email, is_new=False)
        business = Business(
            name="Rivera Plumbing",
            registered_name="Rivera Plumbing LLC",
            industry="plumbing",
            caller_id=CALLER_ID,
            callback_number=CALLER_ID,
            time_zone="America/Chicago",
            plan_id=(await _professional(session)).id,
        )
        owner = await _user(owner_email, "Alex Rivera", Role.BUSINESS)
        session.add_all([business, owner])
        session.add(await _user(f"admin@{label}.example.com", "Dana Operator", Role.ADMIN))
        await session.flush()
        session.add(Membership(user_id=owner.id, business_id=business.id, role=MembershipRole.OWNER))
    return Marketplace(business.id, owner_email, is_new=True)


async def add_lead(database: Database, business_id: UUID, persona: str) -> UUID:
    """A service request by the sandbox's persona `persona` (the last four digits of its number), with consent.

    The area code is one whose number of that ending nobody has yet, so that an earlier demo's stop request or
    attempts do not stand in the way.
    """
    async with database.system() as session:
        taken = set(
            await session.scalars(
                select(col(Consumer.phone_number)).where(col(Consumer.phone_number).like(f"%555{persona}"))
            )
        )
        phone_number = next(number for number in _numbers(persona) if number not in taken)
        business = await session.get_one(Business, business_id)
        consumer = Consumer(full_name=_PEOPLE[len(taken) % len(_PEOPLE)], phone_number=phone_number)
        session.add(consumer)
        await session.flush()
        lead = Lead(
            business_id=business_id,
            consumer_id=consumer.id,
            category="plumbing",
            description="The kitchen sink drips under the cabinet and the shut-off valve is stuck.",
            urgency=Urgency.SOON,
            address_line="12 Elm Street",
            city="Chicago",
            state="IL",
            postal_code="60601",
            budget="around 500 dollars",
            timeline="this week",
        )
        session.add_all([lead, _consent(business, consumer)])
    return lead.id


def _consent(business: Business, consumer: Consumer) -> Consent:
    return Consent(
        consumer_id=consumer.id,
        business_id=business.id,
        kind=ConsentKind.WRITTEN,
        phone_number=consumer.phone_number,
        wording=(
            f"I agree that {business.name} may call me at this number about my request, also with an artificial "
            "voice. Agreeing is not a condition of any purchase."
        ),
        seller=business.registered_name or business.name,
        method="web form",
        source_url="https://example.com/ask-for-help",
        obtained_at=datetime.now(UTC),
    )


def _numbers(persona: str) -> list[str]:
    """Every fictional US number with this ending, by area code."""
    return [
        f"+1{area}555{persona}"
        for area in range(201, 990)
        if phonenumbers.region_code_for_number(phonenumbers.parse(f"+1{area}555{persona}")) == "US"
        and phonenumbers.number_type(phonenumbers.parse(f"+1{area}555{persona}"))
        == phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE
    ]


async def _professional(session: SystemSession) -> Plan:
    plan = await session.scalar(select(Plan).where(col(Plan.code) == "professional"))
    if plan is None:
        plan = Plan(code="professional", name="Professional", monthly_price_micros=149_000_000, included_calls=100)
        session.add(plan)
        await session.flush()
    return plan


async def _user(email: str, full_name: str, role: Role) -> User:
    return User(email=email, full_name=full_name, role=role, password_hash=await hash_password(DEMO_PASSWORD))
