"""The stand-in model's mind: what it says and does in each situation, as a table."""

import pytest

from callwright.app.sandbox.brain import Brain, Called, Heard, Memory, Reply, Said, ToolCall
from callwright.app.sandbox.brain_intents import load_intents
from callwright.app.sandbox.brain_prompt import read_prompt, words_to_say
from tests.app.sandbox.realtime_wire import INSTRUCTIONS

TOOLS = frozenset({"get_guidance", "opt_out", "request_human", "end_call"})
OPENING = Said("Smith & Sons Roofing calling: I'm Ava, an AI assistant. Do you have a minute?")
BUDGET, TIMING = "What is your budget for the roof?", "When would you like the work done?"
BRAIN = Brain(load_intents())


def reply_to(*memories: Memory | str, tools: frozenset[str] = TOOLS, instructions: str = INSTRUCTIONS) -> Reply:
    return BRAIN.reply(instructions, [Heard(m) if isinstance(m, str) else m for m in memories], tools)


@pytest.mark.parametrize(
    ("line", "intent"),
    [
        ("Please stop calling me!", "opt_out"),
        ("Don't call this number again.", "opt_out"),
        ("Take me off your list.", "opt_out"),
        ("Stop.", "opt_out"),
        ("Let me stop you there, I have a question.", None),
        ("Remove my number, please.", "opt_out"),
        ("Put me on the do-not-call list.", "opt_out"),
        ("No me llamen más, por favor.", "opt_out"),
        ("Quítenme de la lista.", "opt_out"),
        ("I think you've got the wrong number.", "wrong_number"),
        ("There's no one here by that name.", "wrong_number"),
        ("Am I talking to a robot?", "robot"),
        ("Are you a real person?", "robot"),
        ("Is this a recording?", "robot"),
        ("Can I talk to a real person?", "human"),
        ("I'd rather speak with a human.", "human"),
        ("Could someone call me back, a person? Let me speak to your manager.", "human"),
        ("We are interested, but later in the year.", "later"),
        ("Can you call me back next month?", "later"),
        ("Not right now, I'm busy.", "later"),
        ("We won't decide anything until next spring.", "later"),
        ("No thanks, we're not interested.", "declined"),
        ("We already found someone.", "declined"),
        ("Hold on a second.", "hold_on"),
        ("Sorry? Could you say that again?", "repeat"),
        ("Is this call recorded?", "recorded"),
        ("Who is this?", "who"),
        ("What is this about?", "who"),
        ("Okay, bye.", "goodbye"),
        ("Thanks for your help. Bye.", "goodbye"),
        ("Hello?", "greeting"),
        ("Hello? Hi, I saw it's about my request.", None),
        ("Yes, hold on. What is this about?", "who"),
        ("Thanks for being honest. What would you like to know?", "go_on"),
        ("How much will it cost?", "question"),
        ("Are you licensed and insured?", "question"),
        ("About twelve thousand dollars.", None),
        ("Later this week would be fine.", None),
        ("Before the winter, ideally.", None),
        ("No thank you, that's all.", None),
        ("I don't want to wait until spring.", None),
        ("My wife and I decide together.", None),
        ("The insurance pays for it.", None),
        ("Yes, it's the same address.", None),
    ],
)
def test_what_a_line_means(line: str, intent: str | None) -> None:
    assert load_intents().of(line) == intent


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("I think you have the wrong number.", "wrong_number"),
        ("No thanks, not interested.", "declined"),
        ("Yes, but later in the year.", "follow_up_later"),
    ],
)
def test_it_takes_leave_and_ends_the_call_at_once(line: str, reason: str) -> None:
    reply = reply_to(OPENING, line)
    assert reply.say
    assert "?" not in reply.say
    assert reply.call == ToolCall("end_call", {"reason": reason})


@pytest.mark.parametrize(
    ("line", "tool", "argument", "reason"),
    [
        ("Stop calling me.", "opt_out", "words", "do_not_call"),
        ("Can I talk to a human?", "request_human", "reason", "human_requested"),
    ],
)
def test_it_acts_first_and_then_takes_leave(line: str, tool: str, argument: str, reason: str) -> None:
    assert reply_to(OPENING, line) == Reply(None, ToolCall(tool, {argument: line}))
    after = reply_to(OPENING, line, Called(tool, '{"ok":true}'))
    assert after.say
    assert after.call == ToolCall("end_call", {"reason": reason})
    without = reply_to(OPENING, line, tools=frozenset({"end_call"}))
    assert without.call == ToolCall("end_call", {"reason": reason})
    assert reply_to(OPENING, line, tools=frozenset()).call is None


def test_it_asks_its_questions_in_order_and_closes() -> None:
    first = reply_to(OPENING, "Sure.")
    assert first.say is not None
    assert first.say.endswith(BUDGET)
    second = reply_to(OPENING, "Sure.", Said(first.say), "Twelve thousand.")
    assert second.say is not None
    assert second.say.endswith(TIMING)
    last = reply_to(OPENING, "Sure.", Said(first.say), "Twelve thousand.", Said(second.say), "Next month.")
    assert last.say == "Thank you, we will send you the estimate. Goodbye!"
    assert last.call == ToolCall("end_call", {"reason": "goal_achieved"})
    assert reply_to(OPENING, Said(last.say), Called("end_call", None), "Bye.") == Reply("Goodbye.")


def test_it_offers_a_person_once_where_its_rules_say_so() -> None:
    rules = INSTRUCTIONS + "\n## Rules\n- Early in the call, say once that a person can call back instead.\n"
    first = reply_to(OPENING, "Sure.", instructions=rules)
    assert first.say == f"Got it. If you would rather speak with a person, just say so. {BUDGET}"
    second = reply_to(OPENING, "Sure.", Said(first.say), "Twelve thousand.", instructions=rules)
    assert second.say == f"Perfect, thanks. {TIMING}"


def test_when_told_that_time_is_almost_up_it_takes_leave() -> None:
    reply = reply_to(OPENING, Said("Our time is almost up. Is there one last thing?"), "No, nothing.")
    assert reply.say is not None
    assert reply.say.endswith("Goodbye.")
    assert reply.call == ToolCall("end_call", {"reason": "other"})


def test_it_says_honestly_that_it_is_an_ai_and_goes_on() -> None:
    reply = reply_to(OPENING, "Sure.", Said(BUDGET), "Wait, am I talking to a robot?")
    assert reply == Reply(f"Yes, I'm an AI assistant calling for Smith & Sons Roofing. {BUDGET}")


def test_it_says_when_it_did_not_hear() -> None:
    assert reply_to(OPENING, Said(BUDGET), "It is … dollars.") == Reply(f"Sorry, I didn't catch that. {BUDGET}")
    # Too much was lost to understand an answer, but not to understand "stop calling".
    assert reply_to(OPENING, Said(BUDGET), "… stop calling …").call == ToolCall(
        "opt_out", {"words": "… stop calling …"}
    )


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ('{"advice":"Ten years."}', "Ten years."),
        ('{"advice":null}', "I don't have that detail here, but Smith & Sons Roofing will get back to you on it."),
        ('{"error":"timeout"}', "I don't have that detail here, but Smith & Sons Roofing will get back to you on it."),
        ("Ten years.", "Ten years."),
    ],
)
def test_it_says_the_advice_and_comes_back_to_its_question(output: str, said: str) -> None:
    question = "How long is the warranty?"
    asked = reply_to(OPENING, Said(BUDGET), question)
    assert asked == Reply(None, ToolCall("get_guidance", {"question": question}))
    assert reply_to(OPENING, Said(BUDGET), question, Called("get_guidance", output)) == Reply(f"{said} {BUDGET}")


def test_an_answer_with_a_question_settles_the_open_question() -> None:
    line = "About twelve thousand. Are you insured?"
    assert reply_to(OPENING, Said(BUDGET), line).call == ToolCall("get_guidance", {"question": "Are you insured?"})
    after = reply_to(OPENING, Said(BUDGET), line, Called("get_guidance", '{"advice":"We are."}'))
    assert after == Reply(f"We are. {TIMING}")


def test_several_turns_before_it_speaks_are_one_answer() -> None:
    assert reply_to(OPENING, "Yes.", "Please stop calling me.").call is not None


def test_a_question_hardly_heard_is_asked_again() -> None:
    again = reply_to(OPENING, "Sure.", Said("Great, thank you. What is"), "Sorry, my dog barked.")
    assert again.say is not None
    assert again.say.endswith(BUDGET)


@pytest.mark.parametrize("instructions", ["", "You are helpful.", "## Rules\nBe kind."])
def test_it_works_without_any_heading(instructions: str) -> None:
    opening = reply_to("Hello?", instructions=instructions)
    assert opening.say is not None
    assert "AI assistant" in opening.say
    closing = reply_to(Said(opening.say), "Yes, fine.", instructions=instructions)
    assert closing.say is not None
    assert "Goodbye" in closing.say


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        ('Say exactly: "Hello, Maria."', "Hello, Maria."),
        ('The line is silent.\nSay exactly: "Are you still there?"\nNothing else.', "Are you still there?"),
        ('Say exactly: "She said "yes" to it."', 'She said "yes" to it.'),
        ("Say exactly: “Good bye.”", "Good bye."),
        ("Say hello.", None),
    ],
)
def test_words_to_be_said_exactly(instructions: str, words: str | None) -> None:
    assert words_to_say(instructions) == words
    if words is not None:
        assert BRAIN.reply(INSTRUCTIONS, [OPENING, Heard("Stop calling.")], TOOLS, instructions) == Reply(words)


def test_the_instructions_of_one_response_win_if_they_have_headings() -> None:
    own = "## Questions to ask\n1. Is it raining?"
    assert (BRAIN.reply(INSTRUCTIONS, [OPENING, Heard("Sure.")], TOOLS, own).say or "").endswith("Is it raining?")
    hint = "The person is back on the line."
    assert (BRAIN.reply(INSTRUCTIONS, [OPENING, Heard("Sure.")], TOOLS, hint).say or "").endswith(BUDGET)


@pytest.mark.parametrize(
    "instructions",
    [
        "## Who you are\nYou are Ava, an AI assistant calling for Smith & Sons Roofing. You are warm.",
        "## Who you are\nThe AI phone assistant of Smith & Sons Roofing, in Chicago.",
        "## What you know\n- customer: Maria\n- business: Smith & Sons Roofing\n",
        "## Opening line\nHello, this is an AI assistant calling on behalf of Smith & Sons Roofing, recorded.",
    ],
)
def test_the_business_is_found(instructions: str) -> None:
    assert read_prompt(instructions).business == "Smith & Sons Roofing"
