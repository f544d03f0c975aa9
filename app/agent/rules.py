"""The deterministic reading of a call that stands in when Claude cannot be asked."""

import re
from types import MappingProxyType

from callwright.app.agent.fence import one_line
from callwright.app.agent.outcome import LONGEST_KEY_POINT, NEXT_ACTIONS, CallResult, Evidence, certain_outcome
from callwright.app.calls.conversation import EndCause
from callwright.app.calls.lifecycle import CallOutcome, InterestLevel
from callwright.app.calls.models import Sentiment
from callwright.app.compliance.optout import is_opt_out

_MOST_POINTS = 5
_SHORTEST_POINT_WORDS = 3

# Tried in order on everything the person said; the first that matches decides.
_PHRASES = (
    (CallOutcome.WRONG_NUMBER, r"\bwrong (?:number|person)\b|\b(?:no one|nobody) (?:here )?by that name\b"),
    (CallOutcome.HUMAN_REQUESTED, r"\b(?:real|actual|live) (?:person|human)\b|\b(?:talk|speak) (?:to|with) (?:a|some)"),
    (
        CallOutcome.FOLLOW_UP_LATER,
        r"\b(?:call|try|reach) (?:me )?(?:back|again)\b|\blater (?:this|in the) (?:year|month|week)\b"
        r"|\bnext (?:week|month|year|spring|summer|fall|winter)\b|\bin (?:the )?(?:spring|summer|fall|autumn|winter)\b"
        r"|\b(?:not|isn't) a good time\b",
    ),
    (
        CallOutcome.DECLINED,
        r"\bnot interested\b|\bno,? thank(?:s| you)\b|\b(?:already )?(?:found|hired|went with) (?:someone|somebody)\b"
        r"|\bdon'?t need (?:it|this|anything|any)\b",
    ),
)
_TOOL_REASONS = MappingProxyType(
    {
        "goal_achieved": CallOutcome.GOAL_ACHIEVED,
        "follow_up_later": CallOutcome.FOLLOW_UP_LATER,
        "declined": CallOutcome.DECLINED,
        "human_requested": CallOutcome.HUMAN_REQUESTED,
        "no_response": CallOutcome.NO_RESPONSE,
    }
)
_INTEREST = MappingProxyType(
    {
        CallOutcome.GOAL_ACHIEVED: InterestLevel.HIGH,
        CallOutcome.FOLLOW_UP_LATER: InterestLevel.MEDIUM,
        CallOutcome.HUMAN_REQUESTED: InterestLevel.MEDIUM,
        CallOutcome.INCOMPLETE: InterestLevel.LOW,
        CallOutcome.HUNG_UP: InterestLevel.LOW,
    }
)
_SENTIMENT = MappingProxyType(
    {
        CallOutcome.GOAL_ACHIEVED: Sentiment.POSITIVE,
        CallOutcome.DO_NOT_CALL: Sentiment.NEGATIVE,
        CallOutcome.HUNG_UP: Sentiment.NEGATIVE,
    }
)
_SENTENCES = MappingProxyType(
    {
        CallOutcome.GOAL_ACHIEVED: "The person answered the questions and the goal of the call was reached.",
        CallOutcome.FOLLOW_UP_LATER: "The person wants to be contacted at a later time.",
        CallOutcome.DECLINED: "The person declined.",
        CallOutcome.DO_NOT_CALL: "The person asked not to be called again.",
        CallOutcome.HUMAN_REQUESTED: "The person asked to talk to a person.",
        CallOutcome.VOICEMAIL_LEFT: "A machine answered and the voicemail message was left.",
        CallOutcome.WRONG_NUMBER: "The number belongs to somebody else.",
        CallOutcome.HUNG_UP: "The person hung up before the talk was finished.",
        CallOutcome.NO_RESPONSE: "The call was answered, but nobody said anything.",
        CallOutcome.NOT_REACHED: "Nobody was reached.",
        CallOutcome.INCOMPLETE: "The talk ended before the goal of the call was reached.",
    }
)


def read_by_rules(evidence: Evidence) -> CallResult:
    """A modest but honest result from the end of the call and the person's words; the same input gives the same one."""
    said = [one_line(turn.text) for turn in evidence.turns if turn.speaker == "person" and turn.text.strip()]
    outcome = certain_outcome(evidence) or _from_words(evidence, said)
    points = [text[:LONGEST_KEY_POINT] for text in said if len(text.split()) >= _SHORTEST_POINT_WORDS]
    turns = f"{len(evidence.turns)} turns in {evidence.seconds} seconds."
    return CallResult(
        outcome=outcome,
        goal_achieved=outcome is CallOutcome.GOAL_ACHIEVED,
        interest_level=_INTEREST.get(outcome, InterestLevel.NONE),
        summary=f"{_SENTENCES[outcome]} {turns}",
        key_points=tuple(f"Person: {text}" for text in points[:_MOST_POINTS]),
        next_action=NEXT_ACTIONS[outcome],
        sentiment=_SENTIMENT.get(outcome, Sentiment.NEUTRAL),
        do_not_call=outcome is CallOutcome.DO_NOT_CALL,
    )


def _from_words(evidence: Evidence, said: list[str]) -> CallOutcome:
    if any(is_opt_out(text, "en") for text in said):
        return CallOutcome.DO_NOT_CALL
    told = _TOOL_REASONS.get(evidence.end_reason or "")
    if told is not None:
        return told
    words = " ".join(said).lower()
    for outcome, pattern in _PHRASES:
        if re.search(pattern, words):
            return outcome
    if evidence.cause is EndCause.PERSON_HUNG_UP:
        return CallOutcome.HUNG_UP
    return CallOutcome.INCOMPLETE
