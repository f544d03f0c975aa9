"""Stand-in for Anthropic's Messages API, `POST /v1/messages`, plain and streamed.

With `output_config.format` it fills the JSON schema from the transcript in the request (`claude_summary`); without, it
gives a sentence of guidance to the question in the last user message (`model/advice.yaml`). Faults on cue (`ledger`):
"status", "hang", "cut_json" and "refusal".
"""

import asyncio
import itertools
import json
import re
from dataclasses import dataclass

import yaml
from aiohttp import web

from callwright.app.sandbox.brain_intents import DATA, Intents, load_intents, normalised
from callwright.app.sandbox.claude_summary import call_facts, filled
from callwright.app.sandbox.ledger import Fault, Ledger
from callwright.app.sandbox.realtime_config import Json, JsonObject
from callwright.app.sandbox.realtime_conversation import text_tokens

# Long enough for any client's own timeout to come first.
_HANG_S = 600.0
_PIECE = 24
# Words of a label such as "from the business: warranty"; a longer text before a colon is prose.
_LONGEST_LABEL = 6
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(slots=True)
class Rejected(Exception):
    """An error answer: HTTP status and message."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    stop_reason: str
    model: str
    input_tokens: int

    @property
    def usage(self) -> JsonObject:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": max(1, text_tokens(self.text)),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "service_tier": "standard",
        }


def routes(ledger: Ledger) -> list[web.RouteDef]:
    """The one endpoint."""
    desk = _Desk(ledger, load_intents())
    return [web.post("/v1/messages", desk.messages)]


class _Desk:
    def __init__(self, ledger: Ledger, intents: Intents) -> None:
        self._ledger = ledger
        self._intents = intents
        self._numbers = itertools.count(1)
        data = yaml.safe_load((DATA / "advice.yaml").read_text(encoding="utf-8"))
        self._advice = [(re.compile(entry["pattern"]), str(entry["text"])) for entry in data["advice"]]
        self._fallback = str(data["fallback"])

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages."""
        number = next(self._numbers)
        headers = {"request-id": f"req_sandbox{number:06d}"}
        try:
            body = await _body(request)
            kind = "summary" if _schema(body) is not None else "guidance"
            retry = request.headers.get("x-stainless-retry-count", "0")
            self._ledger.record("anthropic", kind, model=str(body["model"]), retry=retry)
            fault = self._ledger.take_fault("anthropic")
            if fault is not None and fault.fault == "hang":
                await asyncio.sleep(_HANG_S)
            if fault is not None and fault.fault in ("hang", "status"):
                raise Rejected(fault.status, "The sandbox was told to fail.")
            answer = self._answer(body, fault)
        except Rejected as rejected:
            self._ledger.record("anthropic", "error", status=rejected.status)
            error = {"type": _ERROR_TYPES.get(rejected.status, "api_error"), "message": rejected.message}
            answer_body = {"type": "error", "error": error, "request_id": headers["request-id"]}
            return web.json_response(answer_body, status=rejected.status, headers=headers)
        if body.get("stream") is True:
            return await _stream(request, answer, f"msg_sandbox{number:06d}", headers)
        return web.json_response(_message(answer, f"msg_sandbox{number:06d}"), headers=headers)

    def _answer(self, body: JsonObject, fault: Fault | None) -> _Answer:
        text, stop_reason = self._words(body), "end_turn"
        limit = body["max_tokens"]
        if isinstance(limit, int) and text_tokens(text) > limit:
            text, stop_reason = text[: limit * 4], "max_tokens"
        if fault is not None and fault.fault == "cut_json":
            text, stop_reason = text[: max(1, len(text) * 2 // 3)], "max_tokens"
        if fault is not None and fault.fault == "refusal":
            text, stop_reason = "", "refusal"
        asked = text_tokens(json.dumps([body.get("system"), body["messages"]], ensure_ascii=False))
        return _Answer(text, stop_reason, str(body["model"]), asked)

    def _words(self, body: JsonObject) -> str:
        everything = "\n".join([_text(body.get("system")), *(text for _, text in _turns(body))])
        schema = _schema(body)
        if schema is not None:
            return json.dumps(filled(schema, call_facts(everything, self._intents)), ensure_ascii=False)
        asked = next((text for role, text in reversed(_turns(body)) if role == "user"), "")
        question = normalised(_question(asked))
        for pattern, advice in self._advice:
            if pattern.search(question):
                return _fact(everything, pattern) or advice
        return self._fallback


async def _body(request: web.Request) -> JsonObject:
    """The request, checked as the service does."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key", "") or (token if scheme == "Bearer" else "")
    if not key.strip() or key.strip().endswith("-invalid"):
        raise Rejected(401, "invalid x-api-key")
    if "anthropic-version" not in request.headers:
        raise Rejected(400, "anthropic-version: header is required")
    try:
        body: Json = await request.json()
    except ValueError as error:
        raise Rejected(400, "The request body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise Rejected(400, "The request body must be a JSON object.")
    for field in ("model", "max_tokens", "messages"):
        if field not in body:
            raise Rejected(400, f"{field}: Field required")
    if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
        raise Rejected(400, "max_tokens: Input should be greater than or equal to 1")
    messages = body["messages"]
    if not isinstance(messages, list) or not messages:
        raise Rejected(400, "messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise Rejected(400, f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
    return body


def _schema(body: JsonObject) -> JsonObject | None:
    """The JSON schema of structured output, if asked for."""
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else None
    if wanted is None:
        return None
    schema = wanted.get("schema") if isinstance(wanted, dict) and wanted.get("type") == "json_schema" else None
    if not isinstance(schema, dict):
        raise Rejected(400, "output_config.format: Input should be a json_schema with a schema")
    return schema


def _turns(body: JsonObject) -> list[tuple[str, str]]:
    messages = body["messages"]
    return [
        (str(message["role"]), _text(message.get("content")))
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict)
    ]


def _text(content: Json) -> str:
    """A string, or the text blocks of a list."""
    if isinstance(content, list):
        return "\n".join(str(block["text"]) for block in content if isinstance(block, dict) and "text" in block)
    return content if isinstance(content, str) else ""


def _question(text: str) -> str:
    """A line `question: …`, else the last sentence with a question mark, else everything."""
    named = re.findall(r"^\W*(?:the )?(?:person's )?question\b[^:\n]*:\s*(.+)$", text, re.IGNORECASE | re.MULTILINE)
    if named:
        return str(named[-1])
    asked = re.findall(r"[^.!?\n]+\?", text)
    return str(asked[-1]) if asked else text


def _fact(text: str, label: re.Pattern[str]) -> str | None:
    """What the request itself tells about it, in a line `label: value`."""
    for name, value in re.findall(r"^(?:- )?([^:\n\[]{1,60}): (.+)$", text, re.MULTILINE):
        if label.search(normalised(name)) and len(name.split()) <= _LONGEST_LABEL:
            return f"{value[0].upper()}{value[1:].rstrip(' .')}."
    return None


def _message(answer: _Answer, message_id: str) -> JsonObject:
    message: JsonObject = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [{"type": "text", "text": answer.text}] if answer.text else [],
        "stop_reason": answer.stop_reason,
        "stop_sequence": None,
        "usage": answer.usage,
    }
    if answer.stop_reason == "refusal":
        message["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return message


async def _stream(
    request: web.Request, answer: _Answer, message_id: str, headers: dict[str, str]
) -> web.StreamResponse:
    """The same message as server-sent events."""
    response = web.StreamResponse(
        headers={**headers, "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)

    async def event(kind: str, **fields: Json) -> None:
        data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
        await response.write(f"event: {kind}\ndata: {data}\n\n".encode())

    begin = {
        **_message(answer, message_id),
        "content": [],
        "stop_reason": None,
        "usage": answer.usage | {"output_tokens": 1},
    }
    begin.pop("stop_details", None)
    await event("message_start", message=begin)
    if answer.text:
        await event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        await event("ping")
        for at in range(0, len(answer.text), _PIECE):
            piece: JsonObject = {"type": "text_delta", "text": answer.text[at : at + _PIECE]}
            await event("content_block_delta", index=0, delta=piece)
        await event("content_block_stop", index=0)
    stop: JsonObject = {"stop_reason": answer.stop_reason, "stop_sequence": None}
    await event("message_delta", delta=stop, usage={"output_tokens": answer.usage["output_tokens"]})
    await event("message_stop")
    await response.write_eof()
    return response
