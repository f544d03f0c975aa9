"""Speech, pauses and beeps from the audio alone."""

import math
import random

import pytest

from callwright.bridge.acoustics import Acoustics
from tests.bridge.bench import FRAME_MS, SILENCE, SPEECH, mulaw, tone


def feed(acoustics: Acoustics, audio: bytes, at_ms: int, frame_ms: int = FRAME_MS) -> int:
    step = frame_ms * 8
    for start in range(0, len(audio), step):
        piece = audio[start : start + step]
        at_ms += len(piece) // 8
        acoustics.hear(piece, at_ms, tones=True)
    return at_ms


def vowel(ms: int, pitch: float, seed: int) -> bytes:
    """A glottal buzz through two wandering resonances: tonal, yet not a tone."""
    generator = random.Random(seed)
    first, second = generator.uniform(300, 800), generator.uniform(900, 2_200)
    samples = []
    for n in range(ms * 8):
        t = n / 8_000
        bent = pitch * (1 + 0.03 * math.sin(2 * math.pi * 4 * t))
        samples.append(
            sum(
                math.sin(2 * math.pi * bent * k * t)
                / (1 + abs(bent * k - first) / 120 + 0.5 * abs(bent * k - second) / 200)
                for k in range(1, 20)
            )
        )
    peak = max(abs(sample) for sample in samples)
    return bytes(mulaw(round(9_000 * sample / peak)) for sample in samples)


@pytest.mark.parametrize("hertz", [350, 440, 620, 950, 1_000, 1_400, 2_000])
@pytest.mark.parametrize("level", [1_000, 8_000, 30_000])
@pytest.mark.parametrize("frame_ms", [20, 30])
def test_a_beep_is_heard_and_its_end_is_known(hertz: float, level: int, frame_ms: int) -> None:
    acoustics = Acoustics()
    at_ms = feed(acoustics, SILENCE * 30, 0)
    ended_ms = at_ms + 240
    at_ms = feed(acoustics, tone(hertz, 240, level), at_ms, frame_ms)
    assert acoustics.tone_sounding and acoustics.beep_ended_ms is None
    feed(acoustics, SILENCE * 13, at_ms)
    assert not acoustics.tone_sounding
    assert acoustics.beep_ended_ms is not None and abs(acoustics.beep_ended_ms - ended_ms) <= 2


@pytest.mark.parametrize("pitch", [90, 120, 150, 190, 230])
def test_vowels_are_no_beeps(pitch: float) -> None:
    for seed in range(6):
        acoustics = Acoustics()
        at_ms = feed(acoustics, hiss(200, 30) + vowel(600, pitch, seed), 0)
        feed(acoustics, SILENCE * 20, at_ms)
        assert acoustics.beep_ended_ms is None
        assert acoustics.run_voiced_ms >= 400


def test_a_short_blip_is_no_beep() -> None:
    acoustics = Acoustics()
    feed(acoustics, SILENCE * 10 + tone(1_000, 50) + SILENCE * 20, 0)
    assert acoustics.beep_ended_ms is None


def test_a_beep_is_not_speech() -> None:
    acoustics = Acoustics()
    feed(acoustics, SILENCE * 10 + tone(1_000, 1_000), 0)
    assert acoustics.run_voiced_ms == 0
    assert acoustics.last_voiced_ms < 0


def test_speech_is_measured_across_short_gaps_and_anew_after_long_ones() -> None:
    acoustics = Acoustics()
    at_ms = feed(acoustics, SILENCE * 50 + SPEECH * 10 + SILENCE * 10 + SPEECH * 5, 0)
    assert (acoustics.run_from_ms, acoustics.run_voiced_ms, acoustics.last_voiced_ms) == (1_000, 300, at_ms)
    at_ms = feed(acoustics, SILENCE * 25 + SPEECH * 2, at_ms)
    assert (acoustics.run_from_ms, acoustics.run_voiced_ms) == (at_ms - 40, 40)
    assert acoustics.monologue_ms == at_ms - 1_000


def hiss(ms: int, level: int) -> bytes:
    generator = random.Random(5)
    return bytes(mulaw(generator.randint(-level, level)) for _ in range(ms * 8))


def test_quiet_noise_is_silence() -> None:
    acoustics = Acoustics()
    feed(acoustics, hiss(1_000, 250), 0)
    assert acoustics.run_voiced_ms == 0


def test_loud_noise_is_silence_too_and_speech_over_it_is_not() -> None:
    acoustics = Acoustics()
    at_ms = feed(acoustics, SILENCE * 10 + hiss(2_000, 1_200), 0)
    assert acoustics.run_voiced_ms == 0
    at_ms = feed(acoustics, SPEECH * 20, at_ms)
    assert (acoustics.run_voiced_ms, acoustics.run_from_ms) == (400, at_ms - 400)
    feed(acoustics, hiss(1_000, 1_200), at_ms)
    assert acoustics.last_voiced_ms == at_ms
