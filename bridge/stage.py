"""What the parts of one conversation share: its brief, its ledgers, its deadlines, and the list of actions being
gathered.
"""

from callwright.app.calls.conversation import CallBrief, Turn, VoicemailEvidence, VoiceUsage
from callwright.bridge.acoustics import Acoustics
from callwright.bridge.actions import (
    Action,
    ClearPhone,
    OptOut,
    Play,
    PublishEvent,
    PublishTurn,
    Purpose,
    RequestHuman,
    TruncateItem,
)
from callwright.bridge.playout import Cut, Marks, Playout, SpokenItem
from callwright.bridge.talk import Stopwatch
from callwright.bridge.timers import Timer, Timers
from callwright.bridge.transcript import Transcript
from callwright.bridge.voice import Voice

LATE_MARK_MS = 3_000  # beyond this the phone's acknowledgements are given up
_FAREWELL_MS = 6_000  # leaves 4 s of the promised 10 for the goodbye to start and be said


class Stage:
    def __init__(self, brief: CallBrief) -> None:
        self.brief = brief
        self.out: list[Action] = []
        self.at_ms = 0
        self.timers = Timers()
        self.acoustics = Acoustics()
        self.playout = Playout()
        self.transcript = Transcript()
        self.voice = Voice(self.out)
        self.usage = VoiceUsage()
        self.voicemail: VoicemailEvidence | None = None
        self.voicemail_left = False
        self.opted_out = False
        self.human_requested = False
        self.opening_heard = False
        self.ready_ms: int | None = None  # when the model could first hear
        self.person_speaking = False  # by the model's judgement
        self.interruptions = 0
        self.truncations = 0
        self.stopwatch = Stopwatch()
        self.orphans: frozenset[str] = frozenset()  # responses of a lost session: no model knows them any more

    @property
    def floor_free(self) -> bool:
        """Nobody at our end is speaking or about to."""
        return not self.playout.audible and not self.voice.busy

    def note(self, kind: str, **data: object) -> None:
        """Adds to the call's timeline. Never pass words or numbers of the person."""
        self.out.append(PublishEvent(kind, self.at_ms, data))

    def publish(self, turn: Turn | None) -> None:
        if turn is not None:
            self.out.append(PublishTurn(turn))

    def play(self, response_id: str, item_id: str, purpose: Purpose, payload: str, audio: bytes) -> Marks:
        """Sends a piece of the agent's audio to the phone and enters it in the ledger."""
        self.transcript.agent_began(item_id)
        marks = self.playout.push(response_id, item_id, purpose, len(audio), self.at_ms)
        self.out.append(Play(payload, audio, marks.lead, marks.end, response_id))
        self.timers.set(Timer.PLAYOUT_LATE, self.playout.ends_at(self.at_ms) + LATE_MARK_MS)
        return marks

    def cut_off(self) -> None:
        """Silences the agent at once and tells the model how much of it was heard."""
        audible = self.playout.audible
        cuts = self.playout.clear(self.at_ms)
        self.timers.cancel(Timer.PLAYOUT_LATE)
        if audible:
            self.out.append(ClearPhone())
        self.voice.hush()
        for cut in cuts:
            if cut.truncate and cut.response_id not in self.orphans:
                self.out.append(TruncateItem(cut.item_id, cut.heard_ms))
                self.truncations += 1
            self._settle_cut(cut)

    def line_closed(self) -> None:
        """The phone is gone: what was playing was heard this far; there is no one to clear or truncate for."""
        for cut in self.playout.clear(self.at_ms):
            self._settle_cut(cut)

    def heard(self, items: list[SpokenItem]) -> None:
        """These items of the agent were heard to their end."""
        for item in items:
            self._take_note_of(item.purpose)
            length = item.received_ms
            self.publish(
                self.transcript.agent_ended(item.item_id, item.start_ms, length, length, interrupted=False),
            )

    def opt_out(self, words: str) -> None:
        """The person wants no more calls: recorded now, and the goodbye is bounded."""
        if self.opted_out:
            return
        self.opted_out = True
        self.out.append(OptOut(words))  # the desk puts it on the timeline itself
        self.timers.set(Timer.FAREWELL, self.at_ms + _FAREWELL_MS)

    def request_human(self, reason: str) -> None:
        if self.human_requested:
            return
        self.human_requested = True
        self.out.append(RequestHuman(reason))

    def _settle_cut(self, cut: Cut) -> None:
        if not cut.truncate:
            self._take_note_of(cut.purpose)
        self.publish(
            self.transcript.agent_ended(
                cut.item_id, cut.start_ms, cut.heard_ms, cut.received_ms, interrupted=cut.truncate
            )
        )

    def _take_note_of(self, purpose: Purpose) -> None:
        if purpose is Purpose.OPENING:
            self.opening_heard = True
        elif purpose is Purpose.VOICEMAIL:
            self.voicemail_left = True
