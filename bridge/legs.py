"""A WebSocket leg of a call (phone or model): whole text messages in, faults kept to the call they belong to."""

from collections.abc import Callable
from dataclasses import dataclass

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

PHONE_FRAME_BYTES = 64 << 10  # a media frame is 0.3 kB
MODEL_FRAME_BYTES = 8 << 20

_TEXT, _BINARY, _CONTINUATION, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE


@dataclass(frozen=True, slots=True)
class LegEvents:
    connected: Callable[[WSTransport], None]
    message: Callable[[bytes], None]
    disconnected: Callable[[], None]
    failed: Callable[[Exception], None]  # a fault of ours while handling one of the above


class Leg(WSListener):
    """Joins fragmented messages up to `limit` bytes; binary ones mean nothing in either protocol and are dropped."""

    def __init__(self, events: LegEvents, limit: int) -> None:
        self._events = events
        self._limit = limit
        self._parts: bytearray | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._guard(lambda: self._events.connected(transport))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is _TEXT and frame.fin:
            message = frame.get_payload_as_bytes()
            try:
                self._events.message(message)
            except Exception as error:  # one call's fault must not reach the loop or another call
                self._events.failed(error)
        elif kind is _CLOSE:
            # Not an echo of the code: picows knows no codes of an application (OpenAI closes with 4000 and up).
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind in (_TEXT, _BINARY, _CONTINUATION):
            self._fragment(transport, frame, kind)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._guard(self._events.disconnected)

    def _fragment(self, transport: WSTransport, frame: WSFrame, kind: WSMsgType) -> None:
        if kind is _TEXT:
            self._parts = bytearray()
        if self._parts is None or kind is _BINARY:
            return
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > self._limit:
            transport.disconnect(graceful=False)
        elif frame.fin:
            message, self._parts = bytes(self._parts), None
            self._guard(lambda: self._events.message(message))

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # as in on_ws_frame
            self._events.failed(error)
