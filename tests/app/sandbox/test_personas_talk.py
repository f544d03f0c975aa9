"""Whole conversations: a persona's phone and the stand-in model, with the simplest possible relay between them."""

import asyncio
import json
from typing import Any

from openai import AsyncOpenAI

from callwright.app.sandbox.server import SandboxSettings
from tests.app.sandbox.customer import OURS, Carrier, Media, carrier, customer
from tests.app.sandbox.realtime_wire import INSTRUCTIONS, TOOLS

AUDIO = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
OPENING = "Smith & Sons Roofing calling: I'm Ava, an AI assistant. Do you have a minute?"


class Relay:
    """Sends audio both ways, clears on interruption, answers tools, and leaves when the model ends the call."""

    def __init__(self, twilio: Carrier) -> None:
        self._client = AsyncOpenAI(api_key="sk-test", base_url=twilio.url + "/v1")
        self.tools: dict[str, list[str]] = {}  # by stream

    async def __call__(self, media: Media) -> None:
        async with self._client.realtime.connect(model="gpt-realtime") as model:
            session: Any = {"type": "realtime", "instructions": INSTRUCTIONS, "tools": TOOLS, "audio": AUDIO}
            await model.session.update(session=session)
            listening = asyncio.create_task(self._from_model(model, media))
            async for message in media:
                body: Any = message.get("media")
                if body is not None:
                    await model.input_audio_buffer.append(audio=body["payload"])
                if message["event"] == "mark":
                    break
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _from_model(self, model: Any, media: Media) -> None:
        tools = self.tools.setdefault(media.stream_sid, [])
        async for event in model:
            if event.type == "response.output_audio.delta":
                await media.send("media", media={"payload": event.delta})
            elif event.type == "input_audio_buffer.speech_started":
                await media.send("clear")
            elif event.type == "response.done":
                for item in event.response.output:
                    if item.type == "function_call":
                        tools.append(item.name)
                        output = json.dumps({"ok": True})
                        answer = {"type": "function_call_output", "call_id": item.call_id, "output": output}
                        await model.conversation.item.create(item=answer)
                        if item.name == "end_call":
                            await media.send("mark", mark={"name": "goodbye"})
                        else:
                            await model.response.create()


EXPECTED = {  # persona: (it says, it hears, the model's tools)
    "0100": ("five hundred dollars", "we will send you the estimate", ["end_call"]),
    "0103": ("Stop calling me!", "", ["opt_out", "end_call"]),
    "0113": ("licensed and insured", "", ["get_guidance", "get_guidance", "end_call"]),
    "0115": ("wrong number", "", ["end_call"]),
}


async def test_personas_and_the_model_understand_each_other_all_at_once() -> None:
    async with customer() as shop, carrier(SandboxSettings(speed=4)) as twilio:
        shop.bridge = relay = Relay(twilio)
        shop.pages["/twiml"] = shop.connect()
        for number in EXPECTED:
            await twilio.client.calls.create_async(
                to=f"+1312555{number}", from_=OURS, url=shop.url + "/twiml", status_callback=shop.url + "/status"
            )
        await shop.wait_for("/status", len(EXPECTED), CallStatus="completed")
        calls: Any = await twilio.calls()
    for call in calls:
        said, heard, tools = EXPECTED[call["to"][-4:]]
        words = [" ".join(line["text"] for line in call[side]) for side in ("said", "heard")]
        assert said in words[0] and heard in words[1]
        assert "…" not in words[1]
        assert relay.tools[call["streams"][0]["streamSid"]] == tools
