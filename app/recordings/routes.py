"""Serves recordings to holders of a signed link, in whole or in ranges, so that a player can seek."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from callwright.app.recordings.links import is_valid
from callwright.app.recordings.models import Recording
from callwright.app.state import AppState

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# A recording is personal data: no proxy keeps it, no page of another site reads or frames it, no link leaks onward.
_PRIVATE = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Unsatisfiable(Exception):
    """The requested range lies outside the recording."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end` (exclusive)."""

    start: int
    end: int


def routes() -> list[Route]:
    """`GET /recordings/{id}.wav?expires=&signature=`, with `&download=1` as a file to save."""
    return [Route("/recordings/{recording_id:uuid}.wav", serve_recording, methods=["GET"], name="recording")]


async def serve_recording(request: Request) -> Response:
    """403 for a link that is not ours or has expired, 404 for audio that is gone, 416 for a range outside it."""
    state: AppState = request.app.state.callwright
    recording_id: UUID = request.path_params["recording_id"]
    expires = request.query_params.get("expires", "")
    signature = request.query_params.get("signature", "")
    if not re.fullmatch(r"[0-9]{1,12}", expires) or not is_valid(
        recording_id, expires, signature, state.clock.now(), state.settings
    ):
        return _refusal("This link is not valid or has expired. Ask for a new one.", 403)
    async with state.database.system() as session:
        recording = await session.get(Recording, recording_id)
    size = None
    if recording is not None and recording.deleted_at is None:
        size = await state.recordings.size(recording.object_key)
    if recording is None or size is None:
        return _refusal("This recording no longer exists.", 404)
    headers = _headers(request, recording)
    try:
        asked = wanted_range(request.headers.get("range"), size)
    except Unsatisfiable:
        return _refusal("The range lies outside the recording.", 416, {"Content-Range": f"bytes */{size}"})
    part = asked or ByteRange(0, size)
    if asked is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    headers["Content-Length"] = str(part.end - part.start)
    status = 200 if asked is None else 206
    if request.method == "HEAD" or size == 0:
        return Response(status_code=status, headers=headers, media_type="audio/wav")
    audio = await state.recordings.read(recording.object_key, part.start, part.end)
    if audio is None:
        return _refusal("This recording no longer exists.", 404)
    body: AsyncIterator[bytes] = audio.chunks
    return StreamingResponse(body, status_code=status, headers=headers, media_type="audio/wav")


def wanted_range(header: str | None, size: int) -> ByteRange | None:
    """The one range asked for, or None for the whole: RFC 9110 lets a server ignore several ranges and nonsense.

    Raises Unsatisfiable for a well-formed range that holds no byte of the recording.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return ByteRange(start, end)


def _headers(request: Request, recording: Recording) -> dict[str, str]:
    kind = "attachment" if request.query_params.get("download") == "1" else "inline"
    return {
        **_PRIVATE,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'{kind}; filename="call-{recording.call_id}.wav"',
        "ETag": f'"{recording.id}-{recording.size_bytes}"',
    }


def _refusal(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(text, status_code=status, headers={**_PRIVATE, **(headers or {})})
