"""The stand-in for OpenAI Realtime: items, truncation, tools, and the faults it shows on cue."""

import base64
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from callwright.app.sandbox.ledger import Fault
from tests.app.sandbox.realtime_wire import TOOLS, Caller, Service, call_of, calling, serving, words_of

OPENING = 'Say exactly: "Smith & Sons Roofing calling: I\'m Ava, an AI assistant. Do you have a minute?"'


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as running:
        yield running


@pytest.fixture
async def caller(service: Service) -> AsyncIterator[Caller]:
    async with calling(service) as connected:
        yield connected


def sound_of(caller: Caller, item_id: str) -> bytes:
    deltas = [event for event in caller.all("response.output_audio.delta") if event["item_id"] == item_id]
    return b"".join(base64.b64decode(event["delta"]) for event in deltas)


# Items


async def test_items_are_placed_retrieved_and_deleted(caller: Caller) -> None:
    hint = {
        "id": "hint1",
        "type": "message",
        "role": "system",
        "content": [{"type": "input_text", "text": "Be brief."}],
    }
    await caller.connection.conversation.item.create(item=hint)
    typed = {"id": "typed1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
    await caller.connection.conversation.item.create(item=typed, previous_item_id="root")
    assert (await caller.until("conversation.item.added", 2))["previous_item_id"] is None
    last = {"id": "typed2", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Anyone?"}]}
    await caller.connection.conversation.item.create(item=last)
    assert (await caller.until("conversation.item.added", 3))["previous_item_id"] == "hint1"
    await caller.connection.conversation.item.retrieve(item_id="hint1")
    assert (await caller.until("conversation.item.retrieved"))["item"]["content"] == hint["content"]
    await caller.connection.conversation.item.delete(item_id="hint1")
    await caller.until("conversation.item.deleted")
    await caller.connection.conversation.item.retrieve(item_id="hint1")
    assert (await caller.until("error"))["error"]["code"] == "item_not_found"


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"type": "song"}, "invalid_value"),
        ({"type": "message", "role": "robot", "content": []}, "invalid_value"),
        ({"type": "message", "role": "user", "content": []}, "missing_required_parameter"),
        ({"type": "message", "role": "assistant", "content": [{"type": "output_audio", "audio": ""}]}, "invalid_value"),
        ({"type": "function_call_output", "call_id": "call_nobody", "output": "{}"}, "invalid_tool_call_id"),
        ({"type": "function_call_output", "call_id": "call_nobody"}, "missing_required_parameter"),
    ],
)
async def test_items_that_cannot_be_are_refused(caller: Caller, item: object, code: str) -> None:
    await caller.send("conversation.item.create", item=item, event_id="bad")
    error = (await caller.until("error"))["error"]
    assert (error["code"], error["event_id"]) == (code, "bad")


async def test_an_out_of_band_response_sees_only_its_input(caller: Caller) -> None:
    await caller.respond(instructions=OPENING)
    await caller.speak("Please stop calling me!")
    question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}
    aside = await caller.respond(conversation="none", input=[question], output_modalities=["text"])
    assert words_of(aside).startswith("Smith & Sons Roofing calling")
    heard = caller.all("input_audio_buffer.committed")[0]["item_id"]
    again = await caller.respond(conversation="none", input=[{"type": "item_reference", "id": heard}])
    assert call_of(again) == ("opt_out", {"words": "Please stop calling me!"})


# Truncation


async def test_after_truncation_the_model_remembers_only_what_was_heard(caller: Caller) -> None:
    await caller.respond(instructions=OPENING)
    await caller.speak("Yes, go ahead.")
    asked = await caller.respond()
    assert words_of(asked).endswith("What is your budget for the roof?")
    item = asked["output"][0]["id"]
    words = words_of(asked).removesuffix(" What is your budget for the roof?")
    said = caller.service.speaker.say(words_of(asked), "en-us+f3")
    played_ms = said.words[len(words.split())].start_byte // 8
    await caller.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=played_ms)
    truncated = await caller.until("conversation.item.truncated")
    assert (truncated["item_id"], truncated["audio_end_ms"]) == (item, played_ms)
    await caller.connection.conversation.item.retrieve(item_id=item)
    content = (await caller.until("conversation.item.retrieved"))["item"]["content"]
    assert content == [{"type": "output_audio"}]
    await caller.speak("Sorry, I was distracted for a moment.")
    assert words_of(await caller.respond()).endswith("What is your budget for the roof?")


async def test_truncating_at_zero_forgets_it_all(caller: Caller) -> None:
    opening = await caller.respond(instructions=OPENING)
    item = opening["output"][0]["id"]
    await caller.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=0)
    await caller.until("conversation.item.truncated")
    await caller.speak("Hello?")
    assert words_of(await caller.respond()) == words_of(opening)


async def test_truncations_that_cannot_be_are_refused(caller: Caller) -> None:
    opening = await caller.respond(instructions=OPENING)
    item = opening["output"][0]["id"]
    length_ms = len(sound_of(caller, item)) // 8
    await caller.speak("Hello?")
    person = caller.all("input_audio_buffer.committed")[0]["item_id"]
    for wrong in (
        {"item_id": item, "content_index": 0, "audio_end_ms": length_ms + 1},
        {"item_id": item, "content_index": 1, "audio_end_ms": 0},
        {"item_id": item, "content_index": 0, "audio_end_ms": -1},
        {"item_id": "item_nobody", "content_index": 0, "audio_end_ms": 0},
        {"item_id": person, "content_index": 0, "audio_end_ms": 0},
    ):
        await caller.send("conversation.item.truncate", **wrong)
    await caller.until("error", 5)
    messages = [event["error"]["message"] for event in caller.all("error")]
    assert messages[0] == f"Audio content of {length_ms}ms is already shorter than {length_ms + 1}ms"
    assert caller.all("conversation.item.truncated") == []


# Tools


async def test_a_whole_call_to_its_goal_with_goodbye_and_end_call_in_one_response(caller: Caller) -> None:
    await caller.respond(instructions=OPENING)
    await caller.speak("Yes, go ahead.")
    assert words_of(await caller.respond()).endswith("What is your budget for the roof?")
    await caller.speak("About twelve thousand dollars.")
    assert words_of(await caller.respond()).endswith("When would you like the work done?")
    await caller.speak("Within the next two months.")
    last = await caller.respond()
    assert [item["type"] for item in last["output"]] == ["message", "function_call"]
    assert words_of(last).endswith("Thank you, we will send you the estimate. Goodbye!")
    assert call_of(last) == ("end_call", {"reason": "goal_achieved"})


async def test_a_function_call_has_every_event_in_order(caller: Caller) -> None:
    await caller.respond(instructions=OPENING)
    await caller.speak("Please stop calling me!")
    before = len(caller.events)
    asked = await caller.respond()
    own = [
        event
        for event in caller.events[before:]
        if not event["type"].endswith((".delta", ".completed", "limits.updated"))
    ]
    assert [event["type"] for event in own] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert own[1]["item"]["arguments"] == ""
    deltas = caller.all("response.function_call_arguments.delta")
    assert "".join(event["delta"] for event in deltas) == own[3]["arguments"]
    assert call_of(asked) == ("opt_out", {"words": "Please stop calling me!"})
    goodbye = await caller.answer(asked["output"][0], '{"ok":true}')
    assert "won't call you again" in words_of(goodbye)
    assert call_of(goodbye) == ("end_call", {"reason": "do_not_call"})


async def test_guidance_is_asked_for_spoken_and_the_question_comes_back(caller: Caller) -> None:
    await caller.respond(instructions=OPENING)
    await caller.speak("Sure.")
    await caller.respond()
    await caller.speak("How long is your warranty?")
    asked = await caller.respond()
    assert call_of(asked) == ("get_guidance", {"question": "How long is your warranty?"})
    told = await caller.answer(asked["output"][0], '{"advice":"Ten years on the labour."}')
    assert words_of(told) == "Ten years on the labour. What is your budget for the roof?"


@pytest.mark.parametrize("session", [{"tools": []}, {"tools": TOOLS, "tool_choice": "none"}])
async def test_a_tool_that_is_not_offered_is_never_called(service: Service, session: dict[str, object]) -> None:
    async with calling(service, **session) as caller:
        await caller.respond(instructions=OPENING)
        for line in ("How long is your warranty?", "Can I speak to a human?", "Please stop calling me!"):
            await caller.speak(line)
            done = await caller.respond()
            assert call_of(done) is None
            assert words_of(done)


# Faults and the end


async def test_a_scripted_refusal_strikes_once(service: Service) -> None:
    async with aiohttp.ClientSession() as http:
        fault = {"service": "realtime", "fault": "status", "status": 503}
        async with http.post(f"{service.url}/sandbox/faults", json=fault) as answer:
            assert answer.status == 201
        with pytest.raises(InvalidStatus) as refused:
            async with calling(service):
                pass
        assert refused.value.response.status_code == 503
        async with calling(service) as caller:
            assert caller.all("session.updated")
        async with http.get(f"{service.url}/sandbox/ledger", params={"service": "realtime"}) as answer:
            ledger = await answer.json()
    assert ledger["counts"]["realtime"]["connect"] == 1
    assert [entry["kind"] for entry in ledger["entries"]][:2] == ["fault", "connect"]


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"service": "fax", "fault": "drop"}, "service"),
        ({"service": "realtime", "fault": "hang"}, "fault"),
        ({"service": "realtime", "fault": "status", "status": 200}, "status"),
        ({"service": "realtime", "fault": "drop", "times": 0}, "times"),
        ({"fault": "drop"}, "service"),
        (["drop"], "JSON object"),
    ],
)
async def test_a_fault_nobody_can_show_is_refused_with_the_field(service: Service, fault: object, named: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{service.url}/sandbox/faults", json=fault) as answer:
            assert answer.status == 400
            assert named in (await answer.json())["error"]


async def test_a_dropped_session_ends_without_a_close_frame(service: Service) -> None:
    service.ledger.script(Fault("realtime", "drop", after_ms=1000))
    async with calling(service) as caller:
        await caller.append(b"\xff" * 8 * 900)
        await caller.respond(instructions='Say exactly: "Still here."')
        await caller.append(b"\xff" * 8 * 300)
        ended = await caller.finished()
    assert isinstance(ended, ConnectionClosedError)
    assert ended.rcvd is None


async def _counted(service: Service, kind: str) -> int:
    """How often the ledger, as it is shown, counted it."""
    async with aiohttp.ClientSession() as http, http.get(f"{service.url}/sandbox/ledger") as response:
        counts: dict[str, dict[str, int]] = (await response.json())["counts"]
    return counts.get("realtime", {}).get(kind, 0)


async def test_a_stalled_session_stays_open_and_silent(service: Service) -> None:
    async with calling(service) as caller:
        service.ledger.script(Fault("realtime", "stall"))
        known = len(caller.events)
        await caller.connection.response.create()
        while await _counted(service, "sent rate_limits.updated") == 0:
            pass
        assert len(caller.events) == known
        assert caller.ended is None


async def test_a_session_ends_at_its_maximum_with_1001() -> None:
    last: object = None
    async with serving(max_session_s=0.1) as service:
        async with service.client().realtime.connect(model="gpt-realtime") as connection:
            with pytest.raises(ConnectionClosedOK) as closed:
                while True:
                    last = orjson.loads(await connection.recv_bytes())
    assert isinstance(last, dict)
    assert last["error"]["code"] == "session_expired"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert "maximum duration" in closed.value.rcvd.reason


async def test_the_ledger_counts_what_was_asked_and_keeps_no_words(service: Service) -> None:
    async with calling(service) as caller:
        await caller.speak("My secret number is four.")
        await caller.respond(instructions=OPENING)
    ledger = service.ledger
    assert await _counted(service, "input_audio_buffer.append") > 10
    assert len(ledger.entries("realtime", "response.create")) == 1
    assert "secret" not in repr(ledger.entries("realtime"))
    assert "sk-test" not in repr(ledger.entries("realtime"))
