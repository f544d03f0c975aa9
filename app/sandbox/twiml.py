"""TwiML documents, as far as outbound AI calls use them, parsed into typed verbs."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

LARGEST_DOCUMENT = 64 * 1024  # bytes, Twilio's limit for a TwiML document
LARGEST_PARAMETER = 500  # characters of name and value together


class TwimlError(Exception):
    """A document Twilio would refuse; `code` is the one of its error dictionary."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Stream:
    """`<Connect><Stream>`: `action` is the URL asked for the rest of the call when the stream ends, "" for none."""

    url: str
    name: str
    parameters: tuple[tuple[str, str], ...]
    action: str
    method: str
    status_callback: str
    status_callback_method: str


@dataclass(frozen=True, slots=True)
class Dial:
    numbers: tuple[str, ...]
    caller_id: str
    timeout_seconds: int
    time_limit_seconds: int
    action: str
    method: str


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    language: str
    loop: int


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: int


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str
    method: str


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class Ignored:
    """A verb the stand-in does not carry out; it is noted in the ledger and skipped."""

    verb: str


Verb: TypeAlias = Stream | Dial | Say | Pause | Redirect | Hangup | Ignored


def parse(document: str, base_url: str) -> tuple[Verb, ...]:
    """Reads one document; relative URLs are resolved against `base_url` ("" for TwiML given in a request).

    Raises TwimlError: 11750 too large, 12100 not XML, 12200 not TwiML, 15004 relative URL without a base,
    31922 a stream scheme other than wss (ws only on loopback), 31923 a malformed stream URL, 31941 a bad track.
    """
    if len(document.encode()) > LARGEST_DOCUMENT:
        raise TwimlError(11750, "TwiML response body too large")
    if "<!DOCTYPE" in document or "<!ENTITY" in document:
        raise TwimlError(12100, "Document parse failure: a document type is not allowed")
    try:
        root = ET.fromstring(document)  # noqa: S314 - document types, the way to entity attacks, are refused above
    except ET.ParseError as error:
        raise TwimlError(12100, f"Document parse failure: {error}") from error
    if root.tag != "Response":
        raise TwimlError(12200, f"Schema validation: root element must be Response, not {root.tag}")
    return tuple(_verb(element, base_url) for element in root)


def _verb(element: ET.Element, base: str) -> Verb:
    readers: dict[str, Callable[[ET.Element, str], Verb]] = {
        "Connect": _connect,
        "Dial": _dial,
        "Say": _say,
        "Pause": lambda e, _: Pause(_whole(e, "length", 1)),
        "Redirect": lambda e, b: Redirect(_url(e.text or "", b), e.get("method", "POST").upper()),
        "Hangup": lambda e, b: Hangup(),
    }
    reader = readers.get(element.tag)
    return Ignored(element.tag) if reader is None else reader(element, base)


def _connect(element: ET.Element, base: str) -> Verb:
    stream = element.find("Stream")
    if stream is None:
        return Ignored("Connect without Stream")
    if stream.get("track", "inbound_track") != "inbound_track":
        raise TwimlError(31941, "Invalid track: only inbound_track is possible under Connect")
    parameters = tuple((p.get("name", ""), p.get("value", "")) for p in stream.findall("Parameter"))
    if any(len(name) + len(value) >= LARGEST_PARAMETER for name, value in parameters):
        raise TwimlError(12200, "Schema validation: a Parameter's name and value must be under 500 characters")
    return Stream(
        url=_stream_url(stream.get("url", ""), base),
        name=stream.get("name", ""),
        parameters=parameters,
        action=_url(element.get("action", ""), base, optional=True),
        method=element.get("method", "POST").upper(),
        status_callback=_url(stream.get("statusCallback", ""), base, optional=True),
        status_callback_method=stream.get("statusCallbackMethod", "POST").upper(),
    )


def _stream_url(text: str, base: str) -> str:
    if not text:
        raise TwimlError(31923, "Stream: malformed URL")
    url = text
    if "://" not in text:
        url = urljoin(_url(text, base).replace("http", "ws", 1), text)
    parts = urlsplit(url)
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "wss" and not (parts.scheme == "ws" and loopback):
        raise TwimlError(31922, "Stream: the scheme must be wss (ws is allowed on loopback only)")
    if not parts.hostname:
        raise TwimlError(31923, "Stream: malformed URL")
    return parts._replace(query="", fragment="").geturl()  # a query never reaches the server


def _dial(element: ET.Element, base: str) -> Verb:
    numbers = [(child.text or "").strip() for child in element.findall("Number")]
    if not numbers and (element.text or "").strip():
        numbers = [(element.text or "").strip()]
    if not numbers:
        return Ignored("Dial without Number")
    return Dial(
        numbers=tuple(numbers),
        caller_id=element.get("callerId", ""),
        timeout_seconds=_whole(element, "timeout", 30),
        time_limit_seconds=_whole(element, "timeLimit", 14_400),
        action=_url(element.get("action", ""), base, optional=True),
        method=element.get("method", "POST").upper(),
    )


def _say(element: ET.Element, _base: str) -> Verb:
    text = " ".join("".join(element.itertext()).split())
    return Say(text, element.get("language", "en-US"), _whole(element, "loop", 1))


def _url(text: str, base: str, *, optional: bool = False) -> str:
    text = text.strip()
    if not text and optional:
        return ""
    if "://" in text:
        return text
    if not base:
        raise TwimlError(15004, "A relative URL needs a document URL: use an absolute one")
    return urljoin(base, text)


def _whole(element: ET.Element, name: str, default: int) -> int:
    text = element.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise TwimlError(12200, f"Schema validation: {element.tag} {name} must be a whole number")
    return int(text)
