"""A call's result, and the facts that outrank anybody's reading of the words."""

from dataclasses import dataclass, replace

from callwright.app.calls.conversation import EndCause, Turn
from callwright.app.calls.lifecycle import CallOutcome, CallType, InterestLevel
from callwright.app.calls.models import Sentiment

BY_PERSON = frozenset({EndCause.PERSON_HUNG_UP, EndCause.PHONE_LOST, EndCause.PHONE_STALLED})
BY_FAULT = frozenset(
    {
        EndCause.MODEL_LOST,
        EndCause.MODEL_STALLED,
        EndCause.MODEL_FAILED,
        EndCause.SHUTDOWN,
        EndCause.BRIDGE_FAILED,
        None,
    }
)
LONGEST_SUMMARY = 2000
LONGEST_NEXT_ACTION = 500
MOST_KEY_POINTS = 8
LONGEST_KEY_POINT = 300


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call came to: Claude's or the rules' reading. Lengths are within the LONGEST_* and MOST_* limits."""

    outcome: CallOutcome
    goal_achieved: bool
    interest_level: InterestLevel
    summary: str
    key_points: tuple[str, ...]
    next_action: str
    sentiment: Sentiment
    do_not_call: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is certain about an ended call, from the bridge, the tools and the carrier.

    `cause` is why the bridge's part ended (None when no stream ever ran), `end_reason` what `end_call` was given.
    """

    call_type: CallType
    turns: tuple[Turn, ...] = ()
    cause: EndCause | None = None
    end_reason: str | None = None
    seconds: int = 0
    opted_out: bool = False
    voicemail_left: bool = False
    human_requested: bool = False
    canceled: bool = False  # the business ended the call

    @property
    def person_spoke(self) -> bool:
        return any(turn.speaker == "person" and turn.text.strip() for turn in self.turns)

    @property
    def ended_by(self) -> str:
        """`person`, `agent`, `business`, `limit` or `fault` (ours, or unknown because the bridge never reported)."""
        if self.canceled:
            return "business"
        if self.cause in BY_PERSON:
            return "person"
        if self.cause is EndCause.MAX_DURATION:
            return "limit"
        return "fault" if self.cause in BY_FAULT else "agent"


def certain_outcome(evidence: Evidence) -> CallOutcome | None:
    """The outcome that the facts alone decide, strongest first; None when it is a matter of what was said."""
    certain = (
        (evidence.opted_out or evidence.end_reason == "do_not_call", CallOutcome.DO_NOT_CALL),
        (evidence.voicemail_left, CallOutcome.VOICEMAIL_LEFT),
        (evidence.human_requested, CallOutcome.HUMAN_REQUESTED),
        (evidence.end_reason == "wrong_number", CallOutcome.WRONG_NUMBER),
        (evidence.canceled, CallOutcome.INCOMPLETE),
        (evidence.person_spoke, None),
        (evidence.cause in BY_PERSON, CallOutcome.HUNG_UP),
        (evidence.cause in BY_FAULT, CallOutcome.INCOMPLETE),
    )
    return next((outcome for holds, outcome in certain if holds), CallOutcome.NO_RESPONSE)


def settle(reading: CallResult, evidence: Evidence) -> CallResult:
    """The reading, corrected where the facts know better, and made consistent in itself."""
    outcome = certain_outcome(evidence) or reading.outcome
    if reading.do_not_call:
        # A wrong suppression costs a lead, a missed one breaks the law.
        outcome = CallOutcome.DO_NOT_CALL
    elif outcome is CallOutcome.VOICEMAIL_LEFT and not evidence.voicemail_left:
        outcome = CallOutcome.INCOMPLETE
    elif outcome is CallOutcome.INCOMPLETE and evidence.cause in BY_PERSON and not evidence.canceled:
        outcome = CallOutcome.HUNG_UP
    stopped = outcome is CallOutcome.DO_NOT_CALL
    changed = outcome is not reading.outcome
    return replace(
        reading,
        outcome=outcome,
        goal_achieved=outcome is CallOutcome.GOAL_ACHIEVED,
        interest_level=InterestLevel.NONE if outcome in NO_INTEREST else reading.interest_level,
        next_action=NEXT_ACTIONS[outcome] if changed or stopped else reading.next_action,
        do_not_call=stopped,
    )


NO_INTEREST = frozenset(
    {
        CallOutcome.DO_NOT_CALL,
        CallOutcome.VOICEMAIL_LEFT,
        CallOutcome.WRONG_NUMBER,
        CallOutcome.NO_RESPONSE,
        CallOutcome.NOT_REACHED,
    }
)
NEXT_ACTIONS = {
    CallOutcome.GOAL_ACHIEVED: "Go on with the next step that was agreed.",
    CallOutcome.FOLLOW_UP_LATER: "Call again at the time the person named.",
    CallOutcome.DECLINED: "Close the lead: the person declined.",
    CallOutcome.DO_NOT_CALL: "Do not call this number again.",
    CallOutcome.HUMAN_REQUESTED: "Call the person back in person.",
    CallOutcome.VOICEMAIL_LEFT: "Wait for the person to call back.",
    CallOutcome.WRONG_NUMBER: "Check the phone number with the person another way.",
    CallOutcome.HUNG_UP: "Decide whether to try once more at another time.",
    CallOutcome.NO_RESPONSE: "Try again at another time.",
    CallOutcome.NOT_REACHED: "Try again at another time.",
    CallOutcome.INCOMPLETE: "Read the transcript and decide how to go on.",
}
