"""Server VAD: turns in the appended audio, counted in appended milliseconds, not on the wall clock."""

from dataclasses import dataclass

from callwright.app.sandbox.hearing import is_speech
from callwright.app.sandbox.mulaw import BYTES_PER_MS, FRAME_BYTES

_FRAME_MS = FRAME_BYTES // BYTES_PER_MS
_ONSET_FRAMES = 2
_KEPT_MS = 120_000


@dataclass(frozen=True, slots=True)
class Detection:
    """How turns are found; times in milliseconds of appended audio."""

    prefix_padding_ms: int
    silence_duration_ms: int
    idle_timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """`audio_start_ms` is where the committed audio will begin: the onset less the prefix padding."""

    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """`audio` runs from `audio_start_ms` to `audio_end_ms`, which includes the silence that ended the turn."""

    audio_start_ms: int
    audio_end_ms: int
    audio: bytes


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """Nobody spoke for the idle timeout."""

    audio_start_ms: int
    audio_end_ms: int


VadEvent = SpeechStarted | SpeechStopped | IdleTimeout


class InputBuffer:
    """The input audio buffer of one session: mu-law in, turns out. Keeps at most two minutes of audio."""

    def __init__(self) -> None:
        self.detection: Detection | None = None
        self.speaking = False
        self._audio = bytearray()
        self._begin = 0
        self._seen = 0
        self._turn_start = 0
        self._loud_run = 0
        self._last_speech_end = 0
        self._idle_since: int | None = None

    @property
    def appended_ms(self) -> int:
        """How much audio was appended this session."""
        return (self._begin + len(self._audio)) // BYTES_PER_MS

    @property
    def pending_ms(self) -> int:
        """How much audio a commit would take now."""
        return len(self._audio) // BYTES_PER_MS

    def expect_reply_after(self, position_ms: int) -> None:
        """Starts the idle timer where the agent's audio will have been played."""
        self._idle_since = max(position_ms, self.appended_ms)

    def append(self, audio: bytes) -> list[VadEvent]:
        """Takes audio of any length and tells what happened in it."""
        self._audio += audio
        events: list[VadEvent] = []
        end = self._begin + len(self._audio)
        while self.detection is not None and self._seen + FRAME_BYTES <= end:
            at = self._seen - self._begin
            loud = is_speech(bytes(self._audio[at : at + FRAME_BYTES]))
            self._seen += FRAME_BYTES
            event = self._frame(loud, self.detection)
            if event is not None:
                events.append(event)
                end = self._begin + len(self._audio)
        self._drop_old()
        return events

    def take(self) -> tuple[int, int, bytes]:
        """Everything in the buffer, which is then empty: start and end in milliseconds, and the audio."""
        taken = bytes(self._audio)
        start = self._begin // BYTES_PER_MS
        self._begin += len(taken)
        self._seen = self._begin
        self._audio.clear()
        self.speaking = False
        self._loud_run = 0
        return start, start + len(taken) // BYTES_PER_MS, taken

    def _frame(self, loud: bool, detection: Detection) -> VadEvent | None:
        if loud:
            self._last_speech_end = self._seen
            self._loud_run += 1
            if not self.speaking and self._loud_run >= _ONSET_FRAMES:
                return self._start(detection)
            return None
        self._loud_run = 0
        if self.speaking:
            silent = self._seen - self._last_speech_end
            return self._stop() if silent >= detection.silence_duration_ms * BYTES_PER_MS else None
        return self._idle(detection)

    def _start(self, detection: Detection) -> SpeechStarted:
        onset = self._seen - self._loud_run * FRAME_BYTES
        self._turn_start = max(self._begin, onset - detection.prefix_padding_ms * BYTES_PER_MS)
        self.speaking = True
        self._idle_since = None
        return SpeechStarted(self._turn_start // BYTES_PER_MS)

    def _stop(self) -> SpeechStopped:
        audio = bytes(self._audio[self._turn_start - self._begin : self._seen - self._begin])
        del self._audio[: self._seen - self._begin]
        self._begin = self._seen
        self.speaking = False
        return SpeechStopped(self._turn_start // BYTES_PER_MS, self._seen // BYTES_PER_MS, audio)

    def _idle(self, detection: Detection) -> IdleTimeout | None:
        if self._idle_since is None or detection.idle_timeout_ms is None:
            return None
        now = self._seen // BYTES_PER_MS
        if now - self._idle_since < detection.idle_timeout_ms:
            return None
        started, self._idle_since = self._idle_since, None
        return IdleTimeout(started, now)

    def _drop_old(self) -> None:
        """Before a turn only its prefix padding is needed; without VAD, and in endless speech, two minutes."""
        kept_ms = _KEPT_MS
        if self.detection is not None and not self.speaking:
            kept_ms = self.detection.prefix_padding_ms + _FRAME_MS * (_ONSET_FRAMES + 1)
        excess = len(self._audio) - kept_ms * BYTES_PER_MS
        if excess <= 0:
            return
        excess = min(excess, max(0, self._seen - self._begin)) if self.detection is not None else excess
        del self._audio[:excess]
        self._begin += excess
        self._seen = max(self._seen, self._begin)
        self._turn_start = max(self._turn_start, self._begin)
