"""Keyset pages, newest first: a cursor is the place where a page ended, so rows that arrive meanwhile shift nothing."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, tuple_
from sqlmodel import col

from callwright.app.database.sessions import TenantSession
from callwright.app.errors import CallwrightError, ErrorCode

Row = TypeVar("Row")

DEFAULT_PAGE = 20
LONGEST_PAGE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR_BYTES = 24


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of one row in the order (created_at, id), exact to the microsecond that Postgres keeps."""

    created_at: datetime
    row_id: UUID

    def encode(self) -> str:
        """An opaque text: eight bytes of microseconds since 1970 and the id, in URL-safe base64."""
        micros = (self.created_at - _EPOCH) // timedelta(microseconds=1)
        return base64.urlsafe_b64encode(micros.to_bytes(8, "big") + self.row_id.bytes).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises `CallwrightError` (INVALID_INPUT on `after`) for a text that `encode` did not make."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            if len(raw) != _CURSOR_BYTES:
                raise ValueError("a cursor has 24 bytes")
            created_at = _EPOCH + timedelta(microseconds=int.from_bytes(raw[:8], "big"))
        except (ValueError, OverflowError, binascii.Error):
            raise CallwrightError(
                ErrorCode.INVALID_INPUT,
                "This cursor is not one of ours.",
                field="after",
                rule="cursor",
                remedy="Pass the endCursor of the page before, or leave `after` out to start at the newest.",
            ) from None
        return cls(created_at, UUID(bytes=raw[8:]))


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of rows with their cursors. `has_previous` is true when the page was asked for by a cursor."""

    rows: list[tuple[Row, Cursor]]
    has_next: bool
    has_previous: bool


def checked_length(first: int) -> int:
    """`first` when it is 1 to 100; raises `CallwrightError` (INVALID_INPUT on `first`) otherwise."""
    if not 1 <= first <= LONGEST_PAGE:
        raise CallwrightError(
            ErrorCode.INVALID_INPUT,
            f"`first` must be 1 to {LONGEST_PAGE}.",
            field="first",
            rule="page_length",
            remedy=f"Ask for at most {LONGEST_PAGE} and follow `pageInfo.endCursor`.",
        )
    return first


async def newest_first(
    session: TenantSession,
    statement: Select[Row],
    place: Callable[[Row], Cursor],
    *,
    created_at: datetime,
    row_id: UUID,
    first: int,
    after: str | None,
) -> Page[Row]:
    """Runs `statement` for one page. `created_at`, `row_id`: the model's columns; `place` reads them off a row."""
    length = checked_length(first)
    order = (col(created_at), col(row_id))
    if after is not None:
        cursor = Cursor.decode(after)
        before: ColumnElement[bool] = tuple_(*order) < tuple_(cursor.created_at, cursor.row_id)
        statement = statement.where(before)
    statement = statement.order_by(*(column.desc() for column in order)).limit(length + 1)
    rows = list((await session.scalars(statement)).all())
    placed = [(row, place(row)) for row in rows[:length]]
    return Page(placed, has_next=len(rows) > length, has_previous=after is not None)
