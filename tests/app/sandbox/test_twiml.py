"""TwiML as the SDK builds it, read into verbs, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import VoiceResponse

from callwright.app.sandbox.twiml import Dial, Hangup, Ignored, Pause, Redirect, Say, Stream, TwimlError, parse

BASE = "https://callwright.example/twiml/call/1?x=1"
XML_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), max_size=200)


@given(name=XML_TEXT, value=XML_TEXT)
def test_parameters_built_by_the_sdk_arrive_unchanged(name: str, value: str) -> None:
    response = VoiceResponse()
    response.connect().stream(url="wss://callwright.example/media").parameter(name=name, value=value)
    (verb,) = parse(str(response), BASE)
    assert isinstance(verb, Stream)
    assert verb.parameters == ((name, value),)


def test_every_verb_is_read() -> None:
    response = VoiceResponse()
    response.connect(action="/after").stream(url="wss://callwright.example/media", status_callback="/stream")
    response.dial(caller_id="+13125550199", timeout=20, action="/done").number("+13125550150")
    response.say("Good day", language="es-US", loop=2)
    response.pause(length=3)
    response.redirect("next", method="GET")
    response.play("https://callwright.example/a.mp3")
    response.hangup()
    stream, dial, say, pause, redirect, play, hangup = parse(str(response), BASE)
    assert isinstance(stream, Stream) and stream.action == "https://callwright.example/after"
    assert stream.status_callback == "https://callwright.example/stream"
    assert dial == Dial(("+13125550150",), "+13125550199", 20, 14_400, "https://callwright.example/done", "POST")
    assert (say, pause) == (Say("Good day", "es-US", 2), Pause(3))
    assert redirect == Redirect("https://callwright.example/twiml/call/next", "GET")
    assert (play, hangup) == (Ignored("Play"), Hangup())


def stream(url: str, extra: str = "") -> str:
    return f'<Response><Connect><Stream url="{url}" {extra}/></Connect></Response>'


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<Response>", 12100),
        ('<!DOCTYPE r [<!ENTITY a "b">]><Response/>', 12100),
        ("<Answer/>", 12200),
        ("<Response><Pause length='long'/></Response>", 12200),
        (f"<Response>{' ' * 70_000}</Response>", 11750),
        (stream("https://callwright.example/media"), 31922),
        (stream("ws://callwright.example/media"), 31922),
        (stream(""), 31923),
        (stream("wss://callwright.example/media", 'track="both_tracks"'), 31941),
    ],
)
def test_what_twilio_refuses_is_refused_with_its_code(document: str, code: int) -> None:
    with pytest.raises(TwimlError) as refused:
        parse(document, BASE)
    assert refused.value.code == code


def test_relative_urls_need_a_document_url() -> None:
    with pytest.raises(TwimlError) as refused:
        parse("<Response><Redirect>/next</Redirect></Response>", "")
    assert refused.value.code == 15004


@pytest.mark.parametrize(
    ("given_url", "dialled"),
    [
        ("wss://callwright.example/media?token=1", "wss://callwright.example/media"),
        ("/media", "wss://callwright.example/media"),
        ("ws://127.0.0.1:8080/media", "ws://127.0.0.1:8080/media"),
    ],
)
def test_stream_urls_lose_their_query_and_may_be_relative(given_url: str, dialled: str) -> None:
    (verb,) = parse(stream(given_url), BASE)
    assert isinstance(verb, Stream) and verb.url == dialled
