"""What the conversation core is told. Wire formats end in `twilio.py` and `realtime.py`; these are their meaning."""

from collections.abc import Mapping
from dataclasses import dataclass

from callwright.app.calls.conversation import VoiceUsage


@dataclass(frozen=True, slots=True)
class StreamStarted:
    stream_sid: str
    call_sid: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PhoneAudio:
    """One frame from the person. `audio` is mu-law, `payload` the same in base64 as it came; `start_ms` is its place
    in the stream.
    """

    start_ms: int
    payload: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class MarkReached:
    name: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    digit: str


@dataclass(frozen=True, slots=True)
class PhoneGone:
    """No more audio will come. `stopped`: the carrier said so; else the socket just dropped."""

    stopped: bool


@dataclass(frozen=True, slots=True)
class PhoneStalled:
    """The socket is open but no frame came for the stall limit (wall clock)."""


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The session is configured; audio and responses may flow."""


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The session is gone, or a new one could not be had. `detail` is a short machine word."""

    detail: str


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str


@dataclass(frozen=True, slots=True)
class SpeechCommitted:
    item_id: str


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The person's words in one item; empty when there were none or the transcription failed."""

    item_id: str
    text: str
    usage: VoiceUsage


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    response_id: str


@dataclass(frozen=True, slots=True)
class AudioDelta:
    """Agent audio: `audio` is mu-law, `payload` the same in base64 as it came."""

    response_id: str
    item_id: str
    payload: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptDone:
    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """`arguments` is JSON text as the model wrote it."""

    response_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ResponseDone:
    response_id: str
    status: str
    usage: VoiceUsage
    tool_calls: tuple[ToolCalled, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelError:
    """`event_id` is that of our message at fault, when the model says."""

    code: str
    event_id: str | None


@dataclass(frozen=True, slots=True)
class VoicemailClaimed:
    granted: bool


@dataclass(frozen=True, slots=True)
class GuidanceGiven:
    call_id: str
    advice: str | None


@dataclass(frozen=True, slots=True)
class RecordingWanted:
    """Consent to the recording was given (again), or withdrawn."""

    on: bool


@dataclass(frozen=True, slots=True)
class HearingOver:
    """The wait for last transcripts after the person hung up is over (wall clock)."""


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The process must stop and this call has had its time to end by itself."""


PhoneEvent = StreamStarted | PhoneAudio | MarkReached | DigitPressed | PhoneGone
ModelEvent = (
    ModelReady
    | SpeechStarted
    | SpeechStopped
    | SpeechCommitted
    | Transcribed
    | ResponseCreated
    | AudioDelta
    | TranscriptDelta
    | TranscriptDone
    | ToolCalled
    | ResponseDone
    | ModelError
)
Event = (
    PhoneAudio
    | MarkReached
    | DigitPressed
    | PhoneGone
    | PhoneStalled
    | ModelEvent
    | ModelLost
    | VoicemailClaimed
    | GuidanceGiven
    | RecordingWanted
    | HearingOver
    | ShuttingDown
)
