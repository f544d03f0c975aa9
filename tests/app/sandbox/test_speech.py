"""The sandbox's voices: real words, at known places, the same bytes every time."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.mulaw import decode, encode
from callwright.app.sandbox.speech import Speaker, UnknownVoice, silence, tone

LINE = "Hi, this is Ava, an AI assistant. Is $12,000 – or so – OK, Señor?"


@pytest.fixture
def speaker() -> Speaker:
    return Speaker(Ear())


def test_audio_is_whole_frames_and_words_lie_in_it_in_order(speaker: Speaker) -> None:
    utterance = speaker.say(LINE)
    assert len(utterance.audio) % 160 == 0
    assert utterance.duration_ms == len(utterance.audio) // 8
    assert " ".join(word.text for word in utterance.words) == LINE
    ends = [0]
    for word in utterance.words:
        assert ends[-1] <= word.start_byte < word.end_byte <= len(utterance.audio)
        ends.append(word.end_byte)


def test_every_process_says_it_with_the_same_bytes(speaker: Speaker) -> None:
    speaker.say("Something said before must not change what comes after.")
    here = speaker.say(LINE).audio
    script = (
        "import sys; from callwright.app.sandbox.hearing import Ear; from callwright.app.sandbox.speech import Speaker;"
        f"sys.stdout.buffer.write(Speaker(Ear()).say({LINE!r}).audio)"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    assert here == there


def test_said_twice_is_the_same_object_and_threads_may_share_a_speaker(speaker: Speaker) -> None:
    lines = [f"This is line number {number}." for number in range(6)] * 3
    with ThreadPoolExecutor(6) as pool:
        spoken = list(pool.map(speaker.say, lines))
    for index, utterance in enumerate(spoken):
        assert utterance is spoken[index % 6]
        assert utterance.text == lines[index]


def test_rate_and_voice_change_the_sound(speaker: Speaker) -> None:
    usual = speaker.say("How are you today?")
    assert speaker.say("How are you today?", rate_wpm=110).duration_ms > usual.duration_ms
    assert speaker.say("How are you today?", "en-gb+f3").audio != usual.audio


def test_an_unknown_voice_names_known_ones(speaker: Speaker) -> None:
    with pytest.raises(UnknownVoice, match="en-us"):
        speaker.say("Hello", "klingon-nowhere")


@pytest.mark.parametrize("text", ["", "   ", "…"])
def test_nothing_to_say_is_no_sound(speaker: Speaker, text: str) -> None:
    assert speaker.say(text).words == ()


def test_a_beep_has_its_pitch_and_level() -> None:
    beep = tone(1000, 400, level_dbfs=-10)
    samples = decode(beep).astype(np.float64)
    assert len(beep) == 3200
    assert int(np.argmax(np.abs(np.fft.rfft(samples)))) * 8000 / 3200 == pytest.approx(1000, abs=3)
    assert 20 * np.log10(np.max(np.abs(samples)) / 32768) == pytest.approx(-10, abs=0.5)
    assert silence(20) == b"\xff" * 160


def test_every_mu_law_byte_survives_decoding_and_encoding() -> None:
    every = bytes(range(256))
    # 0x7F is minus zero: it decodes to 0, which is written 0xFF.
    assert encode(decode(every)) == every.replace(b"\x7f", b"\xff")
