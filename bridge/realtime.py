"""OpenAI Realtime (GA) on the wire: one type table in, small builders out, the session's configuration and endpoint.

Hot messages never touch the SDK's typed events (110-240 us each, protocol reference C7); the SDK gives endpoint,
headers and types.
"""

import binascii
from collections import Counter
from collections.abc import Callable, Mapping
from urllib.parse import quote

import orjson
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeSessionCreateRequestParam
from openai.types.realtime.realtime_tools_config_param import RealtimeToolsConfigParam

from callwright.app.calls.conversation import CallBrief, Turn, VoiceUsage
from callwright.bridge import actions as act
from callwright.bridge import events as ev

SILENCE_MS = (
    500  # of the server's voice detector; the SDK and the servers disagree on the default, so it is always sent
)
_PREFIX_MS = 300
_MAX_OUTPUT_TOKENS = 1_500  # about 75 s of speech: bounds a monologue and the audio waiting at the phone

_Message = Mapping[str, object]
_Parser = Callable[[_Message], ev.ModelEvent | None]


class ModelWire:
    """Parses one session's messages; counts what it does not know (vendors add events) and goes on."""

    def __init__(self) -> None:
        self.ignored: Counter[str] = Counter()

    def parse(self, raw: bytes) -> ev.ModelEvent | None:
        """The event a text frame means; None when it means nothing to us or is broken."""
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            self.ignored["not_json"] += 1
            return None
        kind = message.get("type") if isinstance(message, dict) else None
        if not isinstance(kind, str) or kind not in _PARSERS:
            # Counted under one name: the sender could otherwise grow this without bound.
            self.ignored["unknown_type"] += 1
            return None
        parser = _PARSERS[kind]
        if parser is None:
            return None
        try:
            return parser(message)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.ignored[f"broken_{kind}"] += 1
            return None


def endpoint(client: AsyncOpenAI, model: str) -> tuple[str, dict[str, str]]:
    """The WebSocket address and the headers the SDK itself would use."""
    base = str(client.websocket_base_url or client.base_url).rstrip("/")
    if base.startswith("http"):
        base = "ws" + base.removeprefix("http")
    headers = {**client.default_headers, **client.auth_headers}
    return f"{base}/realtime?model={quote(model, safe='')}", {
        name: text for name, text in headers.items() if isinstance(text, str)
    }


def session_update(brief: CallBrief, transcription_model: str) -> bytes:
    """`session.update` for a phone call: mu-law both ways; the server detects turns, the bridge decides what follows
    from them.
    """
    tools: RealtimeToolsConfigParam = orjson.loads(orjson.dumps(list(brief.tools), default=_plain))
    session: RealtimeSessionCreateRequestParam = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": brief.instructions,
        "max_output_tokens": _MAX_OUTPUT_TOKENS,
        "tools": tools,
        "tool_choice": "auto",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": transcription_model, "language": brief.language},
                "turn_detection": {
                    "type": "server_vad",
                    "prefix_padding_ms": _PREFIX_MS,
                    "silence_duration_ms": SILENCE_MS,
                    "create_response": False,
                    "interrupt_response": False,
                },
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": brief.voice},
        },
    }
    return orjson.dumps({"type": "session.update", "session": session})


_APPEND = b'{"type":"input_audio_buffer.append","audio":"'
COMMIT = b'{"type":"input_audio_buffer.commit"}'


def append(payload: str) -> bytes:
    """`payload` must be base64: it is spliced in as it is."""
    return _APPEND + payload.encode("ascii") + b'"}'


def response_create(action: act.CreateResponse) -> bytes:
    message: dict[str, object] = {"type": "response.create", "event_id": action.event_id}
    if action.words is not None:
        words = action.words.replace('"', "'")
        message["response"] = {
            "instructions": f'Say exactly: "{words}"\nAdd nothing before or after it.',
            "tool_choice": "none",
        }
    return orjson.dumps(message)


def response_cancel(response_id: str) -> bytes:
    return orjson.dumps({"type": "response.cancel", "response_id": response_id})


def truncate(item_id: str, audio_end_ms: int) -> bytes:
    return orjson.dumps(
        {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms}
    )


def tool_output(call_id: str, output: str) -> bytes:
    item = {"type": "function_call_output", "call_id": call_id, "output": output}
    return orjson.dumps({"type": "conversation.item.create", "item": item})


def said(turn: Turn) -> bytes:
    """A turn of the talk so far for a session that has not heard it; audio cannot be put into the agent's mouth."""
    role, kind = ("assistant", "output_text") if turn.speaker == "agent" else ("user", "input_text")
    item = {"type": "message", "role": role, "content": [{"type": kind, "text": turn.text}]}
    return orjson.dumps({"type": "conversation.item.create", "item": item})


def user_text(text: str) -> bytes:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return orjson.dumps({"type": "conversation.item.create", "item": item})


def message_of(action: act.Action) -> bytes | None:
    """The message that carries out what is meant for the model; None when the action is not."""
    match action:
        case act.CreateResponse():
            return response_create(action)
        case act.CancelResponse(response_id):
            return response_cancel(response_id)
        case act.TruncateItem(item_id, audio_end_ms):
            return truncate(item_id, audio_end_ms)
        case act.AnswerTool(call_id, output):
            return tool_output(call_id, output)
        case act.TellModel(text):
            return user_text(text)
        case act.CommitSpeech():
            return COMMIT
        case _:
            return None


def _plain(value: object) -> object:
    """Tools may be read-only mappings, which orjson does not take for objects."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _text(message: _Message, key: str) -> str:
    value = message[key]
    if not isinstance(value, str):
        raise TypeError
    return value


def _mapping(message: _Message, key: str) -> _Message:
    """The object under `key`; empty when absent or null, as all of usage may be."""
    value = message.get(key)
    return value if isinstance(value, dict) else {}


def _count(message: _Message, key: str) -> int:
    value = message.get(key)
    return value if isinstance(value, int) else 0


def _audio_delta(message: _Message) -> ev.AudioDelta:
    payload = _text(message, "delta")
    # Strict: the payload is spliced unescaped into the phone's frame.
    audio = binascii.a2b_base64(payload, strict_mode=True)
    return ev.AudioDelta(_text(message, "response_id"), _text(message, "item_id"), payload, audio)


def _transcription(message: _Message) -> ev.Transcribed:
    usage = _mapping(message, "usage")
    seconds = usage.get("seconds")
    return ev.Transcribed(
        _text(message, "item_id"),
        _text(message, "transcript"),
        VoiceUsage(
            transcription_input_tokens=_count(usage, "input_tokens"),
            transcription_output_tokens=_count(usage, "output_tokens"),
            transcription_seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        ),
    )


def _transcription_failed(message: _Message) -> ev.Transcribed:
    return ev.Transcribed(_text(message, "item_id"), "", VoiceUsage())


def _response_created(message: _Message) -> ev.ResponseCreated:
    return ev.ResponseCreated(_text(_mapping(message, "response"), "id"))


def _response_done(message: _Message) -> ev.ResponseDone:
    response = _mapping(message, "response")
    response_id = _text(response, "id")
    output = response.get("output")
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    calls = tuple(
        ev.ToolCalled(response_id, _text(item, "call_id"), _text(item, "name"), _text(item, "arguments"))
        for item in items
        if item.get("type") == "function_call" and item.get("status", "completed") == "completed"
    )
    usage = _mapping(response, "usage")
    received, sent = _mapping(usage, "input_token_details"), _mapping(usage, "output_token_details")
    cached = _mapping(received, "cached_tokens_details")
    total = VoiceUsage(
        input_text_tokens=_count(received, "text_tokens"),
        input_audio_tokens=_count(received, "audio_tokens"),
        cached_text_tokens=_count(cached, "text_tokens"),
        cached_audio_tokens=_count(cached, "audio_tokens"),
        output_text_tokens=_count(sent, "text_tokens"),
        output_audio_tokens=_count(sent, "audio_tokens"),
    )
    return ev.ResponseDone(response_id, str(response.get("status")), total, calls)


def _tool_called(message: _Message) -> ev.ToolCalled | None:
    if "name" not in message:  # some servers name the function only in the item; `response.done` then brings it
        return None
    return ev.ToolCalled(
        _text(message, "response_id"), _text(message, "call_id"), _text(message, "name"), _text(message, "arguments")
    )


def _error(message: _Message) -> ev.ModelError:
    error = _mapping(message, "error")
    event_id = error.get("event_id")
    return ev.ModelError(
        str(error.get("code") or error.get("type") or "unknown"), event_id if isinstance(event_id, str) else None
    )


# None: known and of no use to us.
_PARSERS: Mapping[str, _Parser | None] = {
    "response.output_audio.delta": _audio_delta,
    "response.output_audio_transcript.delta": lambda m: ev.TranscriptDelta(
        _text(m, "response_id"), _text(m, "item_id"), _text(m, "delta")
    ),
    "response.output_audio_transcript.done": lambda m: ev.TranscriptDone(
        _text(m, "response_id"), _text(m, "item_id"), _text(m, "transcript")
    ),
    "input_audio_buffer.speech_started": lambda m: ev.SpeechStarted(_text(m, "item_id")),
    "input_audio_buffer.speech_stopped": lambda m: ev.SpeechStopped(_text(m, "item_id")),
    "input_audio_buffer.committed": lambda m: ev.SpeechCommitted(_text(m, "item_id")),
    "conversation.item.input_audio_transcription.completed": _transcription,
    "conversation.item.input_audio_transcription.failed": _transcription_failed,
    "response.created": _response_created,
    "response.done": _response_done,
    "response.function_call_arguments.done": _tool_called,
    "session.updated": lambda _: ev.ModelReady(),
    "error": _error,
    **dict.fromkeys(
        (
            "session.created",
            "conversation.created",
            "conversation.item.created",
            "conversation.item.added",
            "conversation.item.done",
            "conversation.item.truncated",
            "conversation.item.input_audio_transcription.delta",
            "input_audio_buffer.cleared",
            "response.output_item.added",
            "response.output_item.done",
            "response.content_part.added",
            "response.content_part.done",
            "response.output_audio.done",
            "response.function_call_arguments.delta",
            "rate_limits.updated",
        )
    ),
}

KNOWN_TYPES = frozenset(_PARSERS)
