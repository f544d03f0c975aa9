"""The figures of a talk: by the turns, by the marks, and as Prometheus gets them."""

from dataclasses import replace
from pathlib import Path

import pytest

from callwright.app.calls.conversation import AnsweredBy, CallReport, EndCause, TalkMetrics, Turn
from callwright.bridge import actions as act
from callwright.bridge.actions import Purpose
from callwright.bridge.metrics import Metrics
from callwright.bridge.playout import Marks
from callwright.bridge.talk import Stopwatch, measure
from tests.bridge.bench import BRIEF, Bench
from tests.bridge.peers import bridge_line
from tests.bridge.test_live import opened, person, play

REPORT = CallReport(EndCause.AGENT_ENDED, 60_000, AnsweredBy.HUMAN)


def turn(index: int, start_ms: int, end_ms: int) -> Turn:
    return Turn(index, "agent" if index % 2 else "person", "words", start_ms, end_ms)


@pytest.mark.parametrize(
    ("turns", "duration_ms", "expected"),
    [
        ([], 5_000, TalkMetrics(0, 0, 0, None)),
        ([turn(0, 500, 1_000)], 4_000, TalkMetrics(0, 500, 3_000, None)),
        ([turn(0, 500, 1_000), turn(1, 1_700, 5_000)], 5_000, TalkMetrics(3_300, 500, 700, None)),
        (
            [turn(1, 0, 9_000), turn(2, 2_000, 3_000), turn(3, 9_400, 10_000)],
            10_000,
            TalkMetrics(9_600, 1_000, 400, None),
        ),
        ([turn(3, 4_000, 5_000), turn(2, 0, 1_000)], 5_000, TalkMetrics(1_000, 1_000, 3_000, None)),
    ],
)
def test_the_talk_is_measured_by_its_turns(turns: list[Turn], duration_ms: int, expected: TalkMetrics) -> None:
    assert measure(turns, duration_ms, None) == expected


def test_the_talk_ratio_is_the_agents_share() -> None:
    assert TalkMetrics(30_000, 10_000).agent_share == 0.75
    assert TalkMetrics().agent_share is None


def test_an_answer_counts_from_when_the_phone_begins_to_play_it() -> None:
    watch = Stopwatch()
    watch.person_stopped(1_000)
    watch.agent_speaks(Purpose.REPLY, Marks("0:1", "0:2"), 1_500)
    watch.mark("0:9", 1_600)
    assert watch.latencies_ms == []
    watch.mark("0:1", 1_800)
    watch.mark("0:1", 2_800)
    assert watch.latencies_ms == [800]
    assert watch.first_word_ms == 1_800


def test_an_answer_behind_audio_still_playing_begins_at_its_end() -> None:
    watch = Stopwatch()
    watch.person_stopped(1_000)
    watch.agent_speaks(Purpose.REPLY, Marks(None, "0:5"), 2_400)
    watch.agent_speaks(Purpose.REPLY, Marks(None, "0:6"), 9_000)  # nobody waited for this one
    watch.person_stopped(9_500)
    watch.agent_speaks(Purpose.STILL_THERE, Marks(None, "0:7"), 20_000)  # nor is a prompt an answer
    assert watch.latencies_ms == [1_400]


def test_a_report_tells_how_the_talk_went() -> None:
    bench = Bench()
    bench.opens()
    bench.person("A new roof.", 1_000)
    bench.quiet(400)
    bench.answers("How soon?", 1_000)
    bench.quiet(3_000)
    report = bench.hang_up_now()
    assert report.response_latencies_ms == (900,)
    assert report.talk.first_word_ms == bench.all(act.PublishTurn)[1].turn.start_ms
    assert report.talk.agent_ms == 4_000 and report.talk.longest_silence_ms == 2_000


def test_percentiles_are_of_what_was_told() -> None:
    metrics = Metrics()
    metrics.finished(replace(REPORT, response_latencies_ms=tuple(range(100, 1_100, 10))), gaps=3)
    text = metrics.exposition().decode()
    assert 'callwright_bridge_response_seconds_recent{quantile="0.5"} 0.6' in text
    assert 'callwright_bridge_response_seconds_recent{quantile="0.99"} 1.09' in text
    assert 'callwright_bridge_response_seconds_bucket{le="0.6"} 51.0' in text
    assert 'callwright_bridge_calls_total{cause="agent_ended"} 1.0' in text
    assert "callwright_bridge_gaps_total 3.0" in text
    assert "callwright_bridge_talk_ratio_count 0.0" in text


async def test_a_call_is_told_to_prometheus(tmp_path: Path) -> None:
    async with bridge_line(tmp_path) as line:
        phone = await opened(line)
        during = await line.metrics()
        assert during["callwright_bridge_active_calls"] == 1
        await person(line, phone, "u1")
        await line.model.send(
            "conversation.item.input_audio_transcription.completed", item_id="u1", transcript="A new roof."
        )
        await line.model.inbox.next("type", "response.create")
        await line.model.speak("How soon?", b"\x30" * 1_600, "r2", "i2")
        await play(phone, 1)
        await phone.hang_up()
        report = await line.desk.report()
        after = await line.metrics()
    assert after["callwright_bridge_active_calls"] in (0, 1)  # its last word may still be under way
    assert after["callwright_bridge_calls_total{person_hung_up}"] == 1
    assert after["callwright_bridge_frames_total{received}"] == phone.at_ms / 20
    assert after["callwright_bridge_frames_total{sent}"] == 7
    assert after["callwright_bridge_response_seconds_count"] == 1
    assert after["callwright_bridge_pick_up_ready_seconds_count"] == 1
    assert after["callwright_bridge_talk_ratio_recent{0.5}"] == report.talk.agent_share
    assert after["callwright_bridge_pick_up_first_word_seconds_sum"] == pytest.approx(
        (report.talk.first_word_ms or 0) / 1_000
    )
    assert "callwright_bridge_loop_lag_seconds_count" in after
    assert BRIEF.opening_line in {turn.text for turn in line.desk.turns.values()}


async def test_what_is_turned_away_is_counted_by_reason(tmp_path: Path) -> None:
    async with bridge_line(tmp_path) as line:
        phone = await line.dial()
        await phone.start(token="stolen")
        await phone.closed()
        assert await line.ring(BRIEF.attempt_id, ticket="forged") == 403
        metrics = await line.metrics()
    assert metrics["callwright_bridge_refused_total{token_unknown}"] == 1
    assert metrics["callwright_bridge_refused_total{bad_ticket}"] == 1
