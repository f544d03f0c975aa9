"""What became of a call, by rules, from its transcript; put into whatever JSON schema the request asks for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callwright.app.sandbox.brain_intents import Intents, normalised
from callwright.app.sandbox.realtime_config import Json, JsonObject

_LINE = re.compile(r"^\s*\[(\d+):(\d{2})(?::\d{2})?\]\s*(agent|person)\s*:\s*(.*)$", re.IGNORECASE | re.MULTILINE)
_ENDED_BY = re.compile(r"^\W*ended by\W+(\w+)", re.IGNORECASE | re.MULTILINE)
_REASON_GIVEN = re.compile(r"\breason for hanging up\W+(\w+)", re.IGNORECASE)
_MESSAGE_LEFT = re.compile(r"\bvoicemail message was left\b", re.IGNORECASE)
_GOODBYE = re.compile(
    r"\b(good ?bye|bye|have a (great|good|nice|lovely)|thank you for your time|look forward|take care)\b"
)
_ANSWERS_FOR_A_GOAL = 2

# What a schema may call each outcome, the likeliest name first.
_OUTCOME_NAMES: Mapping[str, Sequence[str]] = {
    "goal_achieved": ("goal_achieved", "achieved", "success", "completed"),
    "follow_up_later": ("follow_up_later", "follow_up", "follow_up_needed", "callback", "call_back_later", "later"),
    "declined": ("declined", "not_interested", "refused", "rejected"),
    "do_not_call": ("do_not_call", "opted_out", "opt_out", "dnc", "declined"),
    "human_requested": ("human_requested", "human_callback", "transfer", "follow_up_later", "follow_up"),
    "wrong_number": ("wrong_number", "invalid_number"),
    "no_response": ("no_response", "no_answer", "silent", "inconclusive"),
    "voicemail_left": ("voicemail_left", "voicemail", "left_voicemail"),
    "hung_up": ("hung_up", "person_hung_up", "abandoned", "incomplete", "inconclusive"),
    "incomplete": ("incomplete", "inconclusive", "other", "unknown"),
}
_INTEREST = {
    "goal_achieved": "high",
    "follow_up_later": "medium",
    "human_requested": "medium",
    "incomplete": "low",
    "hung_up": "low",
}
_SENTIMENT = {"goal_achieved": "positive", "do_not_call": "negative", "declined": "neutral"}
_NEXT_ACTION = {
    "goal_achieved": "Send the written estimate and confirm the next appointment.",
    "follow_up_later": "Get back to them at the time they named.",
    "declined": "Close the request; they do not want the work.",
    "do_not_call": "Do not contact this number again.",
    "human_requested": "Have a person call them back.",
    "wrong_number": "Correct the phone number of the request.",
    "no_response": "Try again at another time of day.",
    "voicemail_left": "Wait for their call back, then try once more.",
    "hung_up": "Decide whether to try once more at another time.",
    "incomplete": "Call back to finish the conversation.",
}


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the rules found: the outcome by its own name, and what the person said."""

    outcome: str
    interest: str
    sentiment: str
    key_points: tuple[str, ...]
    next_action: str
    summary: str


def call_facts(text: str, intents: Intents) -> CallFacts:
    """Reads the request's text: transcript lines `[00:12] agent: …`, and facts such as `ended by: person|agent`,
    `the agent's reason for hanging up: …` and that the voicemail message was left."""
    turns = [(speaker.lower(), words.strip()) for _, _, speaker, words in _LINE.findall(text)]
    person = [words for speaker, words in turns if speaker == "person"]
    ended = _ENDED_BY.search(text)
    reason = _REASON_GIVEN.search(text)
    outcome = "voicemail_left"
    if not _MESSAGE_LEFT.search(text):
        by_person = ended is not None and ended.group(1).lower() == "person"
        outcome = _outcome(turns, by_person, reason.group(1) if reason else "", intents)
    interest = _INTEREST.get(outcome, "none")
    sentiment = _SENTIMENT.get(outcome, "neutral")
    told = tuple(words.rstrip() for words in person if len(words.split()) >= 3)[:6]
    points = tuple(f"They said: {words}" for words in told) or ("Nothing of substance was said.",)
    summary = f"The call ended as {outcome.replace('_', ' ')} after {len(turns)} turns."
    return CallFacts(outcome, interest, sentiment, points, _NEXT_ACTION[outcome], summary)


def _outcome(turns: list[tuple[str, str]], by_person: bool, reason: str, intents: Intents) -> str:
    person = [words for speaker, words in turns if speaker == "person"]
    meant = [intents.of(words) for words in person]
    for intent, outcome in (
        ("opt_out", "do_not_call"),
        ("wrong_number", "wrong_number"),
        ("human", "human_requested"),
        ("later", "follow_up_later"),
        ("declined", "declined"),
    ):
        if intent in meant:
            return outcome
    if any(intents.voicemail.search(normalised(words)) for words in person):
        return "voicemail_left"
    if not person:
        return "no_response"
    last_agent = next((words for speaker, words in reversed(turns) if speaker == "agent"), "")
    took_leave = bool(_GOODBYE.search(normalised(last_agent))) and not last_agent.rstrip().endswith("?")
    answers = [words for words in person if len(words.split()) >= 2]
    if took_leave and len(answers) >= _ANSWERS_FOR_A_GOAL:
        return "goal_achieved"
    if reason in ("goal_achieved", "follow_up_later", "declined", "human_requested") and answers:
        return reason
    return "hung_up" if by_person else "incomplete"


def filled(schema: JsonObject, facts: CallFacts) -> Json:
    """A value that satisfies the JSON schema: known property names by their meaning, others by neutral values."""
    return _Filler(schema, facts).value(schema, "")


@dataclass(frozen=True, slots=True)
class _Filler:
    root: JsonObject
    facts: CallFacts

    def value(self, schema: Json, name: str) -> Json:
        if not isinstance(schema, dict):
            return None
        if "$ref" in schema:
            return self.value(self._resolved(str(schema["$ref"])), name)
        if "const" in schema:
            return schema["const"]
        for union in ("anyOf", "oneOf", "allOf"):
            choices = schema.get(union)
            if isinstance(choices, list) and choices:
                solid = [
                    choice for choice in choices if not (isinstance(choice, dict) and choice.get("type") == "null")
                ]
                return self.value((solid or choices)[0], name)
        options = schema.get("enum")
        if isinstance(options, list) and options:
            return self._choice(options, name)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        return self._typed(str(kind), schema, name)

    def _typed(self, kind: str, schema: JsonObject, name: str) -> Json:
        match kind:
            case "object":
                properties = schema.get("properties")
                fields = properties if isinstance(properties, dict) else {}
                return {key: self.value(inner, key) for key, inner in fields.items()}
            case "array":
                if "point" in _snake(name) or "highlight" in _snake(name):
                    return list(self.facts.key_points)
                least = schema.get("minItems")
                return [self.value(schema.get("items"), name)] * (least if isinstance(least, int) else 0)
            case "boolean":
                return self._truth(name)
            case "integer" | "number":
                least = schema.get("minimum", 0)
                return least if isinstance(least, int | float) else 0
            case "null":
                return None
            case _:
                return self._words(name, schema)

    def _truth(self, name: str) -> bool:
        plain = _snake(name)
        if "goal" in plain or "achieved" in plain or "success" in plain:
            return self.facts.outcome == "goal_achieved"
        if "not_call" in plain or "opt" in plain or "dnc" in plain:
            return self.facts.outcome == "do_not_call"
        if "human" in plain:
            return self.facts.outcome == "human_requested"
        return "voicemail" in plain and self.facts.outcome == "voicemail_left"

    def _choice(self, options: list[Json], name: str) -> Json:
        by_name = {_snake(str(option)): option for option in options}
        plain = _snake(name)
        wanted: Sequence[str] = ()
        if "outcome" in plain or "result" in plain or "disposition" in plain:
            wanted = (*_OUTCOME_NAMES[self.facts.outcome], "other", "incomplete", "unknown")
        elif "interest" in plain:
            wanted = (self.facts.interest, "low")
        elif "sentiment" in plain or "mood" in plain:
            wanted = (self.facts.sentiment, "neutral", "mixed")
        elif "action" in plain:
            wanted = (*_OUTCOME_NAMES[self.facts.outcome], "none")
        return next((by_name[one] for one in wanted if one in by_name), options[-1])

    def _words(self, name: str, schema: JsonObject) -> str:
        plain = _snake(name)
        if schema.get("format") in ("date-time", "date"):
            return "2030-01-01T00:00:00Z" if schema["format"] == "date-time" else "2030-01-01"
        if "action" in plain or "next" in plain:
            return self.facts.next_action
        if "sentiment" in plain:
            return self.facts.sentiment
        if "interest" in plain:
            return self.facts.interest
        if "outcome" in plain:
            return self.facts.outcome
        return self.facts.summary if "summary" in plain or "note" in plain else "none"

    def _resolved(self, reference: str) -> Json:
        here: Json = self.root
        for key in reference.removeprefix("#/").split("/"):
            here = here.get(key) if isinstance(here, dict) else None
        return here


def _snake(name: str) -> str:
    return re.sub(r"[\s-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)).lower()
