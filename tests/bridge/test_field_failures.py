"""One regression test for each of the ten ways in which such systems fail in the field, over real sockets.

The second half of the tenth, an ambiguous answer of the carrier to a new call, is
`tests/app/calls/test_dial.py::test_a_lost_answer_is_adopted_from_the_first_webhook` and its neighbours.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from callwright.app.calls.conversation import AnsweredBy, EndCause
from tests.bridge.bench import BRIEF
from tests.bridge.peers import PATIENCE, Line, Phone, bridge_line
from tests.bridge.test_live import WORDS, opened, person, play


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with bridge_line(tmp_path) as line:
        yield line


async def answered(line: Line, phone: Phone, item: str, response: str, audio: bytes = WORDS) -> None:
    """A question of the person, and the whole answer sent to the phone."""
    await person(line, phone, item)
    await line.model.inbox.next("type", "response.create")
    await line.model.speak("one two three four five six", audio, response, f"i-{response}")


async def talk_over(line: Line, phone: Phone, item: str) -> None:
    await line.model.send("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)
    clears = len(phone.inbox.of("event", "clear"))
    while len(phone.inbox.of("event", "clear")) == clears:
        await phone.noise(20)
        await asyncio.sleep(0)


async def test_01_the_goodbye_is_played_to_its_last_mark_before_the_hang_up(line: Line) -> None:
    phone = await opened(line)
    await phone.press("9")
    await line.model.inbox.next("type", "response.create")
    await line.model.speak(BRIEF.goodbye_line, WORDS, "r2", "i2")
    await play(phone, 5)
    await phone.noise(400)  # talking over the goodbye neither cuts it nor hastens the end
    assert line.desk.hung_up == []
    await play(phone, 1)
    report = await line.desk.report_after(phone)
    assert line.desk.hung_up == ["CA1"] and phone.inbox.of("event", "clear") == []
    assert report.reason is EndCause.OPTED_OUT
    assert line.desk.turns[max(line.desk.turns)].text == BRIEF.goodbye_line


async def test_02_a_call_that_nobody_ends_is_ended_at_its_maximum(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, replace(BRIEF, max_seconds=10, wrap_up_seconds=9)) as line:
        phone = await opened(line)
        await phone.noise(12_000)
        report = await line.desk.report_after(phone)
        assert report.reason is EndCause.MAX_DURATION and line.desk.hung_up == ["CA1"]


async def test_02_a_call_whose_audio_stalls_is_ended(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, stall_seconds=0.5) as line:
        phone = await opened(line)
        await phone.closed()
        assert (await line.desk.report()).reason is EndCause.PHONE_STALLED
        assert line.desk.hung_up == ["CA1"]


async def test_03_an_item_is_never_truncated_beyond_what_was_received_of_it(line: Line) -> None:
    phone = await opened(line)
    await person(line, phone, "u1")
    await line.model.inbox.next("type", "response.create")
    await line.model.send("response.created", response={"id": "r2"})
    delta = base64.b64encode(WORDS[:1_600]).decode()  # 0.2 s, and the model goes on generating
    await line.model.send("response.output_audio.delta", response_id="r2", item_id="i2", delta=delta)
    await phone.inbox.next("event", "mark")
    await phone.quiet(400)  # more than there is, and its mark does not come
    await talk_over(line, phone, "u2")
    truncate = await line.model.inbox.next("type", "conversation.item.truncate")
    assert truncate["item_id"] == "i2"
    assert truncate["audio_end_ms"] == 200
    await phone.hang_up()
    await line.desk.report()


async def test_04_barge_in_after_the_model_finished_clears_the_carrier_and_truncates_at_what_was_heard(
    line: Line,
) -> None:
    phone = await opened(line)
    await answered(line, phone, "u1", "r2")
    await play(phone, 3)  # of six: the model has long been done
    await talk_over(line, phone, "u2")
    truncate = await line.model.inbox.next("type", "conversation.item.truncate")
    assert isinstance(truncate["audio_end_ms"], int) and 600 <= truncate["audio_end_ms"] <= 1_200
    assert line.model.inbox.of("type", "response.cancel") == []
    heard = len(phone.heard)
    for mark in phone.inbox.of("event", "mark"):  # the flushed ones come back
        await phone.echo(str(mark["mark"]["name"]))  # type: ignore[index]
    await phone.hang_up()
    report = await line.desk.report()
    assert (report.interruptions, report.truncations) == (1, 1) and len(phone.heard) == heard


async def test_05_audio_passes_both_ways_byte_for_byte_whatever_the_bursts(line: Line) -> None:
    phone = await line.dial()
    await phone.start()
    await phone.hello()
    await line.model.inbox.next("type", "response.create")
    await line.model.speak(BRIEF.opening_line, WORDS, burst=397)
    marks = -(-len(WORDS) // 397)
    await play(phone, marks)
    sent = b""
    for number in range(256):
        frame = bytes((number,)) * (160 if number % 3 else 240)
        sent += frame
        await phone.frame(frame)
    await line.model.inbox.until(lambda: line.model.audio.endswith(sent))
    assert phone.heard == WORDS
    await phone.hang_up()
    await line.desk.report()


async def test_06_a_quick_hello_is_a_person_well_within_a_second(line: Line) -> None:
    phone = await line.dial()
    await phone.start()
    await phone.quiet(200)
    await phone.noise(400)
    hello_ended_ms = phone.at_ms
    while not any(kind == "human.detected" for kind, _, _ in line.desk.events):
        assert phone.at_ms - hello_ended_ms < 1_000
        await phone.quiet(20)
        await line.model.has_heard(phone)
    await line.model.inbox.next("type", "response.create")
    await phone.hang_up()
    assert (await line.desk.report()).answered_by is AnsweredBy.HUMAN


async def test_06_a_machine_is_known_within_its_greeting_and_not_talked_over(line: Line) -> None:
    phone = await line.dial()
    await phone.start()
    await line.model.inbox.next("type", "session.update")
    await phone.quiet(200)
    await phone.noise(5_000)
    await line.model.has_heard(phone)
    await line.model.send("input_audio_buffer.speech_started", item_id="g", audio_start_ms=0)
    await line.model.send(
        "conversation.item.input_audio_transcription.completed",
        item_id="g",
        transcript="You have reached the Millers, please leave a message",
    )
    while not any(kind == "voicemail.detected" for kind, _, _ in line.desk.events):
        assert phone.at_ms < 15_000
        await phone.noise(20)
        await asyncio.sleep(0.01)
    assert line.model.inbox.of("type", "response.create") == []
    await phone.hang_up()
    report = await line.desk.report()
    assert report.answered_by is AnsweredBy.VOICEMAIL and report.voicemail is not None


async def test_07_the_model_is_ready_before_the_phone_is_answered(line: Line) -> None:
    assert await line.ring(BRIEF.attempt_id) == HTTPStatus.OK
    await line.model.inbox.next("type", "session.update")
    phone = await line.dial()
    await phone.start()
    await phone.hello()
    await line.model.inbox.next("type", "response.create")
    assert line.model.sessions == 1 and len(line.model.inbox.of("type", "session.update")) == 1
    await phone.hang_up()
    await line.desk.report()


async def test_08_a_phone_that_goes_takes_its_model_with_it_and_the_audio_is_on_the_disk(
    line: Line, tmp_path: Path
) -> None:
    phone = await opened(line)
    await phone.quiet(7_000)
    await line.model.has_heard(phone)
    (recording,) = tmp_path.glob("*.wav")
    async with asyncio.timeout(PATIENCE):
        while recording.stat().st_size < 16 * (phone.at_ms - 4_000):  # only the last seconds are in memory
            await asyncio.sleep(0.01)
    phone.socket.transport.abort()
    await line.model.closed()
    await line.desk.report()
    assert line.model.open_sockets == 0 == line.server.active_calls


async def test_09_a_call_whose_stores_and_model_hang_delays_no_other(line: Line) -> None:
    line.desk.tokens.add("second")
    slow = await opened(line)
    line.desk.held.clear()  # nothing of any call can be stored any more
    for _ in range(20):
        await slow.socket.send("x" * 60_000)
    phone = await line.dial()
    await phone.start(token="second", call_sid="CA2")
    await phone.hello()
    await line.model.inbox.next("type", "response.create")
    await line.model.speak(BRIEF.opening_line, WORDS, "r9", "i9")
    await play(phone, 6)
    assert phone.heard == WORDS
    line.desk.held.set()
    await phone.hang_up()
    assert (await line.desk.report()).reason is EndCause.PERSON_HUNG_UP
    await slow.hang_up()
    assert (await line.desk.report()).reason is EndCause.PERSON_HUNG_UP


async def test_10_a_deploy_lets_the_call_end_and_takes_no_new_one(line: Line) -> None:
    phone = await opened(line)
    draining = asyncio.ensure_future(line.server.drain())
    await asyncio.sleep(0)
    with pytest.raises(InvalidStatus) as refused:
        await line.dial()
    assert refused.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    await answered(line, phone, "u1", "r2")
    await play(phone, 6)
    assert phone.heard == WORDS + WORDS and not draining.done()
    await phone.hang_up()
    await draining
    assert (await line.desk.report()).reason is EndCause.PERSON_HUNG_UP
