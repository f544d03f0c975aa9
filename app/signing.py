"""Keys for signatures, one a purpose, all from the one secret in the settings."""

import hashlib
import hmac

from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.settings import Settings


def signing_key(settings: Settings, purpose: bytes) -> bytes:
    """The 32-byte key for `purpose`; a signature made for one never fits another.

    Raises CONFIGURATION without a secret.
    """
    if settings.secret_key is None or not settings.secret_key.get_secret_value():
        raise CallwrightError(
            ErrorCode.CONFIGURATION,
            "CALLWRIGHT_SECRET_KEY is not set",
            remedy="Set it to 32 random bytes or more; `callwright up` makes one in the data folder.",
        )
    return derived_key(settings.secret_key.get_secret_value().encode(), purpose)


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """The 32-byte key for `purpose` from a secret at hand."""
    return hmac.digest(secret, purpose, hashlib.sha256)
