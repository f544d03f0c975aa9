"""Finds what got stuck and settles it: the dispatchers' leader runs these sweeps every few seconds.

None of them dials. What may have been placed is looked for at the carrier; what was surely not placed goes back.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlmodel import col

from callwright.app.audit.models import AuditEntry
from callwright.app.calls.callbacks import apply_stored
from callwright.app.calls.check import CHECKED
from callwright.app.calls.dial import FRESH_SECONDS
from callwright.app.calls.finish import NEVER_PLACED, attempt_ended, summarise_when_complete
from callwright.app.calls.lifecycle import ATTEMPT_LIVE, ENDED, AttemptStatus
from callwright.app.calls.locks import lock_attempt
from callwright.app.calls.models import Call, CallAttempt, CallEvent
from callwright.app.calls.notify import NOTIFIED
from callwright.app.calls.progress import append_event, move_attempt
from callwright.app.calls.settle import apply_to_attempt, hang_up_and_settle, report_of, settle
from callwright.app.events.models import Outbox, WebhookInbox
from callwright.app.events.outbox import Job, enqueue, jobs_of
from callwright.app.state import AppState
from callwright.app.telephony.twilio_carrier import ANSWER_SECONDS

log = structlog.get_logger(__name__)

# The carrier's clock and ours may differ by this much, and its times have whole seconds.
CLOCK_SLACK = timedelta(seconds=5)
LOOKS = 3
# No create request can still be on its way after this: the claim's freshness, the answer's limit, and a margin.
SURELY_ANSWERED = timedelta(seconds=FRESH_SECONDS + ANSWER_SECONDS + 1)
SILENCE = timedelta(seconds=60)
STREAM_PATIENCE = timedelta(seconds=60)
CALLBACK_PATIENCE = timedelta(seconds=15)
LOST_JOB = timedelta(minutes=10)
KEPT = timedelta(days=30)
_AT_ONCE = 100
Subject = TypeVar("Subject", UUID, CallAttempt)


@dataclass(slots=True)
class _Look:
    """When the carrier was last asked about an attempt, and how often it knew nothing."""

    at: datetime
    empty: int = 0


class Reconciler:
    """The sweeps of one leader. It remembers when it last asked the carrier about which attempt."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._looks: dict[UUID, _Look] = {}

    async def sweep(self) -> None:
        """Runs every sweep; one that fails is logged and does not keep the others from running."""
        sweeps: Sequence[Callable[[], Awaitable[None]]] = (
            self._apply_unapplied,
            self._find_unanswered,
            self._end_canceled,
            self._end_overdue,
            self._ask_about_silent,
            self._resend_admitted,
            self._summarise_ended,
            self._resend_follow_ups,
            self._forget_old,
        )
        for one in sweeps:
            try:
                await one()
            except Exception as error:
                log.warning("reconcile.sweep_failed", sweep=one.__name__, error=type(error).__name__)

    async def _each(self, subjects: Iterable[Subject], work: Callable[[Subject], Awaitable[None]]) -> None:
        """Works on every subject; one that fails is logged, and the ones behind it get their turn."""
        for subject in subjects:
            try:
                await work(subject)
            except Exception as error:
                subject_id = subject.id if isinstance(subject, CallAttempt) else subject
                name = type(error).__name__
                log.warning("reconcile.failed", work=work.__name__, subject_id=str(subject_id), error=name)

    async def _apply_unapplied(self) -> None:
        """Webhooks that were stored but not applied."""
        before = self._state.clock.now() - CALLBACK_PATIENCE
        async with self._state.database.system() as session:
            pending = await session.scalars(
                select(col(WebhookInbox.id))
                .where(col(WebhookInbox.applied_at).is_(None), col(WebhookInbox.received_at) < before)
                .order_by(col(WebhookInbox.received_at))
                .limit(_AT_ONCE)
            )
        await self._each(pending.all(), self._apply)

    async def _apply(self, inbox_id: UUID) -> None:
        await apply_stored(self._state, inbox_id)

    async def _find_unanswered(self) -> None:
        """Attempts whose create request has no known answer: adopted from the carrier's list, or never placed."""
        pause = timedelta(seconds=self._state.settings.reconcile_after_seconds / (LOOKS + 1))
        unanswered = await self._attempts(
            col(CallAttempt.status) == AttemptStatus.DIALING,
            col(CallAttempt.carrier_sid).is_(None),
            col(CallAttempt.ambiguous_since) <= self._state.clock.now() - pause,
        )
        await self._each((one for one in unanswered if not self._looked_within(one.id, pause)), self._look_for)

    async def _look_for(self, attempt: CallAttempt) -> None:
        """One look. A carrier that cannot be asked raises here, and so is never taken for one that knows nothing."""
        state = self._state
        assert attempt.dialed_at is not None
        async with state.database.system() as session:
            call = await session.get_one(Call, attempt.call_id)
            known = await session.scalars(
                select(col(CallAttempt.carrier_sid)).where(
                    col(CallAttempt.phone_number) == attempt.phone_number, col(CallAttempt.carrier_sid).is_not(None)
                )
            )
            taken = set(known)
        found = await state.carrier.calls_since(call.phone_number, call.from_number, attempt.dialed_at - CLOCK_SLACK)
        look = self._looks[attempt.id]
        # One live attempt a number: whatever is there and not taken is this attempt's, the oldest first.
        candidates = [one for one in found if one.sid not in taken]
        if candidates:
            await apply_to_attempt(state, attempt.id, report_of(min(candidates, key=lambda one: one.created_at)))
            return
        look.empty += 1
        patience = max(timedelta(seconds=state.settings.reconcile_after_seconds), SURELY_ANSWERED)
        assert attempt.ambiguous_since is not None
        if look.empty >= LOOKS and look.at - attempt.ambiguous_since >= patience:
            await self._never_placed(attempt.id)

    async def _never_placed(self, attempt_id: UUID) -> None:
        state = self._state
        async with state.database.system() as session:
            locked = await lock_attempt(session, attempt_id)
            if locked is None:
                return
            call, attempt = locked
            if attempt.status is not AttemptStatus.DIALING or attempt.carrier_sid is not None:
                return
            now = state.clock.now()
            move_attempt(session, attempt, AttemptStatus.FAILED, now, NEVER_PLACED)
            attempt.ambiguous_since = None
            await attempt_ended(session, state.settings, call, attempt, now)
        log.warning("reconcile.never_placed", attempt_id=str(attempt_id))

    async def _end_canceled(self) -> None:
        """Live attempts of cancelled calls whose hang-up failed, or that were throttled and are still to be dialled."""
        canceled = select(col(Call.id)).where(
            col(Call.cancel_requested_at) < self._state.clock.now() - timedelta(seconds=FRESH_SECONDS)
        )
        live = await self._attempts(col(CallAttempt.call_id).in_(canceled), col(CallAttempt.ambiguous_since).is_(None))
        pause = timedelta(seconds=FRESH_SECONDS)
        await self._each((one for one in live if not self._looked_within(one.id, pause)), self._end)

    async def _end(self, attempt: CallAttempt) -> None:
        if attempt.carrier_sid is not None:
            await hang_up_and_settle(self._state, attempt.id, attempt.carrier_sid)
        else:
            await self._send_dial(attempt.id)  # its claim sees the cancellation

    async def _end_overdue(self) -> None:
        """Calls that outlived the longest permitted call, although the carrier was told the limit."""
        settings, now = self._state.settings, self._state.clock.now()
        longest = timedelta(seconds=settings.max_call_seconds) + STREAM_PATIENCE
        ringing = timedelta(seconds=settings.ring_seconds) + longest
        overdue = await self._attempts(
            col(CallAttempt.carrier_sid).is_not(None),
            or_(
                col(CallAttempt.answered_at) < now - longest,
                and_(col(CallAttempt.answered_at).is_(None), col(CallAttempt.dialed_at) < now - ringing),
            ),
        )
        if overdue:
            log.warning("reconcile.overdue", attempt_ids=[str(attempt.id) for attempt in overdue])
        await self._each((one for one in overdue if not self._looked_within(one.id, CALLBACK_PATIENCE)), self._end)

    async def _ask_about_silent(self) -> None:
        """Calls that should have told us something by now: the carrier is asked where they are."""
        settings, now = self._state.settings, self._state.clock.now()
        rung_out = timedelta(seconds=settings.ring_seconds) + CALLBACK_PATIENCE
        silent = await self._attempts(
            col(CallAttempt.carrier_sid).is_not(None),
            or_(
                and_(col(CallAttempt.answered_at).is_(None), col(CallAttempt.dialed_at) < now - rung_out),
                col(CallAttempt.answered_at) < now - SILENCE,
                col(CallAttempt.stream_ended_at) < now - CALLBACK_PATIENCE,
            ),
        )
        pauses = {one.id: SILENCE if one.stream_ended_at is None else CALLBACK_PATIENCE for one in silent}
        await self._each((one for one in silent if not self._looked_within(one.id, pauses[one.id])), self._ask)

    async def _ask(self, attempt: CallAttempt) -> None:
        assert attempt.carrier_sid is not None
        await settle(self._state, attempt.id, attempt.carrier_sid)

    async def _resend_admitted(self) -> None:
        """Attempts that wait to be dialled while no job for them is on its way any more."""
        now = self._state.clock.now()
        patience = max(timedelta(seconds=self._state.settings.reconcile_after_seconds), SURELY_ANSWERED)
        waiting = await self._attempts(
            col(CallAttempt.carrier_sid).is_(None),
            col(CallAttempt.ambiguous_since).is_(None),
            col(CallAttempt.admitted_at) < now - patience,
        )
        for attempt in waiting:
            async with self._state.database.system() as session:
                jobs = await jobs_of(session, Job.DIAL, attempt.id)
            lost = all(job.sent_at is not None and job.sent_at < now - patience for job in jobs)
            if lost and not self._looked_within(attempt.id, patience):
                log.warning("reconcile.dial_resent", attempt_id=str(attempt.id))
                await self._send_dial(attempt.id)

    async def _send_dial(self, attempt_id: UUID) -> None:
        async with self._state.database.system() as session:
            await enqueue(session, Job.DIAL, attempt_id)

    async def _summarise_ended(self) -> None:
        """Answered calls without a summary: the stream's end was never reported, or the job was lost."""
        now = self._state.clock.now()
        async with self._state.database.system() as session:
            owing = await session.scalars(
                select(col(CallAttempt.id))
                .join(Call, col(Call.id) == col(CallAttempt.call_id))
                .where(
                    col(Call.status).in_(ENDED),
                    col(Call.summarised_at).is_(None),
                    col(Call.ended_at) < now - STREAM_PATIENCE,
                    col(CallAttempt.answered_at).is_not(None),
                )
                .order_by(col(Call.ended_at))
                .limit(_AT_ONCE)
            )
        await self._each(owing.all(), self._summarise)

    async def _summarise(self, attempt_id: UUID) -> None:
        now = self._state.clock.now()
        async with self._state.database.system() as session:
            locked = await lock_attempt(session, attempt_id)
            if locked is None or locked[0].summarised_at is not None:
                return
            call, attempt = locked
            jobs = await jobs_of(session, Job.SUMMARISE, call.id)
            if not jobs:
                if attempt.stream_started_at is not None and attempt.stream_ended_at is None:
                    append_event(session, call.id, "stream.lost", attempt_id=attempt_id)
                await summarise_when_complete(session, call, attempt, stream_lost=True)
            elif all(job.sent_at is not None and job.sent_at < now - LOST_JOB for job in jobs):
                log.warning("reconcile.summary_resent", call_id=str(call.id))
                await enqueue(session, Job.SUMMARISE, call.id)

    async def _resend_follow_ups(self) -> None:
        """Messages to the business and checks that left no trace, sent once more and no more than that."""
        now = self._state.clock.now()
        for job, trace in ((Job.NOTIFY, CallEvent.call_id), (Job.AUDIT, AuditEntry.subject_id)):
            kind = col(CallEvent.kind) == NOTIFIED if job is Job.NOTIFY else col(AuditEntry.action) == CHECKED
            lost = (
                select(col(Outbox.subject_id))
                .where(col(Outbox.job) == job, ~exists().where(col(trace) == col(Outbox.subject_id), kind))
                .group_by(col(Outbox.subject_id))
                .having(and_(func.count() == 1, func.max(col(Outbox.sent_at)) < now - LOST_JOB))
                .limit(_AT_ONCE)
            )
            async with self._state.database.system() as session:
                for call_id in (await session.scalars(lost)).all():
                    log.warning("reconcile.job_resent", job=job.value, call_id=str(call_id))
                    await enqueue(session, job, call_id)

    async def _forget_old(self) -> None:
        """Sent jobs and applied webhooks are kept for a month; looks only while their attempt lives."""
        before = self._state.clock.now() - KEPT
        async with self._state.database.system() as session:
            await session.execute(delete(Outbox).where(col(Outbox.sent_at) < before))
            await session.execute(delete(WebhookInbox).where(col(WebhookInbox.applied_at) < before))
            live = set(
                await session.scalars(select(col(CallAttempt.id)).where(col(CallAttempt.status).in_(ATTEMPT_LIVE)))
            )
        self._looks = {attempt_id: look for attempt_id, look in self._looks.items() if attempt_id in live}

    async def _attempts(self, *conditions: ColumnElement[bool]) -> Sequence[CallAttempt]:
        async with self._state.database.system() as session:
            query = select(CallAttempt).where(col(CallAttempt.status).in_(ATTEMPT_LIVE), *conditions)
            return (await session.scalars(query.order_by(col(CallAttempt.id)).limit(_AT_ONCE))).all()

    def _looked_within(self, attempt_id: UUID, pause: timedelta) -> bool:
        """Whether the attempt was looked at less than `pause` ago; if not, this counts as looking."""
        now = self._state.clock.now()
        look = self._looks.get(attempt_id)
        if look is not None and now - look.at < pause:
            return True
        if look is None:
            self._looks[attempt_id] = _Look(now)
        else:
            look.at = now
        return False
