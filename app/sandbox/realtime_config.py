"""The Realtime session object: what may be set, what it is by default, how updates merge.

Fields and values: openai SDK 3.54 (`types/realtime`); refusals as field traces of the GA service show them.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

VOICES = frozenset({"alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"})
FORMATS = frozenset({"audio/pcm", "audio/pcmu", "audio/pcma"})

# None: any value. A mapping: the keys of an object, which may also be null.
Shape: TypeAlias = "Mapping[str, Shape] | None"

_FORMAT: Shape = {"type": None, "rate": None}
_SHAPE: Mapping[str, Shape] = {
    "type": None,
    "output_modalities": None,
    "instructions": None,
    "max_output_tokens": None,
    "tool_choice": None,
    "tools": None,
    "parallel_tool_calls": None,
    "reasoning": {"effort": None},
    "truncation": None,
    "tracing": None,
    "prompt": {"id": None, "version": None, "variables": None},
    "include": None,
    "audio": {
        "input": {
            "format": _FORMAT,
            "noise_reduction": {"type": None, "strength": None},
            "transcription": dict.fromkeys(("model", "language", "languages", "prompt", "keywords", "delay")),
            "turn_detection": dict.fromkeys(
                (
                    *("type", "threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"),
                    *("create_response", "interrupt_response", "eagerness"),
                )
            ),
        },
        "output": {"format": _FORMAT, "voice": None, "speed": None},
    },
}
_RESPONSE_SHAPE: Mapping[str, Shape] = {
    "instructions": None,
    "input": None,
    "conversation": None,
    "output_modalities": None,
    "audio": {"output": {"format": _FORMAT, "voice": None}},
    "tools": None,
    "tool_choice": None,
    "max_output_tokens": None,
    "metadata": None,
    "prompt": {"id": None, "version": None, "variables": None},
    "reasoning": {"effort": None},
    "parallel_tool_calls": None,
}
_SERVER_VAD: JsonObject = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}


@dataclass(slots=True)
class Refusal(Exception):
    """An `error` event of type invalid_request_error; the session goes on."""

    code: str
    message: str
    param: str | None = None


def new_session(session_id: str, model: str, expires_at: int) -> JsonObject:
    """The session as `session.created` shows it; `expires_at` in epoch seconds."""
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "expires_at": expires_at,
        "output_modalities": ["audio"],
        "instructions": "",
        "max_output_tokens": "inf",
        "tool_choice": "auto",
        "tools": [],
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "noise_reduction": None,
                "transcription": None,
                "turn_detection": dict(_SERVER_VAD),
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
        },
    }


def updated_session(session: JsonObject, update: Json) -> JsonObject:
    """The session after an update: objects merge, anything else replaces. Raises `Refusal`, then nothing changes."""
    if not isinstance(update, dict) or "type" not in update:
        raise Refusal("missing_required_parameter", "Missing required parameter: 'session.type'.", "session.type")
    if update["type"] != "realtime":
        raise _invalid("session.type", update["type"], "'realtime'")
    _check_known(update, _SHAPE, "session")
    merged = copy.deepcopy(session)
    _merge(merged, update)
    detection = object_at(merged, "audio", "input").get("turn_detection")
    if isinstance(detection, dict) and detection.get("type", "server_vad") == "server_vad":
        object_at(merged, "audio", "input")["turn_detection"] = {**_SERVER_VAD, **detection}
    _check_values(merged)
    return merged


def checked_response(parameters: Json) -> JsonObject:
    """The `response` of response.create, its keys checked. Raises `Refusal`."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise _invalid("response", parameters, "an object")
    _check_known(parameters, _RESPONSE_SHAPE, "response")
    if parameters.get("conversation", "auto") not in ("auto", "none"):
        raise _invalid("response.conversation", parameters["conversation"], "'auto' and 'none'")
    if parameters.get("output_modalities", ["audio"]) not in (["audio"], ["text"]):
        raise _invalid("response.output_modalities", parameters["output_modalities"], "['audio'] and ['text']")
    return parameters


def _check_known(value: JsonObject, shape: Mapping[str, Shape], path: str) -> None:
    for key, inner in value.items():
        if key not in shape:
            raise Refusal("unknown_parameter", f"Unknown parameter: '{path}.{key}'.", f"{path}.{key}")
        below = shape[key]
        if below is not None and isinstance(inner, dict):
            _check_known(inner, below, f"{path}.{key}")


def _merge(target: JsonObject, update: JsonObject) -> None:
    for key, value in update.items():
        present = target.get(key)
        if isinstance(present, dict) and isinstance(value, dict) and _same_kind(present, value):
            _merge(present, value)
        else:
            target[key] = copy.deepcopy(value)


def _same_kind(present: JsonObject, value: JsonObject) -> bool:
    """Objects of another type, such as another way of turn detection, replace the present one."""
    return value.get("type", present.get("type")) == present.get("type")


def _check_values(session: JsonObject) -> None:
    if session["output_modalities"] not in (["audio"], ["text"]):
        raise _invalid("session.output_modalities", session["output_modalities"], "['audio'] and ['text']")
    for direction in ("input", "output"):
        audio_format = object_at(session, "audio", direction, "format").get("type")
        if audio_format not in FORMATS:
            raise _invalid(f"session.audio.{direction}.format.type", audio_format, ", ".join(sorted(FORMATS)))
    output = object_at(session, "audio", "output")
    voice, speed = output.get("voice"), output.get("speed")
    if not isinstance(voice, dict) and voice not in VOICES:
        raise _invalid("session.audio.output.voice", voice, ", ".join(sorted(VOICES)))
    if not isinstance(speed, int | float) or not 0.25 <= speed <= 1.5:
        raise _invalid("session.audio.output.speed", speed, "0.25 to 1.5")
    limit = session["max_output_tokens"]
    if limit not in ("inf", None) and not (isinstance(limit, int) and 1 <= limit <= 4096):
        raise _invalid("session.max_output_tokens", limit, "1 to 4096 and 'inf'")
    _check_detection(object_at(session, "audio", "input").get("turn_detection"))
    tools = session["tools"]
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        if not isinstance(tool, dict) or tool.get("type") not in ("function", "mcp"):
            raise _invalid(f"session.tools[{index}].type", tool, "'function' and 'mcp'")
        if tool["type"] == "function" and not tool.get("name"):
            path = f"session.tools[{index}].name"
            raise Refusal("missing_required_parameter", f"Missing required parameter: '{path}'.", path)


def _check_detection(detection: Json) -> None:
    path = "session.audio.input.turn_detection"
    if detection is None:
        return
    if not isinstance(detection, dict) or detection.get("type") not in ("server_vad", "semantic_vad"):
        raise _invalid(f"{path}.type", detection, "'server_vad' and 'semantic_vad'")
    if detection["type"] == "semantic_vad" and detection.get("idle_timeout_ms") is not None:
        raise _invalid(f"{path}.idle_timeout_ms", detection["idle_timeout_ms"], "server_vad only")
    for key in ("prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"):
        value = detection.get(key)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise _invalid(f"{path}.{key}", value, "whole milliseconds")


def object_at(parent: JsonObject, *path: str) -> JsonObject:
    """The object at that path; `Refusal` if the client put something else there."""
    here: Json = parent
    for depth, key in enumerate(path):
        here = here.get(key) if isinstance(here, dict) else None
        if not isinstance(here, dict):
            raise _invalid(".".join(("session", *path[: depth + 1])), here, "an object")
    assert isinstance(here, dict)
    return here


def _invalid(param: str, value: Json, allowed: str) -> Refusal:
    return Refusal("invalid_value", f"Invalid value: {value!r}. Supported values are: {allowed}.", param)
