"""What Twilio's answers and webhooks are made of: ids, dates, errors, number rules, signatures, simulated time."""

import asyncio
import base64
import hashlib
import hmac
import random
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

API_VERSION = "2010-04-01"
E164 = re.compile(r"\+[1-9]\d{6,14}")
NANP = re.compile(r"\+1[2-9]\d{2}[2-9]\d{6}")


class TwilioError(Exception):
    """A refusal as Twilio words it: `{"code", "message", "more_info", "status"}` with that HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status

    def body(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


class AnswerLost(Exception):
    """The request was carried out, but its HTTP answer must never reach the client."""


class SimClock:
    """Simulated time: runs `speed` times as fast as the wall clock."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("speed must be greater than 0")
        self.speed = speed
        self._epoch = time.monotonic()

    def now_ms(self) -> float:
        """Simulated milliseconds since the sandbox started."""
        return (time.monotonic() - self._epoch) * 1000 * self.speed

    async def sleep(self, seconds: float) -> None:
        """Waits that many simulated seconds."""
        await asyncio.sleep(seconds / self.speed)

    async def sleep_until(self, at_ms: float) -> None:
        """Waits until the given simulated instant; yields once to the event loop even if it is past."""
        await asyncio.sleep(max(0.0, (at_ms - self.now_ms()) / 1000 / self.speed))


class SidMaker:
    """Twilio ids: two letters and 32 hex digits; reproducible when a seed is given, else unique for ever."""

    def __init__(self, seed: int | None) -> None:
        self._random = None if seed is None else random.Random(seed)

    def __call__(self, prefix: str) -> str:
        if self._random is None:
            return prefix + uuid.uuid4().hex
        return f"{prefix}{self._random.getrandbits(128):032x}"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a request (body or query), in order, a key possibly repeated."""

    pairs: tuple[tuple[str, str], ...]

    @staticmethod
    def of(items: Iterable[tuple[str, object]]) -> "Form":
        return Form(tuple((name, value) for name, value in items if isinstance(value, str)))

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        """Every value of the key; values holding several words separated by spaces count as several."""
        return [word for key, value in self.pairs if key == name for word in value.split()]

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)

    def flag(self, name: str) -> bool:
        return self.get(name).lower() == "true"

    def seconds(self, name: str, default: int, most: int) -> int:
        text = self.get(name)
        if not text:
            return default
        if not text.isdigit():
            raise TwilioError(20001, f"Invalid parameter {name}: a whole number is required")
        return min(int(text), most)


def rfc2822(moment: datetime | None) -> str | None:
    """`Sun, 22 Nov 2026 15:30:00 +0000`, the only date form the SDK reads; None stays None."""
    return None if moment is None else format_datetime(moment.astimezone(UTC))


def wire_now() -> datetime:
    return datetime.now(UTC)


def pretty_number(number: str) -> str:
    """`to_formatted` of the resource: `(312) 555-0100` for a North American number, else unchanged."""
    if NANP.fullmatch(number):
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number


def check_to(number: str) -> None:
    if not number:
        raise TwilioError(21201, "No 'To' number is specified")
    if not E164.fullmatch(number) or (number.startswith("+1") and not NANP.fullmatch(number)):
        raise TwilioError(21211, f"The phone number you are attempting to call, {number}, is not valid.")


def check_from(number: str) -> None:
    if not number:
        raise TwilioError(21213, "Phone number for 'From' is required")
    if not E164.fullmatch(number) or (number.startswith("+1") and not NANP.fullmatch(number)):
        raise TwilioError(21212, f"The source phone number provided, {number}, is not a valid phone number.")


def sign(auth_token: str, url: str, fields: Iterable[tuple[str, str]] = ()) -> str:
    """`X-Twilio-Signature`: base64 HMAC-SHA1 over the URL and the sorted fields; a repeated value counts once."""
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()).decode()
