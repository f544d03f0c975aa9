"""What all calls of the carrier share, and how it reports on one of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from callwright.app.sandbox.callee import MISHEARD, Voices
from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.ledger import Ledger
from callwright.app.sandbox.persona import Answer, Directory, Persona
from callwright.app.sandbox.speech import Speaker, Utterance
from callwright.app.sandbox.twilio_book import CallRecord, RecordingRecord, Status
from callwright.app.sandbox.twilio_order import Hook
from callwright.app.sandbox.twilio_webhooks import Webhooks
from callwright.app.sandbox.twilio_wire import API_VERSION, SidMaker, SimClock, rfc2822, wire_now

KEPT_RECORDINGS = 50  # audio of older ones is dropped, 15 MB each at most
PLACES = ("City", "State", "Zip", "Country")


@dataclass(slots=True)
class Office:
    """The carrier's equipment, built once by the server."""

    clock: SimClock
    ledger: Ledger
    webhooks: Webhooks
    directory: Directory
    speaker: Speaker
    ear: Ear
    sids: SidMaker
    calls_per_second: float = 0.0  # 0 = every call starts at once
    recordings: dict[str, RecordingRecord] = field(default_factory=dict)
    _next_start_ms: float = 0.0

    def queue_ms(self) -> int:
        """Takes a place in the account's queue: how long this call waits, in simulated milliseconds."""
        if not self.calls_per_second:
            return 0
        now = self.clock.now_ms()
        start = max(now, self._next_start_ms)
        self._next_start_ms = start + 1000 / self.calls_per_second
        return int(start - now)

    def keep(self, recording: RecordingRecord) -> None:
        """Adds a recording; the oldest beyond the newest 50 lose their audio."""
        self.recordings[recording.sid] = recording
        for old in list(self.recordings.values())[:-KEPT_RECORDINGS]:
            old.wav = None

    async def rehearse(self, persona: Persona) -> Voices:
        """Synthesises everything the persona may say, so that nobody is late on the phone."""
        lines = persona.lines()
        if persona.answer in (Answer.PERSON, Answer.SCREENED):
            lines.append((persona.voice, MISHEARD.say))
        return await asyncio.to_thread(self._synthesise, lines)

    async def speak(self, text: str, language: str) -> bytes:
        """A `<Say>` as audio."""
        voice = "es" if language.lower().startswith("es") else "en-us"
        return (await asyncio.to_thread(self.speaker.say, text, voice)).audio

    def _synthesise(self, lines: list[tuple[str, str]]) -> dict[tuple[str, str], Utterance]:
        return {(voice, text): self.speaker.say(text, voice) for voice, text in lines}


def core_fields(record: CallRecord) -> dict[str, str]:
    """The fields every voice webhook carries; places are empty strings, which are signed too."""
    called = {"To": record.to, "Called": record.to, "From": record.from_, "Caller": record.from_}
    fields = {
        "CallSid": record.sid,
        "AccountSid": record.account_sid,
        "CallStatus": str(record.status),
        "ApiVersion": API_VERSION,
        "Direction": record.direction,
        **called,
        **{who + place: "US" if place == "Country" else "" for who in called for place in PLACES},
    }
    return fields if record.parent_call_sid is None else {**fields, "ParentCallSid": record.parent_call_sid}


class StatusReporter:
    """Status callbacks of one call, in the order they happened, each a request of its own."""

    def __init__(self, office: Office, record: CallRecord, hook: Hook, events: frozenset[str]) -> None:
        self._office = office
        self._record = record
        self._hook = hook
        self._events = events
        self._sequence = 0

    def tell(self, event: str, extra: Mapping[str, str]) -> None:
        """Reports the call's present status if the customer asked for this event."""
        if not self._hook.url or event not in self._events:
            return
        fields = {
            **core_fields(self._record),
            "Timestamp": rfc2822(wire_now()) or "",
            "SequenceNumber": str(self._sequence),
            "CallbackSource": "call-progress-events",
            **extra,
        }
        if self._record.status in (Status.RINGING, Status.IN_PROGRESS):
            fields["StirStatus"] = "B"
        self._sequence += 1
        token = self._office.sids("")
        self._office.webhooks.post(self._hook.url, self._hook.method, fields, token)
