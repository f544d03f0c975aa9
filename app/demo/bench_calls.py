"""Answered calls that wait for their audio, for load generators: each line names a call and its single-use token.

They are ordinary rows of a business of their own, with fictional numbers. Nothing dials them: they are inserted as
answered.
"""

import hashlib
import itertools
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlmodel import col

from callwright.app.calls.lifecycle import (
    ATTEMPT_LIVE,
    PRIORITY,
    AttemptStatus,
    CallStatus,
    CallType,
)
from callwright.app.calls.locks import lock_admission, lock_attempt
from callwright.app.calls.models import Call, CallAttempt
from callwright.app.calls.progress import move_attempt, move_call
from callwright.app.database.sessions import Database, SystemSession
from callwright.app.demo.seed import CALLER_ID, add_lead, seed_marketplace
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.identifiers import new_id
from callwright.app.leads.models import Lead
from callwright.app.settings import Environment, Settings

_AREA_CODES = range(201, 990)


@dataclass(frozen=True, slots=True)
class WaitingStream:
    """What the carrier would put into a stream's `start` message."""

    call_sid: str
    token: str

    def line(self) -> str:
        """`callSid<TAB>customParameters as JSON`."""
        return f"{self.call_sid}\t{json.dumps({'token': self.token})}"


async def seed_bench_calls(
    database: Database, settings: Settings, count: int, now: datetime, valid_for: timedelta
) -> list[WaitingStream]:
    """`count` answered calls whose streams may start from now until `valid_for` is over.

    Calls of earlier runs whose time is over are ended. Raises `CallwrightError` in production and when no fictional
    number is free.
    """
    if settings.environment is Environment.PRODUCTION:
        raise CallwrightError(
            ErrorCode.CONFIGURATION,
            "Calls for a benchmark are not made in production.",
            remedy="Use a database of its own with CALLWRIGHT_ENVIRONMENT=development.",
        )
    place = await seed_marketplace(database, "bench")
    lead_id = await _lead_of(database, place.business_id)
    async with database.system() as session:
        await lock_admission(session)
        await _end_earlier(session, place.business_id, now)
        numbers = list(itertools.islice(await _free_numbers(session), count))
        if len(numbers) < count:
            raise CallwrightError(
                ErrorCode.INVALID_INPUT,
                "Too few fictional numbers are free.",
                remedy="Wait until earlier calls have ended, or use a fresh database.",
            )
        lead = await session.get_one(Lead, lead_id)
        # The stream's token and the sweeps both count from the answer, so it lies at the end of the calls' time.
        return await _insert(session, lead, numbers, now, answered_at=now + valid_for)


async def _lead_of(database: Database, business_id: UUID) -> UUID:
    async with database.system() as session:
        found = await session.scalar(select(col(Lead.id)).where(col(Lead.business_id) == business_id).limit(1))
    return found or await add_lead(database, business_id, "0100")


async def _end_earlier(session: SystemSession, business_id: UUID, now: datetime) -> None:
    over = await session.scalars(
        select(col(CallAttempt.id)).where(
            col(CallAttempt.business_id) == business_id,
            col(CallAttempt.status) == AttemptStatus.IN_PROGRESS,
            func.coalesce(col(CallAttempt.stream_ended_at), col(CallAttempt.answered_at)) < now,
        )
    )
    for attempt_id in over.all():
        locked = await lock_attempt(session, attempt_id)
        if locked is not None and locked[1].status is AttemptStatus.IN_PROGRESS:
            call, attempt = locked
            move_attempt(session, attempt, AttemptStatus.COMPLETED, now)
            move_call(session, call, CallStatus.COMPLETED, now)


async def _free_numbers(session: SystemSession) -> Iterator[str]:
    """Fictional numbers (NPA 555 01xx) without a live attempt."""
    live = select(col(CallAttempt.phone_number)).where(col(CallAttempt.status).in_(ATTEMPT_LIVE))
    taken = set((await session.scalars(live)).all())
    every = (f"+1{area}55501{last:02d}" for area in _AREA_CODES if area % 100 != 11 for last in range(100))
    return (number for number in every if number not in taken)


async def _insert(
    session: SystemSession, lead: Lead, numbers: Sequence[str], now: datetime, *, answered_at: datetime
) -> list[WaitingStream]:
    streams = [WaitingStream(f"CA{secrets.token_hex(16)}", secrets.token_urlsafe(32)) for _ in numbers]
    calls, attempts = [], []
    for number, stream in zip(numbers, streams, strict=True):
        call_id = new_id()
        calls.append(
            {
                "id": call_id,
                "lead_id": lead.id,
                "business_id": lead.business_id,
                "consumer_id": lead.consumer_id,
                "call_type": CallType.QUALIFY_LEAD,
                "objective": "Find out what the person needs and when.",
                "phone_number": number,
                "from_number": CALLER_ID,
                "status": CallStatus.IN_PROGRESS,
                "priority": PRIORITY[CallType.QUALIFY_LEAD],
                "due_at": now,
                "attempt_count": 1,
                "max_attempts": 1,
                "answered_at": answered_at,
            }
        )
        attempts.append(
            {
                "id": new_id(),
                "call_id": call_id,
                "business_id": lead.business_id,
                "number": 1,
                "phone_number": number,
                "status": AttemptStatus.IN_PROGRESS,
                "carrier_sid": stream.call_sid,
                "stream_token_hash": hashlib.sha256(stream.token.encode()).hexdigest(),
                "dialed_at": now,
                "answered_at": answered_at,
            }
        )
    await session.execute(insert(Call), calls)
    await session.execute(insert(CallAttempt), attempts)
    return streams
