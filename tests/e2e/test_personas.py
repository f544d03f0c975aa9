"""Every persona of the sandbox, called over the public API: the right status, outcome and traces."""

import asyncio
import re
from dataclasses import dataclass

import pytest

from callwright.app.demo.client import JsonObject
from callwright.app.demo.seed import DEMO_PASSWORD
from tests.e2e.conftest import RunningStack, log_text


@dataclass(frozen=True)
class Expected:
    """What a call to a persona must come to."""

    status: str
    outcome: str
    interest: str | None = None
    placed: int = 1  # calls the carrier really placed
    attempts: int = 1


EXPECTED = {
    "0100": Expected("COMPLETED", "GOAL_ACHIEVED", "HIGH"),
    "0101": Expected("COMPLETED", "FOLLOW_UP_LATER", "MEDIUM"),
    "0102": Expected("COMPLETED", "DECLINED"),
    "0103": Expected("COMPLETED", "DO_NOT_CALL", "NONE"),
    "0104": Expected("COMPLETED", "HUMAN_REQUESTED"),
    "0105": Expected("COMPLETED", "VOICEMAIL_LEFT"),
    "0106": Expected("COMPLETED", "VOICEMAIL_LEFT"),
    "0107": Expected("NO_ANSWER", "NOT_REACHED", placed=3, attempts=3),
    "0108": Expected("BUSY", "NOT_REACHED", placed=3, attempts=3),
    "0109": Expected("FAILED", "NOT_REACHED", placed=0),
    "0110": Expected("COMPLETED", "GOAL_ACHIEVED"),
    "0111": Expected("COMPLETED", "HUNG_UP"),
    "0112": Expected("COMPLETED", "NO_RESPONSE"),
    "0113": Expected("COMPLETED", "GOAL_ACHIEVED"),
    "0114": Expected("COMPLETED", "GOAL_ACHIEVED"),
    "0115": Expected("COMPLETED", "WRONG_NUMBER"),
    "0117": Expected("COMPLETED", "GOAL_ACHIEVED"),
    "0118": Expected("COMPLETED", "GOAL_ACHIEVED"),
    "0119": Expected("COMPLETED", "GOAL_ACHIEVED"),
    "0142": Expected("COMPLETED", "GOAL_ACHIEVED", "HIGH"),
}


@pytest.fixture(scope="session")
def results(stack: RunningStack) -> dict[str, JsonObject]:
    """All personas called at once; the dispatcher's limit of calls at a time orders them."""

    async def call_all() -> dict[str, JsonObject]:
        calls = await asyncio.gather(*(stack.call(persona) for persona in EXPECTED))
        return dict(zip(EXPECTED, calls, strict=True))

    return asyncio.run(call_all())


@pytest.mark.timeout(420)
@pytest.mark.parametrize("persona", EXPECTED)
def test_status_outcome_and_dials(results: dict[str, JsonObject], persona: str) -> None:
    expected, result = EXPECTED[persona], results[persona]
    assert (result["status"], result["outcome"]) == (expected.status, expected.outcome)
    if expected.interest is not None:
        assert result["interestLevel"] == expected.interest
    assert result["carrier"]["callsPlaced"] == expected.placed
    assert len(result["attempts"]) == expected.attempts


def spoken(result: JsonObject, speaker: str) -> list[JsonObject]:
    return [turn for turn in result["transcript"] if turn["speaker"] == speaker]


CONVERSATIONS = ["0100", "0101", "0102", "0103", "0104", "0110", "0113", "0114", "0115", "0117", "0118", "0142"]


@pytest.mark.parametrize("persona", CONVERSATIONS)
def test_the_agent_says_first_who_calls_and_that_it_is_an_ai(results: dict[str, JsonObject], persona: str) -> None:
    # Who talks over the opening hears it again, to its end.
    opening = next(turn["text"] for turn in spoken(results[persona], "AGENT") if not turn["interrupted"])
    first_sentence = opening.split(".")[0]
    assert "Rivera Plumbing" in first_sentence
    assert "AI" in first_sentence


@pytest.mark.parametrize("persona", ["0100", "0117", "0118", "0142"])
def test_a_cooperative_person_is_heard_and_recorded_to_the_end(results: dict[str, JsonObject], persona: str) -> None:
    result = results[persona]
    assert len(result["transcript"]) >= 6
    assert result["summary"]["source"] == "CLAUDE"
    assert result["summary"]["keyPoints"]
    assert "…" not in "".join(turn["text"] for turn in spoken(result, "PERSON")), "audio was lost on the way"
    assert abs(result["recording"]["seconds"] - result["durationSeconds"]) <= 2
    assert float(result["costs"]["estimatedUsd"]) > 0.03
    assert float(result["costs"]["meteredUsd"]) > 0


def test_a_stop_request_refuses_the_next_call(results: dict[str, JsonObject]) -> None:
    assert results["0103"]["nextCall"]["code"] == "SUPPRESSED"
    assert results["0103"]["nextCall"]["remedy"]
    assert "number.suppressed" in results["0103"]["timeline"]


@pytest.mark.parametrize("persona", ["0105", "0106"])
def test_exactly_one_voicemail_message_is_left(results: dict[str, JsonObject], persona: str) -> None:
    agent = spoken(results[persona], "AGENT")
    assert len(agent) == 1
    assert "Rivera Plumbing" in agent[0]["text"]
    assert "AI" in agent[0]["text"]
    assert not agent[0]["interrupted"]


def test_a_barge_in_truncates_what_was_not_heard(results: dict[str, JsonObject]) -> None:
    assert any(turn["interrupted"] for turn in spoken(results["0110"], "AGENT"))
    assert "barge_in" in results["0110"]["timeline"]


def test_hard_questions_get_guidance(results: dict[str, JsonObject]) -> None:
    assert "guidance.asked" in results["0113"]["timeline"]


def test_the_agent_never_denies_being_an_ai(results: dict[str, JsonObject]) -> None:
    answers = " ".join(turn["text"] for turn in spoken(results["0114"], "AGENT")[1:])
    assert "AI" in answers


def test_the_persons_words_follow_a_screening_assistant(results: dict[str, JsonObject]) -> None:
    assert "screening.detected" in results["0119"]["timeline"]


def test_no_log_of_any_process_holds_a_number_or_a_spoken_word(
    stack: RunningStack, results: dict[str, JsonObject]
) -> None:
    written = log_text(stack)
    assert results["0100"]["callId"] in written, "the log was not written"
    assert not re.search(r"\d{3}5550\d{3}", written)
    sentences = {turn["text"] for result in results.values() for turn in result["transcript"] if len(turn["text"]) > 12}
    assert [sentence for sentence in sentences if sentence in written] == []
    assert "Jordan" not in written
    assert DEMO_PASSWORD not in written
    assert stack.owner_token not in written
