"""What is certain outranks any reading; the rules' reading is modest and repeatable."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.app.agent.outcome import CallResult, Evidence, settle
from callwright.app.agent.rules import read_by_rules
from callwright.app.agent.tools import END_REASONS
from callwright.app.calls.conversation import EndCause, Speaker
from callwright.app.calls.lifecycle import CallOutcome, CallType, InterestLevel
from callwright.app.calls.models import Sentiment
from tests.app.agent.samples import good_talk, talk, turns

O = CallOutcome  # noqa: E741 - the tables below are easier to read so
GREETING: tuple[Speaker, str] = ("agent", "Hello, this is Rivera Plumbing; I'm an AI assistant. Is now a good time?")
SPOKE = talk(GREETING, ("person", "Yes, what is it about?"))


def reading(outcome: CallOutcome, *, do_not_call: bool = False) -> CallResult:
    return CallResult(
        outcome, outcome is O.GOAL_ACHIEVED, InterestLevel.HIGH, "Words.", (), "Next.", Sentiment.NEUTRAL, do_not_call
    )


@pytest.mark.parametrize(
    ("evidence", "guess", "outcome"),
    [
        (replace(SPOKE, opted_out=True), O.GOAL_ACHIEVED, O.DO_NOT_CALL),
        (replace(SPOKE, end_reason="do_not_call"), O.DECLINED, O.DO_NOT_CALL),
        (replace(SPOKE, opted_out=True, voicemail_left=True, human_requested=True), O.DECLINED, O.DO_NOT_CALL),
        (replace(SPOKE, voicemail_left=True), O.GOAL_ACHIEVED, O.VOICEMAIL_LEFT),
        (replace(SPOKE, human_requested=True), O.GOAL_ACHIEVED, O.HUMAN_REQUESTED),
        (replace(SPOKE, end_reason="wrong_number"), O.DECLINED, O.WRONG_NUMBER),
        (replace(SPOKE, end_reason="declined"), O.GOAL_ACHIEVED, O.GOAL_ACHIEVED),
        (replace(SPOKE, cause=EndCause.PERSON_HUNG_UP), O.INCOMPLETE, O.HUNG_UP),
        (replace(SPOKE, cause=EndCause.PERSON_HUNG_UP), O.GOAL_ACHIEVED, O.GOAL_ACHIEVED),
        (SPOKE, O.VOICEMAIL_LEFT, O.INCOMPLETE),
        (replace(SPOKE, cause=EndCause.PERSON_HUNG_UP, canceled=True), O.HUNG_UP, O.INCOMPLETE),
        (replace(SPOKE, canceled=True, opted_out=True), O.INCOMPLETE, O.DO_NOT_CALL),
        (talk(GREETING, cause=EndCause.NO_RESPONSE), O.GOAL_ACHIEVED, O.NO_RESPONSE),
        (talk(GREETING, cause=EndCause.PERSON_HUNG_UP), O.DECLINED, O.HUNG_UP),
        (talk(GREETING, cause=EndCause.MODEL_LOST), O.DECLINED, O.INCOMPLETE),
        (Evidence(CallType.FOLLOW_UP), O.GOAL_ACHIEVED, O.INCOMPLETE),
    ],
)
def test_facts_outrank_the_reading(evidence: Evidence, guess: CallOutcome, outcome: CallOutcome) -> None:
    settled = settle(reading(guess), evidence)
    assert settled.outcome is outcome
    assert settled.goal_achieved is (outcome is O.GOAL_ACHIEVED)
    assert settled.do_not_call is (outcome is O.DO_NOT_CALL)


def test_a_stop_request_that_only_the_reading_found_counts() -> None:
    settled = settle(reading(O.DECLINED, do_not_call=True), SPOKE)
    assert settled.outcome is O.DO_NOT_CALL
    assert settled.interest_level is InterestLevel.NONE
    assert settled.next_action == "Do not call this number again."


@pytest.mark.parametrize(
    ("words", "end_reason", "cause", "outcome", "interest"),
    [
        ("Sure, sounds good.", "goal_achieved", EndCause.AGENT_ENDED, O.GOAL_ACHIEVED, InterestLevel.HIGH),
        ("Maybe next spring.", "follow_up_later", EndCause.AGENT_ENDED, O.FOLLOW_UP_LATER, InterestLevel.MEDIUM),
        ("Not a good time, call me back.", None, EndCause.PERSON_HUNG_UP, O.FOLLOW_UP_LATER, InterestLevel.MEDIUM),
        ("No thanks, not interested.", None, EndCause.PERSON_HUNG_UP, O.DECLINED, InterestLevel.NONE),
        ("Stop calling me!", "goal_achieved", EndCause.AGENT_ENDED, O.DO_NOT_CALL, InterestLevel.NONE),
        ("I want a real person.", None, EndCause.PERSON_HUNG_UP, O.HUMAN_REQUESTED, InterestLevel.MEDIUM),
        ("You have the wrong number.", None, EndCause.PERSON_HUNG_UP, O.WRONG_NUMBER, InterestLevel.NONE),
        ("Hm, well, about that", None, EndCause.PERSON_HUNG_UP, O.HUNG_UP, InterestLevel.LOW),
        ("Hm, well, about that", "other", EndCause.AGENT_ENDED, O.INCOMPLETE, InterestLevel.LOW),
        ("Hm, well, about that", None, EndCause.MODEL_LOST, O.INCOMPLETE, InterestLevel.LOW),
    ],
)
def test_rules_read_the_end_and_the_words(
    words: str, end_reason: str | None, cause: EndCause, outcome: CallOutcome, interest: InterestLevel
) -> None:
    evidence = talk(GREETING, ("person", words), cause=cause, end_reason=end_reason)
    result = settle(read_by_rules(evidence), evidence)
    assert (result.outcome, result.interest_level) == (outcome, interest)
    assert result.summary
    assert result.next_action


def test_rules_quote_the_person_and_not_the_agent() -> None:
    result = read_by_rules(good_talk())
    assert result.key_points[0] == "Person: Sure, go ahead."
    assert not any("AI assistant" in point for point in result.key_points)


@given(
    said=st.lists(st.tuples(st.sampled_from(["agent", "person"]), st.text(max_size=60)), max_size=6),
    cause=st.one_of(st.none(), st.sampled_from(EndCause)),
    end_reason=st.one_of(st.none(), st.sampled_from(END_REASONS)),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    guess=st.sampled_from([outcome for outcome in CallOutcome if outcome is not O.NOT_REACHED]),
    do_not_call=st.booleans(),
)
def test_every_result_is_consistent(
    said: list[tuple[str, str]],
    cause: EndCause | None,
    end_reason: str | None,
    flags: tuple[bool, bool, bool],
    guess: CallOutcome,
    do_not_call: bool,
) -> None:
    evidence = Evidence(CallType.QUALIFY_LEAD, turns(*said), cause, end_reason, 10, *flags)  # type: ignore[arg-type]
    for result in (
        settle(reading(guess, do_not_call=do_not_call), evidence),
        settle(read_by_rules(evidence), evidence),
    ):
        assert result.outcome is not O.NOT_REACHED
        assert result.goal_achieved is (result.outcome is O.GOAL_ACHIEVED)
        assert result.do_not_call is (result.outcome is O.DO_NOT_CALL)
        assert not evidence.opted_out or result.do_not_call
        assert len(result.next_action) <= 500
        assert read_by_rules(evidence) == read_by_rules(evidence)
