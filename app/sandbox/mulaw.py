"""G.711 mu-law: 8,000 bytes a second, 8 bytes a millisecond, 0xFF is silence."""

import numpy as np
from numpy.typing import NDArray

BYTES_PER_MS = 8
FRAME_BYTES = 160
SILENCE = b"\xff"

_BIAS = 0x84
_CLIP = 32635


def _decode_table() -> NDArray[np.int16]:
    codes = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((codes & 0x0F) << 3) + _BIAS) << ((codes >> 4) & 0x07)) - _BIAS
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.int16)


_DECODED = _decode_table()

MAGNITUDES = bytes(min(255, abs(int(sample)) >> 7) for sample in _DECODED)
"""A `bytes.translate` table: mu-law byte to the size of its sample, 0..250 in steps of 128 of 32,768."""

LOUDNESS = bytes(1 if abs(int(sample)) > 400 else 0 for sample in _DECODED)
"""A `bytes.translate` table: 1 where the sample is louder than about -38 dBFS."""


def encode(samples: NDArray[np.int16]) -> bytes:
    """16-bit linear samples at 8 kHz to mu-law, one byte each."""
    linear = samples.astype(np.int32)
    sign = np.where(linear < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(linear), _CLIP) + _BIAS
    exponent = np.clip(np.floor(np.log2(magnitude)).astype(np.int32) - 7, 0, 7)
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    packed: NDArray[np.uint8] = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return packed.tobytes()


def decode(audio: bytes) -> NDArray[np.int16]:
    """Mu-law to 16-bit linear samples at 8 kHz."""
    return _DECODED[np.frombuffer(audio, dtype=np.uint8)]


def silence(duration_ms: int) -> bytes:
    """That many milliseconds of mu-law silence."""
    return SILENCE * (duration_ms * BYTES_PER_MS)


def tone(frequency_hz: float, duration_ms: int, level_dbfs: float = -10) -> bytes:
    """A sine, such as an answering machine's beep; `level_dbfs` is that of its peak."""
    time = np.arange(duration_ms * BYTES_PER_MS) / 8000
    amplitude = 32767 * 10 ** (level_dbfs / 20)
    return encode(np.round(amplitude * np.sin(2 * np.pi * frequency_hz * time)).astype(np.int16))
