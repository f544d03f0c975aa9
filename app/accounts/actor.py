"""Who is asking: every tenant session is opened for one."""

from dataclasses import dataclass
from uuid import UUID

from callwright.app.accounts.models import Role


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in person. Postgres' row-level policies decide by these two values."""

    user_id: UUID
    role: Role
