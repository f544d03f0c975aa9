"""What the person presses: each key means what the brief says, others are noted only."""

from callwright.app.calls.conversation import AnsweredBy, DigitAction, EndCause
from callwright.bridge.actions import Purpose, TellModel
from callwright.bridge.ending import Ending
from callwright.bridge.greeting import Greeting
from callwright.bridge.stage import Stage
from callwright.bridge.timers import Timer

_FAREWELL_MS = 8_000


class Keypad:
    def __init__(self, stage: Stage, greeting: Greeting, ending: Ending) -> None:
        self._stage = stage
        self._greeting = greeting
        self._ending = ending

    def pressed(self, digit: str) -> None:
        """What the person asks for counts also during the last words; only these are not interrupted."""
        stage, brief = self._stage, self._stage.brief
        action = brief.digits.get(digit)
        if action is DigitAction.OPT_OUT:
            # The desk tells keypress from voice by these words.
            stage.opt_out(f"pressed {digit}")
        elif action is DigitAction.HUMAN:
            stage.request_human(f"pressed {digit}")
        if action is None or self._ending.begun:
            return
        stage.cut_off()
        self._greeting.settle(AnsweredBy.HUMAN)
        if action is DigitAction.OPT_OUT:
            self._ending.say(brief.goodbye_line, EndCause.OPTED_OUT, "do_not_call")
        elif action is DigitAction.GOODBYE:
            self._ending.say(brief.goodbye_line, EndCause.AGENT_ENDED, "declined")
        elif action is DigitAction.HUMAN:
            self._tell(f"I pressed {digit}: I would like to speak to a human.")
            stage.timers.set(Timer.FAREWELL, stage.at_ms + _FAREWELL_MS)
        else:
            self._tell(f"I pressed {digit}.")

    def _tell(self, text: str) -> None:
        self._stage.out.append(TellModel(text))
        self._stage.voice.say(Purpose.REPLY)
