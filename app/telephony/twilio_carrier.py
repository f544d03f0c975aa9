"""Twilio through its SDK: one request each, a real time limit, and every bad answer turned into one of three errors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import aiohttp
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance

from callwright.app.settings import Settings
from callwright.app.telephony.carrier import (
    CarrierCall,
    CarrierRefused,
    CarrierStatus,
    CarrierThrottled,
    CarrierUnsure,
    CreateCall,
)
from callwright.app.telephony.codes import CarrierVerdict, verdict_of
from callwright.app.telephony.credentials import carrier_credentials

# Longer than this and the reconciliation has to find out what became of the request.
ANSWER_SECONDS = 10.0
_LISTED = 50
_NOT_FOUND = 20404


class TwilioCarrier:
    """The real carrier, or its stand-in when `settings.sandbox_url` is set. Build it inside the running event loop."""

    def __init__(self, settings: Settings, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        credentials = carrier_credentials(settings)
        # The SDK logs URLs, which hold phone numbers: its logger is one of its own that nobody listens to. Retries of
        # the SDK stay off, they would repeat the request that dials.
        self._http = AsyncTwilioHttpClient(logger=logging.Logger("twilio", logging.CRITICAL))  # noqa: LOG001
        # A non-empty environment keeps TWILIO_EDGE and TWILIO_REGION, which would rewrite the host, out.
        self._client = Client(
            credentials.account_sid, credentials.auth_token, http_client=self._http, environment={"TWILIO_EDGE": ""}
        )
        if settings.sandbox_url is not None:
            self._client.api.base_url = settings.sandbox_url.rstrip("/")
        self._answer_seconds = answer_seconds

    async def close(self) -> None:
        """Closes the HTTP connections."""
        await self._http.close()

    async def create_call(self, request: CreateCall) -> str:
        async with self._answer():
            call = await self._client.calls.create_async(
                to=request.to,
                from_=request.from_,
                url=request.twiml_url,
                method="POST",
                status_callback=request.status_url,
                status_callback_method="POST",
                status_callback_event=["initiated", "ringing", "answered", "completed"],
                timeout=request.ring_seconds,
                time_limit=request.max_seconds,
            )
            return _id_of(call.sid)

    async def calls_since(self, to: str, from_: str, since: datetime) -> Sequence[CarrierCall]:
        # Filtered here by creation: Twilio filters by start, and a call that is still queued has none.
        async with self._answer():
            calls = await self._client.calls.list_async(to=to, from_=from_, limit=_LISTED)
            found = [_carrier_call(call) for call in calls]
        return [call for call in found if call.created_at >= since]

    async def fetch_call(self, sid: str) -> CarrierCall | None:
        try:
            async with self._answer():
                return _carrier_call(await self._client.calls(sid).fetch_async())
        except CarrierRefused as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    async def hang_up(self, sid: str) -> None:
        try:
            async with self._answer():
                await self._client.calls(sid).update_async(status="completed")
        except CarrierRefused as error:
            if verdict_of(error.code, 400) is not CarrierVerdict.ALREADY_OVER:
                raise

    async def send_message(self, to: str, from_: str, body: str) -> str:
        async with self._answer():
            message = await self._client.messages.create_async(to=to, from_=from_, body=body)
            return _id_of(message.sid)

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[None]:
        """Raises our errors `from None`: the SDK's own texts quote phone numbers."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                yield
        except (TwilioRestException, TwilioServiceException) as error:
            raise _error_of(error) from None
        except aiohttp.ClientConnectorError:
            raise CarrierThrottled("the carrier could not be reached") from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise CarrierUnsure(type(error).__name__) from None
        except (TwilioException, ValueError, TypeError, AttributeError) as error:
            # What a 2xx answer that is not the promised JSON object ends in.
            raise CarrierUnsure(f"unreadable answer: {type(error).__name__}") from None


def _error_of(error: TwilioRestException | TwilioServiceException) -> Exception:
    code = int(error.code or error.status)
    verdict = verdict_of(code, int(error.status))
    if verdict is CarrierVerdict.NOT_PROCESSED:
        return CarrierThrottled(f"the carrier throttled the request: {code}")
    if verdict is CarrierVerdict.UNSURE:
        return CarrierUnsure(f"HTTP {error.status}, code {code}")
    return CarrierRefused(code, permanent=verdict not in (CarrierVerdict.TRANSIENT, CarrierVerdict.ACCOUNT))


def _id_of(sid: str | None) -> str:
    if not sid:
        raise CarrierUnsure("an answer without an id")
    return sid


def _carrier_call(call: CallInstance) -> CarrierCall:
    created = call.date_created
    if created is None:
        raise CarrierUnsure("a call without a date")
    return CarrierCall(
        sid=_id_of(call.sid),
        status=CarrierStatus(str(call.status)),
        created_at=created,
        duration_seconds=int(call.duration) if call.duration else None,
    )
