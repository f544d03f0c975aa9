"""One response of the stand-in voice model: words in uneven bursts faster than real time, then a function call."""

import asyncio
import contextlib
import json
import random
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import structlog

from callwright.app.sandbox.brain import Reply, ToolCall
from callwright.app.sandbox.mulaw import BYTES_PER_MS, FRAME_BYTES
from callwright.app.sandbox.realtime_config import Json, JsonObject
from callwright.app.sandbox.realtime_conversation import (
    MS_PER_OUTPUT_TOKEN,
    Conversation,
    Ids,
    Item,
    heard_until,
    text_tokens,
)
from callwright.app.sandbox.speech import Speaker, Utterance

log = structlog.get_logger(__name__)

Emit = Callable[..., Awaitable[None]]
"""Sends a server event: its type, then its fields by keyword."""

_THINKING_S = 0.06
_BURST_FRAMES = (1, 20)
_ESPEAK_VOICES = {"ash": "en-us+m3", "ballad": "en-us+m1", "echo": "en-us+m7", "verse": "en-us+m2", "cedar": "en-us+m4"}
_OTHER_VOICE = "en-us+f3"


@dataclass(frozen=True, slots=True)
class Order:
    """What the response is to be: the brain's reply, and the session's or the request's settings."""

    reply: Reply
    modality: str
    voice: str
    rate_wpm: int
    output_format: Json
    max_output_tokens: int | None
    metadata: Json
    input_tokens: tuple[int, int]
    cached_tokens: tuple[int, int]
    pace: float


@dataclass(slots=True)
class _Part:
    """The message item being spoken or written."""

    item: Item
    index: int
    utterance: Utterance | None
    said: str = ""


@dataclass(slots=True)
class ResponseRun:
    """Runs as a task of its own; `cancel` ends it early. Output goes to `conversation` unless that is None."""

    order: Order
    ids: Ids
    emit: Emit
    speaker: Speaker
    conversation: Conversation | None
    id: str = ""
    finished: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    audio_ms: int = 0
    _output: list[JsonObject] = field(default_factory=list)
    _part: _Part | None = None
    _task: "asyncio.Task[None] | None" = None
    _text_tokens: int = 0

    async def start(self) -> "asyncio.Task[None]":
        """Announces the response and begins; the task never raises."""
        self.id = self.ids.next("resp")
        await self.emit("response.created", response=self._wire("in_progress", None))
        self._task = asyncio.create_task(self._run())
        return self._task

    async def cancel(self, reason: str) -> None:
        """Ends the response as cancelled; `reason` is turn_detected or client_cancelled."""
        if self.finished or self._task is None:
            return
        self.finished = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._part is not None:
            await self._close_message(self._part, "incomplete")
        await self._done("cancelled", {"type": "cancelled", "reason": reason})

    async def _run(self) -> None:
        try:
            await asyncio.sleep(_THINKING_S)
            whole = True
            if self.order.reply.say is not None:
                whole = await self._message(self.order.reply.say)
            if whole and self.order.reply.call is not None:
                await self._function_call(self.order.reply.call)
            self.finished = True
            if whole:
                await self._done("completed", None)
            else:
                await self._done("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
        except Exception as error:
            # A fault of the stand-in's own must look like one of the service's: the client gets its response.done.
            log.exception("sandbox.realtime.response_failed", response_id=self.id)
            self.finished = True
            details: JsonObject = {"type": "server_error", "code": "server_error", "message": type(error).__name__}
            await self._done("failed", {"type": "failed", "error": details})

    async def _message(self, text: str) -> bool:
        """Says or writes the text; False if the token limit cut it short."""
        utterance = None
        if self.order.modality == "audio":
            voice = _ESPEAK_VOICES.get(self.order.voice, _OTHER_VOICE)
            utterance = await asyncio.to_thread(self.speaker.say, text, voice, rate_wpm=self.order.rate_wpm)
        item = Item(self._item("message", role="assistant", content=[]))
        part = _Part(item, len(self._output), utterance)
        self._part = part
        await self._open_item(item)
        await self._to_part(
            part,
            "response.content_part.added",
            part={"type": "audio", "transcript": ""} if utterance else {"type": "text", "text": ""},
        )
        whole = await (self._speak(part, utterance) if utterance else self._write(part, text))
        self._part = None
        await self._close_message(part, "completed" if whole else "incomplete")
        return whole

    async def _speak(self, part: _Part, utterance: Utterance) -> bool:
        part.item.words = utterance.words
        limit = len(utterance.audio)
        if self.order.max_output_tokens is not None:
            limit = min(limit, self.order.max_output_tokens * MS_PER_OUTPUT_TOKEN * BYTES_PER_MS)
        words = iter(utterance.words)
        word = next(words, None)
        for start, end in _bursts(limit, utterance.text):
            spoken = ""
            while word is not None and word.start_byte < end:
                spoken += f" {word.text}" if part.said or spoken else word.text
                word = next(words, None)
            if spoken:
                part.said += spoken
                await self._to_part(part, "response.output_audio_transcript.delta", delta=spoken)
            part.item.audio_ms = end // BYTES_PER_MS
            delta = b64encode(utterance.audio[start:end]).decode()
            await self._to_part(part, "response.output_audio.delta", delta=delta)
            await asyncio.sleep((end - start) / (8000 * self.order.pace))
        return limit == len(utterance.audio)

    async def _write(self, part: _Part, text: str) -> bool:
        limit = None if self.order.max_output_tokens is None else self.order.max_output_tokens * 4
        cut = text[:limit]
        for at in range(0, len(cut), 12):
            part.said += cut[at : at + 12]
            await self._to_part(part, "response.output_text.delta", delta=cut[at : at + 12])
        return cut == text

    async def _close_message(self, part: _Part, status: str) -> None:
        """The closing events of the item, with what was generated of it."""
        self._part = None
        item = part.item
        spoken = part.utterance is not None
        content: JsonObject = (
            {"type": "audio", "transcript": part.said} if spoken else {"type": "text", "text": part.said}
        )
        if spoken:
            await self._to_part(part, "response.output_audio.done")
            await self._to_part(part, "response.output_audio_transcript.done", transcript=part.said)
            item.text = heard_until(item.words, item.audio_ms) if status == "incomplete" else part.said
            item.wire["content"] = [{"type": "output_audio", "transcript": part.said}]
        else:
            await self._to_part(part, "response.output_text.done", text=part.said)
            item.text = part.said
            item.wire["content"] = [{"type": "output_text", "text": part.said}]
        self.audio_ms += item.audio_ms
        self._text_tokens += text_tokens(part.said)
        await self._to_part(part, "response.content_part.done", part=content)
        await self._close_item(item, status)

    async def _function_call(self, call: ToolCall) -> None:
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        call_id = self.ids.next("call")
        item = Item(self._item("function_call", name=call.name, call_id=call_id, arguments=""))
        await self._open_item(item)
        where: JsonObject = {
            "response_id": self.id,
            "item_id": item.id,
            "output_index": len(self._output),
            "call_id": call_id,
        }
        for at in range(0, len(arguments), 16):
            delta = arguments[at : at + 16]
            await self.emit("response.function_call_arguments.delta", **where, delta=delta)
        item.wire["arguments"] = arguments
        item.text = f"{call.name} {arguments}"
        self._text_tokens += text_tokens(item.text)
        await self.emit("response.function_call_arguments.done", **where, name=call.name, arguments=arguments)
        await self._close_item(item, "completed")

    def _item(self, kind: str, **fields: Json) -> JsonObject:
        return {
            "id": self.ids.next("item"),
            "object": "realtime.item",
            "type": kind,
            "status": "in_progress",
            **fields,
        }

    async def _open_item(self, item: Item) -> None:
        index = len(self._output)
        await self.emit("response.output_item.added", response_id=self.id, output_index=index, item=item.wire)
        if self.conversation is not None:
            previous = self.conversation.add(item)
            await self.emit("conversation.item.added", previous_item_id=previous, item=item.wire)

    async def _close_item(self, item: Item, status: str) -> None:
        item.wire["status"] = status
        index = len(self._output)
        self._output.append(item.wire)
        if self.conversation is not None:
            previous = self.conversation.before(item)
            await self.emit("conversation.item.done", previous_item_id=previous, item=item.wire)
        await self.emit("response.output_item.done", response_id=self.id, output_index=index, item=item.wire)

    async def _to_part(self, place: _Part, event: str, /, **fields: Json) -> None:
        await self.emit(
            event, response_id=self.id, item_id=place.item.id, output_index=place.index, content_index=0, **fields
        )

    async def _done(self, status: str, details: JsonObject | None) -> None:
        await self.emit("response.done", response=self._wire(status, details))
        left = max(0, 40_000 - sum(self.order.input_tokens))
        await self.emit(
            "rate_limits.updated",
            rate_limits=[{"name": "tokens", "limit": 40_000, "remaining": left, "reset_seconds": 1.5}],
        )
        self.ended.set()

    def _wire(self, status: str, details: JsonObject | None) -> JsonObject:
        order = self.order
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": status,
            "status_details": details,
            "output": list(self._output),
            "conversation_id": None if self.conversation is None else "conv_default",
            "output_modalities": [order.modality],
            "max_output_tokens": order.max_output_tokens or "inf",
            "audio": {"output": {"format": order.output_format, "voice": order.voice}},
            "usage": None if status == "in_progress" else self._usage(),
            "metadata": order.metadata,
        }

    def _usage(self) -> JsonObject:
        text_in, audio_in = self.order.input_tokens
        text_cached = min(text_in, self.order.cached_tokens[0])
        audio_cached = min(audio_in, self.order.cached_tokens[1])
        audio_out = -(-self.audio_ms // MS_PER_OUTPUT_TOKEN)
        output = self._text_tokens + audio_out
        return {
            "total_tokens": text_in + audio_in + output,
            "input_tokens": text_in + audio_in,
            "output_tokens": output,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": text_cached + audio_cached,
                "cached_tokens_details": {"text_tokens": text_cached, "audio_tokens": audio_cached, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": self._text_tokens, "audio_tokens": audio_out},
        }


def _bursts(length: int, seed: str) -> Iterator[tuple[int, int]]:
    """Uneven pieces of 20 to 400 ms, the same for the same words."""
    dice = random.Random(seed)
    start = 0
    while start < length:
        end = min(length, start + dice.randint(*_BURST_FRAMES) * FRAME_BYTES)
        yield start, end
        start = end
