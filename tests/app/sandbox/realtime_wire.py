"""The Realtime and Messages stand-ins on a loopback port, and a caller that drives them through the real SDK."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from openai import AsyncOpenAI

from callwright.app.sandbox import claude, realtime
from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.ledger import Ledger
from callwright.app.sandbox.speech import Speaker, Utterance, silence

Event = dict[str, Any]

INSTRUCTIONS = """\
## Who you are
You are Ava, an AI assistant calling for Smith & Sons Roofing. You are warm and brief.
## Opening line
Smith & Sons Roofing calling: I'm Ava, an AI assistant. Do you have a minute?
## Why you are calling
You asked us for a new roof.
## What you know
- name: Maria
## Questions to ask
1. What is your budget for the roof?
2. When would you like the work done?
## Closing line
Thank you, we will send you the estimate. Goodbye!
"""

TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {argument: {"type": "string"}}}}
    for name, argument in (
        ("get_guidance", "question"),
        ("opt_out", "words"),
        ("request_human", "reason"),
        ("end_call", "reason"),
    )
]


@dataclass(frozen=True)
class Service:
    """What runs on the port."""

    url: str
    ledger: Ledger
    speaker: Speaker
    ear: Ear

    def client(self, api_key: str = "sk-test") -> AsyncOpenAI:
        return AsyncOpenAI(api_key=api_key, base_url=f"{self.url}/v1")


@asynccontextmanager
async def serving(*, pace: float = 200.0, max_session_s: float = 3600.0) -> AsyncIterator[Service]:
    """Both model stand-ins on a free port of the loopback interface."""
    ear, ledger = Ear(), Ledger()
    speaker = Speaker(ear)
    app = web.Application()
    app.add_routes(realtime.routes(speaker, ear, ledger, pace=pace, max_session_s=max_session_s))
    app.add_routes(claude.routes(ledger))
    app.add_routes(ledger.routes())
    server = TestServer(app)
    await server.start_server()
    try:
        yield Service(str(server.make_url("")).rstrip("/"), ledger, speaker, ear)
    finally:
        await server.close()


class Caller:
    """One connection through the SDK; every server event is kept."""

    def __init__(self, service: Service, connection: Any) -> None:
        self.service = service
        self.connection = connection
        self.events: list[Event] = []
        self.ended: BaseException | None = None
        self._news = asyncio.Condition()

    async def read(self) -> None:
        """Keeps events until the connection ends."""
        try:
            while True:
                raw = await self.connection.recv_bytes()
                async with self._news:
                    self.events.append(orjson.loads(raw))
                    self._news.notify_all()
        except Exception as error:
            async with self._news:
                self.ended = error
                self._news.notify_all()

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    async def until(self, kind: str, count: int = 1) -> Event:
        """The count-th event of that type, waited for."""
        await self.met(lambda: len(self.all(kind)) >= count)
        return self.all(kind)[count - 1]

    async def met(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: condition() or self.ended is not None)
        assert condition(), f"connection ended: {self.ended!r}"

    async def finished(self) -> BaseException:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.ended is not None)
        assert self.ended is not None
        return self.ended

    async def send(self, kind: str, **fields: Any) -> None:
        await self.connection.send({"type": kind, **fields})

    async def update(self, **session: Any) -> Event:
        """A session for a phone call; what is given replaces parts of it."""
        done = len(self.all("session.updated"))
        detection = session.pop("turn_detection", {"create_response": False, "interrupt_response": False})
        if detection is not None:
            detection = {"type": "server_vad", "prefix_padding_ms": 300, "silence_duration_ms": 500, **detection}
        spoken = {"type": "audio/pcmu"}
        audio = {
            "input": {"format": spoken, "transcription": {"model": "whisper-1"}, "turn_detection": detection},
            "output": {"format": spoken, "voice": "marin"},
        }
        await self.connection.session.update(
            session={"type": "realtime", "instructions": INSTRUCTIONS, "tools": TOOLS, "audio": audio, **session}
        )
        return await self.until("session.updated", done + 1)

    async def append(self, audio: bytes, chunk: int = 1003) -> None:
        """Appends in chunks that are no whole frames."""
        for at in range(0, len(audio), chunk):
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(audio[at : at + chunk]).decode())

    async def speak(self, text: str, damage: Callable[[Utterance], bytes] = lambda said: said.audio) -> Event:
        """The person says that; gives the completed transcription."""
        count = len(self.all("conversation.item.input_audio_transcription.completed"))
        said = await asyncio.to_thread(self.service.speaker.say, text, "en-us+m3")
        await self.append(silence(200) + damage(said) + silence(700))
        return await self.until("conversation.item.input_audio_transcription.completed", count + 1)

    async def respond(self, **response: Any) -> Event:
        """Asks for a response; gives its response.done."""
        count = len(self.all("response.done"))
        await self.connection.response.create(**({"response": response} if response else {}))
        done = await self.until("response.done", count + 1)
        return dict(done["response"])

    async def answer(self, call: Event, output: str) -> Event:
        """Answers a function call; gives the next response."""
        item = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
        await self.connection.conversation.item.create(item=item)
        return await self.respond()


def words_of(response: Event) -> str:
    """What a response said, "" for nothing."""
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return " ".join(part.get("transcript", part.get("text", "")) for part in parts)


def call_of(response: Event) -> tuple[str, dict[str, str]] | None:
    """The function a response called, with its arguments."""
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    return (calls[0]["name"], orjson.loads(calls[0]["arguments"])) if calls else None


@asynccontextmanager
async def calling(service: Service, **session: Any) -> AsyncIterator[Caller]:
    """A session, configured for a phone call."""
    async with service.client().realtime.connect(model="gpt-realtime") as connection:
        caller = Caller(service, connection)
        reader = asyncio.create_task(caller.read())
        try:
            await caller.until("session.created")
            await caller.update(**session)
            yield caller
        finally:
            await connection.close()
            await reader
