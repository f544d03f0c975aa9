"""Carries out TwiML on a live line."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from callwright.app.sandbox.callee import Callee
from callwright.app.sandbox.persona import Answer
from callwright.app.sandbox.phone import MediaStream, StreamFailed, StreamIdentity, open_stream
from callwright.app.sandbox.twilio_book import CallRecord, Status
from callwright.app.sandbox.twilio_line import Line, Spoken, Transferred
from callwright.app.sandbox.twilio_office import Office, core_fields
from callwright.app.sandbox.twilio_order import Hook
from callwright.app.sandbox.twilio_webhooks import FetchFailed
from callwright.app.sandbox.twilio_wire import wire_now
from callwright.app.sandbox.twiml import Dial, Hangup, Ignored, Pause, Redirect, Say, Stream, TwimlError, Verb, parse

LONGEST_SCRIPT = 100  # documents one call may run through, against a redirect that goes round in circles


@dataclass(frozen=True, slots=True)
class Page:
    """One TwiML document and the URL it came from ("" if it was sent in a request)."""

    text: str
    url: str = ""


@dataclass(slots=True)
class Script:
    """The TwiML side of one answered call. `legs` are the calls `<Dial>` placed, `streams` those it has had."""

    office: Office
    record: CallRecord
    line: Line
    fallback: Hook
    add_leg: Callable[[CallRecord, Callee], None]
    streams: list[MediaStream] = field(default_factory=list)

    async def fetch(self, hook: Hook, extra: Mapping[str, str]) -> Page | None:
        """Asks a URL for TwiML, its fallback if that fails; None (hang up) if both do."""
        fields = {**core_fields(self.record), **extra}
        with self.line.waiting():
            try:
                return Page(await self.office.webhooks.fetch(hook.url, hook.method, fields), hook.url)
            except FetchFailed as error:
                return await self._ask_fallback(hook.url, 11200, str(error))

    async def perform(self, page: Page | None) -> None:
        """Runs documents until one ends without another; the caller then hangs up."""
        for _ in range(LONGEST_SCRIPT):
            if page is None:
                return
            try:
                verbs = parse(page.text, page.url)
            except TwimlError as error:
                self.office.ledger.record(
                    "twilio", "twiml.error", code=error.code, call=self.record.sid, reason=str(error)
                )
                page = await self._ask_fallback(page.url, error.code, str(error))
                continue
            page = await self._run(verbs)

    async def _ask_fallback(self, failed: str, code: int, reason: str) -> Page | None:
        if not self.fallback.url or self.fallback.url == failed:
            return None
        fields = {**core_fields(self.record), "ErrorCode": str(code), "ErrorUrl": failed, "ErrorMessage": reason}
        with self.line.waiting(), contextlib.suppress(FetchFailed):  # the webhooks' ledger has the failure
            text = await self.office.webhooks.fetch(self.fallback.url, self.fallback.method, fields)
            return Page(text, self.fallback.url)
        return None

    async def _run(self, verbs: tuple[Verb, ...]) -> Page | None:
        for verb in verbs:
            after: Hook | None = None
            extra: Mapping[str, str] = {}
            if isinstance(verb, Hangup):
                return None
            if isinstance(verb, Redirect):
                return await self.fetch(Hook(verb.url, verb.method), {})
            if isinstance(verb, Say):
                await self._say(verb)
            elif isinstance(verb, Pause):
                await self.office.clock.sleep(verb.seconds)
            elif isinstance(verb, Stream):
                await self._stream(verb)
                after = Hook(verb.action, verb.method)
            elif isinstance(verb, Dial):
                extra = await self._dial(verb)
                after = Hook(verb.action, verb.method)
            elif isinstance(verb, Ignored):
                self.office.ledger.record("twilio", "twiml.ignored", verb=verb.verb, call=self.record.sid)
            if after is not None and after.url:
                return await self.fetch(after, extra)
        return None

    async def _say(self, verb: Say) -> None:
        with self.line.waiting():
            audio = await self.office.speak(verb.text, verb.language)
        spoken = Spoken(audio * max(1, verb.loop))
        try:
            self.line.far_end = spoken
            await spoken.done.wait()
        finally:
            self.line.far_end = None

    async def _stream(self, verb: Stream) -> None:
        identity = StreamIdentity(self.office.sids("MZ"), self.record.account_sid, self.record.sid, verb.parameters)
        webhooks = self.office.webhooks
        try:
            with self.line.waiting():
                stream = await open_stream(
                    webhooks.session,
                    webhooks.resolve(verb.url),
                    webhooks.signature(verb.url),
                    identity,
                    self.office.ledger,
                )
        except StreamFailed as error:
            self.office.ledger.record(
                "twilio", "stream.failed", code=error.code, call=self.record.sid, reason=str(error)
            )
            self._tell(verb, identity.stream_sid, "stream-error", f"{error.code} {error}")
            return
        self.streams.append(stream)
        self._tell(verb, identity.stream_sid, "stream-started")
        try:
            self.line.far_end = stream
            await stream.closed.wait()
        finally:
            self.line.far_end = None
            await stream.stop()
            self._tell(verb, identity.stream_sid, "stream-stopped")

    def _tell(self, verb: Stream, stream_sid: str, event: str, error: str = "") -> None:
        if not verb.status_callback:
            return
        fields = {
            "AccountSid": self.record.account_sid,
            "CallSid": self.record.sid,
            "StreamSid": stream_sid,
            "StreamName": verb.name or stream_sid,
            "StreamEvent": event,
            "Timestamp": wire_now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if error:
            fields["StreamError"] = error
        self.office.webhooks.post(verb.status_callback, verb.status_callback_method, fields, self.office.sids(""))

    async def _dial(self, verb: Dial) -> dict[str, str]:
        """Rings the first number; gives the `action` fields of how it went."""
        number = verb.numbers[0]
        persona = self.office.directory.find(number, dialled=True)
        leg = CallRecord(
            sid=self.office.sids("CA"),
            account_sid=self.record.account_sid,
            to=number,
            from_=verb.caller_id or self.record.from_,
            direction="outbound-dial",
            parent_call_sid=self.record.sid,
            status=Status.RINGING,
        )
        callee = Callee(persona, await self.office.rehearse(persona), self.office.ear.hear)
        self.add_leg(leg, callee)
        rings = persona.ring_seconds if persona.answer is not Answer.NONE else math.inf
        try:
            await self.office.clock.sleep(min(rings, verb.timeout_seconds))
            leg.status = _dial_status(persona.answer, rings > verb.timeout_seconds)
            if leg.status is Status.IN_PROGRESS:
                await self._connect(leg, callee, verb.time_limit_seconds)
        finally:
            if not leg.status.final:
                leg.status = Status.COMPLETED if leg.start_time else Status.CANCELED
            leg.end_time = leg.updated = wire_now()
        fields = {
            "DialCallStatus": str(leg.status),
            "DialCallSid": leg.sid,
            "DialBridged": str(bool(leg.start_time)).lower(),
        }
        return fields if leg.duration_seconds is None else {**fields, "DialCallDuration": str(leg.duration_seconds)}

    async def _connect(self, leg: CallRecord, callee: Callee, limit_seconds: int) -> None:
        leg.start_time = wire_now()
        other = Transferred(callee)
        try:
            self.line.far_end = other
            with contextlib.suppress(TimeoutError):  # the limit ends the leg as a hang-up would
                async with asyncio.timeout(limit_seconds / self.office.clock.speed):
                    await other.done.wait()
        finally:
            self.line.far_end = None
            callee.finish()
            leg.duration_seconds = other.seconds


def _dial_status(answer: Answer, too_late: bool) -> Status:
    if too_late:
        return Status.NO_ANSWER
    return {Answer.BUSY: Status.BUSY, Answer.REFUSED: Status.FAILED}.get(answer, Status.IN_PROGRESS)
