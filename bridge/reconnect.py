"""A lost voice model: the conversation is restored in a new session, or ended with recorded words that need none."""

import binascii

from callwright.app.calls.conversation import EndCause
from callwright.bridge.actions import OpenModel, Purpose
from callwright.bridge.ending import Ending
from callwright.bridge.greeting import Greeting
from callwright.bridge.spare import SpareLine
from callwright.bridge.stage import Stage
from callwright.bridge.timers import Timer
from callwright.bridge.turntaking import TurnTaking
from callwright.bridge.voice import Response
from callwright.bridge.voicemail import Voicemail

REOPENINGS = 3  # in the whole call; each may cost the person a second of silence
_DELAYS_MS = (0, 300, 1_000)  # before each: a service that restarts needs a moment
_OPENING_MS = 1_500  # a session usually stands within half a second
_LAST_WORDS_MS = 8_000
_LEAD_IN_MS = 200  # of the person's utterance, so that its beginning is not cut
_JUST_NOW_MS = 600  # speech that ended this long ago may not have been noticed by the lost session
_CHUNK = 1_600  # bytes of recorded words a message: 200 ms, like the model's own
_SPARE = "spare"


class Reconnection:
    def __init__(
        self,
        stage: Stage,
        turns: TurnTaking,
        greeting: Greeting,
        voicemail: Voicemail,
        ending: Ending,
        spare: SpareLine,
    ) -> None:
        self._stage = stage
        self._turns = turns
        self._greeting = greeting
        self._voicemail = voicemail
        self._ending = ending
        self._spare = spare
        self._openings = 0
        self._from_ms = 0  # what the person said from here on the next session has to hear
        self._cause = EndCause.MODEL_LOST
        self._hopeless: EndCause | None = None  # given up, but somebody is greeting us
        self.down = False
        self.restored = 0

    def lost(self, detail: str, cause: EndCause = EndCause.MODEL_LOST) -> None:
        """The session went, or the one to replace it could not be had."""
        stage = self._stage
        if self._ending.hung_up or stage.timers.armed(Timer.REOPEN):
            return
        stage.note("model.lost", detail=detail)
        stage.timers.cancel(Timer.MODEL_STALL)
        if not self.down:
            self.down, self._cause = True, cause
            self._drop_session()
        if self._ending.begun and not stage.voice.busy:
            self._ending.settle()  # the last words are already at the phone
        elif self._openings >= REOPENINGS:
            self.give_up(self._cause)
        else:
            stage.timers.set(Timer.REOPEN, stage.at_ms + _DELAYS_MS[self._openings])

    def reopen(self) -> None:
        """The wait before the next try is over."""
        stage = self._stage
        if self._ending.hung_up:
            return
        self._openings += 1
        stage.out.append(OpenModel(stage.transcript.so_far, self._from_ms))
        stage.timers.set(Timer.MODEL_STALL, stage.at_ms + _OPENING_MS)

    def ready(self) -> None:
        """A session is configured and knows what was said."""
        if self.down:
            self.down = False
            self.restored += 1
            self._stage.note("model.restored")

    def give_up(self, cause: EndCause) -> None:
        """Ends the call without the model; a person is told, after their greeting, that a human will call back."""
        stage = self._stage
        stage.voice.hush()
        if self._ending.begun:
            self._ending.settle()
        elif self._voicemail.active or self._greeting.at_assistant:
            self._ending.hang_up(cause)
        elif self._greeting.holds_agent:
            self._hopeless = cause
        else:
            stage.note("model.given_up")
            stage.request_human("")
            self._say_spare()
            self._ending.let_finish(cause, None)

    def judged(self) -> None:
        """Who answered is known."""
        if self._hopeless is not None:
            self.give_up(self._hopeless)

    def _say_spare(self) -> None:
        stage, audio = self._stage, self._spare.audio
        for start in range(0, len(audio), _CHUNK):
            piece = audio[start : start + _CHUNK]
            stage.play(_SPARE, _SPARE, Purpose.CALL_BACK, binascii.b2a_base64(piece, newline=False).decode(), piece)
        stage.transcript.agent_words(_SPARE, self._spare.text, whole=True)
        stage.heard(stage.playout.complete(_SPARE))

    def _drop_session(self) -> None:
        """What the lost session had begun is ended as far as it came, and what is owed is kept in mind."""
        stage = self._stage
        stage.orphans = stage.playout.responses
        broken = stage.voice.lost()
        unheard = self._unheard_from()
        self._from_ms = stage.at_ms if unheard is None else unheard
        self._turns.model_lost()
        if broken is not None:
            self._resume(broken)
        if unheard is not None and (broken is None or not broken.spoke):
            stage.voice.withdraw_reply()

    def _unheard_from(self) -> int | None:
        """Where the person's words begin of which no transcript will come, if any."""
        stage = self._stage
        if stage.ready_ms is None:
            return 0
        acoustics = stage.acoustics
        start = stage.transcript.forget_unheard()
        settled = max((turn.end_ms for turn in stage.transcript.turns if turn.speaker == "person"), default=0)
        if start is None and acoustics.silence_ms(stage.at_ms) < _JUST_NOW_MS and acoustics.run_from_ms >= settled:
            start = acoustics.run_from_ms
        return None if start is None else max(0, start - _LEAD_IN_MS)

    def _resume(self, broken: Response) -> None:
        """An answer that broke off is played as far as it came and gone on with; words that have to be said exactly
        are said again from their beginning, except a goodbye.
        """
        stage, wish = self._stage, broken.wish
        if broken.spoke and wish.purpose in (Purpose.REPLY, Purpose.GOODBYE):
            stage.heard(stage.playout.complete(broken.response_id))
            if not self._ending.begun and not stage.voice.wishes:
                stage.voice.say(wish.purpose, wish.words)
            return
        if broken.spoke:
            stage.cut_off()
        if not stage.voice.wishes:
            stage.voice.say(wish.purpose, wish.words)
        if self._ending.begun:
            stage.timers.set(Timer.GOODBYE, stage.at_ms + _LAST_WORDS_MS)
