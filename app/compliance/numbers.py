"""Phone numbers: parsing to E.164, whether they may be dialled at all, and every time zone they may lie in."""

from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import PhoneNumberType
from phonenumbers import timezone as phone_zones

from callwright.app.errors import CallwrightError, ErrorCode

# phonenumbers files the US territories under regions of their own.
US_REGIONS = frozenset({"US", "PR", "VI", "GU", "MP", "AS"})
CALLABLE_TYPES = frozenset({PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_REMEDY = "Give a US number with area code, such as (312) 555-0100 or +13125550100."


def parse_number(raw: str, *, field: str = "phoneNumber") -> str:
    """E.164 of a US geographic or mobile number as a person writes it.

    Raises CallwrightError INVALID_PHONE_NUMBER (unparsable, with an extension or letters) or NUMBER_NOT_CALLABLE
    (foreign, toll-free, premium…).
    """
    try:
        number = phonenumbers.parse(raw, "US")
    except phonenumbers.NumberParseException as error:
        raise CallwrightError(
            ErrorCode.INVALID_PHONE_NUMBER, "The phone number cannot be read.", field=field, remedy=_REMEDY
        ) from error
    if number.extension:
        # Dialled without it, somebody else would answer.
        raise CallwrightError(
            ErrorCode.INVALID_PHONE_NUMBER,
            "Numbers with an extension are not called.",
            field=field,
            remedy="Give a number that reaches the person directly, such as (312) 555-0100.",
        )
    if any(character.isalpha() for character in raw):
        raise CallwrightError(
            ErrorCode.INVALID_PHONE_NUMBER, "The phone number has letters in it.", field=field, remedy=_REMEDY
        )
    if not phonenumbers.is_valid_number(number):
        raise CallwrightError(
            ErrorCode.INVALID_PHONE_NUMBER, "There is no such phone number.", field=field, remedy=_REMEDY
        )
    if phonenumbers.region_code_for_number(number) not in US_REGIONS:
        raise CallwrightError(
            ErrorCode.NUMBER_NOT_CALLABLE,
            "Only US numbers are called.",
            field=field,
            rule="number_type",
            remedy=_REMEDY,
        )
    if phonenumbers.number_type(number) not in CALLABLE_TYPES:
        raise CallwrightError(
            ErrorCode.NUMBER_NOT_CALLABLE,
            "Toll-free, premium and special numbers are not called.",
            field=field,
            rule="number_type",
            remedy="Give the person's own landline or mobile number.",
        )
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def zones_of(phone_number: str) -> list[ZoneInfo]:
    """Every zone an E.164 number may lie in; empty when unknown."""
    names = phone_zones.time_zones_for_number(phonenumbers.parse(phone_number, "US"))
    return [ZoneInfo(name) for name in names if name != "Etc/Unknown"]
