"""Keys the person presses: what each means is the brief's to say."""

from dataclasses import replace

import pytest

from callwright.app.calls.conversation import DigitAction, EndCause
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.actions import Purpose
from tests.bridge.bench import BRIEF, Bench

DIGITS = {
    "1": DigitAction.ANSWER,
    "7": DigitAction.OPT_OUT,
    "#": DigitAction.GOODBYE,
    "*": DigitAction.HUMAN,
}


@pytest.fixture
def bench() -> Bench:
    bench = Bench(replace(BRIEF, digits=DIGITS))
    bench.opens()
    return bench


def test_a_key_configured_to_opt_out_does(bench: Bench) -> None:
    bench.tell(ev.DigitPressed("7"))
    assert [opt.words for opt in bench.all(act.OptOut)] == ["pressed 7"]
    assert bench.last(act.CreateResponse).purpose is Purpose.GOODBYE
    assert bench.hang_up_now().end_reason == "do_not_call"


def test_a_key_configured_for_a_human_asks_for_one(bench: Bench) -> None:
    bench.tell(ev.DigitPressed("*"))
    assert [asked.reason for asked in bench.all(act.RequestHuman)] == ["pressed *"]
    assert bench.last(act.TellModel).text == "I pressed *: I would like to speak to a human."


def test_a_key_that_answers_is_told_to_the_model_and_replied_to(bench: Bench) -> None:
    bench.tell(ev.DigitPressed("1"))
    assert bench.last(act.TellModel).text == "I pressed 1."
    assert bench.last(act.CreateResponse).purpose is Purpose.REPLY
    assert bench.all(act.OptOut) == [] and bench.all(act.RequestHuman) == []


def test_a_key_that_says_goodbye_ends_the_call(bench: Bench) -> None:
    bench.person("Go on.")
    bench.answers("a long answer", 6_000)
    bench.quiet(1_000)
    bench.tell(ev.DigitPressed("#"))
    assert len(bench.all(act.ClearPhone)) == 1
    assert bench.last(act.CreateResponse).words == BRIEF.goodbye_line
    bench.answers(BRIEF.goodbye_line, 1_000)
    bench.quiet(1_100)
    assert len(bench.all(act.HangUp)) == 1
    report = bench.hang_up_now()
    assert (report.reason, report.end_reason) == (EndCause.AGENT_ENDED, "declined")


@pytest.mark.parametrize("digit", ["9", "0", "5"])
def test_keys_without_a_meaning_are_only_noted(bench: Bench, digit: str) -> None:
    before = len(bench.done)
    bench.tell(ev.DigitPressed(digit))
    assert [action for _, action in bench.done[before:]] == [
        act.PublishEvent("digit.pressed", bench.at_ms, {"digit": digit})
    ]


def test_an_opt_out_during_the_goodbye_is_recorded_and_the_goodbye_plays_on(bench: Bench) -> None:
    bench.tell(ev.DigitPressed("#"))
    bench.answers(BRIEF.goodbye_line, 2_000)
    bench.quiet(500)
    bench.tell(ev.DigitPressed("7"))
    assert len(bench.all(act.OptOut)) == 1 and bench.all(act.ClearPhone) == []
    bench.quiet(1_600)
    assert len(bench.all(act.HangUp)) == 1
    assert bench.hang_up_now().opted_out


def test_a_machine_presses_nothing(bench: Bench) -> None:
    bench = Bench()
    bench.tell(ev.ModelReady())
    bench.quiet(300)
    bench.person("Please leave a message after the tone.", 3_000)
    bench.tell(ev.DigitPressed("9"))
    assert bench.all(act.OptOut) == []
