"""Keeps recordings in an object store: a local folder by default, S3 or compatible in production."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.settings import Settings

if TYPE_CHECKING:
    from obstore import BytesStream  # exists for type checkers only

_CHUNK_BYTES = 256 * 1024
# The smallest part S3 accepts of a multipart upload.
_PART_BYTES = 5 * 1024 * 1024
_PARTS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class StoredAudio:
    """A part of a recording: bytes `start` to `end` (exclusive) of `size`, read as `chunks` is iterated."""

    start: int
    end: int
    size: int
    chunks: AsyncIterator[bytes]


class RecordingStore:
    """Puts, streams and deletes recordings by key. Holds no connection open."""

    def __init__(self, settings: Settings) -> None:
        """A store on `recordings_url` (`s3://bucket/prefix`, credentials from the environment) or the data folder."""
        if settings.recordings_url is None:
            folder = settings.data_dir.resolve() / "recordings"
            # What people said is for this account alone.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._store: ObjectStore = LocalStore(folder)
            return
        try:
            self._store = from_url(settings.recordings_url)
        except Exception as error:
            # obstore raises a different class for every kind of unusable URL; its text may quote credentials.
            raise CallwrightError(
                ErrorCode.CONFIGURATION,
                "CALLWRIGHT_RECORDINGS_URL cannot be used",
                remedy="Give a URL such as s3://bucket/prefix, or leave it unset to use the data folder.",
            ) from error

    async def put(self, key: str, file: Path) -> int:
        """Streams `file` into the store, replacing what the key held; returns its size in bytes."""
        size = (await asyncio.to_thread(file.stat)).st_size
        await self._store.put_async(key, file, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        return size

    async def size(self, key: str) -> int | None:
        """The recording's size in bytes, or None when it is not there."""
        try:
            return int((await self._store.head_async(key))["size"])
        except (FileNotFoundError, NotFoundError):
            return None

    async def read(self, key: str, start: int = 0, end: int | None = None) -> StoredAudio | None:
        """Bytes `start` to `end` (exclusive; None = the end), streamed; None when the recording is not there.

        `start` must lie within the recording.
        """
        size = await self.size(key)
        if size is None:
            return None
        stop = size if end is None else min(end, size)
        try:
            found = await self._store.get_async(key, options={"range": (start, stop)})
        except (FileNotFoundError, NotFoundError):
            return None
        return StoredAudio(start, stop, size, _chunks(found.stream(min_chunk_size=_CHUNK_BYTES)))

    async def delete(self, key: str) -> None:
        """Removes the recording; one that is gone already is fine."""
        try:
            await self._store.delete_async(key)
        except (FileNotFoundError, NotFoundError):
            return


async def _chunks(stream: "BytesStream") -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield bytes(chunk)
