"""What the voice model may do besides speaking: ask for guidance, record an opt-out, call for a human, end the call."""

import orjson

from callwright.app.calls.conversation import EndCause
from callwright.bridge.actions import AnswerTool, AskGuidance, Purpose
from callwright.bridge.ending import Ending
from callwright.bridge.events import GuidanceGiven, ToolCalled
from callwright.bridge.stage import Stage

_END_CAUSES = {
    "goal_achieved": EndCause.AGENT_ENDED,
    "follow_up_later": EndCause.AGENT_ENDED,
    "declined": EndCause.AGENT_ENDED,
    "do_not_call": EndCause.OPTED_OUT,
    "human_requested": EndCause.HUMAN_REQUESTED,
    "wrong_number": EndCause.AGENT_ENDED,
    "no_response": EndCause.NO_RESPONSE,
    "voicemail_left": EndCause.VOICEMAIL,
    "other": EndCause.AGENT_ENDED,
}


class Tools:
    def __init__(self, stage: Stage, ending: Ending) -> None:
        self._stage = stage
        self._ending = ending
        self._seen: set[str] = set()
        self.model_knows_opt_out = False

    def called(self, call: ToolCalled, *, alive: bool) -> None:
        """Acts on a call once. Of a response that was cut off (`alive` false) only what the person asked for counts."""
        if call.call_id in self._seen:
            return
        self._seen.add(call.call_id)
        self._stage.voice.tool_opened(call.call_id)
        if call.name == "opt_out":
            self.model_knows_opt_out = True
            self._stage.opt_out(_argument(call, "words"))
            self._answer(call.call_id, {"ok": True}, reply=alive)
        elif call.name == "request_human":
            self._stage.request_human(_argument(call, "reason"))
            self._answer(call.call_id, {"ok": True}, reply=alive)
        elif not alive:
            self._answer(call.call_id, {"ok": False, "error": "interrupted"}, reply=False)
        elif call.name == "end_call":
            self._end(call)
        elif call.name == "get_guidance":
            self._stage.note("guidance.asked")
            turns = self._stage.transcript.turns
            self._stage.out.append(AskGuidance(call.call_id, _argument(call, "question"), turns))
        else:
            self._stage.note("tool.unknown")
            self._answer(call.call_id, {"ok": False, "error": "no such tool"}, reply=True)

    def guided(self, event: GuidanceGiven) -> None:
        self._stage.note("guidance.given" if event.advice else "guidance.missing")
        self._answer(event.call_id, {"advice": event.advice}, reply=True)

    def _end(self, call: ToolCalled) -> None:
        reason = _argument(call, "reason")
        reason = reason if reason in _END_CAUSES else "other"
        self._answer(call.call_id, {"ok": True}, reply=False)
        if reason == "do_not_call":
            self._stage.opt_out("")
        elif reason == "human_requested":
            self._stage.request_human("")
        cause = _END_CAUSES[reason]
        if self._stage.transcript.agent_spoke_last:
            self._ending.let_finish(cause, reason)
        else:
            self._ending.say(self._stage.brief.goodbye_line, cause, reason)

    def _answer(self, call_id: str, output: dict[str, object], *, reply: bool) -> None:
        self._stage.out.append(AnswerTool(call_id, orjson.dumps(output).decode()))
        # A person who is speaking gets the answer with the reply to their turn.
        if reply and not self._ending.begun and not self._stage.person_speaking:
            self._stage.voice.say(Purpose.REPLY)
        self._stage.voice.tool_answered(call_id)


def _argument(call: ToolCalled, name: str) -> str:
    """A text argument; empty when the model's JSON is broken or lacks it."""
    try:
        arguments = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return ""
    value = arguments.get(name) if isinstance(arguments, dict) else None
    return value if isinstance(value, str) else ""
