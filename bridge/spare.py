"""What the agent says when there is no model to say it: recorded words, made once by `app/sandbox/spare_lines.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

_AUDIO = Path(__file__).with_name("audio")
_DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class SpareLine:
    """`audio` is mu-law at 8 kHz and says `text`."""

    text: str
    audio: bytes


class SpareLines:
    """The recorded words in each language there is."""

    def __init__(self, lines: Mapping[str, SpareLine]) -> None:
        self._lines = lines

    def of(self, language: str) -> SpareLine:
        """In that language (ISO 639-1), else in English."""
        return self._lines.get(language, self._lines[_DEFAULT])


def load_spare_lines(folder: Path = _AUDIO) -> SpareLines:
    """Reads `call_back.json` (language -> text) and `call_back_<language>.ulaw` beside it; about 60 kB a language."""
    texts: dict[str, str] = orjson.loads((folder / "call_back.json").read_bytes())
    return SpareLines(
        {
            language: SpareLine(text, (folder / f"call_back_{language}.ulaw").read_bytes())
            for language, text in texts.items()
        }
    )
