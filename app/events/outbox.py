"""Jobs written with the row they are about and handed to the broker after the commit, at least once."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlmodel import col

from callwright.app.database.sessions import SystemSession
from callwright.app.events.models import Outbox

DUE_CHANNEL = "callwright_due"
_NOTIFY = text(f"NOTIFY {DUE_CHANNEL}")


class Job(StrEnum):
    """What is to be done; the subject is an attempt for DIAL and a call for the others."""

    DIAL = "dial"
    SUMMARISE = "summarise"
    NOTIFY = "notify"
    AUDIT = "audit"


async def enqueue(session: SystemSession, job: Job, subject_id: UUID, *, due_at: datetime | None = None) -> None:
    """Writes a job into the transaction; the dispatcher sends it once the commit is there and `due_at` has come.

    Without `due_at` it is due at once, whatever clock the dispatcher reads.
    """
    row = Outbox(job=job, subject_id=subject_id)
    if due_at is not None:
        row.due_at = due_at
    session.add(row)
    await session.flush()
    await announce_due(session)


async def announce_due(session: SystemSession) -> None:
    """Wakes the dispatchers when the transaction commits: something may be due."""
    await session.execute(_NOTIFY)


async def lock_due(session: SystemSession, now: datetime, limit: int) -> Sequence[Outbox]:
    """Locks up to `limit` unsent jobs whose time has come, oldest first, but none that another dispatcher holds."""
    query = (
        select(Outbox)
        .where(
            col(Outbox.sent_at).is_(None),
            col(Outbox.job).in_(list(Job)),  # a newer release's jobs are for its own dispatchers
            # A job without a time of its own carries the database's clock, which may be ahead of this process's.
            or_(col(Outbox.due_at) <= now, col(Outbox.due_at) == col(Outbox.created_at)),
        )
        .order_by(col(Outbox.due_at), col(Outbox.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.scalars(query)).all()


async def jobs_of(session: SystemSession, job: Job, subject_id: UUID) -> Sequence[Outbox]:
    """Every such job ever written for the subject and still on record, oldest first."""
    query = select(Outbox).where(col(Outbox.job) == job, col(Outbox.subject_id) == subject_id).order_by(col(Outbox.id))
    return (await session.scalars(query)).all()
