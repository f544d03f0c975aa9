"""The bridge as vendors' samples write it: FastAPI, the websockets client, json, base64 decoded and encoded again.

Run by uvicorn in a virtual environment of its own. PHONE_PORT and MODEL_URL come from the environment.
"""

import asyncio
import base64
import json
import os
from dataclasses import dataclass, field

import uvicorn
import websockets
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

MODEL_URL = os.environ["MODEL_URL"]
SESSION = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "You are a phone agent.",
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad"}},
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
    },
}


@dataclass
class Talk:
    stream_sid: str = ""
    at_ms: int = 0
    item: str | None = None
    item_from_ms: int = 0
    marks: list[str] = field(default_factory=list)


async def media_stream(phone: WebSocket) -> None:
    await phone.accept()
    headers = {"Authorization": "Bearer test"}
    async with websockets.connect(MODEL_URL, additional_headers=headers, compression=None, max_size=None) as model:
        await model.send(json.dumps(SESSION))
        talk = Talk()
        await asyncio.gather(_from_phone(phone, model, talk), _from_model(phone, model, talk))


async def _from_phone(phone: WebSocket, model: websockets.ClientConnection, talk: Talk) -> None:
    try:
        async for text in phone.iter_text():
            message = json.loads(text)
            if message["event"] == "media":
                talk.at_ms = int(message["media"]["timestamp"])
                audio = message["media"]["payload"]
                await model.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            elif message["event"] == "mark" and talk.marks:
                talk.marks.pop(0)
            elif message["event"] == "start":
                talk.stream_sid = message["start"]["streamSid"]
            elif message["event"] == "stop":
                break
    finally:
        await model.close()


async def _from_model(phone: WebSocket, model: websockets.ClientConnection, talk: Talk) -> None:
    try:
        async for text in model:
            message = json.loads(text)
            if message["type"] == "response.output_audio.delta":
                await _play(phone, talk, message["item_id"], message["delta"])
            elif message["type"] == "input_audio_buffer.speech_started" and talk.marks and talk.item is not None:
                await phone.send_text(json.dumps({"event": "clear", "streamSid": talk.stream_sid}))
                heard = {"item_id": talk.item, "content_index": 0, "audio_end_ms": talk.at_ms - talk.item_from_ms}
                await model.send(json.dumps({"type": "conversation.item.truncate", **heard}))
                talk.marks.clear()
                talk.item = None
    except (WebSocketDisconnect, RuntimeError):
        return  # the phone hung up while we were speaking


async def _play(phone: WebSocket, talk: Talk, item: str, delta: str) -> None:
    payload = base64.b64encode(base64.b64decode(delta)).decode()
    await phone.send_text(json.dumps({"event": "media", "streamSid": talk.stream_sid, "media": {"payload": payload}}))
    if item != talk.item:
        talk.item, talk.item_from_ms = item, talk.at_ms
    await phone.send_text(json.dumps({"event": "mark", "streamSid": talk.stream_sid, "mark": {"name": "part"}}))
    talk.marks.append("part")


if __name__ == "__main__":
    app = FastAPI()
    app.add_api_websocket_route("/media-stream", media_stream)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PHONE_PORT"]), log_level="warning", loop="uvloop")
