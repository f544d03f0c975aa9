"""Signed links to recordings: whoever holds one may listen until it expires."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from callwright.app.settings import Settings
from callwright.app.signing import signing_key

_PURPOSE = b"callwright recording link v1"


@dataclass(frozen=True, slots=True)
class SignedLink:
    """An absolute URL and the moment from which it is refused."""

    url: str
    expires_at: datetime


def sign(recording_id: UUID, now: datetime, settings: Settings) -> SignedLink:
    """A link that works for `recording_link_seconds`. Raises CONFIGURATION without a secret key."""
    expires = int((now + timedelta(seconds=settings.recording_link_seconds)).timestamp())
    query = urlencode({"expires": expires, "signature": _signature(recording_id, str(expires), settings)})
    url = f"{settings.public_url.rstrip('/')}/recordings/{recording_id}.wav?{query}"
    return SignedLink(url, datetime.fromtimestamp(expires, UTC))


def is_valid(recording_id: UUID, expires: str, signature: str, now: datetime, settings: Settings) -> bool:
    """Whether the link is ours, unchanged, and not expired. The comparison takes the same time wherever it differs."""
    expected = _signature(recording_id, expires, settings)
    genuine = hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))
    return genuine and now.timestamp() < int(expires)


def _signature(recording_id: UUID, expires: str, settings: Settings) -> str:
    key = signing_key(settings, _PURPOSE)
    return hmac.new(key, f"{recording_id}\n{expires}".encode(errors="replace"), hashlib.sha256).hexdigest()
