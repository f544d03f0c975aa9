"""Domain errors: each carries a code, the field it is about and what to do, and the ids involved.

GraphQL and the portal map codes at their edge; nothing here knows a transport.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why the domain said no. Stable: clients branch on it."""

    INVALID_PHONE_NUMBER = "INVALID_PHONE_NUMBER"
    NUMBER_NOT_CALLABLE = "NUMBER_NOT_CALLABLE"
    INVALID_TIME = "INVALID_TIME"
    INVALID_INPUT = "INVALID_INPUT"
    LEAD_NOT_FOUND = "LEAD_NOT_FOUND"
    CALL_NOT_FOUND = "CALL_NOT_FOUND"
    CALL_ALREADY_ENDED = "CALL_ALREADY_ENDED"
    FORBIDDEN = "FORBIDDEN"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    RATE_LIMITED = "RATE_LIMITED"
    SUPPRESSED = "SUPPRESSED"
    CONSENT_MISSING = "CONSENT_MISSING"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    OUTSIDE_CALLING_WINDOW = "OUTSIDE_CALLING_WINDOW"
    PLAN_EXHAUSTED = "PLAN_EXHAUSTED"
    BUSINESS_NOT_READY = "BUSINESS_NOT_READY"
    DUPLICATE_CALL = "DUPLICATE_CALL"
    CONFIGURATION = "CONFIGURATION"


class CallwrightError(Exception):
    """The base of every expected refusal.

    `field` is the input it is about (None when it is about none), `rule` the rule that decided, `remedy` what the
    person can do, `until` when the rule stops saying no (None when that is not known), `ids` the rows involved. No
    number, name or spoken word belongs in any of them.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        field: str | None = None,
        rule: str | None = None,
        remedy: str = "",
        until: datetime | None = None,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.rule = rule or code.value.lower()
        self.remedy = remedy
        self.until = until
        self.ids = dict(ids or {})


class ToldError(RuntimeError):
    """The base of failures whose message is written for the person at the terminal."""
