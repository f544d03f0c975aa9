"""Tools, opt-out, digits, goodbyes that cannot be undone, lost and stalled peers."""

import orjson
import pytest

from callwright.app.calls.conversation import EndCause, VoiceUsage
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.actions import Purpose
from tests.bridge.bench import BRIEF, Bench


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.opens()
    return bench


def purposes(bench: Bench) -> list[Purpose]:
    return [create.purpose for create in bench.all(act.CreateResponse)][1:]


def end_call(bench: Bench, reason: str = "goal_achieved") -> None:
    bench.calls_tool("end_call", orjson.dumps({"reason": reason}).decode())


def test_the_goodbye_plays_to_its_mark_before_the_hang_up(bench: Bench) -> None:
    bench.person("That is all.")
    bench.begins_response()
    bench.says("Thank you, goodbye.", 2_000)
    end_call(bench)
    bench.ends_response()
    bench.quiet(1_980)
    assert bench.all(act.HangUp) == []
    bench.quiet(20)
    assert len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert (report.reason, report.end_reason, report.ended_by) == (EndCause.AGENT_ENDED, "goal_achieved", "agent")
    assert bench.turns()[-1].text == "Thank you, goodbye."


def test_a_barge_in_cannot_undo_the_ending(bench: Bench) -> None:
    bench.person("That is all.")
    bench.begins_response()
    bench.says("Thank you, goodbye.", 3_000)
    end_call(bench)
    bench.ends_response()
    bench.quiet(500)
    bench.person("Oh wait, one more thing", 1_500)
    bench.quiet(600)
    assert bench.all(act.ClearPhone) == [] and purposes(bench) == [Purpose.REPLY]
    assert len(bench.all(act.HangUp)) == 1


def test_a_goodbye_whose_mark_never_comes_is_bounded_by_its_expected_end_and_three_seconds() -> None:
    bench = Bench(plays=False)
    bench.tell(ev.ModelReady())
    bench.quiet(2_520)
    bench.begins_response()
    bench.says("Goodbye.", 2_000)
    end_call(bench, "other")
    bench.ends_response()
    bench.quiet(4_980)
    assert bench.all(act.HangUp) == []
    bench.quiet(60)
    assert len(bench.all(act.HangUp)) == 1


def test_end_call_without_a_word_says_the_goodbye_line(bench: Bench) -> None:
    bench.person("No thanks.")
    bench.begins_response()
    end_call(bench, "declined")
    bench.ends_response()
    assert purposes(bench) == [Purpose.REPLY, Purpose.GOODBYE]
    assert bench.last(act.CreateResponse).words == BRIEF.goodbye_line
    bench.answers(BRIEF.goodbye_line, 1_000)
    bench.quiet(1_000)
    assert len(bench.all(act.HangUp)) == 1


def test_a_model_that_never_says_the_goodbye_is_not_waited_for(bench: Bench) -> None:
    bench.person("No thanks.")
    bench.begins_response()
    end_call(bench, "declined")
    bench.ends_response()
    bench.quiet(8_020)
    assert len(bench.all(act.HangUp)) == 1


def test_an_unknown_reason_counts_as_other(bench: Bench) -> None:
    bench.person("Bye.")
    bench.begins_response()
    bench.says("Bye.", 500)
    bench.calls_tool("end_call", "{broken")
    bench.ends_response()
    bench.quiet(600)
    assert bench.hang_up_now().end_reason == "other"


def test_opt_out_is_recorded_at_once_and_the_model_says_goodbye(bench: Bench) -> None:
    bench.person("Stop calling me.")
    assert [opt.words for opt in bench.all(act.OptOut)] == ["Stop calling me."]
    bench.begins_response()
    call = bench.calls_tool("opt_out", '{"words": "stop calling"}')
    bench.ends_response()
    assert len(bench.all(act.OptOut)) == 1
    assert bench.last(act.AnswerTool) == act.AnswerTool(call, '{"ok":true}')
    assert purposes(bench) == [Purpose.REPLY, Purpose.REPLY]
    bench.begins_response()
    bench.says("Sorry, goodbye.", 1_500)
    end_call(bench, "do_not_call")
    bench.ends_response()
    bench.quiet(1_600)
    assert len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert (report.reason, report.end_reason, report.opted_out) == (EndCause.OPTED_OUT, "do_not_call", True)


def test_goodbye_comes_within_ten_seconds_of_an_opt_out_the_model_ignores(bench: Bench) -> None:
    bench.person("Please take me off your list.")
    opted = bench.when(act.OptOut)
    bench.answers("But our offer is wonderful and I will tell you all about it", 20_000)
    bench.quiet(6_100)
    assert len(bench.all(act.ClearPhone)) == 1
    bench.ends_response(status="cancelled")
    assert bench.last(act.CreateResponse).purpose is Purpose.GOODBYE
    bench.answers(BRIEF.goodbye_line, 1_500)
    bench.quiet(1_600)
    assert len(bench.all(act.HangUp)) == 1
    assert bench.when(act.HangUp) - opted <= 10_000


def test_end_call_with_do_not_call_is_an_opt_out_too(bench: Bench) -> None:
    bench.person("Not again, you people.")
    bench.begins_response()
    bench.says("Sorry. Goodbye.", 1_000)
    end_call(bench, "do_not_call")
    bench.ends_response()
    assert len(bench.all(act.OptOut)) == 1


def test_words_after_the_hang_up_still_opt_out(bench: Bench) -> None:
    item = bench.starts_talking(1_200)
    bench.tell(ev.PhoneGone(stopped=True))
    assert [type(action) for _, action in bench.done[-2:]] == [act.CommitSpeech, act.HearOut]
    bench.tell(ev.SpeechCommitted(item))
    bench.tell(ev.Transcribed(item, "Don't call me again!", VoiceUsage()))
    assert len(bench.all(act.OptOut)) == 1
    report = bench.report()
    assert (report.reason, report.end_reason) == (EndCause.PERSON_HUNG_UP, "do_not_call")


def test_the_wait_for_last_words_is_bounded(bench: Bench) -> None:
    bench.starts_talking(1_200)
    bench.tell(ev.PhoneGone(stopped=True))
    assert bench.all(act.Finish) == []
    bench.tell(ev.HearingOver())
    assert bench.report().ended_by == "person"


def test_nine_opts_out_and_says_goodbye_over_the_agent(bench: Bench) -> None:
    bench.person("Go on.")
    bench.answers("a long answer", 6_000)
    bench.quiet(1_000)
    bench.tell(ev.DigitPressed("9"))
    assert len(bench.all(act.OptOut)) == 1 and len(bench.all(act.ClearPhone)) == 1
    assert bench.last(act.CreateResponse).purpose is Purpose.GOODBYE
    assert bench.hang_up_now().reason is EndCause.OPTED_OUT


def test_zero_asks_for_a_human_and_the_model_answers(bench: Bench) -> None:
    bench.tell(ev.DigitPressed("0"))
    assert len(bench.all(act.RequestHuman)) == 1 and len(bench.all(act.TellModel)) == 1
    assert bench.last(act.CreateResponse).purpose is Purpose.REPLY
    bench.begins_response()
    bench.says("Someone will call you back. Goodbye.", 2_000)
    end_call(bench, "human_requested")
    bench.ends_response()
    bench.quiet(2_100)
    assert len(bench.all(act.RequestHuman)) == 1
    assert bench.hang_up_now().reason is EndCause.HUMAN_REQUESTED


def test_other_digits_are_only_noted(bench: Bench) -> None:
    before = len(bench.done)
    bench.tell(ev.DigitPressed("5"))
    assert [type(action) for _, action in bench.done[before:]] == [act.PublishEvent]


def test_guidance_is_passed_on_and_the_reply_waits_for_it_and_for_the_response(bench: Bench) -> None:
    bench.person("Are you licensed?")
    bench.begins_response()
    call = bench.calls_tool("get_guidance", '{"question": "licensed?"}')
    ask = bench.last(act.AskGuidance)
    assert (ask.call_id, ask.question) == (call, "licensed?")
    assert [turn.speaker for turn in ask.transcript] == ["person", "agent", "person"]
    bench.tell(ev.GuidanceGiven(call, "Say yes, in Illinois."))
    assert purposes(bench) == [Purpose.REPLY]
    bench.ends_response()
    assert purposes(bench) == [Purpose.REPLY, Purpose.REPLY]
    assert orjson.loads(bench.last(act.AnswerTool).output) == {"advice": "Say yes, in Illinois."}


def test_without_guidance_the_call_goes_on(bench: Bench) -> None:
    bench.person("Are you licensed?")
    bench.begins_response()
    call = bench.calls_tool("get_guidance")
    bench.ends_response()
    bench.quiet(2_000)
    assert purposes(bench) == [Purpose.REPLY]
    bench.tell(ev.GuidanceGiven(call, None))
    assert purposes(bench) == [Purpose.REPLY, Purpose.REPLY]
    assert orjson.loads(bench.last(act.AnswerTool).output) == {"advice": None}


def test_a_tool_named_only_in_the_done_response_is_called_once(bench: Bench) -> None:
    bench.person("Are you licensed?")
    response = bench.begins_response()
    bench.ends_response(ev.ToolCalled(response, "c1", "get_guidance", "{}"))
    bench.tell(ev.ToolCalled(response, "c1", "get_guidance", "{}"))
    assert len(bench.all(act.AskGuidance)) == 1


def test_a_model_lost_after_the_goodbye_was_sent_does_not_cut_it(bench: Bench) -> None:
    bench.person("That is all.")
    bench.begins_response()
    bench.says("Goodbye.", 2_000)
    end_call(bench)
    bench.ends_response()
    bench.tell(ev.ModelLost("gone"))
    bench.quiet(1_900)
    assert bench.all(act.HangUp) == []
    bench.quiet(200)
    assert len(bench.all(act.HangUp)) == 1
    assert bench.hang_up_now().reason is EndCause.AGENT_ENDED


def test_failed_responses_are_tried_again_and_then_given_up(bench: Bench) -> None:
    bench.person("Hello?")
    for _ in range(3):
        bench.begins_response()
        bench.ends_response(status="failed")
    assert purposes(bench) == [Purpose.REPLY] * 3
    assert bench.hang_up_now().reason is EndCause.MODEL_FAILED


def test_a_request_refused_because_another_runs_is_made_again_when_that_is_done(bench: Bench) -> None:
    bench.person("Hello?")
    asked = bench.last(act.CreateResponse).event_id
    bench.tell(ev.ModelError("conversation_already_has_active_response", asked))
    assert purposes(bench) == [Purpose.REPLY]
    bench.tell(ev.ResponseDone("somebody-elses", "completed", VoiceUsage()))
    assert purposes(bench) == [Purpose.REPLY, Purpose.REPLY]


def test_a_stalled_phone_is_hung_up_and_finished(bench: Bench) -> None:
    bench.tell(ev.PhoneStalled())
    assert len(bench.all(act.HangUp)) == 1
    assert bench.report().reason is EndCause.PHONE_STALLED


def test_a_dropped_socket_is_told_from_a_hang_up(bench: Bench) -> None:
    bench.tell(ev.PhoneGone(stopped=False))
    assert bench.report().reason is EndCause.PHONE_LOST


def test_a_person_who_hangs_up_mid_sentence_leaves_the_heard_part(bench: Bench) -> None:
    bench.person("Go on.")
    bench.answers("one two three four five six seven eight", 4_000)
    bench.quiet(2_000)
    report = bench.hang_up_now()
    assert report.reason is EndCause.PERSON_HUNG_UP
    assert (bench.turns()[-1].text, bench.turns()[-1].interrupted) == ("one two three four", True)
    assert bench.all(act.TruncateItem) == []


def test_a_shutdown_hangs_up(bench: Bench) -> None:
    bench.tell(ev.ShuttingDown())
    assert len(bench.all(act.HangUp)) == 1
    assert bench.hang_up_now().reason is EndCause.SHUTDOWN


def test_nothing_follows_the_finish(bench: Bench) -> None:
    bench.hang_up_now()
    before = len(bench.done)
    bench.noise(1_000)
    bench.tell(ev.PhoneGone(stopped=True))
    bench.tell(ev.ShuttingDown())
    assert len(bench.done) == before


def test_usage_is_summed(bench: Bench) -> None:
    bench.person("Hi.")
    bench.answers("Hello.", 400)
    assert bench.hang_up_now().usage.output_audio_tokens == 20
