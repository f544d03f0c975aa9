"""Shows other people's text to a model as data: one line, nothing invisible, between markers it cannot contain."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence

LONGEST_VALUE = 4000
_LINE_BREAKING = {"Cc", "Zl", "Zp"}
# Formats (bidirectional overrides, zero-width and tag characters), surrogates, private use, unassigned.
_INVISIBLE = {"Cf", "Cs", "Co", "Cn"}


def one_line(text: str, limit: int = LONGEST_VALUE) -> str:
    """`text` on one line of at most `limit` characters, without control and invisible characters."""
    kept: list[str] = []
    for char in text:
        category = unicodedata.category(char)
        if category in _LINE_BREAKING:
            kept.append(" ")
        elif category not in _INVISIBLE:
            kept.append(char)
    return " ".join("".join(kept).split())[:limit].rstrip()


def fenced_facts(facts: Mapping[str, str]) -> str:
    """The facts as `- key: value` lines between DATA markers; empty values are left out."""
    lines = [f"- {one_line(key, 60)}: {one_line(value)}" for key, value in facts.items() if one_line(value)]
    return fenced(lines)


def fenced(lines: Sequence[str]) -> str:
    """The lines, each made one line, between markers named by their own hash.

    The hash is taken again until the data does not contain it, so no data can close its fence, and the same data
    always gives the same text.
    """
    body = "\n".join(one_line(line, 2 * LONGEST_VALUE) for line in lines)
    mark = hashlib.sha256(body.encode()).hexdigest()[:16]
    while mark in body:
        mark = hashlib.sha256(mark.encode()).hexdigest()[:16]
    return f"<<<DATA {mark}\n{body}\nDATA {mark}>>>"
