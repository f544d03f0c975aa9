"""What the audio bridge and the domain say to each other about one call: pure definitions, no I/O.

All times named `*_ms` are milliseconds of the phone's media stream (0 = its start), never wall-clock time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol
from uuid import UUID

Speaker = Literal["agent", "person"]


class StreamRefused(Exception):
    """The stream may not be bridged: its token is unknown, used or expired, or its call is over.

    `code` is a short machine word (`token_unknown`, `token_used`, `token_expired`, `call_over`); it is safe to log.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class EndCause(StrEnum):
    """Why the bridge's part of a call ended."""

    PERSON_HUNG_UP = "person_hung_up"
    AGENT_ENDED = "agent_ended"  # the voice model called `end_call`
    OPTED_OUT = "opted_out"
    HUMAN_REQUESTED = "human_requested"
    VOICEMAIL = "voicemail"
    NO_RESPONSE = "no_response"
    MAX_DURATION = "max_duration"
    MODEL_LOST = "model_lost"  # and could not be reached again
    MODEL_STALLED = "model_stalled"  # the same, it had fallen silent
    MODEL_FAILED = "model_failed"  # response after response failed
    PHONE_LOST = "phone_lost"  # the socket dropped without a `stop`
    PHONE_STALLED = "phone_stalled"
    SHUTDOWN = "shutdown"
    BRIDGE_FAILED = "bridge_failed"


class DigitAction(StrEnum):
    """What a key means that the person presses."""

    OPT_OUT = "opt_out"
    HUMAN = "human"
    GOODBYE = "goodbye"
    ANSWER = "answer"  # the model is told which key, as if the person had said it


USUAL_DIGITS: Mapping[str, DigitAction] = MappingProxyType({"9": DigitAction.OPT_OUT, "0": DigitAction.HUMAN})


class AnsweredBy(StrEnum):
    UNKNOWN = "unknown"
    HUMAN = "human"
    VOICEMAIL = "voicemail"
    SCREENING = "screening"  # only an assistant was met; a person who then takes the call makes it HUMAN


@dataclass(frozen=True, slots=True)
class CallBrief:
    """What the bridge must know of one call. The `*_line` texts are spoken word for word."""

    call_id: UUID
    attempt_id: UUID
    instructions: str
    opening_line: str
    voicemail_message: str
    screening_line: str
    goodbye_line: str
    still_there_line: str
    wrap_up_line: str
    language: str  # ISO 639-1
    voice: str
    model: str
    tools: Sequence[Mapping[str, object]]  # Realtime function tools, as sent in `session.update`
    max_seconds: int = 300
    wrap_up_seconds: int = 270
    record: bool = True  # from the start; may be stopped and resumed during the call
    digits: Mapping[str, DigitAction] = field(default_factory=lambda: USUAL_DIGITS)
    hello_wait_ms: int = 2_500  # how long the person may take to say hello before the agent speaks first


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as heard. Indexes rise with the turns' beginnings but may have holes (noise that held no words)."""

    index: int
    speaker: Speaker
    text: str
    start_ms: int
    end_ms: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class VoiceUsage:
    """Tokens as the voice model reports them; cached counts are part of the input counts.

    `transcription_*` is billed apart: by tokens or, with some models, by seconds of audio.
    """

    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    cached_text_tokens: int = 0
    cached_audio_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    transcription_input_tokens: int = 0
    transcription_output_tokens: int = 0
    transcription_seconds: float = 0.0

    def __add__(self, other: "VoiceUsage") -> "VoiceUsage":
        return VoiceUsage(
            self.input_text_tokens + other.input_text_tokens,
            self.input_audio_tokens + other.input_audio_tokens,
            self.cached_text_tokens + other.cached_text_tokens,
            self.cached_audio_tokens + other.cached_audio_tokens,
            self.output_text_tokens + other.output_text_tokens,
            self.output_audio_tokens + other.output_audio_tokens,
            self.transcription_input_tokens + other.transcription_input_tokens,
            self.transcription_output_tokens + other.transcription_output_tokens,
            self.transcription_seconds + other.transcription_seconds,
        )


MachineSignal = Literal["phrase", "monologue", "beep", "long_greeting", "no_reply"]


@dataclass(frozen=True, slots=True)
class VoicemailEvidence:
    """Why a machine was assumed: the strongest signal, and what else told so.

    `confidence` is 0..1: each signal's is a judgement, not a measured probability; together they are joined as
    independent ones.
    """

    signal: MachineSignal
    at_ms: int
    confidence: float
    phrase: str | None = None  # the pattern's name, not the words spoken
    also: tuple[MachineSignal, ...] = ()

    def joined_by(self, other: "VoicemailEvidence") -> "VoicemailEvidence":
        """With one more signal; one that was there already adds nothing."""
        if other.signal in (self.signal, *self.also):
            return self
        first, second = (self, other) if self.confidence >= other.confidence else (other, self)
        return VoicemailEvidence(
            first.signal,
            other.at_ms,
            round(1 - (1 - self.confidence) * (1 - other.confidence), 3),
            self.phrase or other.phrase,
            (*first.also, second.signal, *second.also),
        )


@dataclass(frozen=True, slots=True)
class TalkMetrics:
    """Who spoke how long, by the turns as heard."""

    agent_ms: int = 0
    person_ms: int = 0
    longest_silence_ms: int = 0  # from the first word on
    first_word_ms: int | None = None  # from the pick-up to the agent's first audio at the phone; None: it never spoke

    @property
    def agent_share(self) -> float | None:
        """The talk ratio: the agent's part of all that was spoken, 0..1; None when nobody spoke."""
        spoken = self.agent_ms + self.person_ms
        return self.agent_ms / spoken if spoken else None


@dataclass(frozen=True, slots=True)
class CallReport:
    """What the bridge knows of a call when its line is closed."""

    reason: EndCause
    duration_ms: int
    answered_by: AnsweredBy
    end_reason: str | None = None  # as given to `end_call`, or implied (`do_not_call`, `voicemail_left`, ...)
    usage: VoiceUsage = field(default_factory=VoiceUsage)
    recording: Path | None = None  # stereo mu-law WAV in the spool folder, person left, agent right
    recording_ms: int = 0
    interruptions: int = 0
    truncations: int = 0
    voicemail: VoicemailEvidence | None = None
    voicemail_left: bool = False
    opted_out: bool = False
    human_requested: bool = False
    # The person's last word -> the reply's first audio begins at the phone, a figure a reply.
    response_latencies_ms: tuple[int, ...] = ()
    talk: TalkMetrics = field(default_factory=TalkMetrics)
    model_reconnects: int = 0  # how often the voice model was lost and the talk restored

    @property
    def ended_by(self) -> Speaker:
        """Who ended the talk; a lost line counts as the person's end."""
        person = (EndCause.PERSON_HUNG_UP, EndCause.PHONE_LOST, EndCause.PHONE_STALLED)
        return "person" if self.reason in person else "agent"


class CallDesk(Protocol):
    """Everything the bridge needs of the domain. Each method may be slow or fail without harming speech."""

    async def prepare(self, attempt_id: UUID) -> CallBrief:
        """The brief of a call whose phone is still ringing; redeems nothing. Raises `StreamRefused`."""

    async def open(self, call_sid: str, token: str) -> CallBrief:
        """Redeems the stream's single-use token. Raises `StreamRefused`."""

    async def turn(self, brief: CallBrief, turn: Turn) -> None:
        """Stores a turn; an upsert by (attempt, index), so it may be repeated."""

    async def event(self, brief: CallBrief, kind: str, at_ms: int, data: Mapping[str, object]) -> None:
        """Adds to the call's timeline, e.g. `stream.started`, `voicemail.detected`, `barge_in`."""

    async def claim_voicemail(self, brief: CallBrief) -> bool:
        """True exactly once across all attempts of the call."""

    async def opt_out(self, brief: CallBrief, words: str) -> None: ...

    async def request_human(self, brief: CallBrief, reason: str) -> None: ...

    async def guidance(self, brief: CallBrief, question: str, transcript: Sequence[Turn]) -> str | None:
        """Advice for the voice model, within 2 s; None means: go on without."""

    async def hang_up(self, brief: CallBrief, call_sid: str) -> None:
        """Ends the call at the carrier; a call that is already over is not an error."""

    async def finished(self, brief: CallBrief, report: CallReport) -> None:
        """The line is closed; called once per opened stream, after its last turn and event."""
