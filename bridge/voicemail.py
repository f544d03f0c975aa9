"""Leaves the message: wait for the beep or the silence, claim it, say it once, hang up."""

from callwright.app.calls.conversation import EndCause, VoicemailEvidence
from callwright.bridge.actions import ClaimVoicemail, Purpose
from callwright.bridge.ending import Ending
from callwright.bridge.phrases import Machine, match_machine
from callwright.bridge.stage import Stage
from callwright.bridge.timers import Timer

_SILENCE_MS = 1_500
_GREETING_MS = 60_000  # longer than carriers let a greeting be
_DECAY_MS = 40  # what sounds this soon after a beep is its own decay
# A machine records from its beep. Some pause before it for longer than our silence, up to some 3 s; later beeps are the
# reminders that others give while they record, and what came before those is on the tape.
_LATE_BEEP_MS = 4_000


class Voicemail:
    def __init__(self, stage: Stage, ending: Ending) -> None:
        self._stage = stage
        self._ending = ending
        self.active = False
        self._waiting = False
        self._heard_beep_ms: int | None = None
        self._audible_from: int | None = None  # since when the machine hears the message

    def begin(self, evidence: VoicemailEvidence, *, takes_message: bool) -> None:
        """A machine answered. At most once a call; an ending already begun goes on."""
        stage = self._stage
        if self.active or self._ending.begun:
            return
        self.active = True
        stage.voicemail = evidence
        stage.note(
            "voicemail.detected",
            signal=evidence.signal,
            phrase=evidence.phrase,
            confidence=evidence.confidence,
            also=evidence.also,
        )
        stage.cut_off()
        stage.timers.cancel(Timer.STILL_THERE, Timer.GIVE_UP, Timer.WRAP_UP, Timer.FAREWELL)
        if not takes_message:
            self._no_message()
            return
        stage.timers.set(Timer.VOICEMAIL, stage.at_ms + _GREETING_MS)
        self._waiting = True
        self.frame()

    def claimed(self, granted: bool) -> None:
        """Claimed only when it can be said: a claim is taken for a message left."""
        if not self.active or self._ending.begun:
            return
        if granted:
            self._ending.say(
                self._stage.brief.voicemail_message, EndCause.VOICEMAIL, "voicemail_left", purpose=Purpose.VOICEMAIL
            )
        else:
            self._ending.hang_up(EndCause.VOICEMAIL)

    def words(self, text: str) -> None:
        """More of what the machine says."""
        found = match_machine(text)
        if self._waiting and found is not None and found[0] is Machine.UNREACHABLE:
            self._no_message()

    def frame(self) -> None:
        """Called after every frame of the machine's audio."""
        stage = self._stage
        acoustics, at_ms = stage.acoustics, stage.at_ms
        beep = acoustics.beep_ended_ms
        if beep is not None and beep != self._heard_beep_ms:
            self._heard_beep_ms = beep
            if stage.voicemail is not None:
                stage.voicemail = stage.voicemail.joined_by(VoicemailEvidence("beep", stage.voicemail.at_ms, 0.9))
            self._beeped(beep)
        if self._waiting:
            beeped = beep is not None and beep + _DECAY_MS >= acoustics.last_voiced_ms
            silent = acoustics.silence_ms(at_ms) >= _SILENCE_MS and not acoustics.tone_sounding
            if beeped or silent:
                self._waiting = False
                stage.out.append(ClaimVoicemail())
        elif self._audible_from is None and self._ending.begun and stage.playout.audible:
            self._audible_from = at_ms

    def too_long(self) -> None:
        self._waiting = False
        self._ending.hang_up(EndCause.VOICEMAIL)

    def _beeped(self, ended_ms: int) -> None:
        """A beep into the message, which the machine therefore has not recorded so far: from the start, once."""
        began = self._audible_from
        if began is not None and began < ended_ms <= began + _LATE_BEEP_MS:
            self._audible_from = -_LATE_BEEP_MS
            self._stage.note("voicemail.restarted")
            self._ending.say_again(self._stage.brief.voicemail_message, purpose=Purpose.VOICEMAIL)

    def _no_message(self) -> None:
        self._waiting = False
        self._ending.hang_up(EndCause.VOICEMAIL, "no_message_possible")
