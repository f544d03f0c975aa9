"""A customer of the sandbox's Twilio: a webhook receiver, TwiML pages and a media server, all on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from aiohttp import ClientSession, WSMsgType, encode_basic_auth, web
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from callwright.app.sandbox.server import Sandbox, SandboxSettings

Json: TypeAlias = dict[str, Any]

TOKEN = "test-token"
ACCOUNT = "AC" + "0" * 32
OURS = "+13125550199"
HANGUP = "<Response><Hangup/></Response>"


@dataclass(frozen=True)
class Webhook:
    path: str
    method: str
    fields: dict[str, str]
    signed: bool
    idempotency: str


@dataclass
class Media:
    """One media socket as the customer's server sees it."""

    socket: web.WebSocketResponse
    headers: dict[str, str]
    signed: bool
    messages: list[Json] = field(default_factory=list)
    stream_sid: str = ""

    async def next(self, event: str) -> Json:
        """Reads on to the next message of that kind; fails if the stream ends before."""
        async for message in self:
            if message["event"] == event:
                return message
        raise AssertionError(f"the stream ended before {event}")

    def __aiter__(self) -> "Media":
        return self

    async def __anext__(self) -> Json:
        raw = await self.socket.receive()
        if raw.type is not WSMsgType.TEXT:
            raise StopAsyncIteration
        message: Json = json.loads(raw.data)
        self.messages.append(message)
        if message["event"] == "start":
            self.stream_sid = str(message["streamSid"])
        return message

    async def send(self, event: str, **body: object) -> None:
        await self.socket.send_str(json.dumps({"event": event, "streamSid": self.stream_sid, **body}))


@dataclass
class Customer:
    """Set `pages` (path to TwiML), `answers` (path to HTTP status) and `bridge` before the call."""

    url: str = ""
    pages: dict[str, str] = field(default_factory=lambda: {"/twiml": HANGUP})
    answers: dict[str, int] = field(default_factory=dict)
    bridge: Callable[[Media], Awaitable[None]] | None = None
    webhooks: list[Webhook] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait_for(self, path: str, count: int = 1, **fields: str) -> list[Webhook]:
        """The webhooks on a path with these fields, once there are that many."""

        def matching() -> list[Webhook]:
            return [hook for hook in self.webhooks if hook.path == path and fields.items() <= hook.fields.items()]

        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(lambda: len(matching()) >= count)
        assert not self.failures, self.failures
        return matching()

    @property
    def media_url(self) -> str:
        return self.url.replace("http", "ws") + "/media"

    def connect(self, after: str = "", **parameters: str) -> str:
        inner = "".join(f'<Parameter name="{name}" value="{value}"/>' for name, value in parameters.items())
        return f'<Response><Connect><Stream url="{self.media_url}">{inner}</Stream></Connect>{after}</Response>'

    async def take(self, request: web.Request) -> web.StreamResponse:
        signature = request.headers.get("X-Twilio-Signature", "")
        validator = RequestValidator(TOKEN)
        if request.path == "/media":
            return await self._talk(request, signature, validator)
        url = self.url + request.path_qs
        fields = {name: str(value) for name, value in (await request.post()).items()}
        signed = validator.validate(url, fields, signature)
        token = request.headers.get("I-Twilio-Idempotency-Token", "")
        shown = fields or dict(request.query)
        async with self._news:
            self.webhooks.append(Webhook(request.path, request.method, shown, signed, token))
            self._news.notify_all()
        status = self.answers.get(request.path, 200)
        return web.Response(status=status, text=self.pages.get(request.path, ""), content_type="text/xml")

    async def _talk(self, request: web.Request, signature: str, validator: RequestValidator) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        signed = validator.validate(self.media_url, {}, signature)
        media = Media(socket, dict(request.headers), signed)
        self.media.append(media)
        try:
            assert (await anext(media))["event"] == "connected"
            assert (await anext(media))["event"] == "start"
            if self.bridge is not None:
                await self.bridge(media)
        except Exception as error:  # shown by wait_for and the test's end
            self.failures.append(error)
        await socket.close()
        return socket


@asynccontextmanager
async def customer() -> AsyncIterator[Customer]:
    it = Customer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", it.take)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield it
    finally:
        await runner.cleanup()
    assert not it.failures, it.failures


@dataclass
class Carrier:
    """A running sandbox and the real SDK's async client for it."""

    sandbox: Sandbox
    url: str
    client: Client

    def sync_client(self) -> Client:
        client = Client(ACCOUNT, TOKEN)
        client.api.base_url = self.url
        return client

    async def calls(self) -> list[Json]:
        """What `/sandbox/calls` tells."""
        async with ClientSession() as session, session.get(self.url + "/sandbox/calls") as response:
            calls: list[Json] = (await response.json())["calls"]
            return calls

    async def get(self, path: str) -> tuple[int, bytes]:
        async with (
            ClientSession(headers={"Authorization": encode_basic_auth(ACCOUNT, TOKEN)}) as session,
            session.get(f"{self.url}/2010-04-01/Accounts/{ACCOUNT}/{path}") as response,
        ):
            return response.status, await response.read()


@asynccontextmanager
async def carrier(settings: SandboxSettings | None = None) -> AsyncIterator[Carrier]:
    """A sandbox at 20 times real time unless told otherwise, on a free port."""
    settings = replace(settings or SandboxSettings(speed=20), port=0, auth_token=TOKEN)
    sandbox = Sandbox(settings)
    url = await sandbox.start()
    async with AsyncTwilioHttpClient() as http:
        client = Client(ACCOUNT, TOKEN, http_client=http)
        client.api.base_url = url
        try:
            yield Carrier(sandbox, url, client)
        finally:
            await sandbox.close()
