"""The TwiML documents we answer with."""

from collections.abc import Sequence

from twilio.twiml.voice_response import VoiceResponse


def stream_document(stream_urls: Sequence[str], token: str) -> str:
    """Connects the call's audio to the first of these bridges that takes it; `token` lets exactly one stream in.

    A bridge that refuses the stream makes the carrier go on to the next verb. Afterwards the call ends.
    """
    response = VoiceResponse()
    for url in stream_urls:
        response.connect().stream(url=url).parameter(name="token", value=token)
    response.hangup()
    return str(response)


def hangup_document() -> str:
    """Ends the call."""
    response = VoiceResponse()
    response.hangup()
    return str(response)
