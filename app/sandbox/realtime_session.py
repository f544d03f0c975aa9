"""One Realtime session: client events in, server events out. Knows nothing of sockets."""

import asyncio
import binascii
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from callwright.app.sandbox.brain import Brain
from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.ledger import Fact, Ledger
from callwright.app.sandbox.mulaw import BYTES_PER_MS
from callwright.app.sandbox.realtime_config import (
    Json,
    JsonObject,
    Refusal,
    checked_response,
    new_session,
    object_at,
    updated_session,
)
from callwright.app.sandbox.realtime_conversation import (
    MS_PER_INPUT_TOKEN,
    Conversation,
    Ids,
    Item,
    memories_of,
    text_tokens,
)
from callwright.app.sandbox.realtime_response import Order, ResponseRun
from callwright.app.sandbox.realtime_vad import Detection, IdleTimeout, InputBuffer, SpeechStarted, SpeechStopped
from callwright.app.sandbox.speech import Speaker

Send = Callable[[JsonObject], Awaitable[None]]

_MAX_APPEND_BYTES = 15 * 1024 * 1024
_LEAST_COMMIT_MS = 100
_WORDS_A_MINUTE = 175
# How long transcriptions take in turn; the longest come after the events of the response, as the service's often do.
_TRANSCRIPTION_S = (0.02, 0.25, 0.06)


@dataclass(frozen=True, slots=True)
class Tools:
    """What every session of the process shares. `pace`: how many times faster than real time audio is produced."""

    speaker: Speaker
    ear: Ear
    ledger: Ledger
    brain: Brain
    pace: float


class RealtimeSession:
    """State of one connection. `send` takes each server event; `handle` each client event."""

    def __init__(self, tools: Tools, send: Send, session_id: str, model: str, expires_at: int) -> None:
        self._tools = tools
        self._send = send
        self._ids = Ids(session_id)
        self._config = new_session(f"sess_{session_id}", model, expires_at)
        self._conversation = Conversation(self._ids)
        self._buffer = InputBuffer()
        self._run: ResponseRun | None = None
        self._asides: list[ResponseRun] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn_item = ""
        self._transcription_delays = itertools.cycle(_TRANSCRIPTION_S)
        self._cached = (0, 0)
        self._spoke = False
        self._apply_detection()
        self._handlers: dict[str, Callable[[JsonObject], Coroutine[None, None, None]]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.truncate": self._truncate_item,
            "conversation.item.delete": self._delete_item,
            "conversation.item.retrieve": self._retrieve_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
            "output_audio_buffer.clear": self._refuse_output_clear,
        }

    @property
    def appended_ms(self) -> int:
        """How much audio the client appended."""
        return self._buffer.appended_ms

    async def open(self) -> None:
        """Greets the client."""
        await self._emit("session.created", session=self._config)

    async def close(self) -> None:
        """Ends what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def expire(self) -> None:
        """Tells the client that its session is over."""
        await self._error(Refusal("session_expired", "Your session hit the maximum duration of 60 minutes."), None)

    async def handle(self, event: Json) -> None:
        """One client event; what is wrong with it is answered with an `error` event."""
        event_id = event.get("event_id") if isinstance(event, dict) else None
        try:
            if not isinstance(event, dict) or not isinstance(event.get("type"), str):
                raise Refusal("missing_required_parameter", "Missing required parameter: 'type'.", "type")
            handler = self._handlers.get(str(event["type"]))
            if handler is None:
                allowed = ", ".join(sorted(self._handlers))
                message = f"Invalid value: {event['type']!r}. Supported values are: {allowed}."
                raise Refusal("invalid_value", message, "type")
            self._record(event)
            await handler(event)
        except Refusal as refusal:
            await self._error(refusal, event_id)

    def _record(self, event: JsonObject) -> None:
        kind = str(event["type"])
        if kind == "input_audio_buffer.append":
            self._tools.ledger.count("realtime", kind)
            return
        facts: dict[str, Fact] = {"session": str(self._config["id"])}
        for key in ("item_id", "audio_end_ms", "response_id"):
            value = event.get(key)
            if isinstance(value, str | int):
                facts[key] = value
        self._tools.ledger.record("realtime", kind, **facts)

    async def _emit(self, kind: str, /, **fields: Json) -> None:
        self._tools.ledger.count("realtime", f"sent {kind}")
        await self._send({"type": kind, "event_id": self._ids.next("event"), **fields})

    async def _error(self, refusal: Refusal, event_id: Json) -> None:
        self._tools.ledger.record("realtime", "error", code=refusal.code, param=refusal.param)
        await self._emit(
            "error",
            error={
                "type": "invalid_request_error",
                "code": refusal.code,
                "message": refusal.message,
                "param": refusal.param,
                "event_id": event_id,
            },
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._watch(asyncio.create_task(work))

    def _watch(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Session

    async def _update(self, event: JsonObject) -> None:
        updated = updated_session(self._config, event.get("session"))
        voices = [object_at(config, "audio", "output").get("voice") for config in (self._config, updated)]
        if self._spoke and voices[0] != voices[1]:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise Refusal("cannot_update_voice", message, "session.audio.output.voice")
        self._config = updated
        self._apply_detection()
        await self._emit("session.updated", session=self._config)

    def _detection(self) -> JsonObject | None:
        detection = object_at(self._config, "audio", "input").get("turn_detection")
        return detection if isinstance(detection, dict) else None

    def _apply_detection(self) -> None:
        detection = self._detection()
        if detection is None:
            self._buffer.detection = None
            return

        def whole(key: str, default: int) -> int:
            value = detection.get(key)
            return value if isinstance(value, int) else default

        idle = whole("idle_timeout_ms", 0)
        self._buffer.detection = Detection(
            whole("prefix_padding_ms", 300), whole("silence_duration_ms", 200), idle or None
        )

    # Input audio

    async def _append(self, event: JsonObject) -> None:
        encoded = event.get("audio")
        if not isinstance(encoded, str):
            raise Refusal("missing_required_parameter", "Missing required parameter: 'audio'.", "audio")
        self._require_mu_law("input", object_at(self._config, "audio", "input", "format"))
        try:
            audio = binascii.a2b_base64(encoded, strict_mode=True)
        except binascii.Error as error:
            message = "Invalid 'audio'. Expected base64-encoded audio bytes."
            raise Refusal("invalid_value", message, "audio") from error
        if len(audio) > _MAX_APPEND_BYTES:
            raise Refusal("invalid_value", "Audio chunks may hold at most 15 MiB.", "audio")
        for heard in self._buffer.append(audio):
            match heard:
                case SpeechStarted(audio_start_ms):
                    await self._speech_started(audio_start_ms)
                case SpeechStopped(_, audio_end_ms, turn):
                    await self._emit(
                        "input_audio_buffer.speech_stopped", item_id=self._turn_item, audio_end_ms=audio_end_ms
                    )
                    await self._commit_turn(self._turn_item, turn)
                case IdleTimeout(audio_start_ms, audio_end_ms):
                    item_id = self._ids.next("item")
                    await self._emit(
                        "input_audio_buffer.timeout_triggered",
                        item_id=item_id,
                        audio_start_ms=audio_start_ms,
                        audio_end_ms=audio_end_ms,
                    )
                    await self._commit_turn(item_id, b"")

    async def _speech_started(self, audio_start_ms: int) -> None:
        self._turn_item = self._ids.next("item")
        await self._emit("input_audio_buffer.speech_started", item_id=self._turn_item, audio_start_ms=audio_start_ms)
        if self._run is not None and (self._detection() or {}).get("interrupt_response", True):
            await self._run.cancel("turn_detected")

    async def _commit(self, event: JsonObject) -> None:
        pending = self._buffer.pending_ms
        if pending < _LEAST_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {pending}.00ms of audio."
            )
            raise Refusal("input_audio_buffer_commit_empty", message)
        item_id = self._turn_item if self._buffer.speaking else self._ids.next("item")
        _, _, audio = self._buffer.take()
        await self._commit_turn(item_id, audio, respond=False)

    async def _clear(self, event: JsonObject) -> None:
        self._buffer.take()
        await self._emit("input_audio_buffer.cleared")

    async def _commit_turn(self, item_id: str, audio: bytes, *, respond: bool = True) -> None:
        wire: JsonObject = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        item = Item(wire, text=self._tools.ear.hear(audio), audio_ms=len(audio) // BYTES_PER_MS)
        previous = self._conversation.add(item)
        await self._emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        await self._emit("conversation.item.added", previous_item_id=previous, item=wire)
        await self._emit("conversation.item.done", previous_item_id=previous, item=wire)
        if object_at(self._config, "audio", "input").get("transcription") is not None:
            self._spawn(self._transcribe(item, next(self._transcription_delays)))
        answers = (self._detection() or {}).get("create_response", True)
        if respond and answers and (self._run is None or self._run.finished):
            await self._create_response({})

    async def _transcribe(self, item: Item, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        where: JsonObject = {"item_id": item.id, "content_index": 0}
        words = item.text.split(" ")
        for at in range(0, len(words), 3):
            delta = (" " if at else "") + " ".join(words[at : at + 3])
            await self._emit("conversation.item.input_audio_transcription.delta", **where, delta=delta)
        item.wire["content"] = [{"type": "input_audio", "transcript": item.text}]
        audio_tokens, output_tokens = -(-item.audio_ms // MS_PER_INPUT_TOKEN), text_tokens(item.text)
        usage: JsonObject = {
            "type": "tokens",
            "total_tokens": audio_tokens + output_tokens,
            "input_tokens": audio_tokens,
            "input_token_details": {"text_tokens": 0, "audio_tokens": audio_tokens},
            "output_tokens": output_tokens,
        }
        await self._emit(
            "conversation.item.input_audio_transcription.completed", **where, transcript=item.text, usage=usage
        )

    # Items

    async def _create_item(self, event: JsonObject) -> None:
        item = self._conversation.create(event.get("item"))
        after = event.get("previous_item_id")
        previous = self._conversation.add(item, None if after is None else str(after))
        await self._emit("conversation.item.added", previous_item_id=previous, item=item.wire)
        await self._emit("conversation.item.done", previous_item_id=previous, item=item.wire)

    async def _truncate_item(self, event: JsonObject) -> None:
        cut: JsonObject = {key: event.get(key) for key in ("item_id", "content_index", "audio_end_ms")}
        self._conversation.truncate(cut["item_id"], cut["content_index"], cut["audio_end_ms"])
        await self._emit("conversation.item.truncated", **cut)

    async def _delete_item(self, event: JsonObject) -> None:
        self._conversation.delete(event.get("item_id"))
        await self._emit("conversation.item.deleted", item_id=event["item_id"])

    async def _retrieve_item(self, event: JsonObject) -> None:
        await self._emit("conversation.item.retrieved", item=self._conversation.find(event.get("item_id")).wire)

    # Responses

    async def _create_response(self, event: JsonObject) -> None:
        wanted = checked_response(event.get("response"))
        out_of_band = wanted.get("conversation") == "none"
        if not out_of_band and self._run is not None and not self._run.finished:
            message = f"Conversation already has an active response in progress: {self._run.id}."
            raise Refusal("conversation_already_has_active_response", message)
        order = self._order(wanted)
        if order.modality == "audio":
            self._require_mu_law("output", order.output_format)
        run = ResponseRun(
            order, self._ids, self._emit, self._tools.speaker, None if out_of_band else self._conversation
        )
        if not out_of_band:
            self._run = run
            self._spoke = self._spoke or order.modality == "audio"
        else:
            self._asides = [aside for aside in self._asides if not aside.finished] + [run]
        self._watch(await run.start())
        self._spawn(self._after(run))

    async def _after(self, run: ResponseRun) -> None:
        """The idle timer starts when the response will have been played to its end."""
        await run.ended.wait()
        self._buffer.expect_reply_after(self._buffer.appended_ms + run.audio_ms)

    def _order(self, wanted: JsonObject) -> Order:
        config = {**self._config, **{key: value for key, value in wanted.items() if value is not None}}
        output = object_at(self._config, "audio", "output")
        if "audio" in wanted:
            output = {**output, **object_at(wanted, "audio", "output")}
        memories = self._conversation.memories()
        if wanted.get("input") is not None:
            memories = memories_of(wanted["input"], self._conversation)
        own = wanted.get("instructions")
        instructions = str(self._config.get("instructions") or "")
        reply = self._tools.brain.reply(
            instructions, memories, _tools_offered(config), own if isinstance(own, str) else None
        )
        modalities, limit, speed = config["output_modalities"], config["max_output_tokens"], output.get("speed")
        text, audio = self._conversation.tokens()
        tokens = (text + text_tokens(instructions) + text_tokens(str(own or "")), audio)
        cached, self._cached = self._cached, tokens
        return Order(
            reply=reply,
            modality=str(modalities[0]) if isinstance(modalities, list) else "audio",
            voice=str(output.get("voice")),
            rate_wpm=round(_WORDS_A_MINUTE * (speed if isinstance(speed, int | float) else 1.0)),
            output_format=output.get("format"),
            max_output_tokens=limit if isinstance(limit, int) else None,
            metadata=wanted.get("metadata"),
            input_tokens=tokens,
            cached_tokens=cached,
            pace=self._tools.pace,
        )

    async def _cancel_response(self, event: JsonObject) -> None:
        wanted = event.get("response_id")
        if wanted is None:
            run = self._run
        else:
            known = [*self._asides, *([self._run] if self._run is not None else [])]
            run = next((one for one in known if one.id == wanted), None)
        if run is None or run.finished:
            raise Refusal("response_cancel_not_active", "Cancellation failed: no active response found.")
        await run.cancel("client_cancelled")

    async def _refuse_output_clear(self, event: JsonObject) -> None:
        raise Refusal("invalid_value", "output_audio_buffer.clear is for WebRTC and SIP sessions only.", "type")

    def _require_mu_law(self, direction: str, audio_format: Json) -> None:
        kind = audio_format.get("type") if isinstance(audio_format, dict) else None
        if kind != "audio/pcmu":
            param = f"session.audio.{direction}.format.type"
            message = f"The sandbox speaks and hears audio/pcmu only, not {kind}: set {param}."
            raise Refusal("invalid_value", message, param)


def _tools_offered(config: JsonObject) -> frozenset[str]:
    choice, tools = config.get("tool_choice"), config.get("tools")
    names = frozenset(
        str(tool["name"])
        for tool in (tools if isinstance(tools, list) else [])
        if isinstance(tool, dict) and tool.get("type") == "function" and "name" in tool
    )
    if choice == "none":
        return frozenset()
    if isinstance(choice, dict) and choice.get("type") == "function":
        return names & {str(choice.get("name"))}
    return names
