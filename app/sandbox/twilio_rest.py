"""Twilio's REST API over aiohttp: Calls, Messages, Recordings (protocols B)."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlencode

from aiohttp import web

from callwright.app.sandbox.twilio_book import CallRecord, MessageRecord, RecordingRecord, pick_calls
from callwright.app.sandbox.twilio_carrier import Carrier, not_found
from callwright.app.sandbox.twilio_wire import API_VERSION, AnswerLost, Form, TwilioError

HANG_SECONDS = 3_600.0  # a scripted "hang" outlasts any client
LARGEST_PAGE = 1_000
Work = Callable[[str, web.Request], Awaitable[web.StreamResponse]]


class TwilioRest:
    """The routes, each behind HTTP Basic and the ledger's scripted faults."""

    def __init__(self, carrier: Carrier, auth_token: str) -> None:
        self._carrier = carrier
        self._auth_token = auth_token
        self._ledger = carrier.office.ledger

    def routes(self) -> list[web.RouteDef]:
        base = f"/{API_VERSION}/Accounts/{{account:AC[0-9a-zA-Z]+}}"
        table: Sequence[tuple[str, str, str, Work]] = (
            ("POST", "/Calls.json", "calls.create", self._create_call),
            ("GET", "/Calls.json", "calls.list", self._list_calls),
            ("GET", "/Calls/{sid:CA\\w+}.json", "calls.fetch", self._fetch_call),
            ("POST", "/Calls/{sid:CA\\w+}.json", "calls.update", self._update_call),
            ("GET", "/Calls/{sid:CA\\w+}/Recordings.json", "recordings.list", self._list_recordings),
            ("POST", "/Messages.json", "messages.create", self._create_message),
            ("GET", "/Messages.json", "messages.list", self._list_messages),
            ("GET", "/Messages/{sid:(?:SM|MM)\\w+}.json", "messages.fetch", self._fetch_message),
            ("GET", "/Recordings.json", "recordings.list", self._list_recordings),
            ("GET", "/Recordings/{sid:RE\\w+}.json", "recordings.fetch", self._fetch_recording),
            ("DELETE", "/Recordings/{sid:RE\\w+}.json", "recordings.delete", self._delete_recording),
            ("GET", "/Recordings/{sid:RE\\w+}.wav", "recordings.media", self._recording_media),
            ("GET", "/Recordings/{sid:RE\\w+}", "recordings.media", self._recording_media),
        )
        named = [web.route(method, base + path, self._guarded(kind, work)) for method, path, kind, work in table]
        return [*named, web.route("*", f"/{API_VERSION}/{{rest:.*}}", self._guarded("unknown", self._unknown))]

    def _guarded(self, kind: str, work: Work) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                self._authenticate(request)
                self._ledger.record("twilio", kind)
                await self._show_fault()
                return await work(request.match_info.get("account", ""), request)
            except TwilioError as error:
                self._ledger.record("twilio", "refused", request=kind, code=error.code)
                return web.json_response(error.body(), status=error.status)
            except AnswerLost:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=500)  # never arrives: the connection is gone

        return handle

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
        known = user.startswith(("AC", "SK")) and hmac.compare_digest(password.encode(), self._auth_token.encode())
        if scheme.lower() != "basic" or not known:
            raise TwilioError(20003, "Authenticate", 401)

    async def _show_fault(self) -> None:
        fault = self._ledger.take_fault("twilio")
        if fault is None:
            return
        if fault.fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        if fault.fault == "drop":
            raise AnswerLost
        code = 20429 if fault.status == 429 else 20_000 + fault.status
        raise TwilioError(code, "Too Many Requests" if fault.status == 429 else "Service error", fault.status)

    async def _create_call(self, account: str, request: web.Request) -> web.Response:
        record = self._carrier.create_call(account, await _form(request))
        return web.json_response(record.resource(), status=201)

    async def _fetch_call(self, _account: str, request: web.Request) -> web.Response:
        return web.json_response(self._carrier.record(request.match_info["sid"]).resource())

    async def _update_call(self, _account: str, request: web.Request) -> web.Response:
        record = self._carrier.update_call(request.match_info["sid"], await _form(request))
        return web.json_response(record.resource())

    async def _list_calls(self, account: str, request: web.Request) -> web.Response:
        mine = [record for record in self._carrier.records() if record.account_sid == account]
        return _page(request, "calls", pick_calls(mine, Form.of(request.query.items())))

    async def _create_message(self, account: str, request: web.Request) -> web.Response:
        record = self._carrier.create_message(account, await _form(request))
        return web.json_response(record.resource(), status=201)

    async def _fetch_message(self, _account: str, request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        if sid not in self._carrier.messages:
            raise not_found(f"Messages/{sid}.json")
        return web.json_response(self._carrier.messages[sid].resource())

    async def _list_messages(self, account: str, request: web.Request) -> web.Response:
        to, sender = request.query.get("To", ""), request.query.get("From", "")
        rows = [
            message
            for message in reversed(self._carrier.messages.values())
            if message.account_sid == account and to in ("", message.to) and sender in ("", message.from_)
        ]
        return _page(request, "messages", rows)

    async def _list_recordings(self, account: str, request: web.Request) -> web.Response:
        call = request.match_info.get("sid") or request.query.get("CallSid", "")
        rows = [
            recording
            for recording in reversed(self._carrier.office.recordings.values())
            if recording.account_sid == account and call in ("", recording.call_sid)
        ]
        return _page(request, "recordings", rows)

    async def _fetch_recording(self, _account: str, request: web.Request) -> web.Response:
        return web.json_response(self._recording(request).resource())

    async def _delete_recording(self, _account: str, request: web.Request) -> web.Response:
        del self._carrier.office.recordings[self._recording(request).sid]
        return web.Response(status=204)

    async def _recording_media(self, _account: str, request: web.Request) -> web.Response:
        recording = self._recording(request)
        if recording.wav is None or recording.status != "completed":
            raise not_found(f"Recordings/{recording.sid}.wav")
        asked = request.query.get("RequestedChannels", "")
        channels = int(asked) if asked in ("1", "2") else recording.channels
        body = await asyncio.to_thread(recording.wav, min(channels, recording.channels))
        return web.Response(body=body, content_type="audio/x-wav")

    def _recording(self, request: web.Request) -> RecordingRecord:
        sid = request.match_info["sid"]
        if sid not in self._carrier.office.recordings:
            raise not_found(f"Recordings/{sid}.json")
        return self._carrier.office.recordings[sid]

    async def _unknown(self, _account: str, request: web.Request) -> web.Response:
        raise TwilioError(20404, f"The requested resource {request.path} was not found", 404)


async def _form(request: web.Request) -> Form:
    return Form.of((await request.post()).items())


def _page(
    request: web.Request, key: str, rows: Sequence[CallRecord] | Sequence[MessageRecord] | Sequence[RecordingRecord]
) -> web.Response:
    """One page of a list as Twilio words it; `PageToken` names the last row of the page before."""
    size_text, number_text = request.query.get("PageSize", "50"), request.query.get("Page", "0")
    if not size_text.isdigit() or not 1 <= int(size_text) <= LARGEST_PAGE or not number_text.isdigit():
        raise TwilioError(20006, "Page size must be between 1 and 1000 and page a whole number")
    size, number = int(size_text), int(number_text)
    token = request.query.get("PageToken", "").removeprefix("PA")
    sids = [row.sid for row in rows]
    start = sids.index(token) + 1 if token in sids else number * size
    shown = rows[start : start + size]

    def uri(page: int, after: str) -> str:
        query = [(k, v) for k, v in request.query.items() if k not in ("Page", "PageToken", "PageSize")]
        query += [("PageSize", str(size)), ("Page", str(page))] + ([("PageToken", "PA" + after)] if after else [])
        return f"{request.path}?{urlencode(query)}"

    body: Mapping[str, object] = {
        key: [row.resource() for row in shown],
        "page": number,
        "page_size": size,
        "start": start,
        "end": start + len(shown) - 1 if shown else start,
        "uri": uri(number, token),
        "first_page_uri": uri(0, ""),
        "previous_page_uri": uri(number - 1, "") if number else None,
        "next_page_uri": uri(number + 1, shown[-1].sid) if start + size < len(rows) else None,
    }
    return web.json_response(body)
