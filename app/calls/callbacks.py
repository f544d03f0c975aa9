"""The carrier's webhooks in the domain: stored once, then applied; and the TwiML that lets the audio stream in."""

import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from callwright.app.calls.carrier_report import CarrierReport, apply_report
from callwright.app.calls.lifecycle import ATTEMPT_ENDED
from callwright.app.calls.locks import lock_attempt
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import append_event
from callwright.app.calls.settle import hang_up
from callwright.app.compliance.suppress import is_suppressed
from callwright.app.database.sessions import SystemSession
from callwright.app.events.models import WebhookInbox
from callwright.app.identifiers import new_id
from callwright.app.signing import signing_key
from callwright.app.state import AppState
from callwright.app.telephony.carrier import CarrierStatus
from callwright.app.telephony.twiml import hangup_document, stream_document

log = structlog.get_logger(__name__)

PROVIDER = "twilio"
_LONGEST_VALUE = 120
_STREAM_TOKEN = b"callwright stream token v1"


class WebhookKind(StrEnum):
    """Which of the carrier's webhooks a stored request was."""

    STATUS = "status"
    RECORDING = "recording"
    AMD = "amd"


# Only what is used is kept: no numbers, names or places. The first group of each tells one request from another.
_KEY_FIELDS = {
    WebhookKind.STATUS: ("CallSid", "SequenceNumber", "CallStatus"),
    WebhookKind.RECORDING: ("CallSid", "RecordingSid", "RecordingStatus"),
    WebhookKind.AMD: ("CallSid", "AnsweredBy"),
}
_KEPT_FIELDS = {
    WebhookKind.STATUS: (
        *_KEY_FIELDS[WebhookKind.STATUS],
        *("CallDuration", "SipResponseCode", "ErrorCode", "AnsweredBy", "Timestamp"),
    ),
    WebhookKind.RECORDING: (*_KEY_FIELDS[WebhookKind.RECORDING], "RecordingDuration", "RecordingChannels"),
    WebhookKind.AMD: (*_KEY_FIELDS[WebhookKind.AMD], "MachineDetectionDuration"),
}


async def receive(state: AppState, kind: WebhookKind, attempt_id: UUID | None, fields: Mapping[str, str]) -> bool:
    """Stores a verified webhook and applies it; False for a replay of one already stored, which changes nothing.

    The key is made of signed fields only, so that a captured request cannot come in anew under another header. When
    applying fails the row stays unapplied and the sweep takes it up again.
    """
    inbox_id = await _store(state, kind, attempt_id, fields)
    if inbox_id is None:
        return False
    await apply_stored(state, inbox_id)
    rings = kind is WebhookKind.STATUS and fields.get("CallStatus") == CarrierStatus.RINGING
    if rings and attempt_id is not None:
        await state.bridges.prepare(attempt_id)
    return True


async def _store(state: AppState, kind: WebhookKind, attempt_id: UUID | None, fields: Mapping[str, str]) -> UUID | None:
    identity = "\x1f".join([kind, str(attempt_id), *(fields.get(name, "") for name in _KEY_FIELDS[kind])])
    payload = {name: fields[name][:_LONGEST_VALUE].replace("\0", "") for name in _KEPT_FIELDS[kind] if fields.get(name)}
    async with state.database.system() as session:
        stored: UUID | None = await session.scalar(
            insert(WebhookInbox)
            .values(
                id=new_id(),
                provider=PROVIDER,
                kind=kind,
                provider_key=f"{kind}:{hashlib.sha256(identity.encode()).hexdigest()}",
                attempt_id=attempt_id,
                payload=payload,
            )
            .on_conflict_do_nothing()
            .returning(col(WebhookInbox.id))
        )
    return stored


async def apply_stored(state: AppState, inbox_id: UUID) -> None:
    """Applies a stored webhook once, in its own transaction; then hangs up what must not go on."""
    stray: str | None = None
    attempt_id: UUID | None = None
    async with state.database.system() as session:
        attempt_id = await session.scalar(select(col(WebhookInbox.attempt_id)).where(col(WebhookInbox.id) == inbox_id))
        locked = None if attempt_id is None else await lock_attempt(session, attempt_id)
        row = await session.get_one(WebhookInbox, inbox_id, with_for_update=True)
        if row.applied_at is not None:
            return
        if locked is None:
            log.warning("webhook.of_no_attempt", inbox_id=str(inbox_id), kind=row.kind)
        else:
            stray = await _apply(state, session, *locked, row)
        row.applied_at = state.clock.now()
    if stray is not None and attempt_id is not None:
        await hang_up(state, attempt_id, stray)


async def _apply(
    state: AppState, session: SystemSession, call: Call, attempt: CallAttempt, row: WebhookInbox
) -> str | None:
    fields: dict[str, str] = row.payload
    kind = WebhookKind(row.kind)
    if kind is WebhookKind.STATUS:
        report = status_report(fields)
        if report is None:
            log.warning("webhook.unreadable", inbox_id=str(row.id), kind=row.kind)
            return None
        return await apply_report(session, state.settings, call, attempt, report, state.clock.now())
    if fields.get("CallSid") != attempt.carrier_sid:
        return None
    if kind is WebhookKind.AMD:
        attempt.answered_by = attempt.answered_by or fields.get("AnsweredBy", "")[:30] or None
        data = {"answered_by": fields.get("AnsweredBy")}
        append_event(session, call.id, "carrier.machine_detection", data, attempt_id=attempt.id)
    else:
        data = {"sid": fields.get("RecordingSid"), "status": fields.get("RecordingStatus")}
        append_event(session, call.id, "carrier.recording", data, attempt_id=attempt.id)
    return None


def status_report(fields: Mapping[str, str]) -> CarrierReport | None:
    """A status callback's fields as a report; None when they lack a call or name no status we know."""
    sid, status = fields.get("CallSid"), fields.get("CallStatus")
    if not sid or len(sid) > 40 or status not in set(CarrierStatus):
        return None
    return CarrierReport(
        sid=sid,
        status=CarrierStatus(status),
        sequence=_number(fields.get("SequenceNumber")),
        duration_seconds=_number(fields.get("CallDuration")),
        sip_response_code=_number(fields.get("SipResponseCode")),
        error_code=_number(fields.get("ErrorCode")),
        answered_by=fields.get("AnsweredBy", "")[:30] or None,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else None


async def answer_call(state: AppState, call_id: UUID, attempt_id: UUID, fields: Mapping[str, str]) -> str | None:
    """The TwiML for a call that was just answered: a stream with a single-use token, of which the hash is kept.

    The attempt's token is always the same, so that a repeated request, the carrier's own or a captured one, gets the
    same document and takes the token from nobody.
    A call that must not go on (ended, cancelled, given up, suppressed while it rang, streaming already, or not the one
    we know) is told to hang up. None when there is no such attempt of this call.
    """
    report = status_report({"CallStatus": CarrierStatus.IN_PROGRESS, **fields})
    if report is None:
        return None
    async with state.database.system() as session:
        locked = await lock_attempt(session, attempt_id)
        if locked is None or locked[0].id != call_id:
            return None
        call, attempt = locked
        stray = await apply_report(session, state.settings, call, attempt, report, state.clock.now())
        if (
            stray is not None
            or attempt.carrier_sid != report.sid
            or attempt.status in ATTEMPT_ENDED
            or attempt.stream_started_at is not None
            or call.cancel_requested_at is not None
            or await is_suppressed(session, call.phone_number, call.business_id)
        ):
            return hangup_document()
        token = _stream_token(state, attempt_id)
        attempt.stream_token_hash = hashlib.sha256(token.encode()).hexdigest()
    return stream_document(await state.bridges.stream_urls(attempt_id), token)


def _stream_token(state: AppState, attempt_id: UUID) -> str:
    return hmac.new(signing_key(state.settings, _STREAM_TOKEN), attempt_id.bytes, hashlib.sha256).hexdigest()
