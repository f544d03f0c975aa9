"""What the prompt is made of comes from the rows; a business's mistakes do not keep a call from being held."""

from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from callwright.app.accounts.models import Business
from callwright.app.agent.facts import PromptFacts, agent_settings, load_facts
from callwright.app.agent.prompt import render_prompt
from callwright.app.calls.models import Call
from callwright.app.database.sessions import Database
from tests.world import CALLER_ID, World

LATE = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


async def facts_of(database: Database, call: Call) -> PromptFacts:
    async with database.system() as session:
        return await load_facts(session, call, now=LATE, max_seconds=300)


async def test_all_of_the_lead_is_told(database: Database, world: World) -> None:
    facts = await facts_of(database, await world.call())
    assert facts.today == date(2026, 11, 22)
    assert facts.callback_number == CALLER_ID
    text = render_prompt(facts).text
    for detail in (
        "- description: The kitchen sink leaks under the cabinet.",
        "- urgency: soon",
        "- address: 12 Elm Street, Chicago, IL, 60601",
        "- budget: up to 500 dollars",
        "- timeline: this week",
        "- objective: Find out what is needed and when.",
        "- person's name: Jordan Ames",
        "- today: Sunday, 22 November 2026",
    ):
        assert detail in text


async def test_what_the_business_lets_the_agent_tell_is_told(database: Database, world: World) -> None:
    business = await world.business("Elm Roofing")
    async with database.system() as session:
        stored = await session.get_one(Business, business.id)
        stored.agent_settings = {"voice": "cedar", "facts": {"visit fee in dollars": 89}, "unknown": 1}
        stored.time_zone = "Mars/Olympus"
    facts = await facts_of(database, await world.call(await world.lead(business)))
    assert facts.voice == "cedar"
    assert facts.today == date(2026, 11, 23)
    assert "- from the business: visit fee in dollars: 89" in render_prompt(facts).text


@pytest.mark.parametrize("stored", [{"voice": "nobody"}, {"facts": [1]}, {"facts": {"a": {"b": 1}}}])
def test_unusable_settings_give_the_defaults(stored: dict[str, object]) -> None:
    business = Business(name="Elm", plan_id=uuid4(), agent_settings=stored)
    chosen = agent_settings(business)
    assert (chosen.voice, chosen.facts) == ("marin", {})
