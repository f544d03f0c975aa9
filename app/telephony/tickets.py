"""Tickets to ask a bridge to prepare for a call: signed, short-lived, good once and at one bridge."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from uuid import UUID

from callwright.app.settings import Settings
from callwright.app.signing import derived_key

LIFETIME_SECONDS = 30
_PURPOSE = b"callwright bridge ticket v1"


class TicketOffice:
    """Issues tickets, and redeems those for the bridge it works at. `clock`: seconds since the epoch."""

    def __init__(self, secret: bytes, clock: Callable[[], float]) -> None:
        self._key = derived_key(secret, _PURPOSE)
        self._clock = clock
        self._redeemed: dict[str, float] = {}  # nonces and when they expire

    def issue(self, bridge_id: str, attempt_id: UUID) -> str:
        body = f"{attempt_id}.{int(self._clock()) + LIFETIME_SECONDS}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._signature(bridge_id, body)}"

    def redeem(self, bridge_id: str, ticket: str) -> UUID | None:
        """The attempt the ticket is for; None when it is not ours, for another bridge, expired or used."""
        body, _, signature = ticket.rpartition(".")
        if not hmac.compare_digest(self._signature(bridge_id, body).encode(), signature.encode(errors="replace")):
            return None
        attempt, expires, nonce = body.split(".")
        now = self._clock()
        self._redeemed = {used: until for used, until in self._redeemed.items() if until > now}
        if float(expires) <= now or nonce in self._redeemed:
            return None
        self._redeemed[nonce] = float(expires)
        return UUID(attempt)

    def _signature(self, bridge_id: str, body: str) -> str:
        return hmac.new(self._key, f"{bridge_id}\n{body}".encode(errors="replace"), hashlib.sha256).hexdigest()


def ticket_office(settings: Settings, clock: Callable[[], float]) -> TicketOffice | None:
    """None without a secret key: then nothing is prepared, and calls open their session when they are answered."""
    secret = settings.secret_key.get_secret_value() if settings.secret_key is not None else ""
    return TicketOffice(secret.encode(), clock) if secret else None
