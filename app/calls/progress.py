"""The one way a call or an attempt changes its status: checked against the lifecycle, written to the timeline."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from callwright.app.calls.lifecycle import (
    ENDED,
    AttemptStatus,
    CallStatus,
    attempt_may_follow,
    may_follow,
)
from callwright.app.calls.models import Call, CallAttempt, CallEvent
from callwright.app.database.sessions import SystemSession


class IllegalTransition(Exception):
    """A status may not follow another: a bug or a stale caller, never a person's mistake."""

    def __init__(self, subject: str, subject_id: UUID, current: str, following: str) -> None:
        super().__init__(f"{subject} {subject_id}: {following} may not follow {current}")


def append_event(
    session: SystemSession,
    call_id: UUID,
    kind: str,
    data: Mapping[str, object] | None = None,
    *,
    attempt_id: UUID | None = None,
) -> None:
    """Adds to the call's timeline; subscribers are told after the commit."""
    session.add(CallEvent(call_id=call_id, attempt_id=attempt_id, kind=kind, data=dict(data or {})))
    session.touched.add(call_id)


def move_call(session: SystemSession, call: Call, to: CallStatus, at: datetime, reason: str | None = None) -> None:
    """Sets the call's status. `call` must be locked (`SELECT … FOR UPDATE`). Raises IllegalTransition."""
    if not may_follow(call.status, to):
        raise IllegalTransition("call", call.id, call.status, to)
    append_event(session, call.id, "call.status", {"from": call.status, "to": to, "reason": reason})
    call.status = to
    call.waiting_reason = None
    if to is CallStatus.IN_PROGRESS:
        call.answered_at = at
    if to in ENDED:
        call.ended_at = at
        if call.answered_at is None:
            # Nobody picked up: it took no time of anybody's and costs nothing.
            call.duration_seconds = call.estimated_cost_micros = call.metered_cost_micros = 0
        if to is not CallStatus.COMPLETED:
            call.failure_reason = reason


def move_attempt(
    session: SystemSession, attempt: CallAttempt, to: AttemptStatus, at: datetime, reason: str | None = None
) -> None:
    """Sets the attempt's status. Raises IllegalTransition; attempts only move forward."""
    if not attempt_may_follow(attempt.status, to):
        raise IllegalTransition("attempt", attempt.id, attempt.status, to)
    data = {"from": attempt.status, "to": to, "reason": reason, "number": attempt.number}
    append_event(session, attempt.call_id, "attempt.status", data, attempt_id=attempt.id)
    attempt.status = to
    if to is AttemptStatus.DIALING:
        attempt.dialed_at = at
    elif to is AttemptStatus.IN_PROGRESS:
        attempt.answered_at = at
    elif to not in (AttemptStatus.ADMITTED, AttemptStatus.RINGING):
        attempt.ended_at = at
        attempt.end_reason = attempt.end_reason or reason
