"""A conversation on a bench: the core driven by a phone that plays and echoes marks, and a model that is told what
to say.
"""

import math
import random
from collections import deque
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from callwright.app.calls.conversation import CallBrief, CallReport, Turn, VoiceUsage
from callwright.app.compliance.optout import is_opt_out
from callwright.bridge import actions as act
from callwright.bridge import events as ev
from callwright.bridge.core import Conversation
from callwright.bridge.spare import SpareLine

FRAME_MS = 20
A = TypeVar("A")

BRIEF = CallBrief(
    call_id=UUID(int=1),
    attempt_id=UUID(int=2),
    instructions="## Rules\nBe kind.",
    opening_line="Hi, this is Acme Roofing. I am an AI assistant and this call is recorded.",
    voicemail_message="Hello from Acme Roofing, please call us back.",
    screening_line="Acme Roofing, an AI assistant, about your roof request.",
    goodbye_line="Thank you, goodbye.",
    still_there_line="Are you still there?",
    wrap_up_line="We have half a minute left.",
    language="en",
    voice="marin",
    model="gpt-realtime",
    tools=[{"type": "function", "name": "end_call", "parameters": {"type": "object", "properties": {}}}],
)


def mulaw(sample: int) -> int:
    """One linear sample as mu-law (ITU-T G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32_635) + 0x84
    exponent = max(0, magnitude.bit_length() - 8)
    return ~(sign | exponent << 4 | (magnitude >> exponent + 3) & 0x0F) & 0xFF


def tone(hertz: float, ms: int, level: int = 8_000) -> bytes:
    return bytes(mulaw(round(level * math.sin(2 * math.pi * hertz * n / 8_000))) for n in range(ms * 8))


def _noise(ms: int) -> bytes:
    generator = random.Random(7)
    return bytes(mulaw(generator.randint(-9_000, 9_000)) for _ in range(ms * 8))


SPARE = SpareLine("A person will call you back.", b"\x30" * 16_000)  # 2 s
SPEECH = _noise(FRAME_MS)
SILENCE = b"\xff" * (FRAME_MS * 8)


class Bench:
    """Time moves only by `pass_ms` and what is built on it. `done` holds every action with the time it came at."""

    def __init__(self, brief: CallBrief = BRIEF, *, plays: bool = True, claims: bool = True) -> None:
        self.conversation = Conversation(brief, is_opt_out, SPARE)
        self.at_ms = 0
        self.done: list[tuple[int, act.Action]] = []
        self._plays = plays
        self._claims = claims
        self._queue: deque[tuple[str, int]] = deque()  # marks and the bytes before them, at the phone
        self._ids = 0
        self._response = ""
        self._asked = 0
        self._take(self.conversation.begin())

    def tell(self, event: ev.Event) -> None:
        self._take(self.conversation.handle(event, self.at_ms))

    def frame(self, audio: bytes) -> None:
        start = self.at_ms
        self.at_ms += len(audio) // 8
        self.tell(ev.PhoneAudio(start, "", audio))
        self._play(len(audio))

    def quiet(self, ms: int) -> None:
        for _ in range(ms // FRAME_MS):
            self.frame(SILENCE)

    def noise(self, ms: int) -> None:
        """Speech on the line that the model has not noticed (yet)."""
        for _ in range(ms // FRAME_MS):
            self.frame(SPEECH)

    def beep(self, ms: int = 400, hertz: float = 1_000.0) -> None:
        audio = tone(hertz, ms)
        for start in range(0, len(audio), FRAME_MS * 8):
            self.frame(audio[start : start + FRAME_MS * 8])

    def starts_talking(self, ms: int) -> str:
        """Speech that goes on; the model notices it after 100 ms. Returns its item."""
        item = self._new("person")
        self.noise(min(100, ms))
        self.tell(ev.SpeechStarted(item))
        self.noise(ms - 100)
        return item

    def stops_talking(self, item: str, text: str | None) -> None:
        self.quiet(500)
        self.tell(ev.SpeechStopped(item))
        self.tell(ev.SpeechCommitted(item))
        if text is not None:
            self.tell(ev.Transcribed(item, text, VoiceUsage()))

    def person(self, text: str | None, ms: int = 800) -> str:
        item = self.starts_talking(ms)
        self.stops_talking(item, text)
        return item

    def begins_response(self) -> str:
        """The model takes up the last request to speak."""
        creates = self.all(act.CreateResponse)
        assert len(creates) > self._asked, "the model was not asked to speak"
        self._asked = len(creates)
        self._response = self._new("resp")
        self.tell(ev.ResponseCreated(self._response))
        return self._response

    def says(self, text: str, ms: int = 2_000, *, chunk_ms: int = 200, response: str | None = None) -> str:
        """Audio and words of one item, all at once as the model sends them. Returns the item."""
        item, response = self._new("agent"), response or self._response
        for _ in range(ms // chunk_ms):
            self.tell(ev.AudioDelta(response, item, "", b"\x20" * (chunk_ms * 8)))
        self.tell(ev.TranscriptDone(response, item, text))
        return item

    def ends_response(self, *calls: ev.ToolCalled, status: str = "completed") -> None:
        self.tell(ev.ResponseDone(self._response, status, VoiceUsage(output_audio_tokens=10), calls))

    def answers(self, text: str, ms: int = 2_000) -> str:
        """A whole response; its audio is at the phone but not yet played."""
        self.begins_response()
        item = self.says(text, ms)
        self.ends_response()
        return item

    def calls_tool(self, name: str, arguments: str = "{}") -> str:
        call_id = self._new("call")
        self.tell(ev.ToolCalled(self._response, call_id, name, arguments))
        return call_id

    def opens(self) -> None:
        """Up to a heard opening line, with a person on the line and the floor free."""
        self.tell(ev.ModelReady())
        self.quiet(400)
        self.person("Hello?", 500)
        self.answers(BRIEF.opening_line, 3_000)
        self.quiet(3_100)

    def all(self, kind: type[A]) -> list[A]:
        return [action for _, action in self.done if isinstance(action, kind)]

    def last(self, kind: type[A]) -> A:
        return self.all(kind)[-1]

    def when(self, kind: type[act.Action]) -> int:
        """Time of the last such action."""
        return [at for at, action in self.done if isinstance(action, kind)][-1]

    def turns(self) -> list[Turn]:
        return sorted((action.turn for action in self.all(act.PublishTurn)), key=lambda turn: turn.index)

    def noted(self, kind: str) -> list[act.PublishEvent]:
        return [event for event in self.all(act.PublishEvent) if event.kind == kind]

    def report(self) -> CallReport:
        return self.last(act.Finish).report

    def hang_up_now(self) -> CallReport:
        """The person's phone goes; returns the report. Words still to come do not come."""
        self.tell(ev.PhoneGone(stopped=True))
        self.tell(ev.HearingOver())
        return self.report()

    def echo(self, mark: str) -> None:
        self.tell(ev.MarkReached(mark))

    def _new(self, what: str) -> str:
        self._ids += 1
        return f"{what}-{self._ids}"

    def _take(self, actions: Sequence[act.Action]) -> None:
        for action in actions:
            self.done.append((self.at_ms, action))
            if isinstance(action, act.Play):
                if action.lead is not None:
                    self._queue.append((action.lead, 0))
                self._queue.append((action.mark, len(action.audio)))
                self._play(0)
            elif isinstance(action, act.ClearPhone):
                flushed, self._queue = self._queue, deque()
                if self._plays:
                    for mark, _ in flushed:
                        self.echo(mark)
            elif isinstance(action, act.ClaimVoicemail):
                self.tell(ev.VoicemailClaimed(self._claims))

    def _play(self, room: int) -> None:
        while self._plays and self._queue:
            mark, size = self._queue[0]
            if size > room:
                self._queue[0] = (mark, size - room)
                return
            room -= size
            self._queue.popleft()
            self.echo(mark)
