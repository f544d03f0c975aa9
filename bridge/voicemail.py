"""Leaves the message: claim it, wait for the beep or the silence, say it once, hang up."""

from callwright.app.calls.conversation import EndCause, VoicemailEvidence
from callwright.bridge.actions import ClaimVoicemail, Purpose
from callwright.bridge.ending import Ending
from callwright.bridge.stage import Stage
from callwright.bridge.timers import Timer

_SILENCE_MS = 1_500
_GREETING_MS = 60_000  # longer than carriers let a greeting be
_FRAME_MS = 40  # what sounds this soon after a beep is its own decay


class Voicemail:
    def __init__(self, stage: Stage, ending: Ending) -> None:
        self._stage = stage
        self._ending = ending
        self.active = False
        self._waiting = False

    def begin(self, evidence: VoicemailEvidence) -> None:
        """A machine answered. At most once a call; an ending already begun goes on."""
        stage = self._stage
        if self.active or self._ending.begun:
            return
        self.active = True
        stage.voicemail = evidence
        stage.note("voicemail.detected", signal=evidence.signal, phrase=evidence.phrase, confidence=evidence.confidence)
        stage.cut_off()
        stage.timers.cancel(Timer.STILL_THERE, Timer.GIVE_UP, Timer.WRAP_UP, Timer.FAREWELL)
        stage.timers.set(Timer.VOICEMAIL, stage.at_ms + _GREETING_MS)
        stage.out.append(ClaimVoicemail())

    def claimed(self, granted: bool) -> None:
        if not self.active or self._ending.begun:
            return
        if not granted:
            self._ending.hang_up(EndCause.VOICEMAIL)
            return
        self._waiting = True
        self.frame()

    def frame(self) -> None:
        """Called after every frame of the machine's audio."""
        if not self._waiting:
            return
        acoustics = self._stage.acoustics
        beep = acoustics.beep_ended_ms
        beeped = beep is not None and beep + _FRAME_MS >= acoustics.last_voiced_ms
        silent = acoustics.silence_ms(self._stage.at_ms) >= _SILENCE_MS and not acoustics.tone_sounding
        if beeped or silent:
            self._waiting = False
            self._ending.say(
                self._stage.brief.voicemail_message, EndCause.VOICEMAIL, "voicemail_left", purpose=Purpose.VOICEMAIL
            )

    def too_long(self) -> None:
        self._waiting = False
        self._ending.hang_up(EndCause.VOICEMAIL)
