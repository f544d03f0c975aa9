"""What we need of a telephone carrier, and the three ways its answer can be bad."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class CarrierStatus(StrEnum):
    """Where the carrier says a call is; Twilio's words."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


CARRIER_FINAL = frozenset(
    {
        CarrierStatus.COMPLETED,
        CarrierStatus.BUSY,
        CarrierStatus.FAILED,
        CarrierStatus.NO_ANSWER,
        CarrierStatus.CANCELED,
    }
)


@dataclass(frozen=True, slots=True)
class CreateCall:
    """One call to place. Numbers are E.164; the URLs carry `attempt_id`; seconds."""

    attempt_id: UUID
    to: str
    from_: str
    twiml_url: str
    status_url: str
    ring_seconds: int
    max_seconds: int


@dataclass(frozen=True, slots=True)
class CarrierCall:
    """A call as the carrier has it on record. `duration_seconds` is None until it is over."""

    sid: str
    status: CarrierStatus
    created_at: datetime
    duration_seconds: int | None = None


class CarrierError(Exception):
    """The base of the carrier's bad answers. Its text holds codes only, never a number or the carrier's wording."""


class CarrierRefused(CarrierError):
    """The carrier said no and did nothing. `permanent` when asking again later would be refused again."""

    def __init__(self, code: int, *, permanent: bool) -> None:
        super().__init__(f"carrier refused: {code}")
        self.code = code
        self.permanent = permanent


class CarrierThrottled(CarrierError):
    """The carrier was too busy and guarantees that it did nothing (HTTP 429, code 20429)."""


class CarrierUnsure(CarrierError):
    """No usable answer (timeout, 5xx, connection lost): what was asked for may or may not have been done."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"carrier's answer unknown: {cause}")
        self.cause = cause


class Carrier(Protocol):
    """A carrier's REST interface. Every method may raise CarrierRefused, CarrierThrottled or CarrierUnsure."""

    async def create_call(self, request: CreateCall) -> str:
        """Places the call and returns the carrier's id. Never repeats the request by itself."""
        ...

    async def calls_since(self, to: str, from_: str, since: datetime) -> Sequence[CarrierCall]:
        """The calls between the two numbers that were created at `since` or later, newest first."""
        ...

    async def fetch_call(self, sid: str) -> CarrierCall | None:
        """The call as it is now, or None when the carrier knows no such call."""
        ...

    async def hang_up(self, sid: str) -> None:
        """Ends the call whatever its state; one that is already over is fine."""
        ...

    async def send_message(self, to: str, from_: str, body: str) -> str:
        """Sends a text message and returns the carrier's id."""
        ...
