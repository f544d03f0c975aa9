"""Requests the carrier makes to the customer's server: signed callbacks and TwiML fetches."""

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from callwright.app.sandbox.ledger import Ledger
from callwright.app.sandbox.twilio_wire import SimClock, sign

ANSWER_WITHIN = 15.0  # wall seconds, Twilio's limit for a webhook's answer
SHUFFLE_WITHIN = 1.5  # simulated seconds by which a shuffled callback may be late


@dataclass(frozen=True, slots=True)
class DialMap:
    """Where public URLs are really found: (public prefix, local prefix) pairs. Signatures keep the public URL."""

    pairs: Sequence[tuple[str, str]] = ()

    def resolve(self, url: str) -> str:
        for public, local in self.pairs:
            if url.startswith(public):
                return local + url[len(public) :]
        return url


@dataclass(frozen=True, slots=True)
class Delivery:
    """How callbacks arrive: `shuffle` delays each by a random time, `duplicate` sends each twice with one token."""

    shuffle: bool = False
    duplicate: bool = False


class FetchFailed(Exception):
    """The TwiML URL did not answer 2xx in time (Twilio error 11200)."""


class Webhooks:
    """Sends form posts (or GETs) signed with the account's token; callbacks in tasks of their own."""

    def __init__(
        self,
        auth_token: str,
        clock: SimClock,
        ledger: Ledger,
        chance: random.Random,
        delivery: Delivery,
        dial_map: DialMap,
    ) -> None:
        self._auth_token = auth_token
        self._clock = clock
        self._ledger = ledger
        self._chance = chance
        self._delivery = delivery
        self._dial_map = dial_map
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client for webhooks and media sockets; opened on first use inside the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN),
                connector=aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context()),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session

    def resolve(self, url: str) -> str:
        return self._dial_map.resolve(url)

    def signature(self, url: str) -> str:
        return sign(self._auth_token, url)

    def post(self, url: str, method: str, fields: Mapping[str, str], token: str) -> None:
        """Sends one callback soon; `token` becomes `I-Twilio-Idempotency-Token`, the same for every delivery of it."""
        for _ in range(2 if self._delivery.duplicate else 1):
            late = self._chance.uniform(0, SHUFFLE_WITHIN) if self._delivery.shuffle else 0.0
            task = asyncio.create_task(self._deliver(url, method, fields, token, late))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def fetch(self, url: str, method: str, fields: Mapping[str, str]) -> str:
        """The TwiML a URL answers with. Raises FetchFailed."""
        try:
            status, body = await self._request(url, method, fields, {})
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._ledger.record("twilio", "fetch.failed", code=11200, reason=type(error).__name__)
            raise FetchFailed(type(error).__name__) from error
        if not 200 <= status < 300:
            self._ledger.record("twilio", "fetch.failed", code=11200, status=status)
            raise FetchFailed(f"HTTP {status}")
        return body

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, url: str, method: str, fields: Mapping[str, str], token: str, late: float) -> None:
        await self._clock.sleep(late)
        for attempt in (1, 2):
            outcome: int | str
            try:
                outcome, _ = await self._request(url, method, fields, {"I-Twilio-Idempotency-Token": token})
                delivered = outcome < 400
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                outcome, delivered = type(error).__name__, False
            facts = {"call": fields.get("CallSid", ""), "attempt": attempt, "answer": outcome}
            if delivered:
                self._ledger.record("twilio", "callback", **facts)
                return
            self._ledger.record("twilio", "callback.failed", code=15003, **facts)

    async def _request(
        self, url: str, method: str, fields: Mapping[str, str], extra: Mapping[str, str]
    ) -> tuple[int, str]:
        headers = {"User-Agent": "TwilioProxy/1.1", "Accept": "*/*", **extra}
        if method == "GET":
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"
            headers["X-Twilio-Signature"] = sign(self._auth_token, url)
            body = None
        else:
            headers["X-Twilio-Signature"] = sign(self._auth_token, url, fields.items())
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            body = urlencode(fields).encode()
        async with self.session.request(method, self.resolve(url), data=body, headers=headers) as response:
            return response.status, await response.text()
