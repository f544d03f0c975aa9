"""Twilio Media Streams on the wire: JSON text frames in, prebuilt frames out (protocol reference, A3 and A4)."""

import binascii
from collections import Counter
from collections.abc import Callable, Mapping

import orjson

from callwright.bridge.events import DigitPressed, MarkReached, PhoneAudio, PhoneEvent, PhoneGone, StreamStarted
from callwright.bridge.playout import BYTES_PER_MS

_Message = Mapping[str, object]


class PhoneWire:
    """Parses one stream's messages; counts what it does not understand and goes on."""

    def __init__(self) -> None:
        self.ignored: Counter[str] = Counter()
        self.frames = 0
        self.gaps = 0  # places where frames of the person are missing
        self._at_ms = 0
        self._parsers: dict[str, Callable[[_Message], PhoneEvent | None]] = {
            "media": self._media,
            "mark": _mark,
            "start": _start,
            "dtmf": _dtmf,
            "stop": _stop,
            "connected": _connected,
        }

    def parse(self, raw: bytes) -> PhoneEvent | None:
        """The event a text frame means; None when it means nothing to us or is broken."""
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            self.ignored["not_json"] += 1
            return None
        kind = message.get("event") if isinstance(message, dict) else None
        parser = self._parsers.get(kind) if isinstance(kind, str) else None
        if parser is None:
            self.ignored["unknown_event"] += 1
            return None
        try:
            return parser(message)
        except (KeyError, TypeError, ValueError, AttributeError):  # binascii.Error is a ValueError
            self.ignored[f"broken_{kind}"] += 1
            return None

    def _media(self, message: _Message) -> PhoneAudio | None:
        media = _mapping(message, "media")
        payload = media["payload"]
        if not isinstance(payload, str) or media.get("track", "inbound") != "inbound":
            raise ValueError
        # Strict: the payload is spliced unescaped into the model's frame.
        audio = binascii.a2b_base64(payload, strict_mode=True)
        start_ms = int(str(media["timestamp"]))
        if start_ms < 0 or not audio:
            raise ValueError
        self.frames += 1
        if start_ms > self._at_ms > 0:
            self.gaps += 1
        self._at_ms = max(self._at_ms, start_ms + len(audio) // BYTES_PER_MS)
        return PhoneAudio(start_ms, payload, audio)


def _mapping(message: _Message, key: str) -> Mapping[str, object]:
    value = message[key]
    if not isinstance(value, dict):
        raise TypeError
    return value


def _text(message: _Message, key: str) -> str:
    value = message[key]
    if not isinstance(value, str):
        raise TypeError
    return value


def _mark(message: _Message) -> MarkReached:
    return MarkReached(_text(_mapping(message, "mark"), "name"))


def _start(message: _Message) -> StreamStarted:
    start = _mapping(message, "start")
    parameters = start.get("customParameters") or {}
    media_format = start.get("mediaFormat")
    if isinstance(media_format, dict) and media_format.get("encoding", "audio/x-mulaw") != "audio/x-mulaw":
        raise ValueError
    if not isinstance(parameters, dict):
        raise TypeError
    texts = {str(name): str(value) for name, value in parameters.items()}
    return StreamStarted(_text(start, "streamSid"), _text(start, "callSid"), texts)


def _dtmf(message: _Message) -> DigitPressed:
    return DigitPressed(_text(_mapping(message, "dtmf"), "digit"))


def _stop(_: _Message) -> PhoneGone:
    return PhoneGone(stopped=True)


def _connected(_: _Message) -> None:
    return None


class PhoneFrames:
    """Frames to the phone. Exactly Twilio's fields: an extra one makes a message ineffective (31951)."""

    def __init__(self, stream_sid: str) -> None:
        sid = orjson.dumps(stream_sid)
        self._media = b'{"event":"media","streamSid":' + sid + b',"media":{"payload":"'
        self._mark = b'{"event":"mark","streamSid":' + sid + b',"mark":{"name":"'
        self.clear = b'{"event":"clear","streamSid":' + sid + b"}"

    def media(self, payload: str) -> bytes:
        """`payload` must be base64, `mark` names plain ASCII without quotes: both are spliced in as they are."""
        return self._media + payload.encode("ascii") + b'"}}'

    def mark(self, name: str) -> bytes:
        return self._mark + name.encode("ascii") + b'"}}'
