"""The callee's side of a call: hears the agent, and says, presses and hangs up what its persona tells. Does no I/O.

Time is the call's own: one `step` is 20 ms of simulated time, whatever the wall clock does.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from callwright.app.sandbox.hearing import is_speech
from callwright.app.sandbox.persona import Answer, Persona, Turn
from callwright.app.sandbox.speech import Utterance, silence, tone

FRAME_MS = 20
FRAME_BYTES = 160
SILENT = b"\xff" * FRAME_BYTES
SEGMENT_ENDS_MS = 500  # silence that ends one stretch of the agent's speech
LONGEST_SEGMENT_BYTES = 60 * 8000
ONSET_FRAMES = 3  # quiet frames kept before speech is noticed, so that first sounds are not lost
FAREWELL_PATIENCE_MS = 8_000
GOODBYE = re.compile(
    r"\b(good ?bye|bye|adi[oó]s|have an? \w+ (day|one|evening|afternoon|morning|night|weekend))\b", re.IGNORECASE
)
STILL_TALKING_MS = 1_000  # an agent that talks on this long after an interruption is answered after all
MISHEARD = Turn(say="Sorry, I didn't catch that. Could you say it again?", repeat=True)
MISHEARD_IN_A_ROW = 2  # after that the person goes on, or a strange voice could never get anywhere

Voices = Mapping[tuple[str, str], Utterance]  # (voice, text) -> how it sounds


@dataclass(slots=True)
class Line:
    """Words on the line; `cut` when they stopped before their end. Milliseconds since pickup."""

    text: str
    start_ms: int
    end_ms: int
    cut: bool = False


@dataclass(slots=True)
class _Segment:
    """A stretch of the agent's speech; `spent` when it needs no reply (any more)."""

    start_ms: int
    audio: bytearray
    last_voice_ms: int
    spent: bool = False
    crossed: int = 0  # the largest talk-over threshold already tried
    known: tuple[int, str] = (-1, "")  # words up to that last_voice_ms


class Step(NamedTuple):
    """What 20 ms bring: 160 bytes of the callee's audio, a key pressed ("" for none), whether it hung up."""

    audio: bytes
    digit: str
    hung_up: bool


@dataclass(slots=True)
class Callee:
    """One persona on one call; `step` it once for every 20 ms heard."""

    persona: Persona
    voices: Voices
    hear: Callable[[bytes], str]
    heard: list[Line] = field(default_factory=list)
    said: list[Line] = field(default_factory=list)
    pressed: list[str] = field(default_factory=list)
    now_ms: int = 0
    _used: set[int] = field(default_factory=set)
    _audio: bytes = b""
    _at: int = 0
    _turn: Turn | None = None
    _digits: deque[str] = field(default_factory=deque)
    _segment: _Segment | None = None
    _onset: deque[bytes] = field(default_factory=lambda: deque(maxlen=ONSET_FRAMES))
    _pending: list[str] = field(default_factory=list)
    _agent_voice_ms: int = 0
    _own_voice_ms: int = 0
    _farewell: bool = False
    _misheard: int = 0

    def __post_init__(self) -> None:
        if self.persona.greeting:
            who = self.persona
            self._begin(Turn(say=who.greeting, voice=who.greeting_voice, pause_ms=who.greeting_after_ms, beep=who.beep))

    @property
    def greeting_ends_ms(self) -> int:
        """When the greeting, without its tone, is over; 0 if there is none."""
        greeting = self.voices.get((self.persona.greeting_voice or self.persona.voice, self.persona.greeting))
        return 0 if greeting is None else self.persona.greeting_after_ms + greeting.duration_ms

    def step(self, heard: bytes) -> Step:
        """Lives 20 ms: `heard` is what the phone's speaker played (160 mu-law bytes)."""
        self._listen(heard)
        audio, digit = SILENT, ""
        hung_up = self._gives_up()
        if self._turn is None and not hung_up:
            self._decide()
        if self._at < len(self._audio):
            audio = self._audio[self._at : self._at + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff")
            self._at += FRAME_BYTES
            self._own_voice_ms = self.now_ms + FRAME_MS
        elif self._digits:
            digit = self._digits.popleft()
            self.pressed.append(digit)
        elif self._turn is not None:
            hung_up = hung_up or self._turn.hang_up or self._turn.hang_up_mid_sentence_ms > 0
            self._turn = None
        self.now_ms += FRAME_MS
        if hung_up:
            self.finish()
        return Step(audio, digit, hung_up)

    def finish(self) -> None:
        """The line is dead: the words still in the air are booked."""
        if self.said and self.said[-1].end_ms > self.now_ms:
            self.said[-1].end_ms = self.now_ms
            self.said[-1].cut = True
        if self._segment is not None:
            self._close_segment(self._segment)

    def _listen(self, frame: bytes) -> None:
        voiced = frame != SILENT and is_speech(frame)
        segment = self._segment
        if segment is None:
            if not voiced:
                self._onset.append(frame)
                return
            segment = self._segment = _Segment(self.now_ms, bytearray(b"".join(self._onset)), self.now_ms)
            self._onset.clear()
        segment.audio += frame
        if voiced:
            segment.last_voice_ms = self._agent_voice_ms = self.now_ms + FRAME_MS
        quiet = self.now_ms + FRAME_MS - segment.last_voice_ms
        if quiet >= SEGMENT_ENDS_MS or len(segment.audio) > LONGEST_SEGMENT_BYTES:
            self._close_segment(segment)

    def _close_segment(self, segment: _Segment) -> None:
        text = self._words(segment)
        if text:
            self.heard.append(Line(text, segment.start_ms, segment.last_voice_ms))
            if self._wants_reply(segment):
                self._pending.append(text)
            self._farewell = self._farewell or GOODBYE.search(text) is not None
        self._segment = None

    def _wants_reply(self, segment: _Segment) -> bool:
        """Not if the callee talked over all of it, nor if its end is only the agent falling silent."""
        grace = STILL_TALKING_MS if segment.spent else 0
        return segment.last_voice_ms > self._own_voice_ms + grace

    def _words(self, segment: _Segment) -> str:
        if segment.known[0] != segment.last_voice_ms:
            segment.known = (segment.last_voice_ms, self.hear(bytes(segment.audio)))
        return segment.known[1]

    def _gives_up(self) -> bool:
        if self.now_ms + FRAME_MS >= self.persona.stay_seconds * 1000:
            return True
        if self._turn is not None:
            return False
        quiet = self.now_ms - max(self._agent_voice_ms, self._own_voice_ms)
        return quiet >= (FAREWELL_PATIENCE_MS if self._farewell else self.persona.patience_seconds * 1000)

    def _decide(self) -> None:
        if self.persona.answer is Answer.VOICEMAIL and not self.persona.turns:
            return
        segment = self._segment
        quiet = self.now_ms - self._agent_voice_ms
        if segment is not None and not segment.spent and quiet < FRAME_MS * 5:
            self._talk_over(segment)
            return
        if quiet < min((turn.after_silence_ms for turn in self._unused()), default=0):
            return
        text = self._question()
        if not text:
            turn = self._next_unconditional(lambda turn: True)
            both_quiet = self.now_ms - max(self._agent_voice_ms, self._own_voice_ms)
            if turn is not None and turn.unprompted and both_quiet >= turn.after_silence_ms:
                self._begin(turn)
            return
        turn = self._choose(text)
        if turn is not None and quiet >= turn.after_silence_ms:
            self._misheard = self._misheard + 1 if turn is MISHEARD else 0
            self._begin(turn)

    def _question(self) -> str:
        """What the agent said since the last turn, "" if nothing that wants a reply."""
        segment = self._segment
        open_words = self._words(segment) if segment is not None and self._wants_reply(segment) else ""
        return " ".join([*self._pending, open_words]).strip()

    def _choose(self, text: str) -> Turn | None:
        unclear = not text.replace("…", "").strip()
        if unclear and self._misheard < MISHEARD_IN_A_ROW and (self.persona.voice, MISHEARD.say) in self.voices:
            return MISHEARD
        for turn in self._unused():
            if turn.when and not turn.talks_over and turn.matches(text):
                return turn
        return self._next_unconditional(lambda turn: not turn.talks_over)

    def _talk_over(self, segment: _Segment) -> None:
        """Cuts in when a turn's time into the agent's speech has come; each threshold is tried once per segment."""
        spoken = segment.last_voice_ms - segment.start_ms
        due = [turn for turn in self._unused() if segment.crossed < turn.talks_over <= spoken]
        if not due:
            return
        segment.crossed = spoken
        upcoming = self._next_unconditional(lambda turn: True)
        for turn in due:
            if turn is upcoming or (turn.when and turn.matches(" ".join([*self._pending, self._words(segment)]))):
                self._begin(turn)
                return

    def _unused(self) -> list[Turn]:
        return [turn for index, turn in enumerate(self.persona.turns) if index not in self._used]

    def _next_unconditional(self, wanted: Callable[[Turn], bool]) -> Turn | None:
        return next((turn for turn in self._unused() if not turn.when and wanted(turn)), None)

    def _begin(self, turn: Turn) -> None:
        """Starts a turn; what the agent said so far is answered by it."""
        if not turn.repeat:
            self._used.update(index for index, known in enumerate(self.persona.turns) if known is turn)
        self._pending.clear()
        if self._segment is not None:
            self._segment.spent = True
        audio = b""
        if turn.say:
            audio = self.voices[turn.voice or self.persona.voice, turn.say].audio
            if turn.hang_up_mid_sentence_ms:
                audio = audio[: turn.hang_up_mid_sentence_ms * 8]
            start = self.now_ms + turn.pause_ms
            cut = turn.hang_up_mid_sentence_ms > 0
            self.said.append(Line(turn.say, start, start + len(audio) // 8, cut))
        if turn.beep:
            audio += silence(400) + tone(1000, 500)
        self._audio, self._at = silence(turn.pause_ms) + audio, 0
        self._digits.extend(turn.press)
        self._farewell = self._farewell or turn.goodbye
        self._turn = turn
