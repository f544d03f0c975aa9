"""The carrier's book: calls, messages and recordings as Twilio's REST resources show them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from callwright.app.sandbox.twilio_wire import API_VERSION, Form, TwilioError, pretty_number, rfc2822, wire_now

PRICE_PER_MINUTE = 0.014  # USD, Twilio's published outbound US rate as the issue gives it
DATE_FORMATS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d")


class Status(StrEnum):
    QUEUED = "queued"
    INITIATED = "initiated"  # callbacks only; REST shows it as queued
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.BUSY, Status.FAILED, Status.NO_ANSWER, Status.CANCELED})


@dataclass(slots=True)
class CallRecord:
    """One leg. Times are wall-clock UTC; `duration_seconds` is simulated, rounded up, as carriers bill."""

    sid: str
    account_sid: str
    to: str
    from_: str
    direction: str = "outbound-api"
    parent_call_sid: str | None = None
    status: Status = Status.QUEUED
    created: datetime = field(default_factory=wire_now)
    updated: datetime = field(default_factory=wire_now)
    start_time: datetime | None = None
    end_time: datetime | None = None
    duration_seconds: int | None = None
    price: str | None = None
    answered_by: str | None = None
    queue_ms: int = 0

    @property
    def uri(self) -> str:
        return f"/{API_VERSION}/Accounts/{self.account_sid}/Calls/{self.sid}.json"

    def price_now(self) -> None:
        """Sets the price, known only a moment after the end: started minutes at the published rate, negative."""
        if self.status is Status.COMPLETED and self.duration_seconds is not None:
            self.price = f"{-PRICE_PER_MINUTE * math.ceil(self.duration_seconds / 60):.5f}"

    def resource(self) -> dict[str, object]:
        base = self.uri.removesuffix(".json")
        parts = ("Notifications", "Recordings", "Payments", "Events", "Siprec", "Streams", "Transcriptions")
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "parent_call_sid": self.parent_call_sid,
            "to": self.to,
            "to_formatted": pretty_number(self.to),
            "from": self.from_,
            "from_formatted": pretty_number(self.from_),
            "phone_number_sid": None,
            "status": "queued" if self.status is Status.INITIATED else str(self.status),
            "start_time": rfc2822(self.start_time),
            "end_time": rfc2822(self.end_time),
            "duration": None if self.duration_seconds is None else str(self.duration_seconds),
            "price": self.price,
            "price_unit": "USD",
            "direction": self.direction,
            "answered_by": self.answered_by,
            "api_version": API_VERSION,
            "queue_time": str(self.queue_ms),
            "forwarded_from": None,
            "group_sid": None,
            "caller_name": None,
            "trunk_sid": None,
            "annotation": None,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.updated),
            "uri": self.uri,
            "subresource_uris": {part.lower(): f"{base}/{part}.json" for part in parts},
        }


@dataclass(slots=True)
class MessageRecord:
    sid: str
    account_sid: str
    to: str
    from_: str | None
    messaging_service_sid: str | None
    body: str
    status: str = "queued"
    created: datetime = field(default_factory=wire_now)
    sent: datetime | None = None
    price: str | None = None

    def resource(self) -> dict[str, object]:
        uri = f"/{API_VERSION}/Accounts/{self.account_sid}/Messages/{self.sid}.json"
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "messaging_service_sid": self.messaging_service_sid,
            "to": self.to,
            "from": self.from_,
            "body": self.body,
            "status": self.status,
            "num_segments": str(max(1, math.ceil(len(self.body) / 153))),
            "num_media": "0",
            "direction": "outbound-api",
            "api_version": API_VERSION,
            "price": self.price,
            "price_unit": "USD",
            "error_code": None,
            "error_message": None,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.sent or self.created),
            "date_sent": rfc2822(self.sent),
            "uri": uri,
            "subresource_uris": {"media": uri.replace(".json", "/Media.json")},
        }


@dataclass(slots=True)
class RecordingRecord:
    """A recording; `wav` renders the file with one or two channels, or is None once its audio was dropped."""

    sid: str
    account_sid: str
    call_sid: str
    channels: int
    track: str
    source: str
    status: str = "in-progress"
    created: datetime = field(default_factory=wire_now)
    start_time: datetime = field(default_factory=wire_now)
    duration_seconds: int | None = None
    wav: Callable[[int], bytes] | None = None

    @property
    def path(self) -> str:
        return f"/{API_VERSION}/Accounts/{self.account_sid}/Recordings/{self.sid}"

    def resource(self) -> dict[str, object]:
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "call_sid": self.call_sid,
            "conference_sid": None,
            "api_version": API_VERSION,
            "status": self.status,
            "channels": self.channels,
            "track": self.track,
            "source": self.source,
            "duration": None if self.duration_seconds is None else str(self.duration_seconds),
            "start_time": rfc2822(self.start_time),
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.created),
            "price": None,
            "price_unit": "USD",
            "error_code": None,
            "encryption_details": None,
            "media_url": f"https://api.twilio.com{self.path}",
            "uri": f"{self.path}.json",
            "subresource_uris": {},
        }


def pick_calls(calls: Iterable[CallRecord], query: Form) -> list[CallRecord]:
    """The list filters of the Calls resource, newest first.

    A call that has not started is compared by its creation, so that a caller who lost an answer finds it.
    """
    rows = [call for call in calls if _same(call, query)]
    rows.sort(key=lambda call: call.created, reverse=True)
    return [
        call
        for call in rows
        if _in_range(call.start_time or call.created, query, "StartTime")
        and (call.end_time is not None or not any(query.has("EndTime" + sign) for sign in ("", "<", ">")))
        and (call.end_time is None or _in_range(call.end_time, query, "EndTime"))
    ]


def _same(call: CallRecord, query: Form) -> bool:
    shown = "queued" if call.status is Status.INITIATED else str(call.status)
    wanted = {
        "To": call.to,
        "From": call.from_,
        "Status": shown,
        "ParentCallSid": call.parent_call_sid or "",
    }
    return all(query.get(name) in ("", value) for name, value in wanted.items())


def _in_range(moment: datetime, query: Form, name: str) -> bool:
    exact, before, after = query.get(name), query.get(name + "<"), query.get(name + ">")
    whole = moment.replace(microsecond=0)
    if exact and not _date(exact, name) <= whole < _date(exact, name) + timedelta(days=1):
        return False
    if before and whole > _date(before, name):
        return False
    return not after or whole >= _date(after, name)


def _date(text: str, name: str) -> datetime:
    for form in DATE_FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise TwilioError(20001, f"Invalid parameter {name}: a date such as 2026-11-22 or 2026-11-22T15:30:00Z is required")
