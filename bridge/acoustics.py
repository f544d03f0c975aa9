"""What can be told from the person's audio alone: speech, pauses, and a machine's beep. Mu-law, 8 kHz, any frame
length.
"""

import math

_BIAS = 0x84


def _linear(byte: int) -> int:
    code = ~byte & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS << ((code & 0x70) >> 4)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


_LINEAR = tuple(_linear(byte) for byte in range(256))
# -36 dBFS: above line noise and comfort noise (-50..-40), below quiet telephone speech at its syllables' peaks.
_LOUD = 512
_QUIET_BYTES = bytes(byte for byte in range(256) if abs(_LINEAR[byte]) < _LOUD)
_LOUD_SHARE = 8  # one sample in eight: clicks do not count, voiced sounds do

_JOIN_MS = 400  # shorter silences are inside an utterance (stops, breaths)
_PAUSE_MS = 1_000  # a silence this long ends a monologue
_BEEP_MS = 120
_BEEP_HZ = (330.0, 2_300.0)
_RATE = 8_000


class Acoustics:
    """Follows one line. Times are stream milliseconds at the end of the frame last heard."""

    __slots__ = (
        "_before_tone",
        "_monologue_from",
        "_run_from",
        "_tone_hz",
        "_tone_ms",
        "beep_ended_ms",
        "last_voiced_ms",
        "run_voiced_ms",
    )

    def __init__(self) -> None:
        self.last_voiced_ms = -_PAUSE_MS
        self.run_voiced_ms = 0  # voiced audio in the current or last utterance
        self.beep_ended_ms: int | None = None
        self._run_from = 0
        self._monologue_from = 0
        self._tone_hz = 0.0
        self._tone_ms = 0
        self._before_tone = (self.last_voiced_ms, 0, 0, 0)

    @property
    def run_from_ms(self) -> int:
        """Where the current or last utterance began."""
        return self._run_from

    @property
    def monologue_ms(self) -> int:
        """Length of the speech so far without a pause of a second."""
        return self.last_voiced_ms - self._monologue_from

    @property
    def tone_sounding(self) -> bool:
        """Whether a beep may be under way."""
        return self._tone_ms > 0

    def silence_ms(self, at_ms: int) -> int:
        return at_ms - self.last_voiced_ms

    def hear(self, audio: bytes, at_ms: int, *, tones: bool) -> None:
        """Takes the frame that ends at `at_ms`. `tones`: also look for a beep (costs some 20 us a loud frame)."""
        length = len(audio) // 8
        loud = len(audio.translate(None, _QUIET_BYTES))
        if loud * _LOUD_SHARE < len(audio) or not loud:
            self._tone_over(at_ms - length)
            return
        if not tones or not self._is_tone(audio, length):
            self._tone_over(at_ms - length)
        elif self._tone_ms >= _BEEP_MS:
            # No vowel any more: what was taken for speech at its beginning was the beep.
            self.last_voiced_ms, self.run_voiced_ms, self._run_from, self._monologue_from = self._before_tone
            return
        elif self._tone_ms <= length:
            self._before_tone = (self.last_voiced_ms, self.run_voiced_ms, self._run_from, self._monologue_from)
        silence = at_ms - length - self.last_voiced_ms
        if silence >= _JOIN_MS:
            self._run_from = at_ms - length
            self.run_voiced_ms = 0
        if silence >= _PAUSE_MS:
            self._monologue_from = at_ms - length
        self.run_voiced_ms += length
        self.last_voiced_ms = at_ms

    def _is_tone(self, audio: bytes, length_ms: int) -> bool:
        """Whether this may be a frame of a beep: one that a two-pole resonator predicts, at a frequency that stays.

        For a pure sinusoid x[n] + x[n-2] = 2 cos(w) x[n-1]; what that leaves over, set against what it would leave of
        white noise, is the noise-to-tone ratio whatever the frequency.
        """
        samples = [_LINEAR[byte] for byte in audio]
        cross = power = outer = 0
        for before, now, after in zip(samples, samples[1:], samples[2:], strict=False):
            around = before + after
            cross += around * now
            power += now * now
            outer += around * around
        if not power:
            return False
        cosine = cross / (2 * power)
        left_over = outer - cross * cross / power
        if abs(cosine) >= 1 or left_over > 0.04 * (2 + 4 * cosine * cosine) * power:
            return False
        hertz = math.acos(cosine) * _RATE / (2 * math.pi)
        if not _BEEP_HZ[0] <= hertz <= _BEEP_HZ[1]:
            return False
        steady = abs(hertz - self._tone_hz) <= 0.03 * hertz
        self._tone_hz = hertz
        self._tone_ms = self._tone_ms + length_ms if steady else length_ms
        return True

    def _tone_over(self, ended_ms: int) -> None:
        if self._tone_ms >= _BEEP_MS:
            self.beep_ended_ms = ended_ms
        self._tone_ms = 0
        self._tone_hz = 0.0
