"""The shell over real sockets: one call from upgrade to report, and what must not harm it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from callwright.app.calls.conversation import EndCause
from callwright.bridge.main import serve as serve_process
from tests.bridge.bench import BRIEF, SILENCE, SPEECH
from tests.bridge.peers import Line, Phone, bridge_line

WORDS = bytes(range(32, 64)) * 300  # 9,600 bytes: 1.2 s of the agent's voice


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with bridge_line(tmp_path) as line:
        yield line


async def opened(line: Line) -> Phone:
    """A call on which the opening line has been heard."""
    phone = await line.dial()
    await phone.start()
    await phone.hello()
    await line.model.inbox.next("type", "response.create")
    await line.model.speak(BRIEF.opening_line, WORDS)
    await play(phone, 6)
    return phone


async def person(line: Line, phone: Phone, item: str) -> None:
    """A turn of the person, as phone and model see it, up to its being committed."""
    await line.model.has_heard(phone)
    await line.model.send("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)
    await phone.noise(600)
    await phone.quiet(500)
    await line.model.has_heard(phone)
    await line.model.send("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=0)
    await line.model.send("input_audio_buffer.committed", item_id=item)


async def play(phone: Phone, marks: int) -> None:
    """Lets the audio before the next marks play, then echoes them."""
    for _ in range(marks):
        mark = (await phone.inbox.next("event", "mark"))["mark"]
        assert isinstance(mark, dict)
        await phone.quiet(200)
        await phone.played(str(mark["name"]))


async def health(line: Line) -> dict[str, object]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{line.port}/health") as response:
        assert response.content_type == "application/json"
        body: dict[str, object] = await response.json()
        return body


async def test_a_call_from_upgrade_to_report(line: Line) -> None:
    phone = await opened(line)
    await person(line, phone, "u1")
    await line.model.send(
        "conversation.item.input_audio_transcription.completed", item_id="u1", transcript="A new roof."
    )
    await line.model.inbox.next("type", "response.create")
    assert (await health(line))["activeCalls"] == 1
    await line.model.send("response.created", response={"id": "r2"})
    ids = {"response_id": "r2", "item_id": "i2"}
    await line.model.send("response.output_audio_transcript.done", transcript="Goodbye.", **ids)
    await line.model.send(
        "response.function_call_arguments.done", call_id="c", name="end_call", arguments='{"reason":"declined"}', **ids
    )
    await line.model.send("response.done", response={"id": "r2", "status": "completed", "output": []})
    say = await line.model.inbox.next("type", "response.create")
    assert BRIEF.goodbye_line in orjson.dumps(say).decode()
    await line.model.speak(BRIEF.goodbye_line, WORDS[:3_200], "r3", "i3")
    await play(phone, 2)
    await phone.hang_up()
    await line.model.closed()
    report = await line.desk.report()

    assert (report.reason, report.end_reason) == (EndCause.AGENT_ENDED, "declined")
    assert line.desk.hung_up == ["CA1"]
    assert [turn.text for _, turn in sorted(line.desk.turns.items())] == [
        BRIEF.opening_line,
        "A new roof.",
        BRIEF.goodbye_line,
    ]
    assert line.model.requests[0].headers["Authorization"] == "Bearer sk-test"
    assert line.model.requests[0].path == "/v1/realtime?model=gpt-realtime"
    assert phone.heard == WORDS + WORDS[:3_200]
    assert report.recording is not None
    assert report.recording_ms == report.duration_ms == phone.at_ms
    data = report.recording.read_bytes()[58:]
    assert len(data) == phone.at_ms * 16
    assert WORDS in data[1::2] and SPEECH in data[0::2]


async def test_every_frame_reaches_the_model_whole_and_in_order_even_before_it_is_ready(line: Line) -> None:
    phone = await line.dial()
    await phone.start()
    sent = b""
    for number in range(200):
        frame = bytes((number,)) * 160
        sent += frame
        await phone.frame(frame)
    await line.model.inbox.until(lambda: len(line.model.audio) >= len(sent))
    assert line.model.audio == sent
    await phone.hang_up()
    await line.desk.report()


async def test_barge_in_over_the_wire(line: Line) -> None:
    phone = await opened(line)
    await person(line, phone, "u1")
    await line.model.inbox.next("type", "response.create")
    await line.model.speak("one two three four five six", WORDS, "r2", "i2")
    await play(phone, 2)
    await line.model.send("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=0)
    while not phone.inbox.of("event", "clear"):
        await phone.noise(20)
        await asyncio.sleep(0)
    truncate = await line.model.inbox.next("type", "conversation.item.truncate")
    assert (truncate["item_id"], truncate["content_index"]) == ("i2", 0)
    assert isinstance(truncate["audio_end_ms"], int)
    assert 400 < truncate["audio_end_ms"] <= 1_200
    assert phone.inbox.of("event", "clear") == [{"event": "clear", "streamSid": "MZ1"}]
    await phone.hang_up()
    report = await line.desk.report()
    assert (report.interruptions, report.truncations) == (1, 1)


@pytest.mark.parametrize(
    ("path", "signature", "status"), [("/media", "bm9wZQ==", 403), ("/media", "", 403), ("/other", None, 404)]
)
async def test_only_signed_streams_are_let_in(line: Line, path: str, signature: str | None, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await line.dial(path=path, signature="-" if signature == "" else signature)
    assert refused.value.response.status_code == status
    assert (await health(line))["activeCalls"] == 0


async def test_health(line: Line) -> None:
    body = await health(line)
    assert (body["status"], body["activeCalls"]) == ("ok", 0)
    assert isinstance(body["uptime"], float)


async def test_a_bad_token_never_reaches_the_model(line: Line) -> None:
    phone = await line.dial()
    await phone.start(token="stolen")
    await phone.closed()
    assert line.model.requests == []
    again = await line.dial()
    await again.start()
    await again.hello()
    await line.model.inbox.next("type", "response.create")
    await again.hang_up()
    await line.desk.report()


async def test_a_desk_that_is_away_at_the_start_ends_the_stream(line: Line) -> None:
    line.desk.failures["open"] = 1
    phone = await line.dial()
    await phone.start()
    await phone.closed()
    assert line.model.requests == []


async def test_capacity_is_a_503(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, max_calls=1) as line:
        phone = await line.dial()
        with pytest.raises(InvalidStatus) as refused:
            await line.dial()
        assert refused.value.response.status_code == 503
        await phone.socket.close()


async def test_when_the_hang_up_fails_the_socket_is_closed_instead(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, hang_up_seconds=0.5) as line:
        line.desk.failures["hang_up"] = 3
        phone = await opened(line)
        await phone.press("9")
        await line.model.inbox.next("type", "response.create")
        await line.model.speak(BRIEF.goodbye_line, WORDS[:1_600], "r2", "i2")
        await play(phone, 1)
        await phone.closed()
        report = await line.desk.report()
        assert (report.reason, line.desk.hung_up) == (EndCause.OPTED_OUT, [])
        assert line.desk.opt_outs == ["pressed 9"]


async def test_a_phone_that_drops_takes_the_models_socket_with_it(line: Line) -> None:
    phone = await opened(line)
    phone.socket.transport.abort()
    await line.model.closed()
    assert (await line.desk.report()).reason is EndCause.PHONE_LOST


async def test_a_model_that_answers_after_the_phone_is_gone_is_not_kept(line: Line) -> None:
    line.model.admits.clear()
    phone = await line.dial()
    await phone.start()
    await line.model.asked()
    await phone.hang_up()
    assert (await line.desk.report()).reason is EndCause.PERSON_HUNG_UP
    line.model.admits.set()
    await line.model.was_used()


async def test_a_fault_of_ours_ends_its_call_properly_and_no_other(tmp_path: Path) -> None:
    def faulty(text: str, language: str) -> bool:
        raise ZeroDivisionError(language)

    async with bridge_line(tmp_path, opt_out=faulty) as line:
        line.desk.tokens.add("second")
        phone = await opened(line)
        await person(line, phone, "u1")
        await line.model.send(
            "conversation.item.input_audio_transcription.completed", item_id="u1", transcript="Anything."
        )
        await phone.closed()
        report = await line.desk.report()
        assert (report.reason, line.desk.hung_up) == (EndCause.BRIDGE_FAILED, ["CA1"])
        assert report.recording is not None
        other = await line.dial()
        await other.start(token="second", call_sid="CA2")
        await other.hello()
        await other.hang_up()
        assert (await line.desk.report()).reason is EndCause.PERSON_HUNG_UP


async def test_a_phone_that_goes_silent_is_given_up(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, stall_seconds=0.5) as line:
        phone = await opened(line)
        await phone.closed()
        await line.model.closed()
        assert (await line.desk.report()).reason is EndCause.PHONE_STALLED
        assert line.desk.hung_up == ["CA1"]


async def test_a_socket_that_never_starts_is_given_up(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, stall_seconds=0.5) as line:
        phone = await line.dial()
        await phone.closed()
        assert line.model.requests == []


async def test_garbage_harms_neither_its_call_nor_another(line: Line) -> None:
    hostile = await line.dial()
    phone = await opened(line)
    for message in ("", "{", "[]", '{"event":"media"}', '{"event":"mark","mark":{}}', b"\x00\x01", '{"event":9}'):
        await hostile.socket.send(message)
        await phone.socket.send(message)
    with suppress(ConnectionClosed):  # refused before it is all sent
        await hostile.socket.send("x" * 10_000_000)
    await hostile.closed()
    await phone.press("9")
    await line.model.inbox.next("type", "response.create")
    await phone.hang_up()
    assert (await line.desk.report()).opted_out


async def test_a_slow_desk_delays_no_word_and_loses_no_turn(line: Line) -> None:
    line.desk.held.clear()
    line.desk.failures["turn"] = 1
    phone = await opened(line)  # the opening was relayed and played although no turn could be stored
    await phone.hang_up()
    await line.model.closed()
    line.desk.held.set()
    await line.desk.report()
    assert [turn.text for turn in line.desk.turns.values()] == [BRIEF.opening_line]


async def test_guidance_that_fails_is_gone_without(line: Line) -> None:
    phone = await opened(line)
    line.desk.failures["guidance"] = 1
    await person(line, phone, "u1")
    await line.model.inbox.next("type", "response.create")
    await line.model.send("response.created", response={"id": "r2"})
    await line.model.send(
        "response.function_call_arguments.done",
        response_id="r2",
        item_id="f",
        call_id="c",
        name="get_guidance",
        arguments='{"question":"Licensed?"}',
    )
    await line.model.send("response.done", response={"id": "r2", "status": "completed", "output": []})
    output = (await line.model.inbox.next("type", "conversation.item.create"))["item"]
    assert output == {"type": "function_call_output", "call_id": "c", "output": '{"advice":null}'}
    await line.model.inbox.next("type", "response.create")
    assert line.desk.questions == ["Licensed?"]
    await phone.hang_up()
    await line.desk.report()


async def test_a_call_without_consent_is_not_recorded(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, replace(BRIEF, record=False)) as line:
        phone = await opened(line)
        await phone.hang_up()
        report = await line.desk.report()
        assert report.recording is None
        assert list(tmp_path.iterdir()) == []


async def test_a_drain_lets_the_call_end_and_takes_no_other(line: Line) -> None:
    phone = await opened(line)
    draining = asyncio.ensure_future(line.server.drain())
    await asyncio.sleep(0)
    assert (await health(line))["status"] == "draining"
    with pytest.raises(InvalidStatus) as refused:
        await line.dial()
    assert refused.value.response.status_code == 503
    await phone.frame(SILENCE)
    assert not draining.done()
    await phone.hang_up()
    await draining
    assert (await line.desk.report()).reason is EndCause.PERSON_HUNG_UP


async def test_a_drain_that_takes_too_long_ends_the_calls(tmp_path: Path) -> None:
    async with bridge_line(tmp_path, drain_seconds=0.1, hang_up_seconds=0.5) as line:
        phone = await opened(line)
        await line.server.drain()
        await phone.closed()
        assert (await line.desk.report()).reason is EndCause.SHUTDOWN
        assert line.desk.hung_up == ["CA1"]


async def test_the_process_ends_on_sigterm(line: Line, tmp_path: Path) -> None:
    ready: asyncio.Queue[int] = asyncio.Queue()
    settings = replace(line.services.settings, port=0, spool_dir=tmp_path)
    process = asyncio.ensure_future(serve_process(settings, line.desk, on_ready=ready.put_nowait))
    line.port = await ready.get()
    assert (await health(line))["status"] == "ok"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(process, 20)
