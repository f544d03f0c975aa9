"""The least a Python bridge can do: picows on both sides, payloads cut out of one frame and spliced into the other.

No recording, no transcript, no ledger, no database. PHONE_PORT and MODEL_URL come from the environment.
"""

import asyncio
import os

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

MODEL_URL = os.environ["MODEL_URL"]
TEXT, CLOSE = WSMsgType.TEXT, WSMsgType.CLOSE
SESSION = orjson.dumps(
    {
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
)
APPEND, APPEND_END = b'{"type":"input_audio_buffer.append","audio":"', b'"}'
PAYLOAD, DELTA = b'"payload":"', b'"delta":"'


class Call:
    """What the two legs of a call share."""

    __slots__ = ("at_ms", "clear", "early", "item", "item_from_ms", "mark", "marks", "media", "model", "phone")

    def __init__(self, phone: WSTransport) -> None:
        self.phone = phone
        self.model: WSTransport | None = None
        self.early: list[bytes] = []
        self.media = self.mark = self.clear = b""
        self.marks = 0
        self.item: str | None = None
        self.item_from_ms = self.at_ms = 0


class Model(WSListener):
    def __init__(self, call: Call) -> None:
        self._call = call

    def on_ws_connected(self, transport: WSTransport) -> None:
        call = self._call
        call.model = transport
        transport.send(TEXT, SESSION)
        for message in call.early:
            transport.send(TEXT, message)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is CLOSE:
            transport.disconnect()
        if frame.msg_type is not TEXT:
            return
        raw, call = frame.get_payload_as_bytes(), self._call
        if raw.find(b'"response.output_audio.delta"', 0, 64) >= 0:
            start = raw.index(DELTA) + len(DELTA)
            if call.item is None:
                call.item, call.item_from_ms = orjson.loads(raw)["item_id"], call.at_ms
            call.phone.send(TEXT, call.media + raw[start : raw.index(b'"', start)] + b'"}}')
            call.phone.send(TEXT, call.mark)
            call.marks += 1
        elif raw.find(b"speech_started", 0, 64) >= 0 and call.marks and call.item is not None:
            call.phone.send(TEXT, call.clear)
            heard = {"item_id": call.item, "content_index": 0, "audio_end_ms": call.at_ms - call.item_from_ms}
            transport.send(TEXT, orjson.dumps({"type": "conversation.item.truncate", **heard}))
            call.marks, call.item = 0, None

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._call.phone.disconnect()


class Phone(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        self._call = call = Call(transport)
        headers = {"Authorization": "Bearer test"}
        self._opening = asyncio.ensure_future(ws_connect(lambda: Model(call), MODEL_URL, extra_headers=headers))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is CLOSE:
            transport.disconnect()
        if frame.msg_type is not TEXT:
            return
        raw, call = frame.get_payload_as_bytes(), self._call
        start = raw.find(PAYLOAD)
        if start < 0:
            self._other(orjson.loads(raw))
            return
        start += len(PAYLOAD)
        call.at_ms += 20
        message = APPEND + raw[start : raw.index(b'"', start)] + APPEND_END
        if call.model is None:
            call.early.append(message)
        else:
            call.model.send(TEXT, message)

    def _other(self, message: dict[str, str]) -> None:
        call = self._call
        if message["event"] == "mark":
            call.marks = max(0, call.marks - 1)
        elif message["event"] == "start":
            sid = message["streamSid"].encode()
            call.media = b'{"event":"media","streamSid":"' + sid + b'","media":{"payload":"'
            call.mark = b'{"event":"mark","streamSid":"' + sid + b'","mark":{"name":"part"}}'
            call.clear = b'{"event":"clear","streamSid":"' + sid + b'"}'
        elif message["event"] == "stop" and call.model is not None:
            call.model.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._call.model is not None:
            self._call.model.disconnect()


async def main() -> None:
    server = await ws_create_server(lambda _: Phone(), "127.0.0.1", int(os.environ["PHONE_PORT"]), backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
