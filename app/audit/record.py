"""Writes the audit log, in the transaction of the act itself."""

from collections.abc import Mapping
from uuid import UUID

from callwright.app.audit.models import AuditEntry
from callwright.app.database.sessions import SystemSession


def record(
    session: SystemSession,
    action: str,
    subject_type: str,
    subject_id: UUID,
    *,
    actor_id: UUID | None = None,
    business_id: UUID | None = None,
    data: Mapping[str, object] | None = None,
) -> None:
    """Adds an entry such as `call.requested` on a `call`; `actor_id` is None when the system acted."""
    session.add(
        AuditEntry(
            action=action,
            subject_type=subject_type,
            subject_id=subject_id,
            actor_id=actor_id,
            business_id=business_id,
            data=dict(data or {}),
        )
    )
