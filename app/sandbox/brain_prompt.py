"""What the stand-in model reads out of its instructions: Markdown with level-2 headings, all of them optional."""

import re
from dataclasses import dataclass

_HEADING = re.compile(r"^##[ \t]+(.+?)[ \t]*$", re.MULTILINE)
_QUESTION = re.compile(r"^\s*(?:\d+[.)]|[-*])\s+(.+?)\s*$", re.MULTILINE)
_SAY_EXACTLY = re.compile(r"say exactly:\s*[\"“](.+)[\"”]", re.IGNORECASE)
_OFFER = re.compile(r"\bsay once that a (?:person|human)\b", re.IGNORECASE)
_WORD = r"[A-Z0-9](?:[\w&'’-]|\.(?=\w))*"
_NAME = rf"({_WORD}(?:\s+(?:(?:&|and|of|the)\s+)?{_WORD})*)"
_BUSINESS = (
    re.compile(r"^\s*-\s*(?:business|business name|company)\s*:\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE),
    re.compile(r"\b(?:on behalf of|assistant (?:of|for|at|with|from|calling for)|calling (?:for|from))\s+" + _NAME),
    re.compile(r"\b(?:for|from|at|of|with)\s+" + _NAME),
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The parts of the instructions the brain makes use of; "" and () for what is missing."""

    business: str
    opening: str
    purpose: str
    questions: tuple[str, ...]
    closing: str
    offers_person: bool


def read_prompt(instructions: str) -> Prompt:
    """Reads the headings named in the prompt templates; text under each is free prose."""
    marks = list(_HEADING.finditer(instructions))
    ends = [*(mark.start() for mark in marks[1:]), len(instructions)]
    parts = {
        mark.group(1).strip().lower(): instructions[mark.end() : end].strip()
        for mark, end in zip(marks, ends, strict=False)
    }
    who = parts.get("who you are", "")
    opening = _words(parts.get("opening line", ""))
    facts = parts.get("what you know", "")
    return Prompt(
        business=_business(facts, who, opening),
        opening=opening,
        purpose=_first_sentence(parts.get("why you are calling", "")),
        questions=tuple(_words(question) for question in _QUESTION.findall(parts.get("questions to ask", ""))),
        closing=_words(parts.get("closing line", "")),
        offers_person=bool(_OFFER.search(parts.get("rules", ""))),
    )


def words_to_say(instructions: str) -> str | None:
    """The words of a `Say exactly: "…"` line."""
    found = _SAY_EXACTLY.search(instructions)
    return found.group(1).strip() if found else None


def _business(facts: str, who: str, opening: str) -> str:
    for pattern, text in ((_BUSINESS[0], facts), (_BUSINESS[1], who), (_BUSINESS[1], opening), (_BUSINESS[2], who)):
        found = pattern.search(text)
        if found:
            return found.group(1).rstrip(".,'’")
    return "the business"


def _words(text: str) -> str:
    """The words themselves: on one line, without the quotes or quote marks they may be written in."""
    plain = " ".join(line.lstrip("> ").strip() for line in text.splitlines())
    plain = plain.strip()
    if len(plain) > 1 and plain[0] in '"“' and plain[-1] in '"”':
        plain = plain[1:-1].strip()
    return plain


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s+", _words(text), maxsplit=1)[0]
