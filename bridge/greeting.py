"""Who answered: a person, nobody yet, an answering machine, or a call-screening assistant.

The thresholds are those of LiveKit's detector (short speech and half a second of silence is a person) and of the
product's
15-second rule; the transcript may overrule the first guess until the talk has begun.
"""

from dataclasses import dataclass
from enum import StrEnum

from callwright.app.calls.conversation import AnsweredBy, MachineSignal, VoicemailEvidence
from callwright.bridge.phrases import Machine, is_holding, match_machine
from callwright.bridge.stage import Stage
from callwright.bridge.timers import Timer

SHORT_SPEECH_MS = 2_500
END_SILENCE_MS = 500
MONOLOGUE_MS = 15_000
_DECIDE_MS = 2_000  # a transcript comes 0.3-1 s after the speech; later than this it will not come
_ONSET_MS = 60  # less is a click
_ENOUGH = 0.7  # confidence at which a machine is assumed
_WATCH_MS = 60_000  # a greeting is over by then, whoever speaks


class Phase(StrEnum):
    HELLO = "hello"  # nobody has spoken
    FIRST = "first"  # the first utterance, or a screened person's
    DECIDING = "deciding"  # it was long: its transcript decides
    TALKING = "talking"  # we spoke; words may still unmask a machine
    SCREENED = "screened"  # the assistant has our answer; waiting for the person
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`answered_by` UNKNOWN: nobody spoke in time. HUMAN and UNKNOWN mean: open the talk."""

    answered_by: AnsweredBy
    evidence: VoicemailEvidence | None = None
    takes_message: bool = True


class Greeting:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._utterance_from = 0
        self._words = ""  # all of the greeting so far
        self._latest: str | None = None  # of the utterance being judged
        self._screened = False
        self._exchanges = 0
        self._signs: VoicemailEvidence | None = None  # of a machine, so far
        self._beep_ms: int | None = None  # the last beep judged
        self.phase = Phase.HELLO
        self.answered_by = AnsweredBy.UNKNOWN

    @property
    def holds_agent(self) -> bool:
        """Whether the agent must not answer yet what it hears."""
        return self.phase in (Phase.HELLO, Phase.FIRST, Phase.DECIDING, Phase.SCREENED)

    @property
    def at_assistant(self) -> bool:
        """Whether a call-screening assistant is all that has been met."""
        return self.answered_by is AnsweredBy.SCREENING

    @property
    def watching(self) -> bool:
        return self.phase is not Phase.SETTLED

    def begin(self) -> None:
        self._stage.timers.set(Timer.HELLO, self._stage.brief.hello_wait_ms)

    def settle(self, answered_by: AnsweredBy | None = None) -> None:
        """The question is closed; `answered_by` None keeps the finding, or takes a person where there was none."""
        self.phase = Phase.SETTLED
        self._stage.timers.cancel(Timer.HELLO, Timer.DECIDE)
        if answered_by is not None:
            self.answered_by = answered_by
        elif self.answered_by is AnsweredBy.UNKNOWN:
            self.answered_by = AnsweredBy.HUMAN

    def exchanged(self) -> None:
        """The person answered the opening. A machine's late greeting is still unmasked by its first words, not by
        later ones.
        """
        if self._exchanges:
            self.settle()
        elif self.answered_by is AnsweredBy.UNKNOWN:
            self.answered_by = AnsweredBy.HUMAN
        self._exchanges += 1

    def frame(self) -> Verdict | None:
        """Called after every frame of the person's audio while `watching`."""
        stage = self._stage
        acoustics, at_ms = stage.acoustics, stage.at_ms
        if self.phase in (Phase.HELLO, Phase.SCREENED):
            # A screened line listens anew once the answer to the assistant has been said.
            fresh = self.phase is Phase.HELLO or (stage.floor_free and acoustics.run_from_ms > self._utterance_from)
            if fresh and acoustics.run_voiced_ms >= _ONSET_MS and acoustics.silence_ms(at_ms) < END_SILENCE_MS:
                self.phase = Phase.FIRST
                self._latest = None
                self._utterance_from = acoustics.run_from_ms
                stage.timers.cancel(Timer.HELLO)
            return None
        if at_ms > _WATCH_MS and not self._screened:
            return self._person() if self.holds_agent else None
        if stage.opening_heard:
            return None
        if acoustics.monologue_ms >= MONOLOGUE_MS:
            return self._sign("monologue", 0.8)
        beep = acoustics.beep_ended_ms
        if beep != self._beep_ms:
            self._beep_ms = beep
            # After a mere hello it may be somebody's kitchen: a greeting is longer than that.
            long = acoustics.last_voiced_ms - self._utterance_from > SHORT_SPEECH_MS
            if (verdict := self._sign("beep", 0.9 if long else 0.6)) is not None:
                return verdict
        if self.phase is Phase.FIRST:
            return self._first_over() if acoustics.silence_ms(at_ms) >= END_SILENCE_MS else None
        if self.phase is Phase.DECIDING and not acoustics.silence_ms(at_ms):
            stage.timers.cancel(Timer.DECIDE)
            self.phase = Phase.FIRST
            self._latest = None
        return None

    def words(self, text: str) -> Verdict | None:
        """The transcript of an utterance heard while `watching`."""
        self._words = f"{self._words} {text}"
        self._latest = text
        found = match_machine(text) or match_machine(self._words)
        if found is not None and found[0] is not Machine.SCREENING:
            return self._sign("phrase", 0.95, found[1], takes_message=found[0] is Machine.VOICEMAIL)
        if found is not None and not self._screened:
            self._screened = True
            self._signs = None
            self._words = ""
            return self._screening()
        return self._decide() if self.phase is Phase.DECIDING else None

    def no_reply(self) -> Verdict | None:
        """Whoever answered has said nothing since our opening, also when asked: with other signs, a machine."""
        concerns = self.watching and not self._exchanges and not self._screened
        return self._sign("no_reply", 0.5) if concerns else None

    def timer(self, timer: Timer) -> Verdict | None:
        if timer is Timer.HELLO and self.phase is Phase.HELLO:
            self.phase = Phase.TALKING
            return Verdict(AnsweredBy.UNKNOWN)
        return self._person() if timer is Timer.DECIDE and self.phase is Phase.DECIDING else None

    def _first_over(self) -> Verdict | None:
        length = self._stage.acoustics.last_voiced_ms - self._utterance_from
        if length <= SHORT_SPEECH_MS and not self._screened:
            return self._person()
        self.phase = Phase.DECIDING
        self._stage.timers.set(Timer.DECIDE, self._stage.at_ms + _DECIDE_MS)
        # Its words may have been faster than its silence.
        return (None if self._screened else self._sign("long_greeting", 0.45)) or self._decide()

    def _decide(self) -> Verdict | None:
        """By the words of the utterance, once none of it is still to come; a voicemail's would have decided already."""
        if self._latest is None or self._stage.transcript.unheard:
            return None
        if self._screened and (is_holding(self._latest) or match_machine(self._latest) is not None):
            self._words = ""
            self._wait_for_person()
            return None
        return self._person()

    def _person(self) -> Verdict:
        self._stage.timers.cancel(Timer.HELLO, Timer.DECIDE)
        self.phase = Phase.TALKING
        self.answered_by = AnsweredBy.HUMAN
        self._stage.note("human.detected")
        return Verdict(AnsweredBy.HUMAN)

    def _sign(
        self, signal: MachineSignal, confidence: float, phrase: str | None = None, *, takes_message: bool = True
    ) -> Verdict | None:
        """One more sign of a machine: the verdict once they suffice together."""
        sign = VoicemailEvidence(signal, self._stage.at_ms, confidence, phrase)
        self._signs = sign if self._signs is None else self._signs.joined_by(sign)
        if self._signs.confidence < _ENOUGH:
            return None
        self.settle(AnsweredBy.VOICEMAIL)
        return Verdict(AnsweredBy.VOICEMAIL, self._signs, takes_message)

    def _screening(self) -> Verdict:
        self.answered_by = AnsweredBy.SCREENING
        self._stage.note("screening.detected")
        self._wait_for_person()
        return Verdict(AnsweredBy.SCREENING)

    def _wait_for_person(self) -> None:
        self._stage.timers.cancel(Timer.HELLO, Timer.DECIDE)
        self._utterance_from = self._stage.acoustics.run_from_ms
        self.phase = Phase.SCREENED
