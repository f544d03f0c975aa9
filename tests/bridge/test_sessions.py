"""Over real sockets: sessions that stand ready while the phone rings, talks that survive the loss of their model."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from callwright.app.calls.conversation import EndCause
from callwright.app.telephony.tickets import LIFETIME_SECONDS, TicketOffice
from callwright.bridge.spare import load_spare_lines
from tests.bridge.bench import BRIEF, SILENCE, SPEECH
from tests.bridge.peers import SECRET, Line, Phone, bridge_line
from tests.bridge.test_live import WORDS, opened, person, play


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with bridge_line(tmp_path) as line:
        yield line


async def ready(line: Line, attempt_id: UUID = BRIEF.attempt_id) -> None:
    """The phone rings and the model's session stands."""
    assert await line.ring(attempt_id) == 200
    await line.model.inbox.next("type", "session.update")


async def until_hung_up(line: Line, phone: Phone) -> None:
    """The line stays open, and time passes on it, until the bridge ends the call."""
    while not line.desk.hung_up:
        await phone.quiet(100)
        await asyncio.sleep(0)


async def until_restored(line: Line, phone: Phone, sessions: int) -> None:
    while line.model.sessions < sessions or not line.model.open_sockets:
        await phone.frame(SILENCE)
        await asyncio.sleep(0)
    await line.model.inbox.next("type", "session.update")


async def test_the_session_stands_before_the_pick_up_and_is_taken_over(line: Line) -> None:
    await ready(line)
    line.model.admits.clear()  # no other session can be had
    phone = await line.dial()
    await phone.start()
    await phone.hello()
    say = await line.model.inbox.next("type", "response.create")
    assert BRIEF.opening_line in orjson.dumps(say).decode()
    assert line.model.sessions == 1 and line.desk.preparations == [BRIEF.attempt_id]
    assert (await line.metrics())["callwright_bridge_pick_ups_total{yes}"] == 1
    await phone.hang_up()
    await line.model.closed()
    await line.desk.report()


async def test_what_changed_while_it_rang_is_told_to_the_session(line: Line) -> None:
    line.desk.early_brief = replace(BRIEF, instructions="## Rules\nOld.")
    await ready(line)
    phone = await line.dial()
    await phone.start()
    update = await line.model.inbox.next("type", "session.update")
    assert BRIEF.instructions in orjson.dumps(update, option=orjson.OPT_INDENT_2).decode().replace("\\n", "\n")
    await phone.hello()
    await line.model.inbox.next("type", "response.create")
    await phone.hang_up()
    await line.desk.report()


async def test_a_call_nobody_prepared_opens_its_session_itself(line: Line) -> None:
    await ready(line, uuid4())
    phone = await line.dial()
    await phone.start()
    await phone.hello()
    await line.model.inbox.next("type", "response.create")
    assert line.model.sessions == 2
    assert (await line.metrics())["callwright_bridge_pick_ups_total{no}"] == 1
    await phone.hang_up()
    await line.desk.report()


async def test_a_phone_nobody_answers_gives_its_session_back(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, prepared_seconds=0.1) as line:
        await ready(line)
        await line.model.was_used()
        assert line.server.prepared_sessions == 0


async def test_a_session_lost_while_the_phone_rang_is_not_taken_over(line: Line) -> None:
    await ready(line)
    await line.model.drop()
    await line.model.was_used()
    phone = await line.dial()
    await phone.start()
    await phone.hello()
    await line.model.inbox.next("type", "response.create")
    assert line.model.sessions == 2
    await phone.hang_up()
    await line.desk.report()


async def test_prepared_sessions_are_bounded_in_number(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, max_prepared=1) as line:
        assert [await line.ring(attempt) for attempt in (BRIEF.attempt_id, BRIEF.attempt_id, uuid4())] == [
            200,
            200,
            503,
        ]
        assert (await line.metrics())["callwright_bridge_prepared_sessions"] == 1


async def test_a_draining_bridge_prepares_nothing_and_keeps_nothing(line: Line) -> None:
    await ready(line)
    await line.server.drain()
    await line.model.was_used()
    assert await line.ring(uuid4()) == 503


@pytest.mark.parametrize(
    ("secret", "bridge", "age"),
    [(b"another", "bridge", 0), (SECRET, "another-bridge", 0), (SECRET, "bridge", LIFETIME_SECONDS)],
)
async def test_a_ticket_that_is_forged_foreign_or_expired_prepares_nothing(
    line: Line, secret: bytes, bridge: str, age: int
) -> None:
    office = TicketOffice(secret, lambda: time.time() - age)
    assert await line.ring(BRIEF.attempt_id, ticket=office.issue(bridge, BRIEF.attempt_id)) == 403
    assert await line.ring(BRIEF.attempt_id, ticket="x") == 403
    assert line.desk.preparations == []


async def test_a_ticket_is_good_once(line: Line) -> None:
    ticket = TicketOffice(SECRET, time.time).issue("bridge", BRIEF.attempt_id)
    assert [await line.ring(BRIEF.attempt_id, ticket=ticket) for _ in range(2)] == [200, 403]


async def test_a_model_lost_mid_call_is_replaced_and_told_what_was_said(line: Line) -> None:
    phone = await opened(line)
    await person(line, phone, "u1")
    await line.model.send(
        "conversation.item.input_audio_transcription.completed", item_id="u1", transcript="A new roof."
    )
    await line.model.inbox.next("type", "response.create")
    await line.model.inbox.next("type", "session.update")
    await line.model.drop()
    await until_restored(line, phone, 2)
    told = [await line.model.inbox.next("type", "conversation.item.create") for _ in range(2)]
    assert [message["item"] for message in told] == [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": BRIEF.opening_line}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "A new roof."}]},
    ]
    await line.model.inbox.next("type", "response.create")
    await line.model.speak("How soon?", WORDS[:1_600], "r9", "i9")
    await play(phone, 1)
    assert phone.heard == WORDS + WORDS[:1_600]
    await phone.hang_up()
    report = await line.desk.report()
    assert (report.reason, report.model_reconnects) == (EndCause.PERSON_HUNG_UP, 1)
    assert {"model.lost", "model.restored"} <= {kind for kind, _, _ in line.desk.events}
    await line.model.closed()


async def test_speech_the_lost_model_had_not_transcribed_is_heard_by_the_next(line: Line) -> None:
    phone = await opened(line)
    await line.model.inbox.next("type", "session.update")
    await line.model.has_heard(phone)
    await line.model.send("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    await phone.noise(600)
    await line.model.has_heard(phone)
    before = len(line.model.audio)
    await line.model.drop()
    await until_restored(line, phone, 2)
    await line.model.inbox.until(lambda: SPEECH * 30 in line.model.audio[before:])
    await phone.hang_up()
    await line.desk.report()


async def test_an_expired_session_is_replaced(line: Line) -> None:
    phone = await opened(line)
    await line.model.inbox.next("type", "session.update")
    await line.model.send("error", error={"type": "invalid_request_error", "code": "session_expired"})
    await until_restored(line, phone, 2)
    assert line.model.open_sockets == 1
    await phone.hang_up()
    await line.desk.report()
    await line.model.closed()


async def test_a_model_that_refuses_is_tried_again_then_a_human_is_promised(line: Line) -> None:
    line.model.refuse = HTTPStatus.UNAUTHORIZED
    phone = await line.dial()
    await phone.start()
    await until_hung_up(line, phone)
    report = await line.desk.report_after(phone)
    assert (report.reason, report.human_requested) == (EndCause.MODEL_LOST, True)
    assert line.desk.hung_up == ["CA1"] and line.desk.humans == [""]
    assert len(line.model.requests) == 4
    assert phone.heard == load_spare_lines().of("en").audio
    assert (await line.metrics())["callwright_bridge_calls_total{model_lost}"] == 1


def test_the_recorded_words_exist_in_both_languages_and_last_a_few_seconds() -> None:
    lines = load_spare_lines()
    for language in ("en", "es"):
        line = lines.of(language)
        assert 4 < len(line.audio) / 8_000 < 12 and len(line.audio) % 160 == 0
    assert lines.of("es") != lines.of("en") == lines.of("fr")
