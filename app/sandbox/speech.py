"""The voices of the sandbox: eSpeak NG through ctypes, resampled to the telephone's 8 kHz mu-law.

eSpeak NG keeps the phase of its oscillators between utterances and is not thread-safe. So it is loaded afresh for every
utterance (about 5 ms) under a lock: the same text in the same voice gives the same bytes in every process.
"""

import ctypes
import re
import threading
from _ctypes import dlclose, dlopen
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import espeakng_loader
import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from callwright.app.sandbox.mulaw import BYTES_PER_MS, FRAME_BYTES, LOUDNESS, SILENCE, encode, silence, tone

if TYPE_CHECKING:
    from callwright.app.sandbox.hearing import Ear

__all__ = ["Speaker", "UnknownVoice", "Utterance", "Word", "silence", "tone"]

_SYNCHRONOUS, _DONT_EXIT, _UTF8, _BY_CHARACTER, _WORD_EVENT = 2, 0x8000, 1, 1, 1
_RATE_PARAMETER, _PITCH_PARAMETER = 1, 3
_PEAK = 0.7 * 32767
_CACHED = 512
_VOICE_FILES = {"en-gb": "gmw/en"}


class UnknownVoice(ValueError):
    """eSpeak NG has no voice of that name; `en-us`, `en-us+f3`, `en-gb` and `es` exist."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, punctuation included, and where it lies in the audio (mu-law bytes, 8 a millisecond)."""

    text: str
    start_byte: int
    end_byte: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """Synthesised speech: mu-law 8 kHz mono, a whole number of 20 ms frames."""

    text: str
    voice: str
    audio: bytes
    words: tuple[Word, ...]

    @property
    def duration_ms(self) -> int:
        return len(self.audio) // BYTES_PER_MS


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Speaker:
    """Synthesises offline with eSpeak NG, caches by voice and text; every utterance is registered with the `Ear`."""

    def __init__(self, ear: "Ear") -> None:
        self._ear = ear
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str, int, int], Utterance] = OrderedDict()

    def say(self, text: str, voice: str = "en-us", *, rate_wpm: int = 175, pitch: int = 50) -> Utterance:
        """Blocking and thread-safe; about 10 ms of work for a second of speech, nothing when cached.

        Raises `UnknownVoice`. `rate_wpm` is 80..450, `pitch` 0..99.
        """
        key = (text, voice, rate_wpm, pitch)
        with self._lock:
            known = self._cache.get(key)
            if known is None:
                known = _synthesise(text, voice, rate_wpm, pitch)
                self._cache[key] = known
                if len(self._cache) > _CACHED:
                    self._cache.popitem(last=False)
            else:
                self._cache.move_to_end(key)
            self._ear.register(known)
        return known


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    path = str(espeakng_loader.get_library_path())
    handle = dlopen(path, ctypes.DEFAULT_MODE)
    library = ctypes.CDLL(path, handle=handle)
    try:
        data = str(espeakng_loader.get_data_path()).encode()
        if library.espeak_Initialize(_SYNCHRONOUS, 200, data, _DONT_EXIT) <= 0:
            raise RuntimeError("eSpeak NG did not start: reinstall the espeakng-loader wheel")
        yield library
        library.espeak_Terminate()
    finally:
        dlclose(handle)


def _speak(text: str, voice: str, rate_wpm: int, pitch: int) -> tuple[NDArray[np.int16], list[tuple[int, int]], int]:
    """Samples, word events as (index in the text, sample), and the sample rate."""
    pieces: list[bytes] = []
    events: list[tuple[int, int]] = []

    def collect(wave: "ctypes._Pointer[ctypes.c_short]", count: int, batch: "ctypes._Pointer[_Event]") -> int:
        if wave and count > 0:
            pieces.append(ctypes.string_at(wave, count * 2))
        index = 0
        while batch[index].type != 0:
            if batch[index].type == _WORD_EVENT:
                events.append((batch[index].text_position - 1, batch[index].sample))
            index += 1
        return 0

    callback = _Callback(collect)
    with _fresh_library() as library:
        base, _, variant = voice.partition("+")
        name = _VOICE_FILES.get(base, base) + (f"+{variant}" if variant else "")
        if library.espeak_SetVoiceByName(name.encode()) != 0:
            raise UnknownVoice(f"no eSpeak NG voice {voice!r}; try en-us, en-us+f3, en-gb or es")
        library.espeak_SetSynthCallback(callback)
        library.espeak_SetParameter(_RATE_PARAMETER, rate_wpm, 0)
        library.espeak_SetParameter(_PITCH_PARAMETER, pitch, 0)
        data = text.encode()
        library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, _BY_CHARACTER, 0, _UTF8, None, None)
        library.espeak_Synchronize()
    return np.frombuffer(b"".join(pieces), dtype=np.int16), events, 22050


def _synthesise(text: str, voice: str, rate_wpm: int, pitch: int) -> Utterance:
    if not text.strip():
        return Utterance(text, voice, b"", ())
    samples, events, rate = _speak(text, voice, rate_wpm, pitch)
    if not samples.size or not events:
        return Utterance(text, voice, b"", ())
    resampled = soxr.resample(samples.astype(np.float32), rate, 8000)
    loudest = float(np.max(np.abs(resampled))) or 1.0
    audio = encode(np.round(resampled * (_PEAK / loudest)).astype(np.int16))
    end = audio.translate(LOUDNESS).rfind(b"\x01") + 1
    audio = audio[:end] + SILENCE * (-end % FRAME_BYTES)
    starts = [(position, min(sample * 8000 // rate, end)) for position, sample in events]
    return Utterance(text, voice, audio, _words(text, starts, audio))


def _words(text: str, events: list[tuple[int, int]], audio: bytes) -> tuple[Word, ...]:
    """Words as written, split at white space; a token eSpeak does not pronounce belongs to the word before it."""
    spoken: list[tuple[str, int]] = []
    unused = iter(events)
    event = next(unused, None)
    for token in re.finditer(r"\S+", text):
        start: int | None = None
        while event is not None and event[0] < token.end():
            start = event[1] if start is None else start
            event = next(unused, None)
        if start is not None:
            spoken.append((token.group(), start))
        elif spoken:
            spoken[-1] = (f"{spoken[-1][0]} {token.group()}", spoken[-1][1])
    loud = audio.translate(LOUDNESS)
    limits = [*(start for _, start in spoken[1:]), len(audio)]
    words = []
    for (written, start), limit in zip(spoken, limits, strict=True):
        last = loud.rfind(b"\x01", start, limit) + 1
        words.append(Word(written, start, last or limit))
    return tuple(words)
