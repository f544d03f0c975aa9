"""What each of Twilio's error codes means for a call: the one table that decides whether it may be tried again.

Source: Twilio's error dictionary, as collected in the protocol reference, section B5. A code that is not here is taken
for permanent: not calling is the mistake that can be mended.
"""

from enum import StrEnum


class CarrierVerdict(StrEnum):
    """What an error code means for the attempt."""

    NOT_PROCESSED = "not_processed"  # nothing was done: the same request may be sent again
    TRANSIENT = "transient"  # the call failed; a later attempt may succeed
    PERMANENT = "permanent"  # another attempt would fail as well, or must not be made
    ACCOUNT = "account"  # credentials or account: no call works until a person mends it, so none is given up for it
    UNSURE = "unsure"  # the call may exist
    ALREADY_OVER = "already_over"  # an update that came too late


_V = CarrierVerdict
_BY_VERDICT = {
    _V.NOT_PROCESSED: (20429, 429),
    _V.TRANSIENT: (10004, 21611, 30001, 30003, 30008, 30022, 30023, 32014, 32016),
    _V.PERMANENT: (
        *(13223, 13224, 13225, 20404, 21201, 21211, 21214, 21216, 21217, 21219, 21606, 21608, 21610, 21612, 21614),
        *(21617, 30004, 30005, 30006, 30007, 30034, 32017, 32021),
        # Ours to mend: a caller ID, a URL, a geographic permission.
        *(13214, 13227, 13247, 21205, 21209, 21210, 21212, 21213, 21215, 21218, 21234, 21263),
    ),
    _V.ACCOUNT: (401, 10001, 20003, 20005, 30002),
    _V.UNSURE: (20500, 20503),
    _V.ALREADY_OVER: (21220,),
}
VERDICTS: dict[int, CarrierVerdict] = {code: verdict for verdict, codes in _BY_VERDICT.items() for code in codes}

# SIP answers of the called side's network after which another try may go through: timeouts and their servers' faults.
_TRANSIENT_SIP = frozenset({408, 480, 500, 502, 503, 504})


def verdict_of(code: int, http_status: int) -> CarrierVerdict:
    """What an error answer means; an unknown code is judged by the HTTP status (a 5xx may have been carried out)."""
    known = VERDICTS.get(code)
    if known is not None:
        return known
    if http_status == 429:
        return CarrierVerdict.NOT_PROCESSED
    if http_status == 401:
        return CarrierVerdict.ACCOUNT
    if http_status >= 500 or http_status == 408:
        return CarrierVerdict.UNSURE
    return CarrierVerdict.PERMANENT


def failed_call_is_transient(error_code: int | None, sip_response_code: int | None) -> bool:
    """Whether a call the carrier reports as `failed` may be tried again; without a known reason it may not."""
    if error_code is not None:
        return VERDICTS.get(error_code) in (CarrierVerdict.TRANSIENT, CarrierVerdict.ACCOUNT, CarrierVerdict.UNSURE)
    return sip_response_code in _TRANSIENT_SIP
