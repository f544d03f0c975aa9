"""Both wire formats: what is understood, what is counted and ignored, what is sent."""

import base64
from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from callwright.app.calls.conversation import VoiceUsage
from callwright.bridge import events as ev
from callwright.bridge import realtime
from callwright.bridge.actions import CreateResponse, Purpose
from callwright.bridge.realtime import ModelWire
from callwright.bridge.twilio import PhoneFrames, PhoneWire
from tests.bridge.bench import BRIEF

AUDIO = bytes(range(160))
PAYLOAD = base64.b64encode(AUDIO).decode()


def media(**changes: object) -> bytes:
    body: dict[str, object] = {"track": "inbound", "chunk": "2", "timestamp": "40", "payload": PAYLOAD} | changes
    return orjson.dumps({"event": "media", "sequenceNumber": "3", "streamSid": "MZ1", "media": body})


def test_the_phones_messages() -> None:
    wire = PhoneWire()
    start = {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "streamSid": "MZ1",
            "accountSid": "AC1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "customParameters": {"token": "t"},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
    assert wire.parse(b'{"event":"connected","protocol":"Call","version":"1.0.0"}') is None
    assert wire.parse(orjson.dumps(start)) == ev.StreamStarted("MZ1", "CA1", {"token": "t"})
    assert wire.parse(media()) == ev.PhoneAudio(40, PAYLOAD, AUDIO)
    assert wire.parse(b'{"event":"mark","streamSid":"MZ1","mark":{"name":"0:1"}}') == ev.MarkReached("0:1")
    assert wire.parse(b'{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"9"}}') == ev.DigitPressed("9")
    assert wire.parse(b'{"event":"stop","stop":{"accountSid":"AC1","callSid":"CA1"}}') == ev.PhoneGone(stopped=True)
    assert not wire.ignored


@pytest.mark.parametrize(
    ("raw", "counted"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[1]", "unknown_event"),
        (b'{"event":7}', "unknown_event"),
        (b'{"event":"party"}', "unknown_event"),
        (b'{"event":"media"}', "broken_media"),
        (b'{"event":"media","media":[]}', "broken_media"),
        (media(payload="not base64!"), "broken_media"),
        (media(payload='/"},"x'), "broken_media"),
        (media(payload=5), "broken_media"),
        (media(payload=""), "broken_media"),
        (media(timestamp="soon"), "broken_media"),
        (media(timestamp="-20"), "broken_media"),
        (media(track="outbound"), "broken_media"),
        (b'{"event":"start","start":{}}', "broken_start"),
        (
            b'{"event":"start","start":{"streamSid":"M","callSid":"C","mediaFormat":{"encoding":"opus"}}}',
            "broken_start",
        ),
        (b'{"event":"mark","mark":{"name":3}}', "broken_mark"),
    ],
)
def test_a_broken_message_is_counted_and_nothing_more(raw: bytes, counted: str) -> None:
    wire = PhoneWire()
    assert wire.parse(raw) is None
    assert wire.ignored == {counted: 1}


def test_gaps_in_the_phones_audio_are_counted() -> None:
    wire = PhoneWire()
    for timestamp in (0, 20, 80, 100):
        wire.parse(media(timestamp=str(timestamp)))
    assert wire.gaps == 1


@given(st.binary(max_size=200))
def test_no_bytes_harm_the_parsers(raw: bytes) -> None:
    assert PhoneWire().parse(raw) is None
    assert ModelWire().parse(raw) is None


FIELDS = ["response_id", "item_id", "delta", "transcript", "response", "error", "usage", "call_id", "name", "arguments"]
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.sampled_from(sorted(realtime.KNOWN_TYPES)), st.dictionaries(st.sampled_from(FIELDS), json))
def test_no_shape_harms_the_parsers(kind: str, fields: Mapping[str, object]) -> None:
    try:
        raw = orjson.dumps({**fields, "type": kind})
    except TypeError:  # an integer beyond 64 bits
        return
    ModelWire().parse(raw)


def test_frames_to_the_phone_have_exactly_twilios_fields() -> None:
    frames = PhoneFrames("MZ1")
    assert orjson.loads(frames.media(PAYLOAD)) == {"event": "media", "streamSid": "MZ1", "media": {"payload": PAYLOAD}}
    assert orjson.loads(frames.mark("0:1")) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "0:1"}}
    assert orjson.loads(frames.clear) == {"event": "clear", "streamSid": "MZ1"}


IDS = {"event_id": "e", "response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
DONE = {
    "id": "r",
    "status": "completed",
    "output": [
        {"type": "message", "id": "i"},
        {"type": "function_call", "status": "completed", "call_id": "c", "name": "end_call", "arguments": "{}"},
    ],
    "usage": {
        "total_tokens": 60,
        "input_token_details": {
            "text_tokens": 10,
            "audio_tokens": 20,
            "cached_tokens": 7,
            "cached_tokens_details": {"text_tokens": 3, "audio_tokens": 4},
        },
        "output_token_details": {"text_tokens": 5, "audio_tokens": 25},
    },
}


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"type": "session.updated", "session": {}}, ev.ModelReady()),
        (
            {"type": "response.output_audio.delta", "delta": PAYLOAD, "obfuscation": "xx"},
            ev.AudioDelta("r", "i", PAYLOAD, AUDIO),
        ),
        ({"type": "response.output_audio_transcript.delta", "delta": "Hi"}, ev.TranscriptDelta("r", "i", "Hi")),
        ({"type": "response.output_audio_transcript.done", "transcript": "Hi"}, ev.TranscriptDone("r", "i", "Hi")),
        ({"type": "input_audio_buffer.speech_started", "audio_start_ms": 3}, ev.SpeechStarted("i")),
        ({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 3}, ev.SpeechStopped("i")),
        ({"type": "input_audio_buffer.committed", "previous_item_id": None}, ev.SpeechCommitted("i")),
        ({"type": "response.created", "response": {"id": "r"}}, ev.ResponseCreated("r")),
        (
            {"type": "response.done", "response": DONE},
            ev.ResponseDone(
                "r", "completed", VoiceUsage(10, 20, 3, 4, 5, 25), (ev.ToolCalled("r", "c", "end_call", "{}"),)
            ),
        ),
        (
            {"type": "response.done", "response": {"id": "r", "status": "failed", "usage": None, "output": None}},
            ev.ResponseDone("r", "failed", VoiceUsage()),
        ),
        (
            {"type": "response.function_call_arguments.done", "call_id": "c", "name": "opt_out", "arguments": "{}"},
            ev.ToolCalled("r", "c", "opt_out", "{}"),
        ),
        (
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "transcript": "Hello?",
                "usage": {"type": "tokens", "input_tokens": 8, "output_tokens": 2},
            },
            ev.Transcribed("i", "Hello?", VoiceUsage(transcription_input_tokens=8, transcription_output_tokens=2)),
        ),
        (
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "transcript": "Hello?",
                "usage": {"type": "duration", "seconds": 1.5},
            },
            ev.Transcribed("i", "Hello?", VoiceUsage(transcription_seconds=1.5)),
        ),
        (
            {"type": "conversation.item.input_audio_transcription.failed", "error": {}},
            ev.Transcribed("i", "", VoiceUsage()),
        ),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "code": "c", "event_id": "say-1"}},
            ev.ModelError("c", "say-1"),
        ),
        ({"type": "error", "error": {"type": "server_error", "code": None}}, ev.ModelError("server_error", None)),
    ],
)
def test_the_models_messages(message: dict[str, object], event: ev.ModelEvent) -> None:
    assert ModelWire().parse(orjson.dumps(IDS | message)) == event


def test_new_kinds_of_messages_are_counted_and_known_useless_ones_are_not() -> None:
    wire = ModelWire()
    assert wire.parse(b'{"type":"response.telepathy.delta"}') is None
    assert wire.parse(b'{"type":"rate_limits.updated","rate_limits":[]}') is None
    assert wire.ignored == {"unknown_type": 1}


def test_the_session_is_mulaw_both_ways_and_leaves_turns_to_the_bridge() -> None:
    update = orjson.loads(realtime.session_update(BRIEF, "gpt-4o-mini-transcribe"))
    session = update["session"]
    assert (update["type"], session["type"], session["instructions"]) == (
        "session.update",
        "realtime",
        BRIEF.instructions,
    )
    audio = session["audio"]
    assert audio["input"]["format"] == audio["output"]["format"] == {"type": "audio/pcmu"}
    detection = audio["input"]["turn_detection"]
    assert (detection["create_response"], detection["interrupt_response"]) == (False, False)
    assert session["tools"] == list(BRIEF.tools)


def test_a_line_is_said_exactly_and_without_tools() -> None:
    message = orjson.loads(realtime.response_create(CreateResponse("say-1", Purpose.OPENING, 'Hi, "Acme" here.')))
    assert message["event_id"] == "say-1"
    assert "Say exactly: \"Hi, 'Acme' here.\"" in message["response"]["instructions"].splitlines()
    assert message["response"]["tool_choice"] == "none"
    assert "response" not in orjson.loads(realtime.response_create(CreateResponse("say-2", Purpose.REPLY, None)))


async def test_the_endpoint_is_the_sdks() -> None:
    client = AsyncOpenAI(api_key="sk-test", base_url="http://127.0.0.1:9100/v1")
    url, headers = realtime.endpoint(client, "gpt-realtime")
    assert url == "ws://127.0.0.1:9100/v1/realtime?model=gpt-realtime"
    assert headers["Authorization"] == "Bearer sk-test"
    assert not any(name.lower() == "openai-beta" for name in headers)
    secure = AsyncOpenAI(api_key="sk-test", base_url="https://api.openai.com/v1")
    assert realtime.endpoint(secure, "m")[0] == "wss://api.openai.com/v1/realtime?model=m"
