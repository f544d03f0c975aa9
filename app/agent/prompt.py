"""Renders the voice model's instructions, and the brief that the bridge needs of one call."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from callwright.app.agent.facts import PromptFacts
from callwright.app.agent.fence import fenced_facts, one_line
from callwright.app.agent.lines import LANGUAGES, SpokenLines, spoken_business, spoken_lines, spoken_topic
from callwright.app.agent.tools import TOOLS
from callwright.app.calls.conversation import CallBrief
from callwright.app.calls.lifecycle import CallType
from callwright.app.settings import Settings

TEMPLATES = Path(__file__).with_name("templates")
_BASE = "base.md.jinja"
# How long before the hard end the agent is told to wrap up.
WRAP_UP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Prompt:
    """`version` names the script (language, call type, digest of its sources), `sha256` this very text."""

    text: str
    version: str
    sha256: str


def render_prompt(facts: PromptFacts) -> Prompt:
    """The instructions for one call. The same facts always give the same text."""
    lines = spoken_lines(facts)
    text = (
        _environment()
        .get_template(_template_name(facts.call_type))
        .render(
            lines=lines,
            business=spoken_business(facts),
            industry=one_line(facts.industry, 60),
            topic=spoken_topic(facts),
            language=LANGUAGES[facts.language].name,
            minutes=f"{facts.max_seconds / 60:g}",
            data=fenced_facts(_data(facts)),
            known={label for label, value in facts.lead.items() if value},
        )
    )
    version = prompt_version(facts.call_type, facts.language)
    return Prompt(text, version, hashlib.sha256(text.encode()).hexdigest())


def build_brief(
    facts: PromptFacts, prompt: Prompt, settings: Settings, *, call_id: UUID, attempt_id: UUID
) -> CallBrief:
    """What the bridge must know to hold the conversation."""
    lines: SpokenLines = spoken_lines(facts)
    return CallBrief(
        call_id=call_id,
        attempt_id=attempt_id,
        instructions=prompt.text,
        opening_line=lines.opening,
        voicemail_message=lines.voicemail,
        screening_line=lines.screening,
        goodbye_line=lines.goodbye,
        still_there_line=lines.still_there,
        wrap_up_line=lines.wrap_up,
        language=facts.language,
        voice=facts.voice,
        model=settings.voice_model,
        tools=[dict(tool) for tool in TOOLS],
        max_seconds=facts.max_seconds,
        wrap_up_seconds=max(facts.max_seconds - WRAP_UP_SECONDS, facts.max_seconds // 2),
        record=True,
    )


@cache
def prompt_version(call_type: CallType, language: str) -> str:
    """`en/qualify_lead@3fa9c2e1d0b4`: changes by itself whenever a word of the script changes."""
    digest = hashlib.sha256()
    for name in (_BASE, _template_name(call_type)):
        digest.update((TEMPLATES / name).read_bytes())
    digest.update(repr(LANGUAGES[language]).encode())
    return f"{language}/{call_type.value}@{digest.hexdigest()[:12]}"


def _template_name(call_type: CallType) -> str:
    return f"{call_type.value}.md.jinja"


@cache
def _environment() -> Environment:
    # HTML escaping would only garble Markdown; what other people wrote is fenced instead.
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _data(facts: PromptFacts) -> dict[str, str]:
    return {
        "business": spoken_business(facts),
        "objective": facts.objective,
        "today": f"{facts.today:%A}, {facts.today.day} {facts.today:%B %Y}",
        "person's name": facts.person_name,
        **facts.lead,
        **{f"from the business: {key}": value for key, value in facts.business_facts.items()},
        "number to call back": facts.callback_number,
    }
