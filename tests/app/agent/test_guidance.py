"""Guidance comes in time and in one or two sentences, or not at all: over the real SDK."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from callwright.app.agent.claude import claude_client
from callwright.app.agent.guidance import LONGEST_ADVICE, Guidance, ask_guidance, brief_advice
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.settings import Settings
from tests.app.agent.samples import FACTS, turns
from tests.app.agent.standin import StandIn, answering, claude_stand_in

QUESTION = "How much does it cost?"
TURNS = turns(("agent", "What do you need?"), ("person", "A new sink. How much does it cost?"))


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with claude_stand_in() as stand_in:
        yield stand_in


def sandbox(url: str, seconds: float = 2.0) -> Settings:
    return Settings(_env_file=None, sandbox_url=url, guidance_timeout_seconds=seconds)


async def ask(settings: Settings) -> Guidance | None:
    async with claude_client(settings) as client:
        return await ask_guidance(client, settings, FACTS, TURNS, QUESTION)


async def test_advises_in_two_sentences_and_tells_the_tokens(stand_in: StandIn) -> None:
    guidance = await ask(sandbox(stand_in.url))
    assert guidance is not None
    assert "estimate" in guidance.text
    assert guidance.usage is not None
    assert guidance.usage.input_tokens > 50
    assert guidance.usage.output_tokens > 0
    assert guidance.usage.reference.startswith("msg_")


@pytest.mark.parametrize(("fault", "status"), [("status", 500), ("status", 529), ("status", 401), ("refusal", 500)])
async def test_goes_without_and_never_asks_twice(stand_in: StandIn, fault: str, status: int) -> None:
    stand_in.fail(fault, status=status)
    assert await ask(sandbox(stand_in.url)) is None
    assert stand_in.asked("guidance") == 1


async def test_gives_up_when_the_time_is_over(stand_in: StandIn) -> None:
    stand_in.fail("hang")
    async with asyncio.timeout(10):
        assert await ask(sandbox(stand_in.url, seconds=0.2)) is None


async def test_a_trickling_answer_counts_against_the_whole_time() -> None:
    """The SDK's own timeout is per read and would wait for ever."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(2000):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    async with answering(trickle) as url, asyncio.timeout(10):
        assert await ask(sandbox(url, seconds=0.3)) is None


@pytest.mark.parametrize(
    "body", ["", "<html>", "{}", "[]", '{"content": 1}', '{"usage": "x"}', '{"content": [{"type": "other"}]}']
)
async def test_survives_any_body(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with answering(answer) as url:
        assert await ask(sandbox(url)) is None


async def test_nobody_listening_is_no_advice() -> None:
    assert await ask(sandbox("http://127.0.0.1:9")) is None


@pytest.mark.parametrize(
    ("text", "cut_short", "advice"),
    [
        ("One. Two! Three?", False, "One. Two!"),
        (
            "We open at 8 a.m. on Monday. Call Dr. Lee then. More.",
            False,
            "We open at 8 a.m. on Monday. Call Dr. Lee then.",
        ),
        ("It costs $3.50 at most.", False, "It costs $3.50 at most."),
        ("Just say\n- yes\n- please", False, "Just say - yes - please"),
        ("Whole sentence. And a half", True, "Whole sentence."),
        ("Only a half", True, "Only a half"),
        ('He says "yes." That is it. Bye.', False, 'He says "yes." That is it.'),
        ("", False, ""),
    ],
)
def test_advice_is_cut_to_two_whole_sentences(text: str, cut_short: bool, advice: str) -> None:
    assert brief_advice(text, cut_short=cut_short) == advice


def test_endless_advice_is_cut() -> None:
    assert len(brief_advice("word " * 500)) <= LONGEST_ADVICE


def test_a_missing_key_is_told_at_once() -> None:
    with pytest.raises(CallwrightError) as raised:
        claude_client(Settings(_env_file=None, anthropic_api_key=None, sandbox_url=None))
    assert raised.value.code is ErrorCode.CONFIGURATION
