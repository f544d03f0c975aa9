"""What was said on a line, both sides, kept in bounded memory and rendered as a WAV file."""

import io
import wave

import numpy as np

from callwright.app.sandbox.mulaw import decode

LONGEST_BYTES = 15 * 60 * 8000  # 15 minutes a side; what comes later is not kept


class Tape:
    """Two mu-law tracks of equal length: the person, and what the person heard."""

    def __init__(self) -> None:
        self._person = bytearray()
        self._agent = bytearray()

    @property
    def ms(self) -> int:
        return len(self._person) // 8

    def write(self, person: bytes, agent: bytes) -> None:
        if len(self._person) < LONGEST_BYTES:
            self._person += person
            self._agent += agent

    def wav(self, channels: int) -> bytes:
        """16-bit PCM at 8 kHz, as Twilio serves it: two channels (left the person, right the agent) or both mixed."""
        person, agent = decode(bytes(self._person)), decode(bytes(self._agent))
        if channels == 2:
            samples = np.column_stack((person, agent)).astype("<i2")
        else:
            samples = np.clip(person.astype(np.int32) + agent, -32768, 32767).astype("<i2")
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(samples.tobytes())
        return out.getvalue()
