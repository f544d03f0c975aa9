"""The stand-in model's mind: a deterministic function of its instructions and of what it remembers of the conversation.

It asks the numbered questions of its instructions one by one, and leaves that path when the person objects, asks back,
wants a human or wants no more calls (rules: `model/intents.yaml`). It never calls a tool it was not offered.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from callwright.app.sandbox.brain_intents import Intents, normalised
from callwright.app.sandbox.brain_prompt import Prompt, read_prompt, words_to_say
from callwright.app.sandbox.hearing import GAP

_ACKNOWLEDGED = ("Great, thank you.", "Got it.", "Perfect, thanks.", "Understood.", "Okay, good to know.")
_ENOUGH_HEARD = 0.5
_OFFER = "If you would rather speak with a person, just say so."
_TIME_IS_UP = "almost up"


@dataclass(frozen=True, slots=True)
class Said:
    """What the model remembers saying: after an interruption only what was heard."""

    text: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What the person said, as it arrived."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A tool the model called; `output` is None until the client answered."""

    name: str
    output: str | None


Memory = Said | Heard | Called


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call to make; the arguments become a JSON object."""

    name: str
    arguments: dict[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What to say (None for nothing), then the function to call, in one response."""

    say: str | None = None
    call: ToolCall | None = None


@dataclass(frozen=True, slots=True)
class _Situation:
    """All that one reply depends on."""

    prompt: Prompt
    memories: Sequence[Memory]
    tools: Collection[str]

    @property
    def said(self) -> list[str]:
        return [memory.text for memory in self.memories if isinstance(memory, Said)]

    @property
    def heard(self) -> str:
        """Everything the person said since the model last spoke or called."""
        latest: list[str] = []
        for memory in reversed(self.memories):
            if not isinstance(memory, Heard):
                break
            latest.insert(0, memory.text)
        return " ".join(latest).strip()

    def asked(self, question: str) -> bool:
        """Whether at least half of the question was heard by the person."""
        words = _plain(question)
        needed = words[: max(1, round(len(words) * _ENOUGH_HEARD))]
        return any(_contains(_plain(text), needed) for text in self.said)

    @property
    def next_question(self) -> str | None:
        return next((question for question in self.prompt.questions if not self.asked(question)), None)

    @property
    def open_question(self) -> str | None:
        """The question asked last, to come back to."""
        return next((question for question in reversed(self.prompt.questions) if self.asked(question)), None)


class Brain:
    """Decides what the stand-in model says and does next."""

    def __init__(self, intents: Intents) -> None:
        self._intents = intents

    def reply(
        self,
        instructions: str,
        memories: Sequence[Memory],
        tools: Collection[str],
        response_instructions: str | None = None,
    ) -> Reply:
        """The next response. `response_instructions` replace the session's if they have headings of their own."""
        if response_instructions is not None:
            exactly = words_to_say(response_instructions)
            if exactly is not None:
                return Reply(exactly)
            if "\n## " in f"\n{response_instructions}":
                instructions = response_instructions
        situation = _Situation(read_prompt(instructions), memories, tools)
        last = memories[-1] if memories else None
        if isinstance(last, Called):
            return _after_tool(situation, last)
        if any(isinstance(memory, Called) and memory.name == "end_call" for memory in memories):
            return Reply("Goodbye.")
        return self._answer(situation)

    def _answer(self, situation: _Situation) -> Reply:
        heard = situation.heard
        intent = self._intents.of(heard)
        ending = _ending(situation, intent, heard)
        if ending is not None:
            return ending
        if not situation.said:
            return Reply(_opening(situation.prompt))
        if GAP in heard:
            return Reply(_and_then("Sorry, I didn't catch that.", situation.open_question))
        if not heard:
            return Reply(_and_then("Are you still there?", situation.open_question))
        if intent == "question":
            return self._ask_for_guidance(situation)
        line = _line_for(situation.prompt, intent, situation.said)
        if line is not None:
            return Reply(line if intent in ("hold_on", "repeat") else _and_then(line, _back_to(situation)))
        return _go_on(situation, _ACKNOWLEDGED[len(situation.said) % len(_ACKNOWLEDGED)])

    def _ask_for_guidance(self, situation: _Situation) -> Reply:
        question = _question_in(situation.heard)
        if "get_guidance" in situation.tools:
            return Reply(None, ToolCall("get_guidance", {"question": question}))
        return Reply(_and_then(_promise(situation.prompt), _back_to(situation)))


def _after_tool(situation: _Situation, called: Called) -> Reply:
    if called.name == "opt_out":
        return _goodbye(situation, "I'm sorry for the trouble. We won't call you again. Goodbye.", "do_not_call")
    if called.name == "request_human":
        words = f"Of course. Someone from {situation.prompt.business} will call you back. Thank you, goodbye."
        return _goodbye(situation, words, "human_requested")
    if called.name == "get_guidance":
        advice = _advice(called.output) or _promise(situation.prompt)
        asked = [memory.text for memory in situation.memories if isinstance(memory, Heard)]
        if asked and _states_something(asked[-1]):
            return _go_on(situation, advice)
        return Reply(_and_then(advice, _back_to(situation)))
    return Reply("Goodbye.")


def _ending(situation: _Situation, intent: str | None, heard: str) -> Reply | None:
    """The replies that end the call or lead to its end."""
    tried = {memory.name for memory in situation.memories if isinstance(memory, Called)}
    if intent == "opt_out":
        if "opt_out" in situation.tools and "opt_out" not in tried:
            return Reply(None, ToolCall("opt_out", {"words": heard}))
        return _goodbye(situation, "I'm sorry for the trouble. We won't call you again. Goodbye.", "do_not_call")
    if intent == "human":
        if "request_human" in situation.tools and "request_human" not in tried:
            return Reply(None, ToolCall("request_human", {"reason": heard}))
        words = f"Of course. Someone from {situation.prompt.business} will call you back. Thank you, goodbye."
        return _goodbye(situation, words, "human_requested")
    if intent == "wrong_number":
        return _goodbye(situation, "I'm sorry, I must have the wrong number. Have a good day. Goodbye.", "wrong_number")
    if intent == "declined":
        return _goodbye(situation, "I understand. Thank you for your time, and have a good day. Goodbye.", "declined")
    if intent == "later":
        words = f"That makes sense. {situation.prompt.business} will get back to you then. Thank you, goodbye."
        return _goodbye(situation, words[0].upper() + words[1:], "follow_up_later")
    if intent == "goodbye" and situation.said:
        achieved = situation.prompt.closing and situation.next_question is None
        return _goodbye(situation, "Thank you, goodbye.", "goal_achieved" if achieved else "other")
    return None


def _go_on(situation: _Situation, words: str) -> Reply:
    """The next question, or the closing line once all are asked or the time is up."""
    question = situation.next_question
    if question is not None and any(_TIME_IS_UP in text for text in situation.said[-1:]):
        return _goodbye(situation, f"{words} Thank you for your time. Goodbye.", "other")
    if question is not None:
        offered = any(_OFFER in text for text in situation.said)
        offer = f" {_OFFER}" if situation.prompt.offers_person and not offered else ""
        return Reply(f"{words}{offer} {question}")
    closing = situation.prompt.closing or "That is all I needed. Thank you for your time. Goodbye."
    return _goodbye(situation, closing if words in _ACKNOWLEDGED else f"{words} {closing}", "goal_achieved")


def _goodbye(situation: _Situation, words: str, reason: str) -> Reply:
    return Reply(words, ToolCall("end_call", {"reason": reason}) if "end_call" in situation.tools else None)


def _line_for(prompt: Prompt, intent: str | None, said: Sequence[str]) -> str | None:
    """The lines the model has of its own, for the person's commonest questions."""
    match intent:
        case "robot":
            return f"Yes, I'm an AI assistant calling for {prompt.business}."
        case "who":
            return " ".join(filter(None, (f"I'm an AI assistant calling for {prompt.business}.", prompt.purpose)))
        case "recorded":
            return "Yes, this call is recorded."
        case "greeting":
            return "Thanks for picking up."
        case "go_on":
            return "Just a few things."
        case "hold_on":
            return "Sure, take your time."
        case "repeat":
            return f"Of course. {said[-1]}"
        case _:
            return None


def _opening(prompt: Prompt) -> str:
    return prompt.opening or f"Hello, this is an AI assistant calling for {prompt.business} on a recorded line."


def _back_to(situation: _Situation) -> str | None:
    """The open question, or the first one if none was asked yet."""
    return situation.open_question or situation.next_question


def _promise(prompt: Prompt) -> str:
    return f"I don't have that detail here, but {prompt.business} will get back to you on it."


def _and_then(words: str, question: str | None) -> str:
    return f"{words} {question}" if question else words


def _advice(output: str | None) -> str | None:
    """The advice in the tool's output: a JSON object with `advice`, or plain words."""
    if not output:
        return None
    try:
        data = json.loads(output)
    except ValueError:
        return output.strip()
    advice = data.get("advice") if isinstance(data, dict) else data
    return advice.strip() if isinstance(advice, str) and advice.strip() else None


def _question_in(heard: str) -> str:
    asked = [sentence for sentence in _sentences(heard) if sentence.endswith("?")]
    return " ".join(asked) or heard


def _states_something(heard: str) -> bool:
    """Whether a question came together with an answer, so that the open question is settled."""
    return any(not sentence.endswith("?") and len(sentence.split()) >= 2 for sentence in _sentences(heard))


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in re.split(r"(?<=[.!?])\s+", text.strip()) if sentence]


def _plain(text: str) -> list[str]:
    return re.findall(r"[\w']+", normalised(text))


def _contains(words: list[str], part: list[str]) -> bool:
    return any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))
