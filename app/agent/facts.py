"""What a prompt is made of: the call, the business, the person and the service request, as they are in the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callwright.app.accounts.models import Business
from callwright.app.calls.lifecycle import CallType
from callwright.app.calls.models import Call
from callwright.app.database.sessions import SystemSession
from callwright.app.leads.models import Consumer, Lead

log = structlog.get_logger(__name__)


Voice = Literal["alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"]


class AgentSettings(BaseModel):
    """`Business.agent_settings`: the voice, and facts such as prices and hours that the agent may tell."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    voice: Voice = "marin"
    facts: dict[str, str] = Field(default_factory=dict, max_length=40)


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """One call's facts. Every text may be hostile; numbers are E.164; `lead` maps labels to the lead's own words."""

    call_type: CallType
    objective: str
    business_name: str
    registered_name: str | None
    industry: str
    callback_number: str
    person_name: str
    category: str
    lead: Mapping[str, str]
    today: date
    max_seconds: int
    business_facts: Mapping[str, str] = field(default_factory=dict)
    voice: str = "marin"
    language: str = "en"


async def load_facts(session: SystemSession, call: Call, *, now: datetime, max_seconds: int) -> PromptFacts:
    """Reads what the prompt of `call` needs. `today` is the business's day."""
    business = await session.get_one(Business, call.business_id)
    consumer = await session.get_one(Consumer, call.consumer_id)
    lead = await session.get_one(Lead, call.lead_id)
    chosen = agent_settings(business)
    return PromptFacts(
        call_type=call.call_type,
        objective=call.objective,
        business_name=business.name,
        registered_name=business.registered_name,
        industry=business.industry,
        callback_number=business.callback_number or call.from_number,
        person_name=consumer.full_name,
        category=lead.category,
        lead=_lead_details(lead),
        today=_day(business, now),
        max_seconds=max_seconds,
        business_facts=chosen.facts,
        voice=chosen.voice,
    )


def agent_settings(business: Business) -> AgentSettings:
    """The business's settings, or the defaults when the stored ones cannot be used."""
    try:
        return AgentSettings.model_validate(business.agent_settings)
    except ValidationError as error:
        fields = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        log.warning("agent.settings_unusable", business_id=str(business.id), fields=fields)
        return AgentSettings()


def _day(business: Business, now: datetime) -> date:
    try:
        return now.astimezone(ZoneInfo(business.time_zone)).date()
    except (ZoneInfoNotFoundError, ValueError):
        # A mistyped zone must not keep a call from being held.
        log.warning("agent.time_zone_unknown", business_id=str(business.id))
        return now.date()


def _lead_details(lead: Lead) -> dict[str, str]:
    address = ", ".join(part for part in (lead.address_line, lead.city, lead.state, lead.postal_code) if part)
    return {
        "category": lead.category,
        "description": lead.description,
        "urgency": lead.urgency.value,
        "address": address,
        "budget": lead.budget or "",
        "timeline": lead.timeline or "",
        "status": lead.status.value.replace("_", " "),
        "agreed next action": lead.next_action or "",
    }
