"""The people and machines that answer the sandbox's phones, read from YAML files.

A persona is chosen by the last seven digits of the number dialled; `number: dial` answers the calls that TwiML's
`<Dial>` places (the person a call is handed to). Every field is documented on the dataclasses; times are simulated.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

BUILT_IN = Path(__file__).parent / "personas"
DEFAULT_NUMBER = "555-0100"
DIALLED = "dial"
NUMBER = rf"^(\d{{3}}-\d{{4}}|{DIALLED})$"

Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
Words = Annotated[str, BeforeValidator(lambda value: " ".join(value.split()) if isinstance(value, str) else value)]


class PersonaError(Exception):
    """A persona file that cannot be used; the message names the file, the field and the remedy."""

    def __init__(self, file: Path, where: str, remedy: str) -> None:
        super().__init__(f"{file}: {where}: {remedy}")


class Answer(StrEnum):
    PERSON = "person"
    VOICEMAIL = "voicemail"
    NONE = "none"
    BUSY = "busy"
    REFUSED = "refused"
    SCREENED = "screened"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Turn(_Strict):
    """One thing the callee does, once unless `repeat`.

    `when` is a pattern on what was heard from the agent since the callee's last turn ("" = any). The turn comes after
    `after_silence_ms` of agent silence, or, with `over_agent_ms`, that far into the agent's speech. It then waits
    `pause_ms`, says `say` (in `voice`, else the persona's), beeps, presses keys, hangs up. `hang_up_mid_sentence_ms`
    hangs up that far into its own `say`, or, without `say`, into the agent's speech. `goodbye` marks a farewell: the
    callee hangs up by itself after 8 s of silence. `unprompted` turns need no word from the agent: when it
    is theirs next and both have been silent for `after_silence_ms`, the callee goes on.
    """

    say: Words = ""
    when: str = ""
    after_silence_ms: Milliseconds = 700
    over_agent_ms: Milliseconds = 0
    pause_ms: Milliseconds = 0
    repeat: bool = False
    goodbye: bool = False
    beep: bool = False
    press: Annotated[str, Field(pattern=r"^[0-9*#]*$")] = ""
    hang_up: bool = False
    hang_up_mid_sentence_ms: Milliseconds = 0
    unprompted: bool = False
    voice: str = ""

    @field_validator("when")
    @classmethod
    def _is_pattern(cls, when: str) -> str:
        try:
            re.compile(when)
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from error
        return when

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.say or self.press or self.beep or self.hang_up or self.hang_up_mid_sentence_ms):
            raise ValueError("does nothing; give it say, press, beep, hang_up or hang_up_mid_sentence_ms")
        return self

    def matches(self, heard: str) -> bool:
        return re.search(self.when, heard, re.IGNORECASE) is not None

    @property
    def talks_over(self) -> int:
        """Milliseconds into the agent's speech at which this turn cuts in; 0 = it waits for silence."""
        return self.over_agent_ms or (0 if self.say else self.hang_up_mid_sentence_ms)


class Create(_Strict):
    """What the carrier does with the request to create the call, before anybody's phone rings.

    `error`: refuse with this Twilio code (HTTP 400). `status` + `times`: answer that many requests with this HTTP
    status, then accept. `lose_answer`: place the call but break the connection instead of answering.
    """

    error: Annotated[int, Field(ge=0, le=99_999)] = 0
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    times: Annotated[int, Field(ge=1)] = 1
    lose_answer: bool = False


class Persona(_Strict):
    """Who answers `number` (the last seven digits, `555-0100`).

    `greeting` is said (in `greeting_voice`, else `voice`) `greeting_after_ms` after pickup, followed by a tone if
    `beep`. The turns of the persona with the number `like` follow its own. The callee hangs up after
    `patience_seconds` without a word from the agent, and after `stay_seconds` in any case.
    """

    number: Annotated[str, Field(pattern=NUMBER)]
    description: Words
    voice: str = "en-us"
    ring_seconds: Annotated[float, Field(ge=0, le=600)] = 2.0
    answer: Annotated[Answer, Field(strict=False)] = Answer.PERSON
    greeting: Words = "Hello?"
    greeting_voice: str = ""
    greeting_after_ms: Milliseconds = 600
    beep: bool = False
    patience_seconds: Annotated[float, Field(gt=0)] = 30.0
    stay_seconds: Annotated[float, Field(gt=0)] = 600.0
    like: str = ""
    create: Create = Create()
    turns: Annotated[tuple[Turn, ...], Field(strict=False)] = ()

    def lines(self) -> list[tuple[str, str]]:
        """Every (voice, text) this persona may say, the greeting first."""
        said = [(self.greeting_voice or self.voice, self.greeting)] + [
            (turn.voice or self.voice, turn.say) for turn in self.turns
        ]
        return [line for line in said if line[1]]


class Directory:
    """Personas by number; unlisted numbers behave like 555-0100."""

    def __init__(self, personas: Iterable[Persona]) -> None:
        self._by_number = {persona.number: persona for persona in personas}
        if DEFAULT_NUMBER not in self._by_number:
            raise ValueError(f"a persona for {DEFAULT_NUMBER} is required")

    def voices(self) -> set[str]:
        """Every voice somebody speaks with."""
        return {voice for persona in self._by_number.values() for voice, _ in persona.lines()}

    def find(self, number: str, *, dialled: bool = False) -> Persona:
        """The persona of an E.164 number; `dialled` for a `<Dial>` target, which unlisted means the hand-off person."""
        digits = re.sub(r"\D", "", number)[-7:]
        listed = self._by_number.get(f"{digits[:3]}-{digits[3:]}")
        if listed is None and dialled:
            listed = self._by_number.get(DIALLED)
        return listed or self._by_number[DEFAULT_NUMBER]


def load(*folders: Path) -> Directory:
    """Reads every `*.yaml` and `*.yml` of the folders; later ones win where numbers meet. Raises PersonaError."""
    found: dict[str, tuple[Path, Persona]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise PersonaError(folder, "folder", "does not exist; create it or leave --personas out")
        seen: dict[str, Path] = {}
        for file in sorted(file for file in folder.iterdir() if file.suffix in (".yaml", ".yml")):
            persona = read(file)
            if persona.number in seen:
                raise PersonaError(
                    file, "number", f"{persona.number} is already used by {seen[persona.number].name}; pick another"
                )
            seen[persona.number] = file
            found[persona.number] = (file, persona)
    return Directory([_completed(file, persona, found) for file, persona in found.values()])


def _completed(file: Path, persona: Persona, found: Mapping[str, tuple[Path, Persona]]) -> Persona:
    if not persona.like:
        return persona
    if persona.like not in found or found[persona.like][1].like:
        raise PersonaError(file, "like", f"{persona.like} must be the number of a persona that has no `like` itself")
    return persona.model_copy(update={"turns": (*persona.turns, *found[persona.like][1].turns)})


def read(file: Path) -> Persona:
    """Reads and validates one persona file. Raises PersonaError."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PersonaError(file, "file", f"is not YAML in UTF-8: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise PersonaError(file, "file", "must be a mapping with at least `number` and `description`")
    try:
        return Persona.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        if first["type"] == "extra_forbidden":
            nested: dict[object, type[BaseModel]] = {"turns": Turn, "create": Create}
            known = ", ".join(sorted(nested.get(first["loc"][0], Persona).model_fields))
            raise PersonaError(file, where, f"is not a field; known are {known}") from error
        raise PersonaError(file, where, first["msg"].removeprefix("Value error, ")) from error
