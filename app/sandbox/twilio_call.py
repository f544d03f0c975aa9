"""The life of one outbound call: queue, ring, answer, TwiML, hang-up, and all the carrier reports on the way."""

import asyncio
import math
from dataclasses import dataclass, field

from callwright.app.sandbox.callee import Callee, Voices
from callwright.app.sandbox.callee import Line as Words
from callwright.app.sandbox.persona import Answer, Persona
from callwright.app.sandbox.twilio_amd import Verdict, judge
from callwright.app.sandbox.twilio_book import CallRecord, RecordingRecord, Status
from callwright.app.sandbox.twilio_line import Line
from callwright.app.sandbox.twilio_office import Office, StatusReporter
from callwright.app.sandbox.twilio_order import Order, Update
from callwright.app.sandbox.twilio_script import Page, Script
from callwright.app.sandbox.twilio_tape import Tape
from callwright.app.sandbox.twilio_wire import TwilioError, rfc2822, wire_now

SETUP_SECONDS = 0.1  # between the request and the first sign of life
ROUTING_SECONDS = 0.3  # between dialling out and ringing
BUSY_SECONDS = 1.0
PRICE_AFTER_SECONDS = 2.0
SIP = {
    Status.COMPLETED: "200",
    Status.BUSY: "486",
    Status.NO_ANSWER: "487",
    Status.FAILED: "603",
    Status.CANCELED: "487",
}


@dataclass(slots=True)
class LiveCall:
    """One call from its creation to its end; `run` is its only task."""

    office: Office
    order: Order
    record: CallRecord
    persona: Persona
    posts: int  # POSTs asking for this number so far, this one included
    script: Script | None = None
    callee: Callee | None = None
    line: Line | None = None
    legs: list[tuple[CallRecord, Callee]] = field(default_factory=list)
    recording: RecordingRecord | None = None
    ended_by: str = ""
    history: list[tuple[str, float]] = field(default_factory=list)  # (status, simulated ms)
    _reporter: StatusReporter = field(init=False)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _redirect: asyncio.Event = field(default_factory=asyncio.Event)
    _next: Page | Update | None = None

    def __post_init__(self) -> None:
        self._reporter = StatusReporter(self.office, self.record, self.order.status, self.order.status_events)
        self.history.append((str(self.record.status), self.office.clock.now_ms()))

    def update(self, wanted: Update) -> None:
        """Applies `POST Calls/{sid}.json`. Raises TwilioError 21220 when it is too late."""
        status = self.record.status
        if status.final or (wanted.status == "canceled" and status is Status.IN_PROGRESS):
            raise TwilioError(21220, "Call is not in-progress. Cannot redirect.")
        if wanted.status:
            self._end("api")
            if status is not Status.IN_PROGRESS:
                self._set(Status.CANCELED, tell=status is not Status.QUEUED)
        elif wanted.twiml or wanted.answer.url:
            if status is not Status.IN_PROGRESS:
                raise TwilioError(21220, "Call is not in-progress. Cannot redirect.")
            self._next = Page(wanted.twiml) if wanted.twiml else wanted
            self._redirect.set()

    async def run(self) -> None:
        """Lives the call; whatever happens, it ends in a final status."""
        rehearsal = asyncio.create_task(self.office.rehearse(self.persona))
        try:
            if await self._ring():
                await self._talk(await rehearsal)
        finally:
            rehearsal.cancel()
            if not self.record.status.final:
                self._set(Status.FAILED)
        await self.office.clock.sleep(PRICE_AFTER_SECONDS)
        self.record.price_now()

    async def _ring(self) -> bool:
        """From the queue to the answer; False when nobody did."""
        if await self._ended_within(SETUP_SECONDS + self.record.queue_ms / 1000):
            return False
        self._set(Status.INITIATED, "initiated")
        answer = self.persona.answer
        if await self._ended_within(BUSY_SECONDS if answer is Answer.BUSY else ROUTING_SECONDS):
            return False
        if answer in (Answer.BUSY, Answer.REFUSED):
            self._set(Status.BUSY if answer is Answer.BUSY else Status.FAILED)
            return False
        self._set(Status.RINGING, "ringing")
        rings = math.inf if answer is Answer.NONE else self.persona.ring_seconds
        if await self._ended_within(min(rings, self.order.timeout)):
            return False
        if rings > self.order.timeout:
            self._set(Status.NO_ANSWER)
            return False
        return True

    async def _talk(self, voices: Voices) -> None:
        """From the answer to the hang-up."""
        if self.record.status.final:
            return
        callee = self.callee = Callee(self.persona, voices, self.office.ear.hear)
        line = self.line = Line(callee, self.office.clock, Tape() if self.order.record else None)
        self.script = Script(self.office, self.record, line, self.order.fallback, self._add_leg)
        self.record.start_time = wire_now()
        self._set(Status.IN_PROGRESS, "answered")
        self._start_recording()
        audio = asyncio.create_task(line.run(self.order.time_limit))
        script = asyncio.create_task(self._follow_script(self.script, judge(callee, self.order)))
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({audio, script, over}, return_when=asyncio.FIRST_COMPLETED)
            if audio.done():
                self._end("callee" if audio.result() else "time-limit")
            self._end("twiml")
        finally:
            over.cancel()
            script.cancel()
            line.stop()
            await asyncio.gather(audio, script, over, return_exceptions=True)
            self._hang_up(line)
        if not script.cancelled() and (error := script.exception()) is not None:
            raise error

    async def _follow_script(self, script: Script, verdict: Verdict) -> None:
        """Answers with the first document, then with each the customer redirects to; returns to hang up."""
        extra: dict[str, str] = {}
        watch: asyncio.Task[None] | None = None
        try:
            if self.order.machine_detection and self.order.async_amd:
                watch = asyncio.create_task(self._tell_verdict(verdict))
            elif self.order.machine_detection:
                await self._wait_for_line(verdict.at_ms)
                self.record.answered_by = verdict.answered_by
                extra = {"AnsweredBy": verdict.answered_by, "MachineDetectionDuration": str(verdict.at_ms)}
            page = Page(self.order.twiml) if self.order.twiml else await script.fetch(self.order.answer, extra)
            while await self._redirected(script, page):
                page = await self._next_page(script)
        finally:
            if watch is not None:
                watch.cancel()

    async def _redirected(self, script: Script, page: Page | None) -> bool:
        """Runs a document; True if the customer redirected the call meanwhile, False if it is over."""
        running = asyncio.create_task(script.perform(page))
        called = asyncio.create_task(self._redirect.wait())
        try:
            await asyncio.wait({running, called}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            running.cancel()
            called.cancel()
            await asyncio.gather(running, called, return_exceptions=True)
        return self._next is not None

    async def _next_page(self, script: Script) -> Page | None:
        wanted, self._next = self._next, None
        self._redirect.clear()
        return await script.fetch(wanted.answer, {}) if isinstance(wanted, Update) else wanted

    async def _wait_for_line(self, at_ms: int) -> None:
        while self.line is not None and self.line.ms < at_ms:
            await self.office.clock.sleep((at_ms - self.line.ms) / 1000)

    async def _tell_verdict(self, verdict: Verdict) -> None:
        await self._wait_for_line(verdict.at_ms)
        self.record.answered_by = verdict.answered_by
        if not self.order.amd.url:
            self.office.ledger.record("twilio", "amd.unreported", code=21262, call=self.record.sid)
            return
        fields = {
            "CallSid": self.record.sid,
            "AccountSid": self.record.account_sid,
            "AnsweredBy": verdict.answered_by,
            "MachineDetectionDuration": str(verdict.at_ms),
        }
        self.office.webhooks.post(self.order.amd.url, self.order.amd.method, fields, self.office.sids(""))

    def _end(self, by: str) -> None:
        self.ended_by = self.ended_by or by
        self._over.set()

    async def _ended_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds / self.office.clock.speed):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    def _set(self, status: Status, event: str = "completed", *, tell: bool = True) -> None:
        """Moves the call on and reports it; final statuses carry how it ended."""
        if self.record.status.final:
            return
        self.record.status = status
        self.record.updated = wire_now()
        self.history.append((str(status), self.office.clock.now_ms()))
        extra: dict[str, str] = {}
        if status.final:
            self.record.end_time = self.record.updated
            extra = {"CallDuration": str(self.record.duration_seconds or 0), "SipResponseCode": SIP[status]}
        if status is Status.COMPLETED:
            extra["Duration"] = str(math.ceil((self.record.duration_seconds or 0) / 60))
            if self.recording is not None:
                extra |= self._recording_facts(self.recording)
        if tell:
            self._reporter.tell(event, extra)

    def _hang_up(self, line: Line) -> None:
        self.record.duration_seconds = math.ceil(line.ms / 1000)
        if self.recording is not None and line.tape is not None:
            self.recording.duration_seconds = math.ceil(line.tape.ms / 1000)
            self.recording.status = "completed" if line.tape.ms else "absent"
            line.tape = None  # the recording has it now, until it is deleted
        self._set(Status.COMPLETED)
        if self.recording is not None:
            self._tell_recording(self.recording)

    def _start_recording(self) -> None:
        if self.line is None or self.line.tape is None:
            return
        self.recording = RecordingRecord(
            sid=self.office.sids("RE"),
            account_sid=self.record.account_sid,
            call_sid=self.record.sid,
            channels=self.order.recording_channels,
            track=self.order.recording_track,
            source="OutboundAPI",
            wav=self.line.tape.wav,
        )
        self.office.keep(self.recording)
        self._tell_recording(self.recording)

    def _recording_facts(self, recording: RecordingRecord) -> dict[str, str]:
        return {
            "RecordingSid": recording.sid,
            "RecordingUrl": f"https://api.twilio.com{recording.path}",
            "RecordingDuration": str(recording.duration_seconds or 0),
        }

    def _tell_recording(self, recording: RecordingRecord) -> None:
        if not self.order.recording.url or recording.status not in self.order.recording_events:
            return
        fields = {
            "AccountSid": self.record.account_sid,
            "CallSid": self.record.sid,
            "RecordingStatus": recording.status,
            "RecordingChannels": str(recording.channels),
            "RecordingStartTime": rfc2822(recording.start_time) or "",
            "RecordingSource": recording.source,
            "RecordingTrack": recording.track,
            **self._recording_facts(recording),
        }
        self.office.webhooks.post(self.order.recording.url, self.order.recording.method, fields, self.office.sids(""))

    def _add_leg(self, record: CallRecord, callee: Callee) -> None:
        self.legs.append((record, callee))

    def report(self) -> dict[str, object]:
        """Everything the carrier saw of the call, for `/sandbox/calls`; milliseconds are simulated."""
        return {
            "sid": self.record.sid,
            "to": self.record.to,
            "from": self.record.from_,
            "status": str(self.record.status),
            "persona": self.persona.number,
            "posts": self.posts,
            "answeredBy": self.record.answered_by,
            "endedBy": self.ended_by,
            "durationMs": 0 if self.line is None else self.line.ms,
            "history": [{"status": status, "atMs": round(at_ms)} for status, at_ms in self.history],
            "recordingSid": None if self.recording is None else self.recording.sid,
            "streams": [stream.report() for stream in self.script.streams] if self.script else [],
            **_talk_report(self.callee),
            "legs": [
                {"sid": leg.sid, "to": leg.to, "status": str(leg.status), **_talk_report(who)} for leg, who in self.legs
            ],
        }


def _talk_report(callee: Callee | None) -> dict[str, object]:
    def lines(words: list[Words]) -> list[dict[str, object]]:
        return [{"text": w.text, "startMs": w.start_ms, "endMs": w.end_ms, "cut": w.cut} for w in words]

    if callee is None:
        return {"heard": [], "said": [], "pressed": []}
    return {"heard": lines(callee.heard), "said": lines(callee.said), "pressed": callee.pressed}
