"""The account that calls are placed with and webhooks are signed with."""

from dataclasses import dataclass, field

from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.settings import Settings

_SANDBOX_ACCOUNT = "AC" + "0" * 32
_SANDBOX_TOKEN = "sandbox-token"  # noqa: S105 - the stand-in's published token, worth nothing elsewhere


@dataclass(frozen=True, slots=True)
class Credentials:
    """A Twilio account and its token, which also signs webhooks."""

    account_sid: str
    auth_token: str = field(repr=False)


def carrier_credentials(settings: Settings) -> Credentials:
    """The configured account; in the sandbox, the stand-in's when none is set. Raises CONFIGURATION."""
    account = settings.twilio_account_sid
    token = settings.twilio_auth_token.get_secret_value() if settings.twilio_auth_token else None
    if settings.in_sandbox:
        return Credentials(account or _SANDBOX_ACCOUNT, token or _SANDBOX_TOKEN)
    if not account or not token:
        raise CallwrightError(
            ErrorCode.CONFIGURATION,
            "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are not set",
            remedy="Set both, or set CALLWRIGHT_SANDBOX_URL to call stand-ins.",
        )
    return Credentials(account, token)
