"""Writes down what happens in many calls at once: a transaction for all that gathered in a moment, not one for each.

A turn a call every few seconds, each in a transaction of its own, costs a bridge of 150 calls as much as half of its
audio.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError

from callwright.app.database.sessions import Database
from callwright.app.identifiers import new_id

_PAUSE_SECONDS = 0.5  # between two transactions; the first entry after a quiet time does not wait
_MOST = 500  # entries a transaction

_TURNS = text("""
    INSERT INTO transcript_turns (id, call_id, attempt_id, index, speaker, text, start_ms, end_ms, interrupted)
    SELECT id, call_id, attempt_id, index, speaker, text, start_ms, end_ms, interrupted
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
        id uuid, call_id uuid, attempt_id uuid, index int, speaker text, text text, start_ms int, end_ms int,
        interrupted bool)
    ON CONFLICT (attempt_id, index) DO UPDATE SET
        speaker = excluded.speaker, text = excluded.text, start_ms = excluded.start_ms, end_ms = excluded.end_ms,
        interrupted = excluded.interrupted
""")
# An attempt has the same event once: a repeated request must not tell the story twice.
_EVENTS = text("""
    INSERT INTO call_events (call_id, attempt_id, kind, data)
    SELECT r.call_id, r.attempt_id, r.kind, r.data
    FROM ROWS FROM (
        jsonb_to_recordset(CAST(:rows AS jsonb)) AS (call_id uuid, attempt_id uuid, kind text, data jsonb)
    ) WITH ORDINALITY AS r(call_id, attempt_id, kind, data, place)
    WHERE NOT EXISTS (
        SELECT 1 FROM call_events AS e
        WHERE e.call_id = r.call_id AND e.attempt_id = r.attempt_id AND e.kind = r.kind AND e.data = r.data)
    ORDER BY r.place
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the timeline, and the turn it tells of, if it tells of one."""

    call_id: UUID
    attempt_id: UUID
    kind: str
    data: Mapping[str, object]
    turn: Mapping[str, object] | None = None  # the row's own columns


class Scribe:
    """One per process. `write` returns when the entry is committed, or raises what the database said of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, entry: Entry) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        """Until nothing has come for a while."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                await self._store([entry for entry, _ in batch])
            except (DataError, IntegrityError):
                await self._one_by_one(batch)
            except Exception as error:  # the database is away: each may ask again
                for _, done in batch:
                    _settle(done, error)
            else:
                for _, done in batch:
                    _settle(done)
            await asyncio.sleep(_PAUSE_SECONDS)
        self._writer = None

    async def _one_by_one(self, batch: Sequence[tuple[Entry, asyncio.Future[None]]]) -> None:
        """An entry that cannot be stored is not to take the others with it."""
        for entry, done in batch:
            try:
                await self._store([entry])
            except Exception as error:  # handed to whoever waits for it
                _settle(done, error)
            else:
                _settle(done)

    async def _store(self, entries: Sequence[Entry]) -> None:
        turns = [_row(entry, {"id": str(new_id()), **entry.turn}) for entry in entries if entry.turn is not None]
        events = [_row(entry, {"kind": entry.kind, "data": entry.data}) for entry in entries]
        async with self._database.system() as session:
            if turns:
                await session.execute(_TURNS, {"rows": json.dumps(_latest(turns))})
            await session.execute(_EVENTS, {"rows": json.dumps(events)})
            # Also an event that was there already may tell of a changed text.
            session.touched.update(entry.call_id for entry in entries)


def _row(entry: Entry, columns: Mapping[str, object]) -> dict[str, object]:
    return {"call_id": str(entry.call_id), "attempt_id": str(entry.attempt_id), **columns}


def _latest(turns: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """One version of each turn: a statement cannot update a row twice."""
    return list({(turn["attempt_id"], turn["index"]): turn for turn in turns}.values())


def _settle(done: asyncio.Future[None], error: Exception | None = None) -> None:
    if done.done():  # whoever waited has been cancelled
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
