"""The carrier behind the REST API: accepts calls and messages, keeps them, and runs them."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping

import structlog

from callwright.app.sandbox.twilio_book import CallRecord, MessageRecord
from callwright.app.sandbox.twilio_call import LiveCall
from callwright.app.sandbox.twilio_office import Office
from callwright.app.sandbox.twilio_order import Hook, Order, Update
from callwright.app.sandbox.twilio_wire import (
    API_VERSION,
    E164,
    AnswerLost,
    Form,
    TwilioError,
    check_to,
    wire_now,
)

KEPT_CALLS = 5_000
LONGEST_MESSAGE = 1_600
MESSAGE_PRICE = "-0.00790"  # USD, Twilio's list price of a US text message segment

log = structlog.get_logger()


class Carrier:
    """All calls and messages of the sandbox."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.calls: dict[str, LiveCall] = {}
        self.messages: dict[str, MessageRecord] = {}
        self.posts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def create_call(self, account_sid: str, form: Form) -> CallRecord:
        """`POST Calls.json`. Raises TwilioError, or AnswerLost when the call was created but must not be answered."""
        self.posts[form.get("To")] += 1
        order = Order.read(form)
        persona = self.office.directory.find(order.to)
        quirk = persona.create
        if quirk.error:
            check = f"The phone number you are attempting to call, {order.to}, is not valid."
            raise TwilioError(
                quirk.error, check if quirk.error == 21211 else f"The carrier refused the call to {order.to}."
            )
        if quirk.status and self.posts[order.to] <= quirk.times:
            code = 20429 if quirk.status == 429 else quirk.status + 20_000
            raise TwilioError(code, "Too Many Requests" if quirk.status == 429 else "Service error", quirk.status)
        record = CallRecord(sid=self.office.sids("CA"), account_sid=account_sid, to=order.to, from_=order.from_)
        record.queue_ms = self.office.queue_ms()
        call = LiveCall(self.office, order, record, persona, self.posts[order.to])
        self._keep(call)
        self._start(call.run(), record.sid)
        if quirk.lose_answer:
            raise AnswerLost
        return record

    def call(self, sid: str) -> LiveCall:
        """Raises TwilioError 20404."""
        if sid not in self.calls:
            raise not_found(f"Calls/{sid}.json")
        return self.calls[sid]

    def records(self) -> list[CallRecord]:
        """Every leg, those placed by `<Dial>` included."""
        return [record for call in self.calls.values() for record in (call.record, *(leg for leg, _ in call.legs))]

    def record(self, sid: str) -> CallRecord:
        """One leg. Raises TwilioError 20404."""
        if sid in self.calls:
            return self.calls[sid].record
        for record in self.records():
            if record.sid == sid:
                return record
        raise not_found(f"Calls/{sid}.json")

    def update_call(self, sid: str, form: Form) -> CallRecord:
        """`POST Calls/{sid}.json`. Raises TwilioError."""
        call = self.call(sid)
        call.update(Update.read(form))
        return call.record

    def create_message(self, account_sid: str, form: Form) -> MessageRecord:
        """`POST Messages.json`. Raises TwilioError: 21604, 21211, 21603, 21606, 21602, 21617."""
        to, sender, service, body = (form.get(name) for name in ("To", "From", "MessagingServiceSid", "Body"))
        if not to:
            raise TwilioError(21604, "A 'To' phone number is required.")
        check_to(to)
        if not sender and not service:
            raise TwilioError(21603, "A 'From' phone number is required.")
        if sender and not E164.fullmatch(sender):
            raise TwilioError(21606, f"The 'From' phone number {sender} is not a valid, message-capable phone number.")
        if not body:
            raise TwilioError(21602, "Message body is required.")
        if len(body) > LONGEST_MESSAGE:
            raise TwilioError(21617, "The concatenated message body exceeds the 1600 character limit.")
        record = MessageRecord(self.office.sids("SM"), account_sid, to, sender or None, service or None, body)
        self.messages[record.sid] = record
        self._start(self._deliver(record, Hook.of(form, "StatusCallback", 21609)), record.sid)
        return record

    def report(self) -> Mapping[str, object]:
        """`/sandbox/calls`: each call as carrier and callee saw it, and the POSTs per number, refused ones too."""
        return {"calls": [call.report() for call in self.calls.values()], "posts": dict(self.posts)}

    @property
    def live(self) -> int:
        return sum(not call.record.status.final for call in self.calls.values())

    async def close(self) -> None:
        """Ends every call at once."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.office.webhooks.close()

    def _keep(self, call: LiveCall) -> None:
        self.calls[call.record.sid] = call
        if len(self.calls) > KEPT_CALLS:
            oldest = next((sid for sid, old in self.calls.items() if old.record.status.final), None)
            if oldest is not None:
                del self.calls[oldest]

    def _start(self, work: Coroutine[object, object, None], sid: str) -> None:
        task = asyncio.create_task(work, name=sid)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.office.ledger.record("twilio", "crash", sid=task.get_name(), error=type(error).__name__)
            log.error("sandbox.crash", sid=task.get_name(), exc_info=error)

    async def _deliver(self, record: MessageRecord, hook: Hook) -> None:
        for status in ("queued", "sent", "delivered"):
            if status != "queued":
                await self.office.clock.sleep(0.5)
            record.status = status
            if status == "sent":
                record.sent = wire_now()
            if hook.url and status != "queued":
                fields = {
                    "MessageSid": record.sid,
                    "SmsSid": record.sid,
                    "MessageStatus": status,
                    "SmsStatus": status,
                    "AccountSid": record.account_sid,
                    "To": record.to,
                    "From": record.from_ or "",
                    "ApiVersion": API_VERSION,
                }
                self.office.webhooks.post(hook.url, hook.method, fields, self.office.sids(""))
        record.price = MESSAGE_PRICE


def not_found(what: str) -> TwilioError:
    return TwilioError(20404, f"The requested resource /{API_VERSION}/Accounts/.../{what} was not found", 404)
