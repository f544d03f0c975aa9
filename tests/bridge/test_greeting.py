"""Who answered: hello, nobody, voicemail, screening."""

import pytest

from callwright.app.calls.conversation import AnsweredBy, EndCause, VoiceUsage
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.actions import Purpose
from callwright.bridge.phrases import Machine, match_machine
from tests.bridge.bench import BRIEF, Bench

GREETING = "You've reached the Millers. Please leave a message after the tone."


@pytest.fixture
def bench() -> Bench:
    return Bench()


def purposes(bench: Bench) -> list[Purpose]:
    return [create.purpose for create in bench.all(act.CreateResponse)]


def test_hello_is_answered_with_the_opening_line_half_a_second_after_its_end(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(600)
    bench.noise(400)
    bench.quiet(480)
    assert purposes(bench) == []
    bench.quiet(40)
    create = bench.last(act.CreateResponse)
    assert (create.purpose, create.words) == (Purpose.OPENING, BRIEF.opening_line)


def test_hello_is_not_answered_twice_when_the_model_commits_it_later(bench: Bench) -> None:
    bench.opens()
    assert purposes(bench) == [Purpose.OPENING]
    assert [turn.speaker for turn in bench.turns()] == ["person", "agent"]


def test_a_silent_person_is_greeted_after_two_and_a_half_seconds(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(2_480)
    assert purposes(bench) == []
    bench.quiet(40)
    assert purposes(bench) == [Purpose.OPENING]


def test_the_opening_waits_for_the_model(bench: Bench) -> None:
    bench.quiet(400)
    bench.noise(400)
    bench.quiet(1_000)
    assert purposes(bench) == []
    bench.tell(ev.ModelReady())
    assert purposes(bench) == [Purpose.OPENING]


def test_a_click_is_not_a_hello(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(200)
    bench.noise(20)
    bench.quiet(1_500)
    assert purposes(bench) == []


def test_a_longer_first_utterance_is_decided_by_its_words(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(200)
    bench.person("Hello, Miller's plumbing, this is Joe, how can I help you today?", 3_600)
    assert purposes(bench) == [Purpose.OPENING]


def test_a_longer_first_utterance_without_words_is_a_person_after_two_seconds(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(200)
    bench.person(None, 3_600)
    assert purposes(bench) == []
    bench.quiet(2_100)
    assert purposes(bench) == [Purpose.OPENING]


def test_an_interrupted_opening_is_said_again_and_then_heard_to_its_end(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(400)
    bench.person("Hello?", 400)
    bench.answers("Hi this is Acme an AI", 5_000)
    bench.quiet(1_000)
    bench.person("Who is this?", 700)
    assert purposes(bench) == [Purpose.OPENING, Purpose.OPENING]
    bench.answers("Hi this is Acme an AI", 5_000)
    bench.quiet(500)
    bench.person("Yes but who is this?", 700)
    assert len(bench.all(act.ClearPhone)) == 1
    bench.quiet(3_300)
    assert purposes(bench)[2:] == [Purpose.REPLY]  # owed since the person spoke
    assert [turn.interrupted for turn in bench.turns() if turn.speaker == "agent"] == [True, False]


def test_voicemail_words_switch_to_the_message_after_the_beep(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.person(GREETING, 4_000)
    assert len(bench.noted("voicemail.detected")) == 1
    assert purposes(bench) == []
    bench.beep(400)
    bench.quiet(260)
    assert len(bench.all(act.ClaimVoicemail)) == 1
    create = bench.last(act.CreateResponse)
    assert (create.purpose, create.words) == (Purpose.VOICEMAIL, BRIEF.voicemail_message)
    bench.answers(BRIEF.voicemail_message, 4_000)
    bench.noise(500)  # the machine's own noises do not cut the message
    bench.quiet(3_400)
    assert bench.all(act.HangUp) == []
    bench.quiet(200)
    assert len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert (report.reason, report.end_reason) == (EndCause.VOICEMAIL, "voicemail_left")
    assert report.voicemail_left and report.answered_by is AnsweredBy.VOICEMAIL
    assert report.ended_by == "agent"
    evidence = report.voicemail
    assert evidence is not None and (evidence.signal, evidence.phrase) == ("phrase", "leave_a_message")
    assert (evidence.also, evidence.confidence) == (("long_greeting", "beep"), 0.997)


def test_without_a_beep_the_message_starts_after_a_second_and_a_half_of_silence(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.person(GREETING, 4_000)  # ends with 500 ms of silence
    bench.quiet(960)
    assert purposes(bench) == []
    bench.quiet(60)
    assert purposes(bench) == [Purpose.VOICEMAIL]


def test_fifteen_seconds_without_a_pause_is_voicemail(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    for _ in range(7):
        bench.noise(1_600)
        bench.quiet(380)
    assert bench.noted("voicemail.detected") == []
    bench.noise(1_600)
    assert bench.noted("voicemail.detected")[0].data["signal"] == "monologue"


def test_pauses_of_a_second_restart_the_fifteen_seconds(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    for _ in range(4):
        bench.noise(8_000)
        bench.quiet(1_100)
    assert bench.noted("voicemail.detected") == []


def test_a_quick_guess_of_a_person_is_taken_back_when_the_words_are_a_machines(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    item = bench.starts_talking(1_500)
    bench.quiet(520)
    assert purposes(bench) == [Purpose.OPENING]
    response = bench.begins_response()
    bench.says("opening", 3_000)
    bench.tell(ev.SpeechStopped(item))
    bench.tell(ev.SpeechCommitted(item))
    bench.quiet(300)
    bench.tell(ev.Transcribed(item, "Hi, you've reached voicemail of Ann.", VoiceUsage()))
    assert bench.last(act.CancelResponse).response_id == response
    assert len(bench.all(act.ClearPhone)) == 1 and len(bench.noted("voicemail.detected")) == 1
    bench.says("opening", 400, response=response)
    assert not isinstance(bench.done[-1][1], act.Play)


def test_a_message_left_by_another_attempt_is_not_left_again() -> None:
    bench = Bench(claims=False)
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.person(GREETING, 4_000)
    bench.beep()
    bench.quiet(3_000)
    assert purposes(bench) == [] and len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert report.reason is EndCause.VOICEMAIL and not report.voicemail_left


def test_a_greeting_without_end_is_hung_up_on_without_a_message(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.noise(76_000)
    assert len(bench.all(act.HangUp)) == 1 and purposes(bench) == []


def test_a_screening_assistant_gets_one_sentence_and_then_the_person_the_opening(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.person("Hi, if you record your name and reason for calling, I'll see if this person is available.", 4_600)
    create = bench.last(act.CreateResponse)
    assert (create.purpose, create.words) == (Purpose.SCREENING, BRIEF.screening_line)
    bench.answers(BRIEF.screening_line, 3_000)
    bench.quiet(3_100)
    bench.person("Thanks. Please stay on the line.", 1_200)
    bench.quiet(4_000)
    assert purposes(bench) == [Purpose.SCREENING]
    bench.person("Hello?", 400)
    assert purposes(bench) == [Purpose.SCREENING, Purpose.OPENING]
    bench.answers(BRIEF.opening_line, 2_000)
    bench.quiet(2_100)
    assert bench.hang_up_now().answered_by is AnsweredBy.HUMAN


def test_nobody_after_the_screening_ends_the_call(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.person("Please say your name and why you are calling.", 3_000)
    bench.answers(BRIEF.screening_line, 3_000)
    bench.quiet(34_000)
    assert purposes(bench) == [Purpose.SCREENING, Purpose.GOODBYE]


@pytest.mark.parametrize(
    "text",
    [
        "You have reached 312 555 0105. Please leave a message after the tone.",
        "Hi this is Ann, I can't come to the phone right now, leave your name and number.",
        "Your call has been forwarded to an automated voice messaging system.",
        "The person you are calling is not available. At the tone, please record your message.",
        "The Google subscriber you have called is not available.",
        "We're closed. We will get back to you as soon as possible.",
        "When you have finished recording, you may hang up or press one for more options.",
        "No one is available to take your call.",
        "The number you have dialed is not available. Please try again later.",
        "El cliente no se encuentra disponible en este momento.",
        "Ha llamado al buzón de voz de Pedro.",
        "Por favor deje su mensaje después del tono.",
        "En este momento no puedo atender su llamada.",
    ],
)
def test_voicemail_phrases(text: str) -> None:
    found = match_machine(text)
    assert found is not None and found[0] is Machine.VOICEMAIL


@pytest.mark.parametrize(
    "text",
    [
        "Please say your name and why you're calling.",
        "Hi, the person you're calling is using a screening service from Google. Say your name and why you're calling.",
        "Record your name and reason for calling, I'll see if this person is available.",
        "Por favor, diga su nombre y el motivo de la llamada.",
    ],
)
def test_screening_phrases(text: str) -> None:
    found = match_machine(text)
    assert found is not None and found[0] is Machine.SCREENING


@pytest.mark.parametrize(
    "text",
    [
        "Hello?",
        "Yes, speaking.",
        "He's not available right now, can I take a message?",
        "Do you want to leave a message?",
        "I'm not available at the moment, call me tomorrow.",
        "Who's calling please?",
        "You got my message about the roof, right?",
        "I'll call you back when I'm home.",
        "¿Bueno? ¿Quién habla?",
        "Can you hold on one moment?",
    ],
)
def test_what_people_say_is_no_machine(text: str) -> None:
    assert match_machine(text) is None


def test_words_faster_than_the_silence_after_them_decide_at_its_end(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    item = bench.starts_talking(3_600)
    bench.quiet(300)
    bench.tell(ev.SpeechStopped(item))
    bench.tell(ev.SpeechCommitted(item))
    bench.tell(ev.Transcribed(item, "Hello, Miller's plumbing, how can I help?", VoiceUsage()))
    assert purposes(bench) == []
    bench.quiet(220)
    assert purposes(bench) == [Purpose.OPENING]


def test_a_beep_after_a_mere_hello_is_no_machine(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.noise(500)
    bench.quiet(1_500)
    bench.beep(300)
    bench.quiet(500)
    assert bench.noted("voicemail.detected") == []


def test_a_beep_after_a_long_greeting_is_one(bench: Bench) -> None:
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.noise(4_000)
    bench.beep(300)
    bench.quiet(260)
    assert bench.noted("voicemail.detected")[0].data["signal"] == "beep"
    assert purposes(bench) == [Purpose.VOICEMAIL]
