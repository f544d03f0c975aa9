"""Turns in the input audio do not depend on how the audio was cut into messages."""

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from callwright.app.sandbox.mulaw import silence, tone
from callwright.app.sandbox.realtime_vad import Detection, InputBuffer, SpeechStarted, SpeechStopped, VadEvent

stretches = st.lists(st.tuples(st.integers(40, 900), st.integers(0, 900)), min_size=1, max_size=5)


def events_of(audio: bytes, cuts: list[int]) -> list[VadEvent]:
    buffer = InputBuffer()
    buffer.detection = Detection(prefix_padding_ms=300, silence_duration_ms=400)
    events: list[VadEvent] = []
    places = [0, *sorted(cut % (len(audio) + 1) for cut in cuts), len(audio)]
    for start, end in pairwise(places):
        events += buffer.append(audio[start:end])
    assert buffer.appended_ms == len(audio) // 8
    return events


def talk(parts: list[tuple[int, int]]) -> bytes:
    return b"".join(silence(pause) + tone(300, speech) for speech, pause in parts) + silence(1000)


@given(stretches, st.lists(st.integers(0, 10**6), max_size=40))
def test_cutting_the_audio_differently_changes_nothing(parts: list[tuple[int, int]], cuts: list[int]) -> None:
    audio = talk(parts)
    assert events_of(audio, cuts) == events_of(audio, list(accumulate([160] * (len(audio) // 160))))


@given(stretches)
def test_turns_alternate_do_not_overlap_and_hold_the_audio_they_name(parts: list[tuple[int, int]]) -> None:
    audio = talk(parts)
    events = events_of(audio, [])
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped] * (len(events) // 2)
    end = 0
    for started, stopped in zip(events[::2], events[1::2], strict=True):
        assert isinstance(started, SpeechStarted)
        assert isinstance(stopped, SpeechStopped)
        assert end <= started.audio_start_ms == stopped.audio_start_ms < stopped.audio_end_ms
        assert stopped.audio == audio[stopped.audio_start_ms * 8 : stopped.audio_end_ms * 8]
        # The frame in which speech ends may be mostly silence.
        assert stopped.audio.endswith(silence(380))
        end = stopped.audio_end_ms
    loud = sum(byte != 0xFF for byte in audio)
    kept = sum(byte != 0xFF for event in events if isinstance(event, SpeechStopped) for byte in event.audio)
    assert kept == loud


def test_a_silent_hour_is_not_kept() -> None:
    buffer = InputBuffer()
    buffer.detection = Detection(prefix_padding_ms=300, silence_duration_ms=400)
    for _ in range(60):
        buffer.append(silence(60_000))
    assert buffer.appended_ms == 3_600_000
    assert buffer.pending_ms < 1000
