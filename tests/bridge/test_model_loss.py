"""The voice model goes: the talk is restored in a new session with what was heard, or ended with recorded words."""

from dataclasses import replace

import pytest

from callwright.app.calls.conversation import EndCause, VoiceUsage
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.actions import Purpose
from tests.bridge.bench import BRIEF, SPARE, Bench


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.opens()
    return bench


def lose(bench: Bench) -> act.OpenModel:
    """The model goes and another is asked for at once."""
    before = len(bench.all(act.OpenModel))
    bench.tell(ev.ModelLost("disconnected"))
    opened = bench.all(act.OpenModel)
    assert len(opened) == before + 1
    return opened[-1]


def asked(bench: Bench) -> list[Purpose]:
    return [create.purpose for create in bench.all(act.CreateResponse)]


def said(opened: act.OpenModel) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in opened.turns]


def test_the_next_session_knows_what_was_said_and_the_talk_goes_on(bench: Bench) -> None:
    bench.person("A new roof.")
    bench.answers("How soon?", 1_000)
    bench.quiet(1_100)
    opened = lose(bench)
    assert said(opened) == [
        ("person", "Hello?"),
        ("agent", BRIEF.opening_line),
        ("person", "A new roof."),
        ("agent", "How soon?"),
    ]
    assert opened.from_ms == bench.at_ms
    bench.tell(ev.ModelReady())
    assert asked(bench) == [Purpose.OPENING, Purpose.REPLY]
    bench.person("In May.")
    bench.answers("Fine.", 400)
    bench.quiet(400)
    report = bench.hang_up_now()
    assert (report.reason, report.model_reconnects) == (EndCause.PERSON_HUNG_UP, 1)
    assert [event.kind for event in bench.all(act.PublishEvent) if event.kind.startswith("model.")] == [
        "model.lost",
        "model.restored",
    ]


def test_a_reply_asked_for_and_not_begun_is_asked_for_again(bench: Bench) -> None:
    bench.person("A new roof.")
    bench.quiet(1_000)
    opened = lose(bench)
    assert opened.from_ms == bench.at_ms and said(opened)[-1] == ("person", "A new roof.")
    bench.tell(ev.ModelReady())
    assert asked(bench) == [Purpose.OPENING, Purpose.REPLY, Purpose.REPLY]


def test_a_reply_that_broke_off_plays_as_far_as_it_came_and_is_gone_on_with(bench: Bench) -> None:
    bench.person("A new roof.")
    response = bench.begins_response()
    bench.says("Good, and how", 1_000)
    opened = lose(bench)
    assert said(opened)[-1] == ("agent", "Good, and how")
    assert bench.all(act.ClearPhone) == []
    bench.tell(ev.ModelReady())
    assert asked(bench)[-2:] == [Purpose.REPLY, Purpose.REPLY]
    assert response not in [cancel.response_id for cancel in bench.all(act.CancelResponse)]
    bench.answers("soon do you need it?", 1_000)
    bench.quiet(2_100)
    assert [(turn.text, turn.interrupted) for turn in bench.turns()[-2:]] == [
        ("Good, and how", False),
        ("soon do you need it?", False),
    ]


def test_a_complete_answer_still_playing_is_neither_cut_nor_repeated(bench: Bench) -> None:
    bench.person("A new roof.")
    bench.answers("one two three four", 4_000)
    bench.quiet(1_000)
    lose(bench)
    bench.tell(ev.ModelReady())
    bench.quiet(3_100)
    assert asked(bench) == [Purpose.OPENING, Purpose.REPLY] and bench.all(act.ClearPhone) == []
    assert bench.turns()[-1].text == "one two three four"


def test_an_interruption_of_the_lost_sessions_audio_truncates_nothing_at_the_new_one(bench: Bench) -> None:
    bench.person("A new roof.")
    bench.answers("one two three four five six seven eight", 8_000)
    bench.quiet(3_000)
    lose(bench)
    bench.tell(ev.ModelReady())
    bench.starts_talking(1_000)
    assert len(bench.all(act.ClearPhone)) == 1 and bench.all(act.TruncateItem) == []
    assert bench.turns()[-1].interrupted


def test_an_opening_that_broke_off_is_said_again_from_its_beginning() -> None:
    bench = Bench()
    bench.tell(ev.ModelReady())
    bench.quiet(400)
    bench.person("Hello?", 500)
    bench.begins_response()
    bench.says("Hi, this is", 1_000)
    lose(bench)
    assert len(bench.all(act.ClearPhone)) == 1
    bench.tell(ev.ModelReady())
    again = bench.last(act.CreateResponse)
    assert (again.purpose, again.words) == (Purpose.OPENING, BRIEF.opening_line)
    assert bench.all(act.TruncateItem) == []


def test_words_the_lost_session_owed_are_heard_again_by_the_next(bench: Bench) -> None:
    bench.quiet(2_000)
    started = bench.at_ms
    bench.starts_talking(1_200)
    opened = lose(bench)
    assert started - 400 <= opened.from_ms <= started
    bench.tell(ev.ModelReady())
    bench.tell(ev.SpeechStarted("again"))
    bench.noise(300)
    bench.stops_talking("again", "A new roof.")
    turn = bench.turns()[-1]
    assert turn.text == "A new roof." and abs(turn.start_ms - started) <= 40
    assert asked(bench)[-1] is Purpose.REPLY and len(asked(bench)) == 2


def test_the_reply_to_words_still_to_come_waits_for_them(bench: Bench) -> None:
    bench.person(None)  # committed, its transcript is still due; the reply is asked for
    opened = lose(bench)
    assert opened.from_ms < bench.at_ms - 1_000
    bench.tell(ev.ModelReady())
    assert len(asked(bench)) == 2
    bench.tell(ev.SpeechStarted("again"))
    bench.tell(ev.SpeechStopped("again"))
    bench.tell(ev.SpeechCommitted("again"))
    assert len(asked(bench)) == 3 and asked(bench)[-1] is Purpose.REPLY


def test_a_tool_the_lost_session_had_called_is_not_answered_to_the_new_one(bench: Bench) -> None:
    bench.person("Are you licensed?")
    bench.begins_response()
    call = bench.calls_tool("get_guidance")
    bench.ends_response()
    lose(bench)
    bench.tell(ev.ModelReady())
    bench.tell(ev.GuidanceGiven(call, "Say yes."))
    assert bench.all(act.AnswerTool) == []
    assert asked(bench)[-2:] == [Purpose.REPLY, Purpose.REPLY]


def test_an_expired_session_is_replaced(bench: Bench) -> None:
    bench.tell(ev.ModelError("session_expired", None))
    assert len(bench.all(act.OpenModel)) == 1


def test_a_model_silent_for_five_seconds_while_it_owes_an_answer_is_replaced(bench: Bench) -> None:
    bench.person("Hello?")
    bench.quiet(4_900)
    assert bench.all(act.OpenModel) == []
    bench.quiet(200)
    assert len(bench.all(act.OpenModel)) == 1
    assert bench.noted("model.lost")[0].data == {"detail": "stalled"}


def test_a_model_that_owes_nothing_may_be_silent(bench: Bench) -> None:
    bench.quiet(7_000)
    assert bench.all(act.OpenModel) == []


def test_the_tries_are_bounded_and_then_a_human_is_promised(bench: Bench) -> None:
    for _ in range(3):
        bench.tell(ev.ModelLost("unreachable"))
        bench.quiet(1_020)
    assert len(bench.all(act.OpenModel)) == 3 and bench.all(act.Play)[-1].response_id != "spare"
    bench.tell(ev.ModelLost("unreachable"))
    assert len(bench.all(act.RequestHuman)) == 1
    spare = b"".join(play.audio for play in bench.all(act.Play) if play.response_id == "spare")
    assert spare == SPARE.audio
    bench.noise(1_000)  # talking over it changes nothing
    assert bench.all(act.HangUp) == []
    bench.quiet(1_020)
    assert len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert (report.reason, report.human_requested) == (EndCause.MODEL_LOST, True)
    assert bench.turns()[-1].text == SPARE.text


def test_sessions_that_never_get_ready_are_given_up() -> None:
    bench = Bench()
    bench.quiet(11_000)
    assert len(bench.all(act.OpenModel)) == 3
    assert [play.response_id for play in bench.all(act.Play)][-1] == "spare"
    bench.quiet(2_100)
    assert bench.hang_up_now().reason is EndCause.MODEL_STALLED


def test_recorded_words_are_not_said_into_a_greeting() -> None:
    bench = Bench()
    bench.noise(2_000)
    for _ in range(4):
        bench.tell(ev.ModelLost("unreachable"))
        bench.noise(1_020)
    assert bench.all(act.Play) == []
    bench.quiet(3_000)
    assert bench.all(act.Play)[0].response_id == "spare"


def test_nothing_is_promised_to_a_machine(bench: Bench) -> None:
    bench = Bench()
    bench.tell(ev.ModelReady())
    bench.person("Please leave a message after the tone.", 3_000)
    for _ in range(4):
        bench.tell(ev.ModelLost("unreachable"))
        bench.quiet(1_020)
    assert bench.all(act.Play) == [] and bench.all(act.RequestHuman) == []
    assert len(bench.all(act.HangUp)) == 1


def test_a_voicemail_message_that_broke_off_is_said_again_whole() -> None:
    bench = Bench()
    bench.tell(ev.ModelReady())
    bench.person("Please leave a message after the tone.", 3_000)
    bench.quiet(2_000)
    bench.begins_response()
    bench.says("Hello from Acme", 1_000)
    lose(bench)
    bench.tell(ev.ModelReady())
    again = bench.last(act.CreateResponse)
    assert (again.purpose, again.words) == (Purpose.VOICEMAIL, BRIEF.voicemail_message)
    bench.answers(BRIEF.voicemail_message, 3_000)
    bench.quiet(3_020)
    assert len(bench.all(act.HangUp)) == 1
    assert bench.hang_up_now().voicemail_left


def test_a_goodbye_that_broke_off_ends_the_call_where_it_is(bench: Bench) -> None:
    bench.person("That is all.")
    bench.begins_response()
    bench.says("Thank you, good", 1_000)
    bench.calls_tool("end_call", '{"reason": "declined"}')
    bench.tell(ev.ModelLost("disconnected"))
    assert bench.all(act.OpenModel) == []
    bench.quiet(1_020)
    assert len(bench.all(act.HangUp)) == 1
    assert bench.hang_up_now().reason is EndCause.AGENT_ENDED


def test_a_goodbye_still_to_be_said_is_said_by_the_next_session(bench: Bench) -> None:
    bench.tell(ev.DigitPressed("9"))
    lose(bench)
    bench.tell(ev.ModelReady())
    assert asked(bench)[-2:] == [Purpose.GOODBYE, Purpose.GOODBYE]
    bench.answers(BRIEF.goodbye_line, 1_000)
    bench.quiet(1_020)
    assert len(bench.all(act.HangUp)) == 1
    assert bench.hang_up_now().reason is EndCause.OPTED_OUT


def test_a_model_lost_after_the_phone_is_the_end(bench: Bench) -> None:
    item = bench.starts_talking(1_000)
    bench.tell(ev.PhoneGone(stopped=True))
    bench.tell(ev.ModelLost("disconnected"))
    bench.tell(ev.Transcribed(item, "too late", VoiceUsage()))
    assert bench.report().reason is EndCause.PERSON_HUNG_UP and bench.all(act.OpenModel) == []


def test_recording_follows_consent() -> None:
    bench = Bench(replace(BRIEF, record=False))
    for on in (False, True, True, False, True):
        bench.tell(ev.RecordingWanted(on))
    assert [action.on for action in bench.all(act.SetRecording)] == [True, False, True]
    assert len(bench.noted("recording.on")) == 2 and len(bench.noted("recording.off")) == 1


def test_the_agent_speaks_first_when_nobody_is_to_be_waited_for() -> None:
    bench = Bench(replace(BRIEF, hello_wait_ms=0))
    bench.tell(ev.ModelReady())
    bench.quiet(20)
    assert asked(bench) == [Purpose.OPENING]
