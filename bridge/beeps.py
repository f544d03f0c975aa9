"""A machine's beep in telephone audio: one or two steady tones that begin, last and end as a beep does.

Blocks of 20 ms. A block whose level stays is taken apart into its strongest one or two frequencies; what these explain
of it, the line's own noise aside, is its purity. Speech and music have pure moments, too, so a beep must also be of
constant level, end abruptly into quiet, be no longer than a machine's, and not be a note among other notes.
Pure Python on `math.dist`, whose C loop is three times faster than a sum of products: some 10 us a block of speech.
"""

import math
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

_RATE = 8_000
_BLOCK = 160
_BLOCK_MS = 20
_HUM_SAMPLES = 16  # a moving average this long follows mains hum and not a tone
_BIAS = 0x84

_LOWEST_HZ, _HIGHEST_HZ = 330.0, 2_080.0
_BIN_HZ = 50.0
_FIRST_BIN = 6  # 300 Hz: one below the lowest, for the interpolation
_LAST_BIN = 43

_STEADY = 1.45  # a power this many times another is not its continuation (1.6 dB)
_PURITY = 0.86  # share of the block's power in its tones, without the line's noise
_GATHERED = 0.7  # of it around the two strongest bins: a tone between two bins spreads a little
_SECOND = 0.06  # a second tone weaker than this (-12 dB) is none
_QUIET = 0.1  # power beside the tone's after which it is over
_LEAST_BLOCKS = 3  # 80 ms hold three whole blocks, wherever they begin
_SHORT_BLOCKS = 9  # shorter ones must come out of quiet as well: a vowel may be as pure
_LONGEST_BLOCKS = 84  # 1.68 s: what sounds on is a ringing, dialling or holding tone
_CONFIRM_BLOCKS = 11  # quiet after it
_MELODY_MS = 700  # a different tone so shortly before makes it a tune
_SAME = 0.03
_FLOOR_BLOCKS = 75  # the line's noise: the least power within the last 1.5 to 3 s,
_FLOOR_BIAS = 1.3  # whose mean is higher
_LOUDEST_NOISE = _BLOCK * 500.0**2  # -36 dBFS; more than that is somebody speaking
_REST_BLOCKS = 5  # of silence that one is enough to measure the noise

# Tones of the network's own (ITU-T Q.23, Q.24 and the Precise Tone Plan), within their tolerance.
_KEYPAD = ((697.0, 770.0, 852.0, 941.0), (1_209.0, 1_336.0, 1_477.0, 1_633.0))
_PROGRESS = ((350.0, 440.0), (440.0, 480.0), (480.0, 620.0))
_TOLERANCE = 0.018

_Samples = Sequence[float]


def linear(byte: int) -> int:
    """The sample that a mu-law byte stands for (ITU-T G.711), 14 bits scaled to 16."""
    code = ~byte & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << ((code & 0x70) >> 4)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


_LINEAR = tuple(float(linear(byte)) for byte in range(256))
_ZEROS = (0.0,) * _BLOCK


def _wave(hertz: float) -> tuple[_Samples, _Samples]:
    step = 2 * math.pi * hertz / _RATE
    return tuple(math.cos(step * n) for n in range(_BLOCK)), tuple(math.sin(step * n) for n in range(_BLOCK))


_BINS = tuple(_wave(_BIN_HZ * number) for number in range(_FIRST_BIN, _LAST_BIN + 1))
_BIN_POWER = _BLOCK / 2  # of each of a bin's two waves


class BeepDetector:
    """Follows one line. `ended_ms` is the stream time at which the last beep ended, once that is certain."""

    __slots__ = (
        "_at_ms",
        "_basis",
        "_blocks",
        "_confirmed",
        "_ended_ms",
        "_floor",
        "_floor_age",
        "_floor_before",
        "_from_ms",
        "_from_quiet",
        "_hertz",
        "_last_tone",
        "_level",
        "_powers",
        "_quiet_left",
        "_rest",
        "_run",
        "_skip",
        "_suspect",
        "_tail",
        "_unread",
        "ended_ms",
    )

    def __init__(self) -> None:
        self.ended_ms: int | None = None
        self._unread = b""
        self._at_ms = 0
        self._tail: list[float] = [0.0] * _HUM_SAMPLES
        self._blocks: deque[_Samples] = deque((_ZEROS, _ZEROS), 2)  # the two before
        self._powers: deque[float] = deque((0.0,) * 5, 5)  # of those before
        self._skip = 0  # blocks not to look at
        self._floor = self._floor_before = _LOUDEST_NOISE
        self._floor_age = 0
        self._rest = 0
        self._basis: tuple[_Samples, ...] = ()  # spans the tones being followed
        self._hertz: tuple[float, ...] = ()
        self._level = 0.0  # power of the tone being followed
        self._run = 0  # its whole blocks
        self._suspect = False  # it is no beep, whatever its end
        self._from_quiet = False  # it began out of quiet
        self._from_ms = 0
        self._ended_ms = 0
        self._quiet_left = 0  # blocks of quiet until the tone that ended was a beep
        self._confirmed = False  # with the last block
        self._last_tone: tuple[tuple[float, ...], int] = ((), -_MELODY_MS)

    @property
    def tone_from_ms(self) -> int | None:
        """Where the tone began that has sounded too long for a vowel, or that just turned out to have been a beep."""
        return self._from_ms if self._confirmed or self._run >= _SHORT_BLOCKS else None

    @property
    def sounding(self) -> bool:
        """Whether a beep may be under way, or just over."""
        return self._run >= _LEAST_BLOCKS or self._quiet_left > 0

    def hear(self, audio: bytes, at_ms: int, *, loud: bool) -> None:
        """Takes the frame that ends at `at_ms`. `loud` false promises that no beep is in it, which saves the work."""
        if not self._unread and len(audio) == _BLOCK:
            self._hear_block(audio, at_ms, loud)
            return
        self._unread += audio
        while len(self._unread) >= _BLOCK:
            block, self._unread = self._unread[:_BLOCK], self._unread[_BLOCK:]
            self._hear_block(block, at_ms - len(self._unread) // 8, loud=True)

    def rest(self) -> None:
        """Nobody listens for beeps now: forgets the audio (some 20 kB), keeps when the last beep ended."""
        self._unread = b""
        self._tail = [0.0] * _HUM_SAMPLES
        self._blocks.extend((_ZEROS, _ZEROS))
        self._basis = ()
        self._run = self._quiet_left = 0
        self._confirmed = False

    def _hear_block(self, audio: bytes, at_ms: int, loud: bool) -> None:
        self._at_ms = at_ms
        self._confirmed = False
        if not loud:
            self._rest += 1
            if self._rest % _REST_BLOCKS != 1 and not self._run and not self._quiet_left:
                self._tail = [0.0] * _HUM_SAMPLES
                self._next(_ZEROS, 0.0)
                return
        block = self._without_hum(audio)
        power = math.dist(block, _ZEROS) ** 2
        self._follow_floor(power)
        if self._quiet_left:
            self._confirm(power)
        elif self._run:
            self._follow(block, power)
        elif loud:
            self._look(block, power)
        self._next(block, power)

    def _next(self, block: _Samples, power: float) -> None:
        self._blocks.append(block)
        self._powers.append(power)

    def _without_hum(self, audio: bytes) -> list[float]:
        samples = self._tail + [_LINEAR[byte] for byte in audio]
        self._tail = samples[-_HUM_SAMPLES:]
        sums = list(accumulate(samples))
        middle = samples[_HUM_SAMPLES // 2 : _HUM_SAMPLES // 2 + _BLOCK]
        return [
            sample - (after - before) / _HUM_SAMPLES
            for sample, after, before in zip(middle, sums[_HUM_SAMPLES:], sums, strict=False)
        ]

    @property
    def _noise(self) -> float:
        return min(self._floor, self._floor_before, _LOUDEST_NOISE) * _FLOOR_BIAS

    def _follow_floor(self, power: float) -> None:
        self._floor = min(self._floor, power)
        self._floor_age += 1
        if self._floor_age >= _FLOOR_BLOCKS and not self._run:
            self._floor_before, self._floor, self._floor_age = self._floor, _LOUDEST_NOISE, 0

    def _quiet(self, power: float) -> bool:
        return power < 1.3 * self._noise + _QUIET * self._level

    def _look(self, block: _Samples, power: float) -> None:
        """Whether a tone sounds: three blocks of one level, this one pure; then the others are compared with it."""
        self._skip -= 1
        first, second, noise = self._powers[-1], self._powers[-2], self._noise
        if self._skip > 0 or power < 3 * noise or max(power, first, second) > _STEADY * min(power, first, second):
            return
        found = _tones(block, power, power - noise)
        if found is None:
            self._skip = _LEAST_BLOCKS  # a tone that begins now is found in time then
            return
        self._hertz, self._basis = found
        self._level = power - noise
        self._run = 1
        for earlier, level in zip(reversed(self._blocks), (first - noise, second - noise), strict=False):
            if _explained(earlier, self._basis) < _PURITY * level:
                break
            self._run += 1
        self._from_ms = self._at_ms - (self._run + 1) * _BLOCK_MS  # it may have begun within the block before
        known, ended_ms = self._last_tone
        tune = bool(known) and self._from_ms - ended_ms < _MELODY_MS and not _alike(known, self._hertz)
        self._suspect = tune or _networks_own(self._hertz)
        self._from_quiet = self._quiet(self._powers[-1 - self._run])

    def _follow(self, block: _Samples, power: float) -> None:
        level = power - self._noise
        steady = level < _STEADY * self._level < _STEADY * _STEADY * level
        if steady and _explained(block, self._basis) >= _PURITY * level:
            self._run += 1
            return
        if self._run > 1:
            self._last_tone = (self._hertz, self._at_ms - _BLOCK_MS)
        short = self._run < _SHORT_BLOCKS and not self._from_quiet
        fits = _LEAST_BLOCKS <= self._run <= _LONGEST_BLOCKS and power < _STEADY * (self._level + self._noise)
        if fits and not short and not self._suspect:
            part = min(1.0, max(0.0, level / self._level))
            self._ended_ms = self._at_ms - _BLOCK_MS + round(part * _BLOCK_MS)
            self._quiet_left = _CONFIRM_BLOCKS
        self._run = 0

    def _confirm(self, power: float) -> None:
        if not self._quiet(power):
            self._quiet_left = 0
            return
        self._quiet_left -= 1
        if not self._quiet_left:
            self.ended_ms = self._ended_ms
            self._confirmed = True


def _dot(left: _Samples, right: _Samples, powers: float) -> float:
    """`powers` is the sum of both vectors' squared lengths."""
    return (powers - math.dist(left, right) ** 2) / 2


def _explained(block: _Samples, basis: Sequence[_Samples]) -> float:
    """The power of the block within the space of an orthonormal basis."""
    power = math.dist(block, _ZEROS) ** 2
    return sum(_dot(block, vector, power + 1.0) ** 2 for vector in basis)


def _spectrum(block: _Samples, power: float) -> tuple[list[complex], list[float]]:
    """The bins' values and sizes."""
    powers = power + _BIN_POWER
    bins = [complex(_dot(block, cos, powers), -_dot(block, sin, powers)) for cos, sin in _BINS]
    return bins, [abs(value) for value in bins]


def _peak(sizes: Sequence[float]) -> int:
    return max(range(1, len(sizes) - 1), key=sizes.__getitem__)


def _scattered(sizes: list[float], level: float) -> bool:
    """Whether the power is too much spread out for one or two tones."""
    gathered, rest = 0.0, sizes.copy()
    for _ in range(2):
        peak = _peak(rest)
        gathered += sum(size * size for size in rest[peak - 1 : peak + 2])
        rest[peak - 1 : peak + 2] = (0.0, 0.0, 0.0)
    return gathered / _BIN_POWER < _GATHERED * level


def _frequency(bins: list[complex], peak: int) -> float:
    """Of the tone at the peak, between bins by Jacobsen's interpolation; 0 outside the band."""
    before, here, after = bins[peak - 1 : peak + 2]
    curve = 2 * here - before - after
    offset = ((before - after) / curve).real if curve else 0.0
    hertz = _BIN_HZ * (_FIRST_BIN + peak + max(-1.0, min(1.0, offset)))
    return hertz if _LOWEST_HZ <= hertz <= _HIGHEST_HZ else 0.0


def _strongest(block: _Samples) -> float:
    """The frequency of the block's strongest tone."""
    bins, sizes = _spectrum(block, math.dist(block, _ZEROS) ** 2)
    return _frequency(bins, _peak(sizes))


def _extend(basis: Sequence[_Samples], hertz: float) -> tuple[_Samples, ...]:
    """The orthonormal basis with the tone added (Gram and Schmidt)."""
    vectors = list(basis)
    for wave in _wave(hertz):
        rest = wave
        for vector in vectors:
            rest = _less(rest, vector)
        size = math.dist(rest, _ZEROS)
        if size < 1.0:  # as good as in it already
            continue
        vectors.append(tuple(value / size for value in rest))
    return tuple(vectors)


def _less(block: _Samples, vector: _Samples) -> _Samples:
    """Without its part along the unit vector."""
    share = _dot(block, vector, math.dist(block, _ZEROS) ** 2 + 1.0)
    return tuple(value - share * part for value, part in zip(block, vector, strict=True))


def _without(block: _Samples, basis: Sequence[_Samples]) -> _Samples:
    for vector in basis:
        block = _less(block, vector)
    return block


def _tones(block: _Samples, power: float, level: float) -> tuple[tuple[float, ...], tuple[_Samples, ...]] | None:
    """The one or two tones that make up the block, with a basis of their space."""
    bins, sizes = _spectrum(block, power)
    first = 0.0 if _scattered(sizes, level) else _frequency(bins, _peak(sizes))
    if not first:
        return None
    basis = _extend((), first)
    explained = _explained(block, basis)
    if explained >= _PURITY * level:
        return (first,), basis
    if explained < 0.3 * level:
        return None
    rest = _without(block, basis)
    second = _strongest(rest)
    if not second:
        return None
    # Each bends the other's estimate a little: once more without the second.
    rest = _without(block, _extend((), second))
    first = _strongest(rest)
    if not first or abs(first - second) < _BIN_HZ:
        return None
    basis = _extend(_extend((), first), second)
    if _explained(block, basis) < _PURITY * level or _explained(rest, _extend((), first)) < _SECOND * level:
        return None
    return (min(first, second), max(first, second)), basis


def _near(hertz: float, other: float, share: float) -> bool:
    return abs(hertz - other) <= share * other


def _alike(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(_near(a, b, _SAME) for a, b in zip(one, other, strict=True))


def _networks_own(hertz: Sequence[float]) -> bool:
    if len(hertz) != 2:
        return False
    low, high = hertz
    keypad = all(any(_near(tone, key, _TOLERANCE) for key in keys) for tone, keys in zip(hertz, _KEYPAD, strict=True))
    return keypad or any(_near(low, a, _TOLERANCE) and _near(high, b, _TOLERANCE) for a, b in _PROGRESS)
