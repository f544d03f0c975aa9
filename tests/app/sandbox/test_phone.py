"""The Media Streams client: handshake, counters, marks, clear, errors, end. Time is the stream's own."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from socket import SHUT_RDWR

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from callwright.app.sandbox.phone import LONGEST_QUEUE_BYTES, Playback
from callwright.app.sandbox.server import SandboxSettings
from callwright.app.sandbox.twilio_webhooks import DialMap
from tests.app.sandbox.customer import OURS, Carrier, Customer, Json, Media, carrier, customer

SECOND = b"\x80" * 8000


@pytest.fixture
async def shop() -> AsyncIterator[Customer]:
    async with customer() as it:
        it.pages["/twiml"] = it.connect(token="t0ken")
        yield it


@pytest.fixture
async def twilio() -> AsyncIterator[Carrier]:
    async with carrier() as it:
        yield it


async def talk(twilio: Carrier, shop: Customer, to: str = "+13125550112") -> Json:
    """One call from its creation to its end; what the carrier saw of it."""
    await twilio.client.calls.create_async(
        to=to, from_=OURS, url=shop.url + "/twiml", status_callback=shop.url + "/status"
    )
    await shop.wait_for("/status", CallStatus="completed")
    return (await twilio.calls())[-1]


def payload(audio: bytes) -> dict[str, str]:
    return {"payload": base64.b64encode(audio).decode()}


async def test_the_socket_is_opened_as_twilio_does(twilio: Carrier, shop: Customer) -> None:
    async def bridge(media: Media) -> None:
        for _ in range(60):
            await media.next("media")

    shop.bridge = bridge
    call = await talk(twilio, shop, "+13125550100")
    (media,) = shop.media
    assert media.signed
    assert media.headers["User-Agent"] == "Twilio.TmeWs/1.0"
    assert not {"Origin", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"} & set(media.headers)
    connected, start, *frames = media.messages
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start["sequenceNumber"] == "1"
    assert start["start"] == {
        "streamSid": start["streamSid"],
        "accountSid": "AC" + "0" * 32,
        "callSid": call["sid"],
        "tracks": ["inbound"],
        "customParameters": {"token": "t0ken"},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    for index, frame in enumerate(frames, 1):
        body = frame["media"]
        assert isinstance(body, dict)
        assert frame["sequenceNumber"] == str(index + 1)
        assert (body["track"], body["chunk"], body["timestamp"]) == ("inbound", str(index), str(index * 20))
        assert len(base64.b64decode(body["payload"])) == 160
    assert twilio.sandbox.ear.hear(media_audio(media)).startswith("Hello?")


def media_audio(media: Media) -> bytes:
    return b"".join(
        base64.b64decode(message["media"]["payload"]) for message in media.messages if message["event"] == "media"
    )


async def test_a_mark_comes_back_when_its_audio_was_played(twilio: Carrier, shop: Customer) -> None:
    waited: list[int] = []

    async def bridge(media: Media) -> None:
        await media.next("media")
        await media.send("mark", mark={"name": "nothing queued"})
        assert (await media.next("mark"))["mark"] == {"name": "nothing queued"}
        before = len(media.messages)
        await media.send("media", media=payload(SECOND))
        await media.send("mark", mark={"name": "a"})
        await media.send("media", media=payload(SECOND))
        await media.send("mark", mark={"name": "b"})
        for name in ("a", "b"):
            assert (await media.next("mark"))["mark"] == {"name": name}
            waited.append(sum(message["event"] == "media" for message in media.messages[before:]))

    shop.bridge = bridge
    call = await talk(twilio, shop)
    assert waited[0] >= 50 and waited[1] >= 100  # frames of 20 ms that passed meanwhile
    (stream,) = call["streams"]
    assert (stream["bytesHeard"], stream["marksEchoed"], stream["clears"]) == (16_000, 3, [])


async def test_clear_drops_the_queue_and_returns_every_mark(twilio: Carrier, shop: Customer) -> None:
    async def bridge(media: Media) -> None:
        await media.next("media")
        await media.send("media", media=payload(SECOND * 30))
        for name in ("a", "b"):
            await media.send("mark", mark={"name": name})
        await media.next("media")
        await media.send("clear")
        assert [(await media.next("mark"))["mark"] for _ in range(2)] == [{"name": "a"}, {"name": "b"}]
        await media.send("media", media=payload(SECOND))
        await media.send("mark", mark={"name": "c"})
        assert (await media.next("mark"))["mark"] == {"name": "c"}

    shop.bridge = bridge
    call = await talk(twilio, shop)
    (stream,) = call["streams"]
    (clear,) = stream["clears"]
    assert clear["droppedMarks"] == 2
    assert clear["heardAfterBytes"] == 8000
    assert stream["bytesHeard"] + clear["droppedBytes"] == stream["bytesReceived"] == 31 * 8000


async def test_bad_messages_are_flagged_once_and_change_nothing(twilio: Carrier, shop: Customer) -> None:
    async def bridge(media: Media) -> None:
        await media.next("media")
        await media.socket.send_bytes(SECOND)
        await media.socket.send_str("{")
        await media.socket.send_str("[]")
        await media.send("stop")
        await media.send("media", media=payload(SECOND), track="outbound")
        await media.send("media", media={"payload": "???"})
        await media.send("media", media=payload(SECOND) | {"track": "outbound"})
        good, media.stream_sid = media.stream_sid, "MZ" + "0" * 32
        await media.send("media", media=payload(SECOND))
        media.stream_sid = good
        await media.send("mark", mark={"name": "end"})
        await media.next("mark")

    shop.bridge = bridge
    call = await talk(twilio, shop)
    (stream,) = call["streams"]
    assert stream["errors"] == [31950, 31951]
    assert stream["bytesReceived"] == 0
    errors = twilio.sandbox.ledger.entries("twilio", "stream.error")
    assert [entry.facts["code"] for entry in errors] == [31950, 31951]


async def test_more_than_ten_minutes_of_audio_are_dropped(twilio: Carrier, shop: Customer) -> None:
    async def bridge(media: Media) -> None:
        await media.send("media", media=payload(SECOND * 601))
        await media.send("mark", mark={"name": "end"})
        await media.send("clear")
        await media.next("mark")

    shop.bridge = bridge
    call = await talk(twilio, shop)
    (stream,) = call["streams"]
    assert stream["errors"] == [31931]
    assert stream["bytesReceived"] == LONGEST_QUEUE_BYTES


async def test_closing_the_socket_goes_on_with_the_page(twilio: Carrier, shop: Customer) -> None:
    shop.pages["/twiml"] = shop.connect(after="<Say>We will call again.</Say>")
    call = await talk(twilio, shop)
    assert [line["text"] for line in call["heard"]] == ["We will call again."]
    assert call["endedBy"] == "twiml"


async def test_the_stream_stops_when_the_person_hangs_up(twilio: Carrier, shop: Customer) -> None:
    async def bridge(media: Media) -> None:
        stop = await media.next("stop")
        assert stop["stop"] == {"accountSid": "AC" + "0" * 32, "callSid": str(twilio_call(twilio))}
        assert [message async for message in media] == []

    shop.bridge = bridge
    call = await talk(twilio, shop)
    assert (call["endedBy"], call["durationMs"]) == ("callee", 60_000)


def twilio_call(twilio: Carrier) -> str:
    return next(iter(twilio.sandbox.carrier.calls))


async def test_the_person_hears_words_only_when_they_arrive_whole(twilio: Carrier, shop: Customer) -> None:
    speech = twilio.sandbox.speaker.say("Would Tuesday morning suit you?", "en-gb")
    middle = speech.words[2]
    damaged = bytearray(speech.audio)
    damaged[middle.start_byte : middle.end_byte] = b"\x00" * (middle.end_byte - middle.start_byte)

    async def bridge(media: Media) -> None:
        for audio in (speech.audio, bytes(damaged)):
            await media.send("media", media=payload(audio))
            await media.send("media", media=payload(b"\xff" * 8000))
            await media.send("mark", mark={"name": "end"})
            await media.next("mark")

    shop.bridge = bridge
    call = await talk(twilio, shop)
    assert [line["text"] for line in call["heard"]] == [
        "Would Tuesday morning suit you?",
        "Would Tuesday … suit you?",
    ]


async def test_keys_are_sent_as_dtmf(shop: Customer, tmp_path: Path) -> None:
    persona = 'number: "555-0142"\ndescription: presses nine\nturns:\n- {press: "90", unprompted: true}\n'
    (tmp_path / "nine.yaml").write_text(persona)
    digits = []

    async def bridge(media: Media) -> None:
        digits.extend([(await media.next("dtmf"))["dtmf"] for _ in range(2)])

    shop.bridge = bridge
    async with carrier(SandboxSettings(speed=20, personas=tmp_path)) as twilio:
        call = await talk(twilio, shop, "+13125550142")
    assert digits == [{"track": "inbound_track", "digit": digit} for digit in "90"]
    assert call["pressed"] == ["9", "0"]


async def test_a_refused_upgrade_is_reported_and_the_page_goes_on(twilio: Carrier, shop: Customer) -> None:
    page = shop.connect(after="<Say>Goodbye.</Say>").replace("/media", "/nowhere")
    shop.pages["/twiml"] = page.replace("<Stream ", f'<Stream statusCallback="{shop.url}/stream" ')
    call = await talk(twilio, shop)
    (hook,) = await shop.wait_for("/stream", StreamEvent="stream-error")
    assert hook.signed and hook.fields["StreamError"].startswith("31920")
    assert [line["text"] for line in call["heard"]] == ["Goodbye."]


async def test_a_public_url_is_dialled_locally_and_signed_as_it_stands(shop: Customer) -> None:
    public = "wss://calls.callwright.example"

    async def bridge(media: Media) -> None:
        signature = media.headers["X-Twilio-Signature"]
        assert RequestValidator("test-token").validate(public + "/media", {}, signature)
        assert not media.signed

    shop.bridge = bridge
    shop.pages["/twiml"] = shop.connect().replace(shop.media_url, public + "/media")
    local = shop.media_url.removesuffix("/media")
    async with carrier(SandboxSettings(speed=20, dial_map=DialMap([(public, local)]))) as twilio:
        await talk(twilio, shop)
    assert len(shop.media) == 1


@pytest.mark.parametrize(("close_code", "error"), [(1000, None), (1011, 31921), (None, 31903)])
async def test_how_the_server_left_is_noted(
    twilio: Carrier, shop: Customer, close_code: int | None, error: int | None
) -> None:
    async def bridge(media: Media) -> None:
        await media.next("media")
        if close_code is not None:
            await media.socket.close(code=close_code)
        else:
            transport = media.socket.get_extra_info("socket")
            assert transport is not None
            transport.shutdown(SHUT_RDWR)

    shop.bridge = bridge
    call = await talk(twilio, shop)
    (stream,) = call["streams"]
    assert stream["errors"] == ([] if error is None else [error])


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2000)),
        st.tuples(st.sampled_from(["mark", "clear", "play"]), st.just(0)),
    )
)


@given(actions=ACTIONS)
def test_marks_return_once_in_order_and_never_before_their_audio(actions: list[tuple[str, int]]) -> None:
    playback = Playback()
    queued: list[tuple[int, str]] = []  # (bytes that have to be gone, name)
    total = gone = 0
    echoed: list[str] = []
    for number, (action, size) in enumerate(actions):
        if action == "add":
            assert playback.add(b"\x01" * size)
            total += size
        elif action == "mark":
            queued.append((total, str(number)))
            echoed += playback.mark(str(number))
        elif action == "clear":
            echoed += playback.clear(0)
            gone = total
        else:
            frame = playback.play()
            assert len(frame) == 160 and frame.count(b"\x01") == min(160, total - gone)
            gone += min(160, total - gone)
            echoed += playback.reached()
        assert echoed == [name for position, name in queued if position <= gone]
    assert playback.heard + sum(clear.dropped_bytes for clear in playback.clears) == gone
