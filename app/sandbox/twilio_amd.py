"""Answering-machine detection as Twilio's would judge the sandbox's personas."""

from dataclasses import dataclass

from callwright.app.sandbox.callee import Callee
from callwright.app.sandbox.persona import Answer
from callwright.app.sandbox.twilio_order import Order

BEEP_AFTER_MS = 900  # the tone's lead and length after a greeting


@dataclass(frozen=True, slots=True)
class Verdict:
    """`answered_by` and when it is known, milliseconds after pickup."""

    answered_by: str
    at_ms: int


def judge(callee: Callee, order: Order) -> Verdict:
    """Follows the thresholds of the order: a short greeting then silence is a human, a long one a machine."""
    starts, ends = callee.persona.greeting_after_ms, callee.greeting_ends_ms
    limit = order.amd_timeout * 1000
    if not ends:
        verdict = Verdict("unknown", order.amd_silence_ms)
    elif callee.persona.answer is Answer.PERSON and ends - starts <= order.amd_speech_ms:
        verdict = Verdict("human", ends + order.amd_end_ms)
    elif order.machine_detection == "Enable":
        verdict = Verdict("machine_start", starts + order.amd_speech_ms)
    elif callee.persona.beep:
        verdict = Verdict("machine_end_beep", ends + BEEP_AFTER_MS)
    else:
        verdict = Verdict("machine_end_silence", ends + order.amd_end_ms)
    return verdict if verdict.at_ms <= limit else Verdict("unknown", limit)
