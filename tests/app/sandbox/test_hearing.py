"""The stand-ins hear what arrived: at any alignment, and nothing that was lost, damaged or out of order."""

from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.app.sandbox.hearing import Ear, is_speech
from callwright.app.sandbox.speech import Speaker, Utterance, silence, tone

LINES = (
    "Hello?",
    "Hello? Who is this?",
    "Yes, we want the whole roof replaced before the winter.",
    "Yes, we want the whole roof repaired.",
    "My budget is about $12,000, maybe a little more.",
    "No thanks. Please stop calling me!",
)


@cache
def room() -> tuple[Ear, tuple[Utterance, ...]]:
    """One ear and what it knows, synthesised once: hypothesis runs each property many times."""
    ear = Ear()
    speaker = Speaker(ear)
    return ear, tuple(speaker.say(line, "en-us+m3") for line in LINES)


utterances = st.integers(0, len(LINES) - 1).map(lambda index: room()[1][index])


@given(st.lists(utterances, min_size=1, max_size=4), st.lists(st.integers(0, 4000), min_size=5, max_size=5))
@settings(deadline=None, max_examples=60)
def test_whatever_the_alignment_everything_is_heard_in_order(spoken: list[Utterance], pauses: list[int]) -> None:
    ear, _ = room()
    audio = b"".join(b"\xff" * pause + said.audio for pause, said in zip(pauses, spoken, strict=False))
    assert ear.hear(audio + b"\xff" * pauses[-1]) == " ".join(said.text for said in spoken)


@given(utterances, st.data())
@settings(deadline=None, max_examples=60)
def test_a_dropped_word_is_not_heard(said: Utterance, data: st.DataObject) -> None:
    ear, _ = room()
    word = said.words[data.draw(st.integers(0, len(said.words) - 1))]
    heard = ear.hear(said.audio[: word.start_byte] + said.audio[word.end_byte :])
    assert heard != said.text
    assert len([token for token in heard.split() if token != "…"]) < len(said.text.split())


@given(utterances, st.data())
@settings(deadline=None, max_examples=60)
def test_a_damaged_word_is_not_heard(said: Utterance, data: st.DataObject) -> None:
    ear, _ = room()
    index = data.draw(st.integers(0, len(said.words) - 1))
    flips = data.draw(st.binary(min_size=64, max_size=64).map(lambda raw: bytes(byte | 1 for byte in raw)))
    word = said.words[index]
    damaged = bytearray(said.audio)
    for place in range(word.start_byte, word.end_byte):
        damaged[place] ^= flips[place % 64]
    words = [spoken.text for spoken in said.words]
    words[index] = "…"
    assert [token for token in ear.hear(bytes(damaged)).split() if token != "…"] == [
        token for text in words if text != "…" for token in text.split()
    ]


@given(utterances.filter(lambda said: len(said.words) >= 4), st.data())
@settings(deadline=None, max_examples=60)
def test_words_out_of_order_are_not_heard_as_if_in_order(said: Utterance, data: st.DataObject) -> None:
    ear, _ = room()
    first = data.draw(st.integers(0, len(said.words) - 3))
    a, b, c = (said.words[first + step].start_byte for step in range(3))
    assert ear.hear(said.audio[:a] + said.audio[b:c] + said.audio[a:b] + said.audio[c:]) != said.text


@given(utterances, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_shuffled_frames_are_misheard(said: Utterance, random: Random) -> None:
    ear, _ = room()
    frames = [said.audio[at : at + 160] for at in range(0, len(said.audio), 160)]
    shuffled = frames[::-1]
    random.shuffle(shuffled)
    if shuffled != frames:
        assert ear.hear(b"".join(shuffled)) != said.text


def test_one_lost_frame_in_a_long_word_is_still_heard_but_a_lost_half_is_not() -> None:
    ear, spoken = room()
    said = spoken[2]
    word = next(word for word in said.words if word.text == "replaced")
    middle = (word.start_byte + word.end_byte) // 2
    assert ear.hear(said.audio[:middle] + said.audio[middle + 160 :]) == said.text
    half = ear.hear(said.audio[: word.start_byte] + said.audio[middle:])
    assert half == said.text.replace("replaced", "…")


def test_an_interrupted_line_is_heard_up_to_the_cut() -> None:
    ear, spoken = room()
    said = spoken[4]
    cut = next(word for word in said.words if word.text == "maybe").start_byte
    assert ear.hear(said.audio[:cut] + silence(400)) == "My budget is about $12,000,"


def test_a_line_heard_in_two_pieces_has_no_gap_at_the_seam() -> None:
    ear, spoken = room()
    said = spoken[5]
    seam = next(word for word in said.words if word.text == "Please").start_byte
    assert (ear.hear(said.audio[:seam]), ear.hear(said.audio[seam:])) == ("No thanks.", "Please stop calling me!")


def test_silence_and_beeps_are_no_words_and_a_stranger_is_a_gap() -> None:
    ear, _ = room()
    stranger = Speaker(Ear()).say("Nobody taught this ear my voice.", "en-gb+f2")
    assert ear.hear(b"") == ear.hear(silence(500)) == ear.hear(tone(1000, 500)) == ""
    assert ear.hear(stranger.audio) == "…"


def test_an_ear_forgets_the_oldest_utterance_only() -> None:
    ear = Ear(remembered=4)
    speaker = Speaker(ear)
    spoken = [speaker.say(f"Number {number}.") for number in range(8)]
    speaker.say("Number 4.")
    speaker.say("Number 8.")
    known = [utterance.text for utterance in spoken if ear.hear(utterance.audio) == utterance.text]
    assert known == ["Number 4.", "Number 6.", "Number 7."]


@pytest.mark.parametrize(("frame", "speech"), [(silence(20), False), (tone(300, 20), True), (b"\x7f" * 160, False)])
def test_energy_tells_speech_from_silence(frame: bytes, speech: bool) -> None:
    assert is_speech(frame) is speech
