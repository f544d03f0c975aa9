"""How the stand-ins hear: they recognise an utterance by its audio as received, byte for byte.

So a conversation between the stand-ins only works when the audio between them arrived whole and in order, which is
what the sandbox is there to prove.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from callwright.app.sandbox.mulaw import BYTES_PER_MS, LOUDNESS, MAGNITUDES, decode
from callwright.app.sandbox.speech import Utterance, Word

GAP = "…"
_ANCHOR = 16
_SPACING = 160
_HEARD_SHARE = 0.8
_FRAGMENT_SHARE = 0.2
_NOISE_BYTES = 60 * BYTES_PER_MS
_SPEECH_LEVEL = 3


def is_speech(frame: bytes) -> bool:
    """Whether a mu-law frame carries speech: mean sample above about -38 dBFS."""
    return sum(frame.translate(MAGNITUDES)) > _SPEECH_LEVEL * len(frame)


@dataclass(frozen=True, slots=True)
class _Match:
    """`length` bytes of the heard audio from `at` equal those of the utterance from `offset`."""

    key: int
    at: int
    offset: int
    length: int


@dataclass(slots=True)
class _Rendition:
    """One utterance being heard: the parts of it that arrived, in order."""

    key: int
    parts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.parts[-1][1]

    def covers(self, start: int, end: int) -> int:
        """How many of the bytes from start to end arrived."""
        return sum(max(0, min(end, b) - max(start, a)) for a, b in self.parts)


class Ear:
    """Recognises utterances by their audio as received, at any byte alignment.

    Words whose audio is missing, damaged or out of order are not heard. Thread-safe. Knows the `remembered` utterances
    learnt or said last.
    """

    def __init__(self, remembered: int = 512) -> None:
        self._remembered = remembered
        self._lock = threading.Lock()
        self._utterances: OrderedDict[int, Utterance] = OrderedDict()
        self._keys: dict[bytes, int] = {}
        # Where each anchor is found, as numbers `key << 32 | offset`: a tenth of a megabyte for a long utterance.
        self._anchors: dict[bytes, tuple[int, ...]] = {}
        self._next_key = 0

    def register(self, utterance: Utterance) -> None:
        """Learns an utterance, or marks it as recently used. The same audio is learnt once."""
        with self._lock:
            known = self._keys.get(utterance.audio)
            if known is not None:
                self._utterances.move_to_end(known)
                return
            if not utterance.words:
                return
            key = self._next_key
            self._next_key += 1
            self._keys[utterance.audio] = key
            self._utterances[key] = utterance
            for anchor, offset in _anchors(utterance.audio):
                self._anchors[anchor] = (*self._anchors.get(anchor, ()), key << 32 | offset)
            if len(self._utterances) > self._remembered:
                self._forget(*self._utterances.popitem(last=False))

    def hear(self, audio: bytes) -> str:
        """The words heard, in order, "" for none.

        A word counts when at least 80 % of its bytes arrived in order; words lost between heard ones, and speech that
        is not recognised, are written as "…".
        """
        with self._lock:
            return " ".join(_without_repeated_gaps(self._listen(audio)))

    def _forget(self, key: int, utterance: Utterance) -> None:
        del self._keys[utterance.audio]
        for anchor, offset in _anchors(utterance.audio):
            left = tuple(place for place in self._anchors[anchor] if place != key << 32 | offset)
            if left:
                self._anchors[anchor] = left
            else:
                del self._anchors[anchor]

    def _listen(self, audio: bytes) -> Iterator[str]:
        rendition: _Rendition | None = None
        unexplained = False
        cursor = 0
        for match in self._matches(audio):
            unexplained = unexplained or _is_noise(audio[cursor : match.at])
            cursor = match.at + match.length
            part = (match.offset, match.offset + match.length)
            if rendition is not None and rendition.key == match.key:
                if match.offset >= rendition.end:
                    rendition.parts.append(part)
                    unexplained = False
                    continue
                if rendition.covers(*part) * 2 < match.length:
                    unexplained = True
                    continue
            if rendition is not None:
                yield from self._words_of(rendition)
            if unexplained:
                yield GAP
                unexplained = False
            rendition = _Rendition(match.key, [part])
        if rendition is not None:
            yield from self._words_of(rendition)
        if unexplained or _is_noise(audio[cursor:]):
            yield GAP

    def _matches(self, audio: bytes) -> Iterator[_Match]:
        loud = audio.translate(LOUDNESS)
        position, floor, last = 0, 0, None
        while True:
            sounding = loud.find(b"\x01", position)
            if sounding < 0:
                return
            position = max(position, sounding - _ANCHOR + 1)
            places = self._anchors.get(audio[position : position + _ANCHOR])
            if places is None:
                position += 1
                continue
            found = [(place >> 32, place & 0xFFFFFFFF) for place in places]
            match = self._best(audio, position, floor, found, last)
            yield match
            last = match
            position = floor = match.at + match.length

    def _best(
        self, audio: bytes, position: int, floor: int, places: list[tuple[int, int]], last: _Match | None
    ) -> _Match:
        """The longest match; of equals the one that goes on with the utterance being heard, else the newest."""

        def rank(place: tuple[int, int]) -> tuple[int, bool, int]:
            key, offset = place
            goes_on = last is not None and key == last.key and offset >= last.offset + last.length
            return _common(audio, position, self._utterances[key].audio, offset), goes_on, key

        best = max(places, key=rank)
        source = self._utterances[best[0]].audio
        back = 0
        while position - back > floor and best[1] > back and audio[position - back - 1] == source[best[1] - back - 1]:
            back += 1
        return _Match(best[0], position - back, best[1] - back, back + rank(best)[0])

    def _words_of(self, rendition: _Rendition) -> Iterator[str]:
        touched: list[tuple[Word, float]] = []
        for word in self._utterances[rendition.key].words:
            share = rendition.covers(word.start_byte, word.end_byte) / max(1, word.end_byte - word.start_byte)
            touched.append((word, share))
        heard = [index for index, (_, share) in enumerate(touched) if share >= _FRAGMENT_SHARE]
        if not heard:
            return
        for word, share in touched[heard[0] : heard[-1] + 1]:
            yield word.text if share >= _HEARD_SHARE else GAP


def _anchors(audio: bytes) -> Iterator[tuple[bytes, int]]:
    loud = audio.translate(LOUDNESS)
    for offset in range(0, len(audio) - _ANCHOR + 1, _SPACING):
        if loud.find(b"\x01", offset, offset + _ANCHOR) >= 0:
            yield audio[offset : offset + _ANCHOR], offset


def _common(left: bytes, at: int, right: bytes, offset: int) -> int:
    """How many bytes agree from there on."""
    limit = min(len(left) - at, len(right) - offset)
    agreed, step = 0, 256
    while agreed < limit:
        step = min(step, limit - agreed)
        if left[at + agreed : at + agreed + step] != right[offset + agreed : offset + agreed + step]:
            break
        agreed += step
        step *= 2
    if agreed >= limit:
        return limit
    begin, source = left[at + agreed : at + agreed + step], right[offset + agreed : offset + agreed + step]
    return agreed + bisect_left(range(1, step + 1), True, key=lambda size: begin[:size] != source[:size])


def _is_noise(audio: bytes) -> bool:
    """Speech that belongs to no known utterance; a beep is none."""
    loud = audio.translate(LOUDNESS)
    start, end = loud.find(b"\x01"), loud.rfind(b"\x01") + 1
    if end - start < _NOISE_BYTES or loud.count(b"\x01") * 5 < end - start:
        return False
    samples = decode(audio[start:end]).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2
    peak = int(np.argmax(spectrum))
    return float(spectrum[max(0, peak - 3) : peak + 4].sum()) < 0.8 * float(spectrum.sum())


def _without_repeated_gaps(words: Iterator[str]) -> Iterator[str]:
    previous = ""
    for word in words:
        if word != GAP or previous != GAP:
            yield word
        previous = word
