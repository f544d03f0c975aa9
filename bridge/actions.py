"""What the conversation core wants done. The shell carries each out at once and in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from callwright.app.calls.conversation import CallReport, Turn


class Purpose(StrEnum):
    """Why the agent speaks. All but REPLY are lines said word for word."""

    OPENING = "opening"
    REPLY = "reply"
    STILL_THERE = "still_there"
    WRAP_UP = "wrap_up"
    GOODBYE = "goodbye"
    VOICEMAIL = "voicemail"
    SCREENING = "screening"
    CALL_BACK = "call_back"  # recorded words, for when there is no model


@dataclass(frozen=True, slots=True)
class Play:
    """To the phone: the leading mark if there is one, this audio, then the mark."""

    payload: str
    audio: bytes
    lead: str | None
    mark: str
    response_id: str


@dataclass(frozen=True, slots=True)
class PlaysLate:
    """To the recording: what was sent to the idle phone last began to play this much later than it was sent."""

    late_ms: int


@dataclass(frozen=True, slots=True)
class ClearPhone:
    """To the phone: drop all that is queued."""


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """To the model: speak. `words` are to be said exactly, None leaves the reply to the model."""

    event_id: str
    purpose: Purpose
    words: str | None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    response_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """To the model: the person heard only the first `audio_end_ms` of the item."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class AnswerTool:
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class TellModel:
    """To the model: a message in the person's name, for what they did without speaking."""

    text: str


@dataclass(frozen=True, slots=True)
class CommitSpeech:
    """To the model: the person was cut off mid-utterance; transcribe what came."""


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A new session in place of the lost one. `turns`: what was said so far, as heard. The person's audio since stream
    time `from_ms` is to be heard (again) by it.
    """

    turns: tuple[Turn, ...]
    from_ms: int


@dataclass(frozen=True, slots=True)
class SetRecording:
    """Records, or keeps silence in the recording's place, from now on."""

    on: bool


@dataclass(frozen=True, slots=True)
class PublishTurn:
    turn: Turn


@dataclass(frozen=True, slots=True)
class PublishEvent:
    kind: str
    at_ms: int
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ClaimVoicemail:
    pass


@dataclass(frozen=True, slots=True)
class OptOut:
    words: str


@dataclass(frozen=True, slots=True)
class RequestHuman:
    reason: str


@dataclass(frozen=True, slots=True)
class AskGuidance:
    call_id: str
    question: str
    transcript: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call at the carrier. At most once a call."""


@dataclass(frozen=True, slots=True)
class HearOut:
    """The phone is gone, transcripts are still due: keep the model's socket a moment, then send `HearingOver`."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The conversation is over; nothing follows. At most once a call."""

    report: CallReport


Action = (
    Play
    | PlaysLate
    | ClearPhone
    | CreateResponse
    | CancelResponse
    | TruncateItem
    | AnswerTool
    | TellModel
    | CommitSpeech
    | OpenModel
    | SetRecording
    | PublishTurn
    | PublishEvent
    | ClaimVoicemail
    | OptOut
    | RequestHuman
    | AskGuidance
    | HangUp
    | HearOut
    | Finish
)
