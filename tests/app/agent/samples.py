"""Facts and conversations that the agent's tests share."""

from dataclasses import replace
from datetime import date

from callwright.app.agent.facts import PromptFacts
from callwright.app.agent.outcome import Evidence
from callwright.app.calls.conversation import EndCause, Speaker, Turn
from callwright.app.calls.lifecycle import CallType

FACTS = PromptFacts(
    call_type=CallType.QUALIFY_LEAD,
    objective="Find out what is needed and when.",
    business_name="Rivera Plumbing",
    registered_name=None,
    industry="plumbing",
    callback_number="+13125550190",
    person_name="Jordan Ames",
    category="plumbing",
    lead={"category": "plumbing", "description": "The sink leaks.", "urgency": "soon", "address": "12 Elm Street"},
    today=date(2026, 11, 22),
    max_seconds=300,
)
GOOD_TALK = (
    ("agent", "Hello, this is Rivera Plumbing; I'm an AI assistant on a recorded line. Is now a good time?"),
    ("person", "Sure, go ahead."),
    ("agent", "What exactly do you need done?"),
    ("person", "The kitchen sink leaks under the cabinet, and it is getting worse."),
    ("agent", "When would you like the work to happen?"),
    ("person", "This week would be perfect, any morning."),
    ("agent", "Thank you, that is all I need. Rivera Plumbing will contact you next. Goodbye!"),
    ("person", "Great, thank you, bye."),
)


def turns(*said: tuple[Speaker, str]) -> tuple[Turn, ...]:
    """One turn every five seconds."""
    return tuple(
        Turn(index, speaker, text, index * 5000, index * 5000 + 4000) for index, (speaker, text) in enumerate(said)
    )


def talk(*said: tuple[Speaker, str], cause: EndCause = EndCause.AGENT_ENDED, **known: object) -> Evidence:
    """Evidence of a conversation; `known` are further fields of `Evidence`."""
    evidence = Evidence(CallType.QUALIFY_LEAD, turns(*said), cause, seconds=len(said) * 5)
    return replace(evidence, **known)  # type: ignore[arg-type]


def good_talk() -> Evidence:
    said: tuple[tuple[Speaker, str], ...] = GOOD_TALK  # type: ignore[assignment]
    return talk(*said, end_reason="goal_achieved")
