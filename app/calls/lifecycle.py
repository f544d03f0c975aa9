"""Where a call and its attempts are, and which step may follow which.

Status says where the call is; outcome says what the talk achieved. The tables below are the specification: a test
walks every pair. A call may go back to `queued` (a retry is a new attempt); an attempt only moves forward.
"""

from enum import StrEnum


class CallType(StrEnum):
    """Why the agent phones."""

    QUALIFY_LEAD = "qualify_lead"
    CONFIRM_APPOINTMENT = "confirm_appointment"
    FOLLOW_UP = "follow_up"
    CONSUMER_CALLBACK = "consumer_callback"


# Lower is dialled first.
PRIORITY = {
    CallType.CONFIRM_APPOINTMENT: 10,
    CallType.CONSUMER_CALLBACK: 20,
    CallType.QUALIFY_LEAD: 30,
    CallType.FOLLOW_UP: 40,
}


class CallStatus(StrEnum):
    """Where a call is."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    DIALING = "dialing"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELED = "canceled"


class AttemptStatus(StrEnum):
    """Where one attempt to reach the person is."""

    ADMITTED = "admitted"
    DIALING = "dialing"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELED = "canceled"


class CallOutcome(StrEnum):
    """What the call achieved, once it is over."""

    GOAL_ACHIEVED = "goal_achieved"
    FOLLOW_UP_LATER = "follow_up_later"
    DECLINED = "declined"
    DO_NOT_CALL = "do_not_call"
    HUMAN_REQUESTED = "human_requested"
    VOICEMAIL_LEFT = "voicemail_left"
    WRONG_NUMBER = "wrong_number"
    HUNG_UP = "hung_up"
    NO_RESPONSE = "no_response"
    NOT_REACHED = "not_reached"
    INCOMPLETE = "incomplete"


class InterestLevel(StrEnum):
    """How much the person wants the service."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"


_S = CallStatus
ENDED = frozenset({_S.COMPLETED, _S.NO_ANSWER, _S.BUSY, _S.FAILED, _S.CANCELED})
WAITING = frozenset({_S.SCHEDULED, _S.QUEUED})
CALL_TRANSITIONS: dict[CallStatus, frozenset[CallStatus]] = {
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELED}),
    _S.QUEUED: frozenset({_S.DIALING, _S.FAILED, _S.CANCELED}),
    _S.DIALING: frozenset({_S.RINGING, _S.IN_PROGRESS, _S.QUEUED, *ENDED}),
    _S.RINGING: frozenset({_S.IN_PROGRESS, _S.QUEUED, *ENDED}),
    _S.IN_PROGRESS: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELED}),
    **{ended: frozenset[CallStatus]() for ended in ENDED},
}

_A = AttemptStatus
ATTEMPT_ENDED = frozenset({_A.COMPLETED, _A.NO_ANSWER, _A.BUSY, _A.FAILED, _A.CANCELED})
ATTEMPT_LIVE = frozenset(set(AttemptStatus) - ATTEMPT_ENDED)
ATTEMPT_TRANSITIONS: dict[AttemptStatus, frozenset[AttemptStatus]] = {
    _A.ADMITTED: frozenset({_A.DIALING, _A.FAILED, _A.CANCELED}),
    _A.DIALING: frozenset({_A.RINGING, _A.IN_PROGRESS, *ATTEMPT_ENDED}),
    _A.RINGING: frozenset({_A.IN_PROGRESS, *ATTEMPT_ENDED}),
    _A.IN_PROGRESS: frozenset({_A.COMPLETED, _A.FAILED, _A.CANCELED}),
    **{ended: frozenset[AttemptStatus]() for ended in ATTEMPT_ENDED},
}
# The attempt endings after which the person may be tried again.
RETRYABLE = frozenset({_A.NO_ANSWER, _A.BUSY})


def may_follow(current: CallStatus, following: CallStatus) -> bool:
    """True when a call in `current` may move to `following`."""
    return following in CALL_TRANSITIONS[current]


def attempt_may_follow(current: AttemptStatus, following: AttemptStatus) -> bool:
    """True when an attempt in `current` may move to `following`."""
    return following in ATTEMPT_TRANSITIONS[current]
