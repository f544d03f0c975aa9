"""The person's last seconds, for a voice model that has to hear them again."""

from callwright.bridge.playout import BYTES_PER_MS

_KEPT = 4_000 * BYTES_PER_MS
_TRIM_AT = _KEPT + 200 * BYTES_PER_MS


class Recent:
    """The last 4 s of mu-law audio: 34 kB a call."""

    __slots__ = ("_audio", "_end_ms")

    def __init__(self) -> None:
        self._audio = bytearray()
        self._end_ms = 0

    def add(self, end_ms: int, audio: bytes) -> None:
        """A frame that ends at stream time `end_ms`. Frames that were lost are not made up for."""
        self._audio += audio
        self._end_ms = end_ms
        if len(self._audio) > _TRIM_AT:
            del self._audio[:-_KEPT]

    def since(self, from_ms: int) -> bytes:
        """What was heard from stream time `from_ms` on, as far as it is kept."""
        wanted = (self._end_ms - from_ms) * BYTES_PER_MS
        return bytes(self._audio[-wanted:]) if wanted > 0 else b""
