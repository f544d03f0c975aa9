"""Whole calls whose voice model fails: against the stand-ins, which break the session in the middle of the talk."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
import uvloop

from callwright.app.calls.conversation import EndCause
from callwright.app.telephony.twiml import stream_document
from callwright.bridge.spare import load_spare_lines
from tests.bridge.peers import Desk
from tests.bridge.test_sandbox_calls import (
    ACCOUNT,
    CLOSING,
    SANDBOX_BRIEF,
    TOKEN,
    Carrier,
    Outcome,
    bridge,
    hold,
    sandbox,
)

Fault = Mapping[str, str | int]


async def hold_with(faults: list[Fault], spool: Path) -> Outcome:
    login = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN)}
    async with sandbox() as url, aiohttp.ClientSession(headers=login) as http:
        for fault in faults:
            async with http.post(f"{url}/sandbox/faults", json={"service": "realtime", **fault}) as scripted:
                assert scripted.status == 201
        return await hold(Carrier(http, url), url, "0100", spool)


@pytest.mark.parametrize(("fault", "detail"), [("drop", "disconnected"), ("stall", "stalled")])
def test_a_talk_goes_on_to_its_goal_in_a_new_session(fault: str, detail: str, tmp_path: Path) -> None:
    outcome = uvloop.run(hold_with([{"fault": fault, "after_ms": 24_000}], tmp_path))
    report = outcome.report
    assert (report.reason, report.end_reason) == (EndCause.AGENT_ENDED, "goal_achieved")
    assert report.model_reconnects == 1
    events = {kind: (at_ms, data) for kind, at_ms, data in outcome.desk.events if kind.startswith("model.")}
    assert events["model.lost"][1] == {"detail": detail}
    # Stream time runs four times as fast as the clock here.
    assert events["model.restored"][0] - events["model.lost"][0] < 4_000
    assert outcome.agent[-1] == CLOSING
    assert [turn.text for turn in outcome.turns].count(outcome.agent[0]) == 1, "the opening was said again"


def test_a_model_lost_again_and_again_ends_in_the_promise_of_a_human(tmp_path: Path) -> None:
    outcome = uvloop.run(hold_with([{"fault": "drop", "after_ms": 2_000, "times": 4}], tmp_path))
    assert (outcome.report.reason, outcome.report.human_requested) == (EndCause.MODEL_LOST, True)
    assert outcome.report.model_reconnects == 3
    assert outcome.desk.humans == [""]
    assert outcome.agent[-1] == load_spare_lines().of("en").text


def test_a_stream_that_one_bridge_refuses_goes_to_the_next(tmp_path: Path) -> None:
    async def refused_once() -> Outcome:
        login = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN)}
        async with sandbox() as url, aiohttp.ClientSession(headers=login) as http:
            desk, carrier = Desk(SANDBOX_BRIEF), Carrier(http, url)
            desk.hang_up_calls = carrier.end
            async with (
                bridge(url, Desk(), tmp_path, max_calls=0) as full_url,
                bridge(url, desk, tmp_path) as free_url,
            ):
                sid = await carrier.dial("0102", stream_document([full_url, free_url], "good"))
                report = await asyncio.wait_for(desk.reports.get(), 60)
                turns = [turn for _, turn in sorted(desk.turns.items())]
                return Outcome(report, turns, desk, await carrier.record(sid))

    outcome = uvloop.run(refused_once())
    assert (outcome.report.reason, outcome.report.end_reason) == (EndCause.AGENT_ENDED, "declined")
