"""Whose turn it is: replies, interruptions, back-channel, silences, the wrap-up."""

from callwright.app.calls.conversation import EndCause
from callwright.bridge.actions import Purpose
from callwright.bridge.ending import Ending
from callwright.bridge.greeting import Greeting, Phase
from callwright.bridge.stage import Stage
from callwright.bridge.timers import Timer

BACK_CHANNEL_MS = 300  # shorter speech ("uh-huh") does not cut the agent off
_CONTINUING_MS = 200  # a pause in speech shorter than this is still the same breath
# The model hears speech too soft for our own meter; its detector ends an utterance after 500 ms of silence, so one not
# ended after this long held more than a back-channel.
_UNMETERED_MS = 800
_AFTERTHOUGHT_MS = 1_500  # a short "yes" just before the agent's end is an answer
STILL_THERE_MS = 8_000
GIVE_UP_MS = 20_000
_SCREENED_WAIT_MS = 30_000  # a screened person takes longer than one who already holds the phone
_NOTICE_MS = 600  # the model notices speech at most this long after its end
_CATCH_UP_MS = 1_000  # once ready, it goes through what was said before in this time,
_STALE_MS = 3_000  # and what was said may be this old
_OWED_MS = 20_000  # an answer is owed at the end of whatever could not be interrupted
_OPENINGS = 2  # the opening is said again when it was cut off, once


class TurnTaking:
    def __init__(self, stage: Stage, greeting: Greeting, ending: Ending) -> None:
        self._stage = stage
        self._greeting = greeting
        self._ending = ending
        self._speech_from = 0  # stream time at which the model noticed the person
        self._talked_over = False  # the person began while the agent had the floor
        self._reply_until = -1
        self._opening_from: int | None = None
        self._openings = 0  # how often its audio began
        self._saying: Purpose | None = None  # what was begun last
        self._claimed_run = -1
        self._wrap_up_due = False

    def open(self) -> None:
        """Says the opening line; what the person said before it needs no other answer."""
        if self._opening_from is None:
            self._opening_from = self._stage.at_ms
        self._stage.voice.say(Purpose.OPENING, self._stage.brief.opening_line)

    def speech_started(self, item_id: str) -> None:
        stage = self._stage
        stage.person_speaking = True
        self._speech_from = stage.at_ms
        self._talked_over = not stage.floor_free
        stage.timers.cancel(Timer.STILL_THERE, Timer.GIVE_UP)
        stage.transcript.person_began(item_id, self._beginning())
        self.frame()  # the meter may know the speech to be long enough already

    def speech_stopped(self, item_id: str) -> None:
        stage = self._stage
        stage.person_speaking = False
        stage.transcript.person_ended(item_id, min(stage.acoustics.last_voiced_ms, stage.at_ms))
        self.quiet()

    def model_lost(self) -> None:
        """What the model had noticed of the person it will notice anew, or never."""
        self._stage.person_speaking = self._talked_over = False
        self._claimed_run = -1

    def frame(self) -> None:
        """After each frame: whether the person's speech has become an interruption."""
        stage = self._stage
        if not stage.person_speaking or self._ending.begun or stage.floor_free or self._must_be_heard:
            return
        acoustics = stage.acoustics
        metered = acoustics.run_voiced_ms >= BACK_CHANNEL_MS and acoustics.silence_ms(stage.at_ms) < _CONTINUING_MS
        unmetered = self._talked_over and stage.at_ms - self._speech_from >= _UNMETERED_MS
        if metered or unmetered:
            self.interrupt()

    def interrupt(self) -> None:
        stage = self._stage
        self._reply_until = -1
        if stage.playout.audible:
            stage.interruptions += 1
            stage.note("barge_in")
        stage.cut_off()

    def committed(self, item_id: str) -> None:
        """The person's turn is over."""
        stage = self._stage
        began = stage.transcript.person_start(item_id)
        if self._ending.begun or self._greeting.holds_agent:
            return
        if self._opening_from is not None and (began is None or began < self._opening_from):
            return
        if not stage.floor_free:
            self._reply_until = stage.at_ms + (_OWED_MS if self._must_be_heard else _AFTERTHOUGHT_MS)
            return
        self.reply()

    def reply(self) -> None:
        stage = self._stage
        self._reply_until = -1
        if not stage.opening_heard and self._openings < _OPENINGS:
            self.open()
            return
        if stage.opening_heard:
            self._greeting.exchanged()
        if self._wrap_up_due:
            self._wrap_up()
            return
        stage.voice.say(Purpose.REPLY)

    def quiet(self) -> None:
        """Something ended: whoever should speak next does, or the silence is measured."""
        stage = self._stage
        if self._ending.begun:
            self._ending.settle()
            return
        if not stage.floor_free or stage.person_speaking:
            return
        if self._greeting.phase is Phase.SCREENED:
            self._arm(Timer.GIVE_UP, _SCREENED_WAIT_MS)
        elif self._opening_from is None:
            return
        elif stage.at_ms <= self._reply_until:
            self.reply()
        elif self._wrap_up_due:
            self._wrap_up()
        else:
            self._arm(Timer.STILL_THERE, STILL_THERE_MS)
            self._arm(Timer.GIVE_UP, GIVE_UP_MS)

    def agent_speaks(self, purpose: Purpose) -> None:
        """The agent's audio begins: silence is over, unless we only asked whether anyone is there."""
        self._stage.timers.cancel(Timer.STILL_THERE)
        self._saying = purpose
        if purpose is Purpose.OPENING:
            self._openings += 1
        if purpose is not Purpose.STILL_THERE:
            self._stage.timers.cancel(Timer.GIVE_UP)

    def timer(self, timer: Timer) -> None:
        stage = self._stage
        if timer is Timer.WRAP_UP:
            self._wrap_up_due = True
            if stage.floor_free and not stage.person_speaking and not self._greeting.holds_agent:
                self._wrap_up()
        elif timer is Timer.STILL_THERE and stage.floor_free and stage.timers.armed(Timer.GIVE_UP):
            stage.note("silence.prompted")
            stage.voice.say(Purpose.STILL_THERE, stage.brief.still_there_line)
        elif timer is Timer.GIVE_UP:
            stage.cut_off()
            self._ending.say(stage.brief.goodbye_line, EndCause.NO_RESPONSE, "no_response")

    @property
    def _must_be_heard(self) -> bool:
        """Whether the opening is being said again: who talks over it twice would never hear that an AI calls and
        records.
        """
        again = self._saying is Purpose.OPENING and self._openings >= _OPENINGS
        return again and not self._stage.opening_heard and not self._stage.floor_free

    def _beginning(self) -> int:
        """Where the utterance the model just noticed began by our own meter, which knows it sooner; now, when it was
        too soft for it.
        """
        stage = self._stage
        acoustics, at_ms = stage.acoustics, stage.at_ms
        run = acoustics.run_from_ms
        catching_up = stage.ready_ms is not None and at_ms - stage.ready_ms < _CATCH_UP_MS
        stale = acoustics.silence_ms(at_ms) > (_STALE_MS if catching_up else _NOTICE_MS)
        if run == self._claimed_run or stale:
            return at_ms
        self._claimed_run = run
        return run

    def _arm(self, timer: Timer, after_ms: int) -> None:
        """Arms from the silence's beginning: the prompt between must not restart the longer one."""
        stage = self._stage
        if timer is Timer.STILL_THERE and stage.timers.armed(Timer.GIVE_UP):
            return
        if not stage.timers.armed(timer):
            stage.timers.set(timer, stage.at_ms + after_ms)

    def _wrap_up(self) -> None:
        self._wrap_up_due = False
        self._stage.note("wrap_up")
        self._stage.voice.say(Purpose.WRAP_UP, self._stage.brief.wrap_up_line)
