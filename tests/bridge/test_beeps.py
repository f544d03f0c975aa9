"""The beep detector against synthesised beeps, ten minutes of synthesised speech, and tones that are no beeps."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.mulaw import SILENCE, encode
from callwright.app.sandbox.speech import Speaker
from callwright.bridge.acoustics import Acoustics

Samples = NDArray[np.float64]
FRAME = 160
LEAD_MS, TAIL_MS = 700, 500

FREQUENCIES: list[tuple[float, ...]] = [
    *((hertz,) for hertz in (350.0, 425.0, 620.0, 800.0, 1_000.0, 1_275.0, 1_400.0, 1_713.0, 2_000.0)),
    *((350.0, 500.0), (440.0, 880.0), (620.0, 1_100.0), (853.0, 960.0), (1_000.0, 1_500.0), (1_400.0, 2_000.0)),
]
LENGTHS_MS = (80, 120, 250, 600, 1_500)
LEVELS = (0.0, -6.0, -12.0, -20.0, -30.0)
LINES = ("clean", "noise", "hum", "both")


def amplitude(dbfs: float) -> float:
    return float(32_767 * 10 ** (dbfs / 20))


def sines(frequencies: Sequence[float], ms: float, dbfs: float, overtones: Sequence[float] = (1.0,)) -> Samples:
    """Equal tones whose peaks together reach the level at most, with edges of 2 ms."""
    time = np.arange(int(ms * 8)) / 8_000
    parts = [
        share * np.sin(2 * np.pi * hertz * number * time + hertz)
        for hertz in frequencies
        for number, share in enumerate(overtones, 1)
    ]
    edge = np.minimum(1.0, np.minimum(np.arange(time.size), np.arange(time.size)[::-1]) / 16)
    whole: Samples = sum(parts, np.zeros(time.size)) * edge * amplitude(dbfs) / (len(frequencies) * sum(overtones))
    return whole


def pause(ms: float) -> Samples:
    return np.zeros(int(ms * 8))


def on_a_line(signal: Samples, line: str, seed: int) -> bytes:
    """Noise of -45 dBFS RMS, mains hum of -32 dBFS with its harmonics, or both, under the signal."""
    generator = np.random.default_rng(seed)
    if line in ("noise", "both"):
        signal = signal + generator.normal(0, amplitude(-45), signal.size)
    if line in ("hum", "both"):
        time, mains = np.arange(signal.size) / 8_000, (50, 60)[seed % 2]
        for number, share in ((1, 1.0), (2, 0.4), (3, 0.3)):
            signal = signal + amplitude(-32) * share * np.sin(2 * np.pi * mains * number * time + seed)
    return encode(np.clip(np.round(signal), -32_768, 32_767).astype(np.int16))


def beeps_in(audio: bytes) -> list[int]:
    """Where the bridge hears beeps end."""
    acoustics, found = Acoustics(), list[int]()
    for start in range(0, len(audio), FRAME):
        acoustics.hear(audio[start : start + FRAME], (start + FRAME) // 8, tones=True)
        ended = acoustics.beep_ended_ms
        if ended is not None and ended not in found:
            found.append(ended)
    return found


def corpus() -> Iterator[tuple[str, bytes, int]]:
    """Every frequency with every length, levels and lines in turn: 75 beeps. Name, audio, where the beep ends."""
    kinds = zip(itertools.product(FREQUENCIES, LENGTHS_MS), itertools.cycle(itertools.product(LEVELS, LINES)))
    for number, ((frequencies, ms), (level, line)) in enumerate(kinds):
        lead_ms = LEAD_MS + number % 20  # at every place within a frame
        signal = np.concatenate([pause(lead_ms), sines(frequencies, ms, level), pause(TAIL_MS)])
        yield f"{frequencies} Hz {ms} ms {level} dB {line}", on_a_line(signal, line, number), lead_ms + ms


def test_at_least_ninety_seven_of_a_hundred_beeps_are_heard_and_their_ends_known() -> None:
    missed, total = [], 0
    for name, audio, ended_ms in corpus():
        found = beeps_in(audio)
        total += 1
        if len(found) != 1 or abs(found[0] - ended_ms) > 25:
            missed.append((name, found))
    assert total >= 60
    assert len(missed) <= 0.03 * total, missed


ENGLISH = (
    "Hello, you have reached the Miller family. Nobody can come to the phone right now.",
    "Please leave your name, your number and a short message after the tone, and we will call you back.",
    "Who? You? Me too! Moo. Room two, soon. Oh no. Mmm, yeah, I see. We knew you would do it soon.",
    "A uniform blue moon in June. The quick brown fox jumps over the lazy dog near the bank of the river.",
    "How much will it cost me to have the whole roof replaced before the winter comes? I need an estimate, please.",
    "Good morning, this is Smith and Sons plumbing, how may I help you today? Ooooh. Eeee. Aaaah. Hmmmm.",
    "Could you call me back at three one two, five five five, zero one four two? That would be great.",
)
SPANISH = (
    "Hola, ha llamado a la casa de la familia Moreno. En este momento no podemos atender su llamada.",
    "Por favor, deje su nombre, su número y un mensaje después de oír la señal.",
    "¿Quién? Tú. No, no, no. Un mundo nuevo. Sí, dígame. ¿Cuánto cuesta el tejado nuevo? Uuuh. Iiii.",
    "Muchísimas gracias, muy amable, hasta luego. Uno, dos, tres, cuatro, cinco, seis, siete, ocho, nueve.",
)
VOICES = [
    (base + variant, sentences)
    for base, sentences in (("en-us", ENGLISH), ("en-gb", ENGLISH), ("es", SPANISH))
    for variant in ("", "+f1", "+f2", "+f3", "+f4", "+m1", "+m3", "+m5", "+m7")
]


def test_ten_minutes_of_speech_hold_no_beep() -> None:
    speaker, heard_ms, false = Speaker(Ear()), 0, []
    for voice, sentences in VOICES:
        said = [speaker.say(sentence, voice, rate_wpm=140).audio + SILENCE * (400 * 8) for sentence in sentences]
        audio = b"".join(said)
        heard_ms += len(audio) // 8
        false += [(voice, at) for at in beeps_in(audio)]
    assert heard_ms >= 600_000
    assert false == []


NOTES = [220 * 2 ** (number / 12) for number in range(36)]
UP_AND_DOWN = (10, 14, 17, 22, 26, 29, 26, 22, 17, 14)
KEYS = list(itertools.product((697.0, 770.0, 852.0, 941.0), (1_209.0, 1_336.0, 1_477.0, 1_633.0)))
PIANO = (1.0, 0.6, 0.3, 0.2)


def played(notes: Sequence[Samples], gap_ms: float) -> Samples:
    return np.concatenate([part for note in notes for part in (note, pause(gap_ms))])


def cadence(frequencies: tuple[float, ...], on_ms: int, off_ms: int, times: int) -> Samples:
    return played([sines(frequencies, on_ms, -13)] * times, off_ms)


def tunes() -> Iterator[tuple[str, Samples]]:
    for ms, gap in itertools.product((90, 150, 300, 500), (0, 40, 120)):
        name = f"{ms} ms, gap {gap} ms"
        yield f"arpeggio, {name}", played([sines((NOTES[n],), ms, -10) for n in UP_AND_DOWN], gap)
        yield f"thirds, {name}", played([sines((NOTES[n], NOTES[n + 4]), ms, -10) for n in UP_AND_DOWN], gap)
        chords = [sines((NOTES[n], NOTES[n + 4], NOTES[n + 7]), ms, -10) for n in (12, 17, 19, 12)]
        yield f"chords, {name}", played(chords, gap)
        bars = [sines((NOTES[n],), ms, -10, PIANO) * np.exp(-np.arange(ms * 8) / 1_600) for n in UP_AND_DOWN]
        yield f"hold music, {name}", played(bars, gap)
    yield "one chord", sines((523.0, 659.0, 784.0), 700, -10)
    yield "ringback", cadence((440.0, 480.0), 2_000, 4_000, 2)
    yield "busy", cadence((480.0, 620.0), 500, 500, 4)
    yield "reorder", cadence((480.0, 620.0), 250, 250, 8)
    yield "dial tone", sines((350.0, 440.0), 3_000, -13)
    yield "a tone held on", sines((1_000.0,), 3_000, -13)
    yield "not in service", played([sines((hertz,), 330, -13) for hertz in (913.8, 1_370.6, 1_776.7)], 0)
    for ms in (60, 100, 300):
        yield f"keys of {ms} ms", played([sines(key, ms, -10) for key in KEYS], ms)
        yield f"keys of {ms} ms, off by 1 %", played([sines((a * 1.01, b * 0.99), ms, -10) for a, b in KEYS], ms)
    sweep = np.cumsum(np.linspace(300, 2_000, 16_000)) / 8_000
    yield "sweep", amplitude(-10) * np.sin(2 * np.pi * sweep)


@pytest.mark.parametrize("line", ["clean", "noise"])
def test_music_and_the_networks_own_tones_hold_no_beep(line: str) -> None:
    false = [
        (name, found)
        for number, (name, tune) in enumerate(tunes())
        if (found := beeps_in(on_a_line(np.concatenate([pause(500), tune, pause(TAIL_MS)]), line, number)))
    ]
    assert false == []
