"""The functions offered to the voice model, as Realtime function tools."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

# What `end_call` may give as its reason; the bridge reports it back as `CallReport.end_reason`.
END_REASONS = (
    "goal_achieved",
    "follow_up_later",
    "declined",
    "do_not_call",
    "human_requested",
    "wrong_number",
    "no_response",
    "voicemail_left",
    "other",
)


def _tool(name: str, description: str, argument: str, meaning: str, choices: Sequence[str] = ()) -> dict[str, object]:
    value: dict[str, object] = {"type": "string", "description": meaning}
    if choices:
        value["enum"] = list(choices)
    parameters = {
        "type": "object",
        "properties": {argument: value},
        "required": [argument],
        "additionalProperties": False,
    }
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


TOOLS: tuple[Mapping[str, object], ...] = tuple(
    MappingProxyType(tool)
    for tool in (
        _tool(
            "get_guidance",
            "Ask a colleague how to answer a hard question. Gives one or two sentences of advice, or none in time.",
            "question",
            "The person's question, with what is needed to understand it.",
        ),
        _tool(
            "opt_out",
            "The person wants no more calls. Use it at once, before saying anything else.",
            "words",
            "The person's words.",
        ),
        _tool(
            "request_human",
            "The person wants to talk to a person. Somebody will call back.",
            "reason",
            "What the person wants to talk about, in a few words.",
        ),
        _tool(
            "end_call",
            "Hang up. Use it together with or right after your goodbye.",
            "reason",
            "What the call came to.",
            END_REASONS,
        ),
    )
)
