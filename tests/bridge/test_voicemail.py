"""Machines: signals that add up, mailboxes that take no message, late beeps, noisy lines."""

import random

import pytest

from callwright.app.calls.conversation import AnsweredBy, EndCause, VoicemailEvidence, VoiceUsage
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.actions import Purpose
from callwright.bridge.phrases import Machine, match_machine
from tests.bridge.bench import BRIEF, FRAME_MS, Bench, mulaw

GREETING = "You've reached the Millers. Please leave a message after the tone."


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    return bench


def purposes(bench: Bench) -> list[Purpose]:
    return [create.purpose for create in bench.all(act.CreateResponse)]


@pytest.mark.parametrize(
    "text",
    [
        "The mailbox is full and cannot accept any messages at this time. Goodbye.",
        "The person you are trying to reach has a voicemail box that has not been set up yet.",
        "The number you have dialed is not in service. Please check the number and dial again.",
        "The number you have reached has been disconnected.",
        "We're sorry, your call cannot be completed as dialed.",
        "The wireless customer you are calling is not accepting calls at this time.",
        "El buzón de voz está lleno.",
        "El buzón de voz no ha sido activado.",
        "El número que usted marcó no existe.",
        "Su llamada no puede ser completada.",
    ],
)
def test_announcements_that_take_no_message(text: str) -> None:
    found = match_machine(text)
    assert found is not None and found[0] is Machine.UNREACHABLE


@pytest.mark.parametrize(
    "text",
    [
        "My schedule is full this week.",
        "We are not accepting any new customers.",
        "My number has changed, how did you get this one?",
        "He isn't available, who is calling?",
        "La casa está llena de goteras.",
    ],
)
def test_people_who_say_nearly_the_same(text: str) -> None:
    assert match_machine(text) is None


def test_where_no_message_is_possible_none_is_claimed_and_the_call_ends(bench: Bench) -> None:
    bench.person("The mailbox is full and cannot accept any messages. Goodbye.", 4_000)
    assert len(bench.all(act.HangUp)) == 1
    assert purposes(bench) == [] and bench.all(act.ClaimVoicemail) == []
    report = bench.hang_up_now()
    assert (report.reason, report.end_reason) == (EndCause.VOICEMAIL, "no_message_possible")
    assert report.answered_by is AnsweredBy.VOICEMAIL and not report.voicemail_left


def test_a_mailbox_that_turns_out_full_gets_no_message(bench: Bench) -> None:
    bench.person("You have reached the voicemail of Ann Miller.", 3_000)
    item = bench.starts_talking(2_500)
    bench.quiet(500)
    bench.tell(ev.SpeechStopped(item))
    bench.tell(ev.Transcribed(item, "The mailbox is full.", VoiceUsage()))
    assert len(bench.all(act.HangUp)) == 1
    bench.quiet(2_000)
    assert purposes(bench) == [] and bench.all(act.ClaimVoicemail) == []


def test_a_beep_late_into_the_message_starts_it_once_more_from_the_beginning(bench: Bench) -> None:
    bench.person(GREETING, 4_000)
    bench.quiet(1_040)  # 1.5 s of silence: the message begins
    bench.answers(BRIEF.voicemail_message, 6_000)
    bench.quiet(1_000)
    bench.beep(400)
    bench.quiet(260)
    assert len(bench.all(act.ClearPhone)) == 1 and len(bench.noted("voicemail.restarted")) == 1
    assert purposes(bench) == [Purpose.VOICEMAIL, Purpose.VOICEMAIL]
    bench.answers(BRIEF.voicemail_message, 6_000)
    bench.quiet(1_000)
    bench.beep(400)
    bench.quiet(4_600)
    assert purposes(bench) == [Purpose.VOICEMAIL, Purpose.VOICEMAIL]
    assert bench.when(act.HangUp) - bench.at_ms < 5_000 and len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert len(bench.all(act.ClaimVoicemail)) == 1 and report.voicemail_left
    assert [turn.interrupted for turn in bench.turns() if turn.speaker == "agent"] == [True, False]


def test_the_beep_that_reminds_of_the_recording_restarts_nothing(bench: Bench) -> None:
    bench.person(GREETING, 4_000)
    bench.beep(400)
    bench.quiet(260)
    bench.answers(BRIEF.voicemail_message, 12_000)
    bench.quiet(6_000)
    bench.beep(200)
    bench.quiet(6_000)
    assert purposes(bench) == [Purpose.VOICEMAIL] and bench.all(act.ClearPhone) == []
    assert bench.hang_up_now().voicemail_left


def test_a_beep_before_the_message_is_audible_restarts_nothing(bench: Bench) -> None:
    bench.person(GREETING, 4_000)
    bench.quiet(1_040)
    bench.beep(300)
    bench.quiet(300)
    bench.answers(BRIEF.voicemail_message, 4_000)
    bench.quiet(4_100)
    assert purposes(bench) == [Purpose.VOICEMAIL] and bench.hang_up_now().voicemail_left


def test_a_long_greeting_without_words_and_then_no_reply_is_a_machine(bench: Bench) -> None:
    bench.person(None, 4_000)
    bench.quiet(2_100)
    assert purposes(bench) == [Purpose.OPENING]
    bench.answers(BRIEF.opening_line, 3_000)
    bench.quiet(11_100)
    assert purposes(bench) == [Purpose.OPENING, Purpose.STILL_THERE]
    bench.answers(BRIEF.still_there_line, 1_000)
    bench.quiet(12_100)
    assert purposes(bench) == [Purpose.OPENING, Purpose.STILL_THERE, Purpose.VOICEMAIL]
    (detected,) = bench.noted("voicemail.detected")
    assert (detected.data["signal"], detected.data["also"]) == ("no_reply", ("long_greeting",))
    assert detected.data["confidence"] == 0.725


def test_a_person_who_said_hello_and_then_nothing_is_no_machine(bench: Bench) -> None:
    bench.person("Hello?", 500)
    bench.answers(BRIEF.opening_line, 3_000)
    bench.quiet(11_100)
    bench.answers(BRIEF.still_there_line, 1_000)
    bench.quiet(12_100)
    assert purposes(bench) == [Purpose.OPENING, Purpose.STILL_THERE, Purpose.GOODBYE]


def test_signals_join_as_independent_ones_and_each_counts_once() -> None:
    evidence = VoicemailEvidence("long_greeting", 1_000, 0.45)
    evidence = evidence.joined_by(VoicemailEvidence("beep", 2_000, 0.9))
    evidence = evidence.joined_by(VoicemailEvidence("beep", 3_000, 0.9))
    assert evidence == VoicemailEvidence("beep", 2_000, 0.945, None, ("long_greeting",))


def hiss(ms: int, level: int, seed: int) -> bytes:
    generator = random.Random(seed)
    return bytes(mulaw(round(generator.gauss(0, level))) for _ in range(ms * 8))


@pytest.mark.parametrize("level", [420, 600, 800])  # -38, -35 and -32 dBFS
def test_on_a_noisy_line_a_hello_is_answered_half_a_second_after_its_end(bench: Bench, level: int) -> None:
    noisy = [hiss(FRAME_MS, level, seed) for seed in range(150)]
    for frame in noisy[:60]:
        bench.frame(frame)
    assert purposes(bench) == []
    bench.noise(500)
    ended_ms = bench.at_ms
    for frame in noisy[60:]:
        bench.frame(frame)
    assert purposes(bench) == [Purpose.OPENING]
    assert bench.when(act.CreateResponse) - ended_ms <= 540


def test_a_noisy_line_alone_says_no_hello() -> None:
    bench = Bench()
    bench.tell(ev.ModelReady())
    for seed in range(120):
        bench.frame(hiss(FRAME_MS, 800, seed))
    assert purposes(bench) == []
