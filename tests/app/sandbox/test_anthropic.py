"""The stand-in for Claude, driven by the real SDK over loopback."""

import json
from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import OutputConfigParam
from pydantic import BaseModel, Field

from callwright.app.sandbox.ledger import Fault
from tests.app.sandbox.realtime_wire import Service, serving

GOAL = """\
Summarise this call.
ended by: agent
[00:01] agent: Smith & Sons Roofing calling: I'm Ava, an AI assistant. Do you have a minute?
[00:06] person: Yes, go ahead.
[00:08] agent: What is your budget for the roof?
[00:11] person: About twelve thousand dollars.
[00:14] agent: Thank you, we will send you the estimate. Goodbye!
"""


class NextStep(BaseModel):
    kind: Literal["send_estimate", "call_back", "none"]
    note: str


class Summary(BaseModel):
    outcome: Literal[
        "goal_achieved",
        "follow_up_later",
        "declined",
        "do_not_call",
        "human_requested",
        "wrong_number",
        "no_response",
        "voicemail_left",
        "other",
    ]
    goal_achieved: bool = Field(alias="goalAchieved")
    interest_level: Literal["high", "medium", "low", "none"] = Field(alias="interestLevel")
    key_points: list[str] = Field(alias="keyPoints")
    next_action: str = Field(alias="nextAction")
    sentiment: Literal["positive", "neutral", "negative"]
    do_not_call: bool = Field(alias="doNotCall")
    step: NextStep | None
    score: int
    tags: list[str]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(api_key="sk-ant-test", base_url=service.url, max_retries=0) as made:
        yield made


async def summary_of(client: AsyncAnthropic, text: str) -> Summary:
    parsed = await client.messages.parse(
        model="claude-sonnet-5-5",
        max_tokens=1000,
        system="You write summaries of phone calls.",
        messages=[{"role": "user", "content": text}],
        output_format=Summary,
    )
    assert parsed.parsed_output is not None
    return parsed.parsed_output


async def guidance_on(client: AsyncAnthropic, question: str) -> str:
    message = await client.messages.create(
        model="claude-haiku-5-5", max_tokens=100, messages=[{"role": "user", "content": question}]
    )
    block = message.content[0]
    assert block.type == "text"
    return block.text


async def test_a_summary_fills_the_schema_by_meaning(client: AsyncAnthropic) -> None:
    summary = await summary_of(client, GOAL)
    assert (summary.outcome, summary.goal_achieved, summary.interest_level) == ("goal_achieved", True, "high")
    assert (summary.sentiment, summary.do_not_call) == ("positive", False)
    assert summary.key_points == ["They said: Yes, go ahead.", "They said: About twelve thousand dollars."]
    assert summary.next_action


@pytest.mark.parametrize(
    ("said", "outcome", "interest", "do_not_call"),
    [
        (["Please stop calling me!"], "do_not_call", "none", True),
        (["You have the wrong number."], "wrong_number", "none", False),
        (["Can I speak to a human?"], "human_requested", "medium", False),
        (["We'd like that, but later in the year."], "follow_up_later", "medium", False),
        (["No thanks, not interested."], "declined", "none", False),
        (["Please leave a message after the tone."], "voicemail_left", "none", False),
        ([], "no_response", "none", False),
        (["Well, I was thinking of"], "other", "low", False),
    ],
)
async def test_outcomes_by_what_the_person_said(
    client: AsyncAnthropic, said: list[str], outcome: str, interest: str, do_not_call: bool
) -> None:
    lines = ["ended by: person", "[00:01] agent: Hello, this is Ava, an AI assistant. Do you have a minute?"]
    lines += [f"[00:0{index + 3}] person: {words}" for index, words in enumerate(said)]
    summary = await summary_of(client, "\n".join(lines))
    assert (summary.outcome, summary.interest_level, summary.do_not_call) == (outcome, interest, do_not_call)
    assert summary.goal_achieved is False


@pytest.mark.parametrize(
    ("fact", "outcome"),
    [
        ("a machine answered and the voicemail message was left", "voicemail_left"),
        ("the agent's reason for hanging up: goal_achieved", "goal_achieved"),
        ("the agent's reason for hanging up: none given", "other"),
    ],
)
async def test_facts_about_the_end_are_believed(client: AsyncAnthropic, fact: str, outcome: str) -> None:
    text = f"ended by: agent\n{fact}\n[00:01] agent: Hello?\n[00:03] person: Yes, it is fine."
    assert (await summary_of(client, text)).outcome == outcome


async def test_two_cooperative_turns_cut_off_by_the_person_are_no_goal(client: AsyncAnthropic) -> None:
    cut = GOAL.replace("ended by: agent", "ended by: person").rsplit("[00:14]", 1)[0]
    assert (await summary_of(client, cut)).outcome == "other"


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("How much will the roof cost?", "estimate"),
        ("Are you licensed?", "licence"),
        ("Do you have insurance?", "insurance"),
        ("What about a warranty?", "warranty"),
        ("Question: can I pay in instalments?\nWhat else: the price was mentioned.", "pay"),
        ("Do you like dogs?", "office"),
    ],
)
async def test_guidance_is_one_short_line_on_the_question(client: AsyncAnthropic, question: str, word: str) -> None:
    advice = await guidance_on(client, question)
    assert word in advice
    assert advice.count(".") <= 2


async def test_guidance_tells_the_fact_that_the_request_holds(client: AsyncAnthropic) -> None:
    message = await client.messages.create(
        model="claude-haiku-5-5",
        max_tokens=100,
        system="Use only the facts given.\n<<<DATA 1\nbudget: 9000\nwarranty: ten years on labour\nDATA 1>>>",
        messages=[{"role": "user", "content": "How long is your warranty?"}],
    )
    assert message.content[0].type == "text"
    assert message.content[0].text == "Ten years on labour."


async def test_usage_model_and_request_id(client: AsyncAnthropic) -> None:
    message = await client.messages.create(
        model="claude-haiku-5-5", max_tokens=100, messages=[{"role": "user", "content": "How much is it?"}]
    )
    assert message.model == "claude-haiku-5-5"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 5
    assert message.usage.output_tokens > 5
    assert message._request_id is not None


async def test_streaming_gives_the_same_words_in_pieces(client: AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="claude-haiku-5-5", max_tokens=100, messages=[{"role": "user", "content": "Are you licensed?"}]
    ) as stream:
        pieces = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert len(pieces) > 1
    assert "".join(pieces) == await guidance_on(client, "Are you licensed?")
    assert (final.stop_reason, final.usage.output_tokens > 5) == ("end_turn", True)


async def test_the_token_limit_cuts_the_text(client: AsyncAnthropic) -> None:
    message = await client.messages.create(
        model="claude-haiku-5-5", max_tokens=3, messages=[{"role": "user", "content": "Are you licensed?"}]
    )
    assert message.stop_reason == "max_tokens"


# Refusals


@pytest.mark.parametrize(
    ("headers", "body", "status", "named"),
    [
        ({}, {}, 401, "x-api-key"),
        ({"x-api-key": "sk-ant-invalid"}, {}, 401, "x-api-key"),
        ({"x-api-key": "k"}, {}, 400, "anthropic-version"),
        ({"x-api-key": "k", "anthropic-version": "2026-10-21"}, {}, 400, "model"),
        ({"x-api-key": "k", "anthropic-version": "2026-10-21"}, {"model": "m", "max_tokens": 9}, 400, "messages"),
        (
            {"authorization": "Bearer k", "anthropic-version": "2026-10-21"},
            {"model": "m", "max_tokens": 0, "messages": [{"role": "user", "content": "?"}]},
            400,
            "max_tokens",
        ),
        (
            {"authorization": "Bearer k", "anthropic-version": "2026-10-21"},
            {"model": "m", "max_tokens": 9, "messages": [{"role": "robot", "content": "?"}]},
            400,
            "role",
        ),
        (
            {"authorization": "Bearer k", "anthropic-version": "2026-10-21"},
            {
                "model": "m",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "?"}],
                "output_config": {"format": 1},
            },
            400,
            "output_config",
        ),
    ],
)
async def test_bad_requests_have_the_service_s_error_shape(
    service: Service, headers: dict[str, str], body: object, status: int, named: str
) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{service.url}/v1/messages", json=body, headers=headers) as answer:
            told = await answer.json()
    assert answer.status == status
    assert told["type"] == "error"
    assert named in told["error"]["message"]
    assert told["request_id"] == answer.headers["request-id"]


# Faults


async def test_a_status_fault_is_the_sdk_s_own_error_and_passes(service: Service, client: AsyncAnthropic) -> None:
    service.ledger.script(Fault("anthropic", "status", status=529))
    with pytest.raises(anthropic.APIStatusError) as failed:
        await guidance_on(client, "Are you licensed?")
    assert failed.value.status_code == 529
    assert await guidance_on(client, "Are you licensed?")


async def test_the_sdk_retries_what_passes(service: Service, client: AsyncAnthropic) -> None:
    service.ledger.script(Fault("anthropic", "status", status=503, times=2))
    assert await guidance_on(client.with_options(max_retries=2), "Are you licensed?")
    assert [entry.facts["retry"] for entry in service.ledger.entries("anthropic", "guidance")] == ["0", "1", "2"]


async def test_a_hanging_answer_ends_by_the_client_s_timeout(service: Service, client: AsyncAnthropic) -> None:
    service.ledger.script(Fault("anthropic", "hang"))
    with pytest.raises(anthropic.APITimeoutError):
        await guidance_on(client.with_options(timeout=0.2), "Are you licensed?")


async def test_cut_json_and_refusal_show_in_the_stop_reason(service: Service, client: AsyncAnthropic) -> None:
    wanted: OutputConfigParam = {"format": {"type": "json_schema", "schema": Summary.model_json_schema()}}

    async def ask() -> anthropic.types.Message:
        return await client.messages.create(
            model="claude-sonnet-5-5",
            max_tokens=1000,
            messages=[{"role": "user", "content": GOAL}],
            output_config=wanted,
        )

    service.ledger.script(Fault("anthropic", "cut_json"))
    cut = await ask()
    assert cut.stop_reason == "max_tokens"
    assert cut.content[0].type == "text"
    with pytest.raises(ValueError):
        json.loads(cut.content[0].text)
    service.ledger.script(Fault("anthropic", "refusal"))
    refused = await ask()
    assert (refused.stop_reason, refused.content) == ("refusal", [])
    whole = await ask()
    assert whole.content[0].type == "text"
    assert Summary.model_validate_json(whole.content[0].text).outcome == "goal_achieved"
    assert len(service.ledger.entries("anthropic", "summary")) == 3


async def test_the_ledger_keeps_no_words(service: Service, client: AsyncAnthropic) -> None:
    await summary_of(client, GOAL)
    kept = repr(service.ledger.entries("anthropic"))
    assert "twelve" not in kept
    assert "sk-ant" not in kept
