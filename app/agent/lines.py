"""The words that are spoken exactly as written, by language and call type.

Order and content follow 47 CFR 64.1200(b): the business first, the AI and the recording in the first sentence, how to
stop right after it; a voicemail tells who called and a number that takes the same stop request.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from callwright.app.agent.facts import PromptFacts
from callwright.app.agent.fence import one_line
from callwright.app.calls.lifecycle import CallType

_PLAIN_TOPIC = re.compile(r"[A-Za-z]+(?:[ &/-]+[A-Za-z]+){0,3}")
_LONGEST_TOPIC = 40


@dataclass(frozen=True, slots=True)
class SpokenLines:
    """What the agent says word for word in one call."""

    opening: str
    purpose: str
    voicemail: str
    closing: str
    screening: str
    goodbye: str
    still_there: str
    wrap_up: str


@dataclass(frozen=True, slots=True)
class Wording:
    """One language's sentences, with `{business}`, `{topic}`, `{purpose}` and `{number}` to fill in."""

    name: str
    any_topic: str
    trading_name: str
    purpose: Mapping[CallType, str]
    closing: Mapping[CallType, str]
    opening: str
    voicemail: str
    screening: str
    goodbye: str
    still_there: str
    wrap_up: str


ENGLISH = Wording(
    name="English",
    any_topic="service",
    trading_name="{business}, a trade name of {registered}",
    purpose=MappingProxyType(
        {
            CallType.QUALIFY_LEAD: "I'm calling about your {topic} request.",
            CallType.CONFIRM_APPOINTMENT: "I'm calling to confirm your {topic} appointment.",
            CallType.FOLLOW_UP: "I'm calling to ask how your {topic} work went.",
            CallType.CONSUMER_CALLBACK: "You asked us to call you back about your {topic} request.",
        }
    ),
    closing=MappingProxyType(
        {
            CallType.QUALIFY_LEAD: "Thank you, that is all I need. {business} will contact you next. Goodbye!",
            CallType.CONFIRM_APPOINTMENT: "Thank you, your appointment is confirmed. Goodbye!",
            CallType.FOLLOW_UP: "Thank you for telling me, I will pass it on to {business}. Goodbye!",
            CallType.CONSUMER_CALLBACK: "Thank you, I have noted everything for {business}. Goodbye!",
        }
    ),
    opening=(
        "Hello, this is {business}; I'm an AI assistant on a recorded line. To stop these calls, say stop or press 9. "
        "{purpose} Is now a good time?"
    ),
    voicemail=(
        "Hello, this is {business}; I'm an AI assistant on a recorded line. {purpose} I'm sorry that I missed you; "
        "there is nothing you need to do right now. To talk to a person, or to stop these calls, please call us at "
        "{number}. Again, that is {number}. Thank you, and goodbye."
    ),
    screening="This is {business}; I'm an AI assistant on a recorded line, calling about a {topic} request.",
    goodbye="Thank you for your time. Goodbye!",
    still_there="Are you still there?",
    wrap_up="Our time is almost up, so let me wrap up. Is there one last thing you would like me to pass on?",
)
LANGUAGES: Mapping[str, Wording] = MappingProxyType({"en": ENGLISH})


def spoken_lines(facts: PromptFacts) -> SpokenLines:
    """The call's lines in its language."""
    words = LANGUAGES[facts.language]
    known = {
        "business": spoken_business(facts),
        "topic": spoken_topic(facts),
        "number": spoken_number(facts.callback_number),
    }
    known["purpose"] = words.purpose[facts.call_type].format(**known)
    return SpokenLines(
        opening=words.opening.format(**known),
        purpose=known["purpose"],
        voicemail=words.voicemail.format(**known),
        closing=words.closing[facts.call_type].format(**known),
        screening=words.screening.format(**known),
        goodbye=words.goodbye,
        still_there=words.still_there,
        wrap_up=words.wrap_up,
    )


def spoken_business(facts: PromptFacts) -> str:
    """The business's name to say: 64.1200(b)(1) asks for the registered one, people know the other."""
    name, registered = _sayable(facts.business_name), _sayable(facts.registered_name or "")
    if not registered or registered.casefold() in name.casefold():
        return name
    if name.casefold() in registered.casefold():
        return registered
    return LANGUAGES[facts.language].trading_name.format(business=name, registered=registered)


def spoken_number(number: str) -> str:
    """An E.164 number digit by digit, as US callers say it: `3 1 2, 5 5 5, 0 1 9 0`."""
    digits = re.sub(r"\D", "", number)
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    groups = (digits[:3], digits[3:6], digits[6:])
    return ", ".join(" ".join(group) for group in groups if group)


def _sayable(name: str) -> str:
    """Without what would end the sentence before the AI is disclosed, or close the quotes around a line."""
    return re.sub(r"[.!?;:]+(?=\s|$)", "", one_line(name, 160).replace('"', "'"))


def spoken_topic(facts: PromptFacts) -> str:
    """The lead's category, only when it is a few plain words: it is spoken outside the data's fence."""
    topic = one_line(facts.category).replace("_", " ").lower()
    plain = len(topic) <= _LONGEST_TOPIC and _PLAIN_TOPIC.fullmatch(topic)
    return topic if plain else LANGUAGES[facts.language].any_topic
