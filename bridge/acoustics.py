"""What can be told from the person's audio alone: speech, pauses, and a machine's beep. Mu-law, 8 kHz, any frame
length.
"""

from collections import deque

from callwright.bridge.beeps import BeepDetector, linear

_MAGNITUDES = tuple(abs(linear(byte)) for byte in range(256))
# -36 dBFS: above most lines' noise (-50..-40), below quiet telephone speech at its syllables' peaks.
_LOUD = 512
_QUIET_BYTES = bytes(byte for byte in range(256) if _MAGNITUDES[byte] < _LOUD)
_LOUD_SHARE = 8  # one sample in eight: clicks do not count, voiced sounds do

# Where the line itself is as loud as that, speech has to stand out from it by 7 dB.
_SILENCE = b"\xff\x7f"
_STEP = 32
_LEVELS = bytes(min(255, round(magnitude) // _STEP) for magnitude in _MAGNITUDES)
_ABOVE_NOISE = 2.2
_LOUDEST_NOISE = 900 / _STEP  # mean magnitude, -31 dBFS; what never falls below is no noise, it is somebody
_NOISY_SHARE = 24  # fewer loud samples than one in so many are not worth measuring
_WINDOW_MS = 2_000  # the noise is the least level of the last two to four seconds

_JOIN_MS = 400  # shorter silences are inside an utterance (stops, breaths)
_PAUSE_MS = 1_000  # a silence this long ends a monologue
_HISTORY = 16  # voiced frames: more than a tone has before it is known to be one


class Acoustics:
    """Follows one line. Times are stream milliseconds at the end of the frame last heard."""

    __slots__ = (
        "_beeps",
        "_heard",
        "_history",
        "_monologue_from",
        "_noise",
        "_noise_before",
        "_run_from",
        "_window_until",
        "last_voiced_ms",
        "run_voiced_ms",
    )

    def __init__(self) -> None:
        self.last_voiced_ms = -_PAUSE_MS
        self.run_voiced_ms = 0  # voiced audio in the current or last utterance
        self._run_from = 0
        self._monologue_from = 0
        self._beeps = BeepDetector()
        self._history: deque[tuple[int, tuple[int, int, int, int]]] = deque(maxlen=_HISTORY)
        self._noise = self._noise_before = _LOUDEST_NOISE
        self._window_until = _WINDOW_MS
        self._heard = False

    @property
    def run_from_ms(self) -> int:
        """Where the current or last utterance began."""
        return self._run_from

    @property
    def monologue_ms(self) -> int:
        """Length of the speech so far without a pause of a second."""
        return self.last_voiced_ms - self._monologue_from

    @property
    def beep_ended_ms(self) -> int | None:
        """Where the last beep ended; known a quarter of a second later."""
        return self._beeps.ended_ms

    @property
    def tone_sounding(self) -> bool:
        """Whether a beep may be under way, or just over."""
        return self._beeps.sounding

    def silence_ms(self, at_ms: int) -> int:
        return at_ms - self.last_voiced_ms

    def hear(self, audio: bytes, at_ms: int, *, tones: bool) -> None:
        """Takes the frame that ends at `at_ms`. `tones`: also look for a beep (some 20 us a loud frame more)."""
        length = len(audio) // 8
        loud = len(audio.translate(None, _QUIET_BYTES))
        voiced = loud * _LOUD_SHARE >= len(audio) > 0
        if tones:
            self._beeps.hear(audio, at_ms, loud=voiced)
            tone_from_ms = self._beeps.tone_from_ms
            if tone_from_ms is not None:
                self._take_back(tone_from_ms)
                voiced = False
        elif self._history:
            self._history.clear()
            self._beeps.rest()
        if self._stands_out(audio, loud, at_ms) and voiced:
            self._voiced(length, at_ms, tones)

    def _stands_out(self, audio: bytes, loud: int, at_ms: int) -> bool:
        """Whether the frame is well above the line's own noise, which it helps to measure."""
        level = sum(audio.translate(_LEVELS)) / len(audio) if loud * _NOISY_SHARE >= len(audio) > 0 else 0.0
        if at_ms >= self._window_until:
            self._noise_before, self._noise = self._noise, _LOUDEST_NOISE
            self._window_until = at_ms + _WINDOW_MS
        # Nothing is known of the line from the digital silence before it is through.
        if loud or self._heard or audio.translate(None, _SILENCE):
            self._heard = True
            self._noise = min(self._noise, level)
        return level >= _ABOVE_NOISE * min(self._noise, self._noise_before)

    def _voiced(self, length: int, at_ms: int, tones: bool) -> None:
        if tones:
            state = (self.last_voiced_ms, self.run_voiced_ms, self._run_from, self._monologue_from)
            self._history.append((at_ms, state))
        silence = at_ms - length - self.last_voiced_ms
        if silence >= _JOIN_MS:
            self._run_from = at_ms - length
            self.run_voiced_ms = 0
        if silence >= _PAUSE_MS:
            self._monologue_from = at_ms - length
        self.run_voiced_ms += length
        self.last_voiced_ms = at_ms

    def _take_back(self, tone_from_ms: int) -> None:
        """What was taken for speech since then was a tone."""
        for at_ms, state in self._history:
            if at_ms > tone_from_ms:
                self.last_voiced_ms, self.run_voiced_ms, self._run_from, self._monologue_from = state
                break
        self._history.clear()
