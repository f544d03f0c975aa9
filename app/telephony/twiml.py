"""The TwiML documents we answer with."""

from twilio.twiml.voice_response import VoiceResponse


def stream_document(stream_url: str, token: str) -> str:
    """Connects the call's audio to the bridge; `token` lets exactly one stream in. Afterwards the call ends."""
    response = VoiceResponse()
    response.connect().stream(url=stream_url).parameter(name="token", value=token)
    response.hangup()
    return str(response)


def hangup_document() -> str:
    """Ends the call."""
    response = VoiceResponse()
    response.hangup()
    return str(response)
