"""What a person means by what they say, by rules kept as data in `model/intents.yaml`."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

DATA = Path(__file__).with_name("model")


@dataclass(frozen=True, slots=True)
class Intents:
    """The rules, in order of weight."""

    rules: tuple[tuple[str, re.Pattern[str]], ...]
    voicemail: re.Pattern[str]

    def of(self, words: str) -> str | None:
        """The weightiest intent in the words, such as "opt_out"; None for a plain answer."""
        plain = normalised(words)
        return next((name for name, pattern in self.rules if pattern.search(plain)), None)


def normalised(words: str) -> str:
    """Lower case, straight apostrophes, single blanks."""
    return " ".join(words.lower().replace("’", "'").replace("…", " ").split())


def load_intents() -> Intents:
    """The rules of `model/intents.yaml`, read and compiled: some ten milliseconds, so once a process."""
    data = yaml.safe_load((DATA / "intents.yaml").read_text(encoding="utf-8"))
    rules = tuple((rule["name"], _any_of(rule["patterns"])) for rule in data["intents"])
    return Intents(rules, _any_of(data["voicemail"]))


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
