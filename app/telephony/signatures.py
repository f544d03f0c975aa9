"""Tells a request of Twilio's from a forged one."""

from urllib.parse import parse_qsl

from starlette.datastructures import Headers, ImmutableMultiDict
from twilio.request_validator import RequestValidator

_MOST_FIELDS = 200

Fields = ImmutableMultiDict[str, str]


class ForgedRequest(Exception):
    """The request is not signed with our account's token, or is not what was signed."""


def signed_fields(auth_token: str, url: str, headers: Headers, body: bytes) -> Fields:
    """The form's fields, once the signature over `url` (public base, path and query) and them is proved.

    Raises ForgedRequest.
    """
    signature = headers.get("x-twilio-signature")
    if not signature or not signature.isascii():
        raise ForgedRequest("no signature")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:  # not a form, or one of more fields than Twilio sends
        raise ForgedRequest("not a form") from None
    fields = Fields(pairs)
    if not RequestValidator(auth_token).validate(url, fields, signature):
        raise ForgedRequest("wrong signature")
    return fields
