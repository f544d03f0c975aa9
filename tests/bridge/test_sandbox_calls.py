"""Whole calls against the stand-ins: the sandbox's carrier dials a persona, its model speaks, the bridge is in between.

The stand-ins run four times faster than life; what is checked are words, times of the stream and the carrier's own
record.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from typing import Any
from xml.sax.saxutils import quoteattr

import aiohttp
import orjson
import pytest
import structlog
import uvloop
from openai import AsyncOpenAI

from callwright.app.calls.conversation import AnsweredBy, CallReport, EndCause, Turn
from callwright.app.compliance.optout import is_opt_out
from callwright.bridge.recorder import HEADER_BYTES
from callwright.bridge.server import BridgeServer
from callwright.bridge.services import Services
from callwright.bridge.settings import BridgeSettings
from callwright.bridge.spare import load_spare_lines
from tests.bridge.bench import BRIEF
from tests.bridge.peers import Desk

SPEED = 4
TOKEN = "sandbox-token"
ACCOUNT = "AC" + "0" * 32
OPENING = (
    "Hello, this is Acme Roofing, and I am an automated A.I. assistant on a recorded line. "
    "You can say stop calling at any time."
)
CLOSING = "Wonderful, we will be in touch shortly. Thank you for your time, goodbye."
VOICEMAIL = "Hello, this is Acme Roofing about your roof request. Please call us back. Goodbye."
INSTRUCTIONS = f"""## Who you are
The assistant of Acme Roofing.
## Opening line
{OPENING}
## Why you are calling
About a roof request.
## Questions to ask
1. How soon do you need the work done?
2. What is your budget for the project?
3. Do you own the house?
## Voicemail message
{VOICEMAIL}
## Closing line
{CLOSING}
## Rules
Be kind.
## Tools
As offered.
"""
TOOLS = [
    {"type": "function", "name": name, "description": name, "parameters": {"type": "object", "properties": {}}}
    for name in ("get_guidance", "opt_out", "request_human", "end_call")
]
SANDBOX_BRIEF = replace(
    BRIEF,
    instructions=INSTRUCTIONS,
    opening_line=OPENING,
    voicemail_message=VOICEMAIL,
    screening_line="This is the A.I. assistant of Acme Roofing about a roof request.",
    tools=TOOLS,
)


@dataclass(frozen=True)
class Outcome:
    report: CallReport
    turns: list[Turn]
    desk: Desk
    carrier: dict[str, Any]  # the stand-in's own record of the call

    @property
    def agent(self) -> list[str]:
        return [turn.text for turn in self.turns if turn.speaker == "agent"]

    @property
    def heard(self) -> list[str]:
        """What the callee heard, by the stand-in's ear."""
        return [said["text"] for said in self.carrier["heard"]]


PERSONAS = (
    "0100",
    "0101",
    "0102",
    "0103",
    "0104",
    "0105",
    "0106",
    "0110",
    "0111",
    "0112",
    "0113",
    "0114",
    "0115",
    "0119",
)


@asynccontextmanager
async def sandbox() -> AsyncIterator[str]:
    """The stand-ins as a process of their own; gives their URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "callwright.app.sandbox.server", "--port", "0", "--speed", str(SPEED), "--seed", "1"),
        *("--auth-token", TOKEN),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        yield orjson.loads(await asyncio.wait_for(process.stdout.readline(), 60))["url"]
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def bridge(url: str, desk: Desk, spool: Path, max_calls: int = 200) -> AsyncIterator[str]:
    """A bridge that uses the sandbox's model; gives its stream URL."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stream_url = f"ws://127.0.0.1:{port}/media"
    settings = BridgeSettings(
        stream_url, TOKEN, "sk-sandbox", spool, openai_base_url=f"{url}/v1", port=port, max_calls=max_calls
    )
    client = AsyncOpenAI(api_key=settings.openai_api_key, base_url=settings.openai_base_url)
    clock, log = asyncio.get_running_loop().time, structlog.get_logger("test")
    with ThreadPoolExecutor(1) as disk:
        services = Services(settings, desk, client, None, disk, is_opt_out, load_spare_lines(), clock, log)
        server = BridgeServer(services)
        await server.start()
        try:
            yield stream_url
        finally:
            await server.close()
            await client.close()


class Carrier:
    """The customer's side of the sandbox's REST interface."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self._calls = f"{url}/2010-04-01/Accounts/{ACCOUNT}/Calls"
        self._endings: set[asyncio.Task[None]] = set()

    async def create(self, persona: str, stream_url: str) -> str:
        twiml = (
            f"<Response><Connect><Stream url={quoteattr(stream_url)}>"
            '<Parameter name="token" value="good"/></Stream></Connect></Response>'
        )
        return await self.dial(persona, twiml)

    async def dial(self, persona: str, twiml: str) -> str:
        form = {"To": f"+1312555{persona}", "From": "+13125550199", "Twiml": twiml}
        async with self._http.post(f"{self._calls}.json", data=form) as created:
            assert created.status == 201, await created.text()
            sid: str = (await created.json())["sid"]
            return sid

    def end(self, call_sid: str) -> None:
        task = asyncio.get_running_loop().create_task(self._end(call_sid))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def record(self, call_sid: str) -> dict[str, Any]:
        """The sandbox's account of a call, once it is over there too and all was heard."""
        while True:
            async with self._http.get(f"{self._url}/sandbox/calls") as seen:
                found: dict[str, Any] = next(call for call in (await seen.json())["calls"] if call["sid"] == call_sid)
            if found["status"] == "completed":
                return found
            await asyncio.sleep(0.05)

    async def _end(self, call_sid: str) -> None:
        async with self._http.post(f"{self._calls}/{call_sid}.json", data={"Status": "completed"}) as ended:
            ended.raise_for_status()


async def hold(carrier: Carrier, url: str, persona: str, spool: Path) -> Outcome:
    desk = Desk(SANDBOX_BRIEF)

    def hang_up(call_sid: str) -> None:
        desk.hung_up.append(call_sid)
        carrier.end(call_sid)

    desk.hang_up_calls = hang_up
    async with bridge(url, desk, spool / persona) as stream_url:
        sid = await carrier.create(persona, stream_url)
        report = await asyncio.wait_for(desk.reports.get(), 120)
        turns = [turn for _, turn in sorted(desk.turns.items())]
        return Outcome(report, turns, desk, await carrier.record(sid))


async def hold_all(spool: Path) -> dict[str, Outcome]:
    login = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN)}
    async with sandbox() as url, aiohttp.ClientSession(headers=login) as http:
        carrier = Carrier(http, url)
        outcomes = await asyncio.gather(*(hold(carrier, url, persona, spool) for persona in ENDS))
        return dict(zip(ENDS, outcomes, strict=True))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """All calls at once, as a bridge is used."""
    return uvloop.run(hold_all(tmp_path_factory.mktemp("spool")))


ENDS = {
    "0100": (EndCause.AGENT_ENDED, "goal_achieved", AnsweredBy.HUMAN),
    "0101": (EndCause.AGENT_ENDED, "follow_up_later", AnsweredBy.HUMAN),
    "0102": (EndCause.AGENT_ENDED, "declined", AnsweredBy.HUMAN),
    "0103": (EndCause.OPTED_OUT, "do_not_call", AnsweredBy.HUMAN),
    "0104": (EndCause.HUMAN_REQUESTED, "human_requested", AnsweredBy.HUMAN),
    "0105": (EndCause.VOICEMAIL, "voicemail_left", AnsweredBy.VOICEMAIL),
    "0106": (EndCause.VOICEMAIL, "voicemail_left", AnsweredBy.VOICEMAIL),
    "0110": (EndCause.AGENT_ENDED, "goal_achieved", AnsweredBy.HUMAN),
    "0111": (EndCause.PERSON_HUNG_UP, None, AnsweredBy.HUMAN),
    "0112": (EndCause.NO_RESPONSE, "no_response", AnsweredBy.UNKNOWN),
    "0113": (EndCause.AGENT_ENDED, "goal_achieved", AnsweredBy.HUMAN),
    "0114": (EndCause.AGENT_ENDED, "goal_achieved", AnsweredBy.HUMAN),
    "0115": (EndCause.AGENT_ENDED, "wrong_number", AnsweredBy.HUMAN),
    "0119": (EndCause.AGENT_ENDED, "goal_achieved", AnsweredBy.HUMAN),
}
PATIENT = sorted(set(ENDS) - {"0110", "0111"})  # those who let the agent finish


@pytest.mark.parametrize("persona", sorted(ENDS))
def test_the_call_ends_as_the_persona_means_it_to(outcomes: dict[str, Outcome], persona: str) -> None:
    report = outcomes[persona].report
    assert (report.reason, report.end_reason, report.answered_by) == ENDS[persona]


@pytest.mark.parametrize("persona", sorted(ENDS))
def test_nothing_is_wrong_on_the_wire_and_the_recording_is_whole(outcomes: dict[str, Outcome], persona: str) -> None:
    outcome = outcomes[persona]
    (stream,) = outcome.carrier["streams"]
    assert stream["errors"] == []
    assert len(outcome.desk.hung_up) == (outcome.report.ended_by == "agent")
    assert outcome.report.recording is not None
    data = outcome.report.recording.read_bytes()[HEADER_BYTES:]
    assert len(data) == outcome.report.recording_ms * 16 == outcome.report.duration_ms * 16
    assert any(data[0::2]) == any(data[1::2]) is True


@pytest.mark.parametrize("persona", PATIENT)
def test_what_the_transcript_says_is_what_the_person_heard(outcomes: dict[str, Outcome], persona: str) -> None:
    outcome = outcomes[persona]
    assert " ".join(outcome.heard) == " ".join(outcome.agent)


@pytest.mark.parametrize("persona", sorted(set(ENDS) - {"0105", "0106", "0110", "0119"}))
def test_the_opening_comes_first(outcomes: dict[str, Outcome], persona: str) -> None:
    assert outcomes[persona].agent[0] == OPENING


@pytest.mark.parametrize("persona", ["0105", "0106"])
def test_a_machine_hears_the_message_once_after_its_greeting(outcomes: dict[str, Outcome], persona: str) -> None:
    outcome = outcomes[persona]
    assert outcome.agent == [VOICEMAIL]
    assert outcome.desk.claims == 1
    message, greeting = outcome.carrier["heard"][0], outcome.carrier["said"][-1]
    assert message["startMs"] >= greeting["endMs"]
    assert outcome.report.duration_ms - outcome.turns[-1].end_ms < 5_000


def test_a_cooperative_person_is_asked_everything(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["0100"]
    assert len(outcome.turns) >= 6
    assert outcome.agent[-1].endswith(CLOSING)
    assert [turn.start_ms for turn in outcome.turns] == sorted(turn.start_ms for turn in outcome.turns)


def test_an_opt_out_is_recorded_in_the_persons_words(outcomes: dict[str, Outcome]) -> None:
    assert [words for words in outcomes["0103"].desk.opt_outs if "Stop calling" in words]


def test_talking_over_the_agent_truncates_it(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["0110"]
    assert outcome.report.truncations >= 1
    cut = [turn for turn in outcome.turns if turn.interrupted]
    assert len(cut) == outcome.report.interruptions == len(outcome.carrier["streams"][0]["clears"])
    assert OPENING in outcome.agent  # said again, as the first was cut
    assert OPENING.startswith(cut[0].text)


def test_who_hangs_up_mid_sentence_leaves_a_cut_turn(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["0111"].turns[-1].interrupted


def test_hard_questions_are_asked_of_the_desk(outcomes: dict[str, Outcome]) -> None:
    desk = outcomes["0113"].desk
    assert desk.questions
    assert any("Say yes." in text for text in outcomes["0113"].agent)


def test_the_screening_assistant_is_answered_before_the_person_is(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["0119"].agent[:2] == [SANDBOX_BRIEF.screening_line, OPENING]
