"""The stand-in for OpenAI Realtime, driven by the real SDK over loopback: sessions, turns, responses."""

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator

import orjson
import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.app.sandbox.realtime_wire import Caller, Service, calling, serving, words_of


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as running:
        yield running


@pytest.fixture
async def caller(service: Service) -> AsyncIterator[Caller]:
    async with calling(service) as connected:
        yield connected


async def refusal_of(client: AsyncOpenAI, model: str = "gpt-realtime") -> InvalidStatus:
    with pytest.raises(InvalidStatus) as refused:
        async with client.realtime.connect(model=model):
            pass
    return refused.value


# Connecting


async def test_a_wrong_key_is_refused_at_the_upgrade(service: Service) -> None:
    assert (await refusal_of(service.client("sk-invalid"))).response.status_code == 401
    assert service.ledger.entries("realtime", "refused")[0].facts == {"status": 401}


async def test_a_model_is_required(service: Service) -> None:
    assert (await refusal_of(service.client(), model="")).response.status_code == 400


async def test_the_beta_header_is_refused_with_close_4000(service: Service) -> None:
    headers = {"OpenAI-Beta": "realtime=v1"}
    async with service.client().realtime.connect(model="gpt-realtime", extra_headers=headers) as connection:
        error = await connection.recv()
        assert error.type == "error"
        assert error.error.code == "beta_api_shape_disabled"
        with pytest.raises(ConnectionClosedError) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4000


async def test_the_first_event_is_the_session_with_its_expiry(service: Service) -> None:
    async with service.client().realtime.connect(model="gpt-realtime") as connection:
        created = orjson.loads(await connection.recv_bytes())
    assert created["type"] == "session.created"
    assert created["session"]["model"] == "gpt-realtime"
    assert created["session"]["expires_at"] > time.time() + 3000


# Session


async def test_updates_merge_and_null_clears(caller: Caller) -> None:
    before = caller.all("session.updated")[0]["session"]
    assert before["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert before["audio"]["output"]["speed"] == 1.0
    update = {"type": "realtime", "audio": {"input": {"turn_detection": None}}, "tools": []}
    await caller.send("session.update", session=update)
    after = (await caller.until("session.updated", 2))["session"]
    assert after["audio"]["input"]["turn_detection"] is None
    assert after["audio"]["input"]["transcription"] == {"model": "whisper-1"}
    assert after["tools"] == []
    assert after["instructions"] == before["instructions"]


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"instructions": "x"}, "missing_required_parameter", "session.type"),
        ({"type": "realtime", "modalities": ["audio"]}, "unknown_parameter", "session.modalities"),
        ({"type": "realtime", "temperature": 0.7}, "unknown_parameter", "session.temperature"),
        (
            {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "quick": 1}}}},
            "unknown_parameter",
            "session.audio.input.turn_detection.quick",
        ),
        ({"type": "realtime", "audio": {"output": {"voice": "hal"}}}, "invalid_value", "session.audio.output.voice"),
        ({"type": "realtime", "audio": {"output": {"speed": 9}}}, "invalid_value", "session.audio.output.speed"),
        ({"type": "realtime", "max_output_tokens": 9000}, "invalid_value", "session.max_output_tokens"),
        ({"type": "realtime", "tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        ({"type": "realtime", "audio": "loud"}, "invalid_value", "session.audio"),
    ],
)
async def test_a_bad_update_is_refused_whole(caller: Caller, session: object, code: str, param: str) -> None:
    await caller.send("session.update", event_id="mine", session=session)
    error = (await caller.until("error"))["error"]
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
    await caller.send("session.update", session={"type": "realtime"})
    assert (await caller.until("session.updated", 2))["session"] == caller.all("session.updated")[0]["session"]


async def test_unknown_events_and_garbage_are_errors_and_the_session_goes_on(caller: Caller) -> None:
    await caller.send("response.make", event_id="a")
    await caller.connection.send_raw("{not json")
    await caller.send("output_audio_buffer.clear", event_id="c")
    await caller.until("error", 3)
    assert [event["error"]["event_id"] for event in caller.all("error")] == ["a", None, "c"]
    assert words_of(await caller.respond(instructions='Say exactly: "Still here."')) == "Still here."


# Turns


async def test_a_turn_is_told_in_appended_milliseconds_and_transcribed(caller: Caller) -> None:
    heard = await caller.speak("Yes, I have a minute.")
    started, stopped = caller.all("input_audio_buffer.speech_started"), caller.all("input_audio_buffer.speech_stopped")
    said = caller.service.speaker.say("Yes, I have a minute.", "en-us+m3")
    # 200 ms of silence come first; the prefix padding of 300 ms reaches back to the beginning.
    assert started[0]["audio_start_ms"] == 0
    assert 200 + said.duration_ms + 380 <= stopped[0]["audio_end_ms"] <= 200 + said.duration_ms + 520
    assert heard["transcript"] == "Yes, I have a minute."
    deltas = caller.all("conversation.item.input_audio_transcription.delta")
    assert "".join(delta["delta"] for delta in deltas) == heard["transcript"]
    assert heard["usage"]["input_tokens"] == pytest.approx(stopped[0]["audio_end_ms"] / 100, abs=1)
    kinds = [
        event["type"]
        for event in caller.events
        if event.get("item_id", event.get("item", {})) and "input_audio_t" not in event["type"]
    ]
    assert kinds == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    items = {
        event.get("item_id") or event["item"]["id"] for event in caller.events if "item_id" in event or "item" in event
    }
    assert items == {heard["item_id"]}


async def test_prefix_padding_counts_back_from_the_onset(caller: Caller) -> None:
    await caller.append(b"\xff" * 8 * 2000)
    await caller.speak("Hello there.")
    started = caller.all("input_audio_buffer.speech_started")[0]["audio_start_ms"]
    assert 1880 <= started <= 2000


async def test_a_longer_silence_than_asked_for_makes_two_turns(caller: Caller) -> None:
    await caller.speak("No thanks.")
    await caller.speak("Call me tomorrow.")
    assert [event["transcript"] for event in caller.all("conversation.item.input_audio_transcription.completed")] == [
        "No thanks.",
        "Call me tomorrow.",
    ]
    committed = caller.all("input_audio_buffer.committed")
    assert committed[1]["previous_item_id"] == committed[0]["item_id"]


async def test_lost_audio_is_misheard_and_the_model_says_so(caller: Caller) -> None:
    await caller.respond(instructions='Say exactly: "What is your budget for the roof?"')
    heard = await caller.speak(
        "It is about twelve thousand dollars.", lambda said: said.audio[:4000] + said.audio[9000:]
    )
    assert "…" in heard["transcript"]
    assert words_of(await caller.respond()) == "Sorry, I didn't catch that. What is your budget for the roof?"


async def test_by_default_the_server_answers_a_turn_by_itself(service: Service) -> None:
    async with calling(service, turn_detection={}) as caller:
        await caller.speak("Hello?")
        done = await caller.until("response.done")
    assert words_of(done["response"]).startswith("Smith & Sons Roofing calling: I'm Ava, an AI assistant.")


async def test_by_default_speech_interrupts_the_response() -> None:
    async with serving(pace=2.0) as service, calling(service, turn_detection={}) as caller:
        await caller.connection.response.create(
            response={"instructions": f'Say exactly: "{"On and on it goes. " * 20}"'}
        )
        await caller.until("response.output_audio.delta")
        await caller.speak("Wait a moment.")
        done = (await caller.until("response.done"))["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")


async def test_an_idle_caller_is_reported_and_answered(service: Service) -> None:
    async with calling(service, turn_detection={"idle_timeout_ms": 5000}) as caller:
        await caller.respond(instructions='Say exactly: "What is your budget for the roof?"')
        await caller.append(b"\xff" * 8 * 12_000)
        timeout = await caller.until("input_audio_buffer.timeout_triggered")
        assert timeout["audio_end_ms"] - timeout["audio_start_ms"] == 5000
        committed = await caller.until("input_audio_buffer.committed")
        assert committed["item_id"] == timeout["item_id"]
        done = await caller.until("response.done", 2)
    assert words_of(done["response"]) == "Are you still there? What is your budget for the roof?"


async def test_without_turn_detection_the_client_commits(service: Service) -> None:
    async with calling(service, turn_detection=None) as caller:
        await caller.send("input_audio_buffer.commit", event_id="early")
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "early")
        said = service.speaker.say("Good morning.", "en-us+m3")
        await caller.append(said.audio)
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        await caller.append(said.audio)
        await caller.send("input_audio_buffer.commit")
        heard = await caller.until("conversation.item.input_audio_transcription.completed")
    assert heard["transcript"] == "Good morning."
    assert caller.all("input_audio_buffer.speech_started") == []


# Responses


async def test_a_spoken_response_has_every_event_in_order_and_intact_audio(caller: Caller) -> None:
    line = "Smith & Sons Roofing calling: I'm Ava, an AI assistant. Do you have a minute to talk about your roof?"
    await caller.respond(instructions=f'Some context.\nSay exactly: "{line}"', metadata={"purpose": "opening"})
    await caller.until("rate_limits.updated")
    kinds = [event["type"] for event in caller.events[2:]]
    order = [kind for kind, _ in itertools.groupby(kinds) if not kind.endswith(".delta")]
    assert order == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    chunks = [base64.b64decode(event["delta"]) for event in caller.all("response.output_audio.delta")]
    assert caller.service.ear.hear(b"".join(chunks)) == line
    assert len({len(chunk) for chunk in chunks}) > 2
    assert all(160 <= len(chunk) <= 3200 for chunk in chunks)
    transcript = "".join(event["delta"] for event in caller.all("response.output_audio_transcript.delta"))
    assert transcript == line == caller.all("response.output_audio_transcript.done")[0]["transcript"]
    done = caller.all("response.done")[0]["response"]
    assert (done["status"], done["metadata"]) == ("completed", {"purpose": "opening"})
    usage = done["usage"]
    assert usage["output_token_details"]["audio_tokens"] == pytest.approx(len(b"".join(chunks)) / 400, abs=1)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_deltas_of_words_and_sound_are_interleaved(caller: Caller) -> None:
    await caller.respond(instructions=f'Say exactly: "{"One two three four five six seven. " * 4}"')
    kinds = [event["type"] for event in caller.events if event["type"].endswith(".delta")]
    runs = [kind for kind, _ in itertools.groupby(kinds)]
    assert len(runs) > 8


async def test_input_tokens_grow_with_the_conversation_and_are_cached(caller: Caller) -> None:
    first = (await caller.respond(instructions='Say exactly: "Hello there, how are you?"'))["usage"]
    await caller.speak("Fine, thanks, go ahead.")
    second = (await caller.respond())["usage"]
    third = (await caller.respond())["usage"]
    assert first["input_token_details"]["audio_tokens"] == 0
    assert second["input_token_details"]["audio_tokens"] > 0
    assert third["input_tokens"] > second["input_tokens"]
    cached = third["input_token_details"]["cached_tokens"]
    assert 0 < cached <= third["input_tokens"]
    assert cached == sum(third["input_token_details"]["cached_tokens_details"].values())


async def test_only_one_response_at_a_time_but_out_of_band_ones_run_beside(service: Service) -> None:
    async with serving(pace=2.0) as slow, calling(slow) as caller:
        await caller.connection.response.create(response={"instructions": f'Say exactly: "{"Again and again. " * 10}"'})
        await caller.until("response.output_audio.delta")
        await caller.send("response.create", event_id="second")
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")
        aside = await caller.respond(
            conversation="none",
            output_modalities=["text"],
            metadata={"topic": "aside"},
            instructions='Say exactly: "Noted."',
        )
        assert (aside["metadata"], aside["conversation_id"], words_of(aside)) == ({"topic": "aside"}, None, "Noted.")
        added = [event["item"]["id"] for event in caller.all("conversation.item.added")]
        assert aside["output"][0]["id"] not in added
        await caller.connection.response.cancel()
        done = await caller.until("response.done", 2)
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}


async def test_cancelling_nothing_is_a_harmless_error(caller: Caller) -> None:
    await caller.send("response.cancel", event_id="late")
    error = (await caller.until("error"))["error"]
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "late")
    assert (await caller.respond(instructions='Say exactly: "Fine."'))["status"] == "completed"


async def test_a_cancelled_response_keeps_what_was_made_and_closes_its_item() -> None:
    async with serving(pace=2.0) as service, calling(service) as caller:
        await caller.connection.response.create(response={"instructions": f'Say exactly: "{"Again and again. " * 20}"'})
        await caller.until("response.output_audio.delta", 3)
        await caller.connection.response.cancel()
        done = (await caller.until("response.done"))["response"]
        item = done["output"][0]
        assert (done["status"], item["status"]) == ("cancelled", "incomplete")
        assert caller.all("response.output_item.done")[0]["item"]["id"] == item["id"]
        made = sum(len(base64.b64decode(event["delta"])) for event in caller.all("response.output_audio.delta")) // 8
        assert done["usage"]["output_token_details"]["audio_tokens"] == -(-made // 50)
        # After the cancellation nothing of it comes any more: the next response is a clean one.
        assert words_of(await caller.respond(instructions='Say exactly: "Sorry."')) == "Sorry."
        late = [event for event in caller.all("response.output_audio.delta") if event["item_id"] == item["id"]]
        assert sum(len(base64.b64decode(event["delta"])) for event in late) // 8 == made


async def test_a_response_cancelled_at_once_is_still_announced(caller: Caller) -> None:
    await caller.connection.response.create(response={"instructions": 'Say exactly: "Never mind."'})
    await caller.connection.response.cancel()
    done = await caller.until("response.done")
    created = caller.all("response.created")[0]
    assert created["response"]["id"] == done["response"]["id"]
    assert done["response"]["status"] == "cancelled"


async def test_an_out_of_band_response_is_cancelled_by_its_id() -> None:
    async with serving(pace=2.0) as service, calling(service) as caller:
        line = f'Say exactly: "{"Again and again. " * 20}"'
        await caller.connection.response.create(response={"instructions": line, "conversation": "none"})
        aside = (await caller.until("response.created"))["response"]["id"]
        await caller.until("response.output_audio.delta")
        await caller.send("response.cancel", event_id="default")
        assert (await caller.until("error"))["error"]["code"] == "response_cancel_not_active"
        await caller.connection.response.cancel(response_id=aside)
        done = (await caller.until("response.done"))["response"]
    assert (done["id"], done["status"]) == (aside, "cancelled")


async def test_another_kind_of_turn_detection_replaces_the_first(caller: Caller) -> None:
    detection = {"type": "semantic_vad", "eagerness": "high"}
    await caller.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}})
    assert (await caller.until("session.updated", 2))["session"]["audio"]["input"]["turn_detection"] == detection


async def test_the_token_limit_cuts_a_response_short(caller: Caller) -> None:
    done = await caller.respond(instructions=f'Say exactly: "{"Too many words. " * 9}"', max_output_tokens=20)
    assert (done["status"], done["status_details"]["reason"]) == ("incomplete", "max_output_tokens")
    assert done["usage"]["output_token_details"]["audio_tokens"] == 20


async def test_text_responses_and_mu_law_only(service: Service) -> None:
    async with calling(service) as caller:
        done = await caller.respond(output_modalities=["text"], instructions='Say exactly: "In writing."')
        assert words_of(done) == "In writing."
        assert "".join(event["delta"] for event in caller.all("response.output_text.delta")) == "In writing."
        await caller.send(
            "session.update",
            session={"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}}}},
        )
        await caller.send("response.create", event_id="pcm")
        error = (await caller.until("error"))["error"]
    assert error["param"] == "session.audio.output.format.type"


async def test_ten_calls_at_once_each_hear_their_own(service: Service) -> None:
    async def one(number: int) -> str:
        async with calling(service) as caller:
            heard = await caller.speak(f"This is caller number {number}.")
            assert (await caller.respond())["status"] == "completed"
            return str(heard["transcript"])

    assert await asyncio.gather(*(one(number) for number in range(10))) == [
        f"This is caller number {number}." for number in range(10)
    ]
