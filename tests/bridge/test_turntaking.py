"""Replies, interruptions, back-channel, silences, the wrap-up and the hard end."""

from dataclasses import replace

import pytest

from callwright.app.calls.conversation import EndCause, VoiceUsage
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.actions import Purpose
from tests.bridge.bench import BRIEF, Bench


@pytest.fixture
def bench() -> Bench:
    """Past the opening: the person's turn."""
    bench = Bench()
    bench.opens()
    return bench


def purposes(bench: Bench) -> list[Purpose]:
    return [create.purpose for create in bench.all(act.CreateResponse)][1:]


def test_a_committed_turn_is_answered_at_once(bench: Bench) -> None:
    bench.person("Yes, I need a new roof.")
    assert purposes(bench) == [Purpose.REPLY]
    assert bench.when(act.CreateResponse) == bench.at_ms


def test_the_answer_does_not_wait_for_the_transcript(bench: Bench) -> None:
    bench.person(None)
    assert purposes(bench) == [Purpose.REPLY]


def test_turns_carry_times_and_order_even_when_words_come_late(bench: Bench) -> None:
    began = bench.at_ms
    item = bench.person(None, 1_000)
    bench.answers("How old is it?", 1_000)
    bench.quiet(1_100)
    bench.tell(ev.Transcribed(item, "  A new roof. ", VoiceUsage()))
    person, agent = bench.turns()[-2:]
    assert (person.speaker, person.text, person.start_ms, person.end_ms) == (
        "person",
        "A new roof.",
        began,
        began + 1_000,
    )
    assert (agent.text, agent.start_ms, agent.end_ms) == ("How old is it?", began + 1_500, began + 2_500)


def test_barge_in_clears_cancels_and_truncates_at_what_was_heard(bench: Bench) -> None:
    bench.person("Tell me more.")
    response = bench.begins_response()
    item = bench.says("one two three four five six seven eight nine ten", 4_000)
    bench.quiet(1_000)
    bench.starts_talking(320)
    kinds = [type(action) for _, action in bench.done if not isinstance(action, act.PublishEvent)][-4:]
    assert kinds == [act.ClearPhone, act.CancelResponse, act.TruncateItem, act.PublishTurn]
    assert bench.last(act.CancelResponse).response_id == response
    truncate = bench.last(act.TruncateItem)
    assert truncate.item_id == item
    assert truncate.audio_end_ms == 1_300  # a second of quiet and the 300 ms it took to be sure
    turn = bench.turns()[-1]
    assert (turn.interrupted, turn.text) == (True, "one two three")
    report = bench.hang_up_now()
    assert (report.interruptions, report.truncations) == (1, 1)


def test_barge_in_after_the_model_finished_sending_cancels_nothing(bench: Bench) -> None:
    bench.person("Tell me more.")
    bench.answers("one two three four", 4_000)
    bench.quiet(2_000)
    bench.starts_talking(400)
    assert bench.all(act.CancelResponse) == []
    assert len(bench.all(act.ClearPhone)) == 1
    assert 2_250 <= bench.last(act.TruncateItem).audio_end_ms <= 2_320


def test_later_items_are_truncated_at_zero(bench: Bench) -> None:
    bench.person("Tell me more.")
    bench.begins_response()
    first = bench.says("first", 2_000)
    second = bench.says("second", 2_000)
    bench.ends_response()
    bench.quiet(500)
    bench.starts_talking(400)
    cuts = {cut.item_id: cut.audio_end_ms for cut in bench.all(act.TruncateItem)}
    assert cuts[second] == 0
    assert 700 <= cuts[first] <= 900
    assert "second" not in [turn.text for turn in bench.turns()]


def test_late_deltas_of_a_cancelled_response_are_dropped(bench: Bench) -> None:
    bench.person("Tell me more.")
    response = bench.begins_response()
    bench.says("a b c d", 2_000)
    bench.quiet(500)
    bench.starts_talking(400)
    played = len(bench.all(act.Play))
    bench.says("e f g h", 2_000, response=response)
    assert len(bench.all(act.Play)) == played
    assert bench.conversation.dropped_deltas == 10


def test_the_answer_to_an_interruption_waits_for_the_cancelled_response_to_end(bench: Bench) -> None:
    bench.person("Tell me more.")
    bench.begins_response()
    bench.says("a b c d", 2_000)
    bench.quiet(500)
    bench.person("No wait.", 600)
    assert purposes(bench) == [Purpose.REPLY]
    bench.ends_response(status="cancelled")
    assert purposes(bench) == [Purpose.REPLY, Purpose.REPLY]


def test_speech_before_the_answer_began_withdraws_it(bench: Bench) -> None:
    bench.person("I think")
    bench.starts_talking(500)  # went on speaking before the model said anything
    response = bench.begins_response()
    assert bench.last(act.CancelResponse).response_id == response
    assert bench.all(act.ClearPhone) == []
    bench.says("too late", 400)
    assert not isinstance(bench.done[-1][1], act.Play)


def test_back_channel_does_not_interrupt_and_is_not_answered(bench: Bench) -> None:
    bench.person("Tell me more.")
    bench.answers("a long answer", 6_000)
    bench.quiet(1_000)
    bench.person("Uh-huh.", 240)
    bench.quiet(4_500)
    assert bench.all(act.ClearPhone) == [] and purposes(bench) == [Purpose.REPLY]
    assert [turn.interrupted for turn in bench.turns()] == [False] * 5


def test_a_short_yes_over_the_agents_last_word_is_answered(bench: Bench) -> None:
    bench.person("Tell me more.")
    bench.answers("Shall we come on Monday?", 2_000)
    bench.quiet(1_200)
    bench.person("Yes.", 200)
    assert purposes(bench) == [Purpose.REPLY]
    bench.quiet(200)
    assert purposes(bench) == [Purpose.REPLY, Purpose.REPLY]


def test_speech_too_soft_for_our_meter_interrupts_a_little_later(bench: Bench) -> None:
    bench.person("Tell me more.")
    bench.answers("a long answer", 6_000)
    bench.quiet(1_000)
    bench.tell(ev.SpeechStarted("soft"))
    bench.quiet(760)
    assert bench.all(act.ClearPhone) == []
    bench.quiet(60)
    assert len(bench.all(act.ClearPhone)) == 1


def test_a_mark_flushed_by_the_clear_does_not_count_as_heard(bench: Bench) -> None:
    bench.person("Tell me more.")
    bench.answers("one two three four", 4_000)
    marks = [play.mark for play in bench.all(act.Play)]
    bench.quiet(500)
    bench.starts_talking(400)
    turns = len(bench.turns())
    for mark in marks:
        bench.echo(mark)
    assert len(bench.turns()) == turns


def test_silence_is_prompted_at_eight_seconds_and_ended_at_twenty(bench: Bench) -> None:
    silent_from = bench.at_ms - 100
    bench.quiet(8_000)
    assert purposes(bench) == [Purpose.STILL_THERE]
    bench.answers(BRIEF.still_there_line, 1_000)
    bench.quiet(11_860)
    assert purposes(bench) == [Purpose.STILL_THERE]
    bench.quiet(160)
    assert purposes(bench) == [Purpose.STILL_THERE, Purpose.GOODBYE]
    assert 20_000 <= bench.when(act.CreateResponse) - silent_from <= 20_100
    bench.answers(BRIEF.goodbye_line, 1_000)
    bench.quiet(1_100)
    assert len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert (report.reason, report.end_reason) == (EndCause.NO_RESPONSE, "no_response")


def test_speech_ends_the_silence(bench: Bench) -> None:
    bench.quiet(7_000)
    bench.person("Sorry, I was away.")
    bench.answers("No problem. Shall we go on?", 2_000)
    bench.quiet(9_000)
    assert purposes(bench) == [Purpose.REPLY]
    bench.quiet(1_100)
    assert purposes(bench) == [Purpose.REPLY, Purpose.STILL_THERE]


def test_the_wrap_up_is_said_once_when_the_floor_is_free() -> None:
    bench = Bench(replace(BRIEF, wrap_up_seconds=12, max_seconds=30))
    bench.opens()
    bench.person("Tell me more.")
    bench.answers("a long answer", 8_000)
    bench.quiet(7_900)
    assert purposes(bench) == [Purpose.REPLY]
    bench.quiet(200)
    assert purposes(bench) == [Purpose.REPLY, Purpose.WRAP_UP]
    bench.answers(BRIEF.wrap_up_line, 1_000)
    bench.quiet(2_000)
    bench.person("Fine.")
    assert purposes(bench) == [Purpose.REPLY, Purpose.WRAP_UP, Purpose.REPLY]


def test_the_call_ends_at_its_maximum() -> None:
    bench = Bench(replace(BRIEF, wrap_up_seconds=20, max_seconds=25))
    bench.opens()
    bench.starts_talking(24_980 - bench.at_ms)
    assert bench.all(act.HangUp) == []
    bench.quiet(20)
    assert len(bench.all(act.HangUp)) == 1 and bench.when(act.HangUp) == 25_000
    assert bench.hang_up_now().reason is EndCause.MAX_DURATION


def test_latency_is_measured_from_the_persons_last_word(bench: Bench) -> None:
    bench.person("Yes.")
    bench.quiet(240)
    bench.answers("Fine.", 500)
    assert bench.hang_up_now().response_latencies_ms == (740,)


def test_marks_that_never_come_are_given_up_three_seconds_late() -> None:
    bench = Bench(plays=False)
    bench.tell(ev.ModelReady())
    bench.quiet(2_520)
    bench.answers("opening", 2_000)
    bench.quiet(4_960)
    assert bench.turns() == []
    bench.quiet(60)
    assert [turn.text for turn in bench.turns()] == ["opening"]


def test_words_that_come_before_their_audio_are_kept(bench: Bench) -> None:
    bench.person("Who is this?")
    response = bench.begins_response()
    bench.tell(ev.TranscriptDelta(response, "i", "one two "))
    bench.tell(ev.AudioDelta(response, "i", "", b"\x20" * 16_000))
    bench.tell(ev.TranscriptDelta(response, "i", "three four"))
    bench.quiet(1_000)
    bench.hang_up_now()
    assert bench.turns()[-1].text == "one two"


def test_a_server_that_responds_by_itself_is_heard() -> None:
    bench = Bench()
    bench.tell(ev.ModelReady())
    bench.noise(400)
    bench.tell(ev.ResponseCreated("unasked"))
    bench.says("I am here.", 2_000, response="unasked")
    bench.tell(ev.ResponseDone("unasked", "completed", VoiceUsage(), ()))
    assert len(bench.all(act.Play)) == 10
    bench.quiet(2_100)
    assert [turn.text for turn in bench.turns() if turn.speaker == "agent"] == ["I am here."]
    bench.noise(20_000)  # no answering machine's monologue: the talk was under way
    assert bench.all(act.ClaimVoicemail) == []


def test_nobody_talks_into_a_goodbye(bench: Bench) -> None:
    bench.person("Stop calling me.")
    bench.quiet(7_000)
    bench.begins_response()
    before = len(bench.all(act.Play))
    bench.ends_response()
    bench.tell(ev.ResponseCreated("unasked"))
    bench.says("One more thing.", 400, response="unasked")
    assert len(bench.all(act.Play)) == before


def test_speech_that_was_long_when_the_model_noticed_it_cuts_at_once(bench: Bench) -> None:
    bench.person("What does it cost?")
    bench.answers("It depends on the size of the roof.", 4_000)
    bench.noise(600)
    assert bench.all(act.ClearPhone) == []
    bench.tell(ev.SpeechStarted("long"))
    assert len(bench.all(act.ClearPhone)) == 1
