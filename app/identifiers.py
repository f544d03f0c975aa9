"""Row ids: UUIDv7, so that ids sort by time of creation and indexes stay compact."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    """A fresh time-ordered id."""
    return uuid_utils.compat.uuid7()
