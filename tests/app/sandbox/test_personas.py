"""The personas on the phone: each by itself, in simulated time, with real speech both ways."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.app.sandbox.callee import FRAME_BYTES, FRAME_MS, MISHEARD, SILENT, Callee
from callwright.app.sandbox.hearing import Ear
from callwright.app.sandbox.persona import BUILT_IN, Answer, Directory, PersonaError, load, read
from callwright.app.sandbox.speech import Speaker, tone

OPENING = "Hi, this is Acme Plumbing's AI assistant. This call is recorded. You can ask me to stop at any time."
GOODBYE = "Thank you for your time. Goodbye."
LISTED = [*range(100, 116), 117, 118, 119]


@cache
def speaker() -> Speaker:
    return Speaker(Ear())


@cache
def directory() -> Directory:
    return load(BUILT_IN)


@dataclass
class Talk:
    """A phone call without a phone: the agent's lines are spoken into the callee's ear."""

    callee: Callee
    audio: bytearray = field(default_factory=bytearray)
    hung_up: bool = False

    @staticmethod
    def to(number: str, folder: Path | None = None) -> "Talk":
        persona = (load(BUILT_IN, folder) if folder else directory()).find(number)
        lines = [*persona.lines(), (persona.voice, MISHEARD.say)]
        return Talk(Callee(persona, {line: speaker().say(line[1], line[0]) for line in lines}, speaker()._ear.hear))

    def step(self, frame: bytes = SILENT) -> None:
        if not self.hung_up:
            step = self.callee.step(frame)
            self.audio += step.audio
            self.hung_up = step.hung_up

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 1000 / FRAME_MS)):
            self.step()

    def say(self, text: str) -> None:
        audio = speaker().say(text, "en-gb").audio
        for at in range(0, len(audio), FRAME_BYTES):
            self.step(audio[at : at + FRAME_BYTES])

    def ask(self, text: str) -> str:
        """Says it and listens for up to ten seconds; what the callee answered, "" if nothing."""
        before = len(self.callee.said)
        self.say(text)
        self.wait(10)
        return " ".join(line.text for line in self.callee.said[before:])


def test_every_listed_number_has_a_persona() -> None:
    for number in LISTED:
        assert directory().find(f"+1312555{number:04}").number == f"555-{number:04}"
    for other in ("+13125550116", "+13125550142", "+14155550199"):
        assert directory().find(other).number == "555-0100"
    assert directory().find("+13125550142", dialled=True).number == "dial"


@pytest.mark.parametrize("number", ["+13125550100", "+13125550117", "+13125550118"])
@pytest.mark.parametrize(
    "questions",
    [
        {
            "What exactly do you need done, and how urgent is it?": "fairly urgent",
            "When would you like the work to happen?": "two weeks",
            "What budget do you have in mind?": "five hundred",
            "What is the address, and is there anything we should know about getting in?": "driveway",
            "Are you the person who decides, or does somebody else decide with you?": "own the house",
        },
        {
            "Is the date and time of your appointment still fine for you?": "keep the appointment",
            "Is the address we have for you still the right one?": "address in my request",
            "Is there anything we should know about parking or getting in?": "no pets",
            "Who will be there, and is this the best number to reach them?": "best number",
        },
        {
            "Was the work done to your satisfaction?": "very happy",
            "How would you rate it on a scale from one to five?": "five out of five",
            "Is there anything left that we should come back for?": "nothing else",
            "Would you be happy to be quoted, or to use us again?": "definitely",
        },
        {
            "How can we help you?": "described in my request",
            "Could you tell me a little more about it?": "a week ago",
            "How soon do you need this?": "As soon as possible",
            "When is the best time for the office to come back to you?": "Weekday mornings",
            "Would you like to compare other quotes?": "quote",
        },
    ],
    ids=["qualify_lead", "confirm_appointment", "follow_up", "consumer_callback"],
)
def test_a_cooperative_person_answers_sensibly(number: str, questions: dict[str, str]) -> None:
    talk = Talk.to(number)
    talk.wait(2)
    assert 500 <= talk.callee.said[0].start_ms <= 800
    assert "good time" in talk.ask(OPENING)
    for question, answer in questions.items():
        reply = talk.ask(question)
        assert reply and answer in reply
    assert "Bye" in talk.ask(GOODBYE)
    assert not talk.hung_up  # the agent may hang up first
    talk.wait(8)
    assert talk.hung_up
    assert [line.text for line in talk.callee.heard] == [OPENING, *questions, GOODBYE]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("+13125550101", "later this year"),
        ("+13125550102", "not interested"),
        ("+13125550103", "Stop calling me"),
        ("+13125550104", "real person"),
        ("+13125550113", "licensed"),
        ("+13125550114", "robot"),
        ("+13125550115", "wrong number"),
    ],
)
def test_a_person_says_what_it_is_there_for(number: str, words: str) -> None:
    talk = Talk.to(number)
    talk.wait(2)
    replies = [talk.ask(OPENING), talk.ask("Is this still a good time?")]
    assert words in " ".join(replies)


def test_a_short_voicemail_ends_with_a_tone() -> None:
    talk = Talk.to("+13125550105")
    talk.wait(12)
    (greeting,) = talk.callee.said
    assert greeting.end_ms < 10_000
    assert bytes(talk.audio).rstrip(b"\xff").endswith(tone(1000, 500)[-800:].rstrip(b"\xff"))
    talk.say(OPENING)
    talk.wait(14)
    assert not talk.hung_up and len(talk.callee.said) == 1
    talk.wait(2)
    assert talk.hung_up


def test_a_long_voicemail_speaks_for_over_15_seconds_without_a_pause() -> None:
    talk = Talk.to("+13125550106")
    talk.wait(40)
    (greeting,) = talk.callee.said
    spoken = bytes(talk.audio[greeting.start_ms * 8 : greeting.end_ms * 8])
    assert greeting.end_ms - greeting.start_ms > 15_000
    assert b"\xff" * 8000 not in spoken
    assert set(talk.audio[greeting.end_ms * 8 :]) == {0xFF}


def test_somebody_talks_over_the_agent() -> None:
    talk = Talk.to("+13125550110")
    talk.wait(2)
    start = talk.callee.now_ms
    talk.say(OPENING)
    assert 1500 <= talk.callee.said[-1].start_ms - start <= 1700
    assert talk.callee.said[-1].text.startswith("Yes, yes, hold on")


def test_somebody_who_interrupted_lets_the_agent_finish_and_interrupts_again() -> None:
    talk = Talk.to("+13125550110")
    talk.wait(2)
    talk.say(OPENING.split(".", maxsplit=1)[0])
    talk.wait(6)
    assert talk.callee.said[-1].text.startswith("Yes, yes")
    assert talk.ask(OPENING) == "Okay, I see. Go ahead then."
    start = talk.callee.now_ms
    talk.say("What exactly do you need done, and how urgent is it?")
    assert 1200 - FRAME_MS <= talk.callee.said[-1].start_ms - start <= 1400
    assert talk.callee.said[-1].text.startswith("Sorry, let me stop you")


def test_an_agent_that_falls_silent_when_interrupted_is_not_answered_twice() -> None:
    talk = Talk.to("+13125550110")
    talk.wait(2)
    audio = speaker().say(OPENING, "en-gb").audio[: 1900 * 8]
    for at in range(0, len(audio), FRAME_BYTES):
        talk.step(audio[at : at + FRAME_BYTES])
    talk.wait(8)
    assert len(talk.callee.said) == 2  # the hello and the interruption


def test_somebody_hangs_up_in_the_agents_sentence() -> None:
    talk = Talk.to("+13125550111")
    talk.wait(2)
    talk.ask(OPENING)
    start = talk.callee.now_ms
    talk.say(OPENING)
    assert talk.hung_up and 1500 <= talk.callee.now_ms - start <= 1700
    assert OPENING.startswith(talk.callee.heard[-1].text.replace(" …", ""))


def test_a_silent_person_stays_for_a_minute() -> None:
    talk = Talk.to("+13125550112")
    talk.ask(OPENING)
    talk.wait(49 - talk.callee.now_ms / 1000)
    assert not talk.hung_up
    talk.wait(12)
    assert talk.hung_up and talk.callee.now_ms == 60_000
    assert set(talk.audio) == {0xFF}


def test_a_screening_assistant_comes_before_the_person() -> None:
    talk = Talk.to("+13125550119")
    talk.wait(7)
    assert talk.callee.said[0].text.startswith("Hi. If you record your name")
    replies = talk.ask("This is Acme Plumbing's AI assistant calling about your request.")
    assert replies.startswith("Thanks. Please stay on the line. Hello?")
    assert "five hundred" in talk.ask("What is your budget?")


def test_damaged_words_are_asked_for_again() -> None:
    talk = Talk.to("+13125550100")
    talk.wait(2)
    audio = speaker().say(OPENING, "en-gb").audio
    for at in range(FRAME_BYTES, len(audio), FRAME_BYTES):
        talk.step(audio[at - FRAME_BYTES : at] if at // FRAME_BYTES % 3 else audio[at : at + FRAME_BYTES])
    talk.wait(5)
    assert talk.callee.said[-1].text == MISHEARD.say


@given(
    frames=st.lists(st.sampled_from([SILENT, b"\x00" * 160, tone(440, 20)]), max_size=200),
    number=st.sampled_from(LISTED),
)
@settings(max_examples=30, deadline=None)
def test_every_step_is_a_frame_and_a_hang_up_is_the_end(frames: list[bytes], number: int) -> None:
    talk = Talk.to(f"+1312555{number:04}")
    for frame in frames:
        talk.step(frame)
    assert len(talk.audio) == FRAME_BYTES * talk.callee.now_ms / FRAME_MS
    assert all(line.start_ms <= line.end_ms for line in talk.callee.heard)


def test_a_users_folder_adds_and_overrides(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('number: "555-0142"\ndescription: new\nlike: "555-0100"\n')
    (tmp_path / "b.yaml").write_text('number: "555-0108"\ndescription: not busy any more\nanswer: person\n')
    found = load(BUILT_IN, tmp_path)
    assert found.find("+13125550142").turns == found.find("+13125550100").turns
    assert found.find("+13125550108").answer is Answer.PERSON


HEAD = 'number: "555-0142"\ndescription: x\n'


@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        ("[1", "file", "is not YAML"),
        ("- 1", "file", "must be a mapping"),
        ("description: x", "number", "required"),
        ('number: "142"\ndescription: x', "number", "match"),
        (HEAD + "mood: bad", "mood", "known are answer, "),
        (HEAD + "answer: robot", "answer", "'person', 'voicemail'"),
        (HEAD + "ring_seconds: soon", "ring_seconds", "number"),
        (HEAD + "turns: [{say: Hi, when: '('}]", "turns.0.when", "is not a regular expression"),
        (HEAD + "turns: [{say: Hi, wenn: x}]", "turns.0.wenn", "known are after_silence_ms, "),
        (HEAD + "turns: [{pause_ms: 5}]", "turns.0", "does nothing"),
        (HEAD + "turns: [{say: 5}]", "turns.0.say", "string"),
        (HEAD + "turns: [{press: '9x'}]", "turns.0.press", "match"),
        (HEAD + "turns: [{say: Hi, pause_ms: -1}]", "turns.0.pause_ms", "greater"),
        (HEAD + "create: {status: 200}", "create.status", "greater"),
        (HEAD + 'like: "555-0142"', "like", "no `like` itself"),
    ],
)
def test_a_bad_file_is_refused_with_field_and_remedy(tmp_path: Path, text: str, field: str, remedy: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(PersonaError) as refused:
        read(file)
        load(BUILT_IN, tmp_path)
    assert str(refused.value).startswith(f"{file}: {field}: ") and remedy in str(refused.value)


def test_two_files_for_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(HEAD)
    with pytest.raises(PersonaError, match=r"b\.yaml: number: 555-0142 is already used by a\.yaml"):
        load(BUILT_IN, tmp_path)
    with pytest.raises(PersonaError, match="does not exist"):
        load(BUILT_IN, tmp_path / "nowhere")
