"""The default conversation of one Realtime session: its items in order, and what the model remembers of them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from callwright.app.sandbox.brain import Called, Heard, Memory, Said
from callwright.app.sandbox.mulaw import BYTES_PER_MS
from callwright.app.sandbox.realtime_config import Json, JsonObject, Refusal
from callwright.app.sandbox.speech import Word

MS_PER_INPUT_TOKEN = 100
MS_PER_OUTPUT_TOKEN = 50
_CHARACTERS_PER_TOKEN = 4
_CONTENT_TYPES = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
    "system": ("input_text",),
}


@dataclass(slots=True)
class Item:
    """One conversation item. `wire` is as clients see it; the rest is what only the model knows."""

    wire: JsonObject
    text: str = ""
    audio_ms: int = 0
    words: tuple[Word, ...] = ()
    output: str | None = None

    @property
    def id(self) -> str:
        return str(self.wire["id"])

    @property
    def tokens(self) -> tuple[int, int]:
        """Text and audio tokens it costs as input."""
        per_token = MS_PER_INPUT_TOKEN if self.wire.get("role") == "user" else MS_PER_OUTPUT_TOKEN
        return text_tokens(self.text), -(-self.audio_ms // per_token)


class Ids:
    """Ids of one session: unique, and the same in every run."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._numbers = itertools.count(1)

    def next(self, prefix: str) -> str:
        return f"{prefix}_{self._session}{next(self._numbers):05d}"


class Conversation:
    """Items in order. Refusals are raised as `Refusal`."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item, previous_item_id: str | None = None) -> str | None:
        """Puts the item after that one ("root" for the beginning, None for the end); returns the item before it."""
        if previous_item_id is None:
            place = len(self._items)
        elif previous_item_id == "root":
            place = 0
        else:
            place = self._items.index(self.find(previous_item_id, "previous_item_id")) + 1
        before = self._items[place - 1].id if place else None
        self._items.insert(place, item)
        return before

    def before(self, item: Item) -> str | None:
        """The id of the item before that one."""
        place = next((index for index, known in enumerate(self._items) if known is item), 0)
        return self._items[place - 1].id if place else None

    def find(self, item_id: Json, param: str = "item_id") -> Item:
        """The item of that id."""
        for item in self._items:
            if item.id == item_id:
                return item
        raise Refusal("item_not_found", f"Item with item_id not found: {item_id!r}.", param)

    def delete(self, item_id: Json) -> None:
        """Takes the item out of the model's memory."""
        self._items.remove(self.find(item_id))

    def truncate(self, item_id: Json, content_index: Json, audio_end_ms: Json) -> None:
        """The person heard only that much: the transcript goes, the model remembers the words before the cut."""
        item = self.find(item_id)
        if item.wire.get("role") != "assistant" or not item.words:
            raise Refusal("invalid_value", "Only model output audio messages can be truncated.", "item_id")
        if content_index != 0:
            raise Refusal("invalid_value", f"Content index {content_index!r} is out of range.", "content_index")
        if not isinstance(audio_end_ms, int) or audio_end_ms < 0:
            raise Refusal("invalid_value", "audio_end_ms must be whole milliseconds, at least 0.", "audio_end_ms")
        if audio_end_ms > item.audio_ms:
            message = f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms"
            raise Refusal("invalid_value", message, "audio_end_ms")
        item.audio_ms = audio_end_ms
        item.text = heard_until(item.words, audio_end_ms)
        item.wire["content"] = [{"type": "output_audio"}]

    def create(self, wire: Json) -> Item:
        """The item of a conversation.item.create, checked but not added yet."""
        if not isinstance(wire, dict) or "type" not in wire:
            raise Refusal("missing_required_parameter", "Missing required parameter: 'item.type'.", "item.type")
        item = Item({"id": self._ids.next("item"), "object": "realtime.item", "status": "completed", **wire})
        if any(known.id == item.id for known in self._items):
            raise Refusal("item_create_duplicate_id", f"Item {item.id!r} exists already.", "item.id")
        match wire["type"]:
            case "message":
                item.text = _text_of(wire)
            case "function_call_output":
                self._answer_call(wire)
                item.text = str(wire["output"])
            case "function_call":
                item.text = f"{wire.get('name')} {wire.get('arguments')}"
            case other:
                raise Refusal("invalid_value", f"Invalid value: {other!r}.", "item.type")
        return item

    def memories(self) -> list[Memory]:
        """What the brain has to go by."""
        return list(_memories(self._items))

    def tokens(self) -> tuple[int, int]:
        """Text and audio tokens of everything remembered."""
        counts = [item.tokens for item in self._items]
        return sum(text for text, _ in counts), sum(audio for _, audio in counts)

    def _answer_call(self, wire: JsonObject) -> None:
        if not isinstance(wire.get("output"), str):
            raise Refusal("missing_required_parameter", "Missing required parameter: 'item.output'.", "item.output")
        for item in self._items:
            if item.wire["type"] == "function_call" and item.wire.get("call_id") == wire.get("call_id"):
                item.output = str(wire["output"])
                return
        message = f"Tool call ID {wire.get('call_id')!r} not found in conversation."
        raise Refusal("invalid_tool_call_id", message, "item.call_id")


def memories_of(items: Json, conversation: Conversation) -> list[Memory]:
    """The memories in the `input` of an out-of-band response: items, or references to items."""
    chosen: list[Item] = []
    for entry in items if isinstance(items, list) else []:
        if isinstance(entry, dict) and entry.get("type") == "item_reference":
            chosen.append(conversation.find(entry.get("id"), "response.input"))
        else:
            chosen.append(conversation.create(entry))
    return list(_memories(chosen))


def heard_until(words: tuple[Word, ...], audio_ms: int) -> str:
    """The words that were over by then."""
    return " ".join(word.text for word in words if word.end_byte <= audio_ms * BYTES_PER_MS)


def text_tokens(text: str) -> int:
    """About one token for four characters."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def _memories(items: list[Item]) -> Iterator[Memory]:
    for item in items:
        match item.wire["type"], item.wire.get("role"):
            case "message", "user":
                yield Heard(item.text)
            case "message", "assistant" if item.text:
                yield Said(item.text)
            case "function_call", _:
                yield Called(str(item.wire.get("name")), item.output)


def _text_of(wire: JsonObject) -> str:
    role, content = wire.get("role"), wire.get("content")
    if role not in _CONTENT_TYPES:
        raise Refusal("invalid_value", f"Invalid value: {role!r}. Supported values are: {list(_CONTENT_TYPES)}.")
    words: list[str] = []
    for index, part in enumerate(content if isinstance(content, list) else []):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(part, dict) or kind not in _CONTENT_TYPES[str(role)]:
            allowed = ", ".join(_CONTENT_TYPES[str(role)])
            raise Refusal(
                "invalid_value",
                f"Invalid value: {kind!r}. Supported values are: {allowed}.",
                f"item.content[{index}].type",
            )
        words.append(str(part.get("text", "")))
    if not words:
        raise Refusal("missing_required_parameter", "Missing required parameter: 'item.content'.", "item.content")
    return " ".join(words)
