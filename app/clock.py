"""The wall clock as a value that is passed in, so that a test or the sandbox can set it."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Gives the present as an aware UTC datetime."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SandboxCallingClock:
    """Today's date at an hour when every US state may be called, so that the demo works at any hour.

    The time of day is squeezed into 20:00-21:00 UTC (15:00 in New York in winter, 10:00 in Honolulu); order within a
    day is kept. Only the calling-window rule reads it, and only in the sandbox: `Settings` refuses it with real keys.
    """

    def __init__(self, base: Clock) -> None:
        self._base = base

    def now(self) -> datetime:
        real = self._base.now()
        midnight = real.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight.replace(hour=20) + (real - midnight) / 24
