"""A conversation as lines for a model to read."""

from collections.abc import Iterable
from typing import Protocol


class SpokenTurn(Protocol):
    """A turn of the bridge or of the database."""

    @property
    def speaker(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def interrupted(self) -> bool: ...


def transcript_lines(turns: Iterable[SpokenTurn]) -> list[str]:
    """`[00:12] agent: …` with minutes and seconds since the stream's start; an interrupted turn ends in a dash."""
    lines: list[str] = []
    for turn in turns:
        minutes, seconds = divmod(turn.start_ms // 1000, 60)
        dash = " —" if turn.interrupted else ""
        lines.append(f"[{minutes:02d}:{seconds:02d}] {turn.speaker}: {turn.text}{dash}")
    return lines
