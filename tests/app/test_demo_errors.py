"""The demo's failures in words: what failed, and where the processes' logs are."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from callwright.app.demo import run
from callwright.app.demo.client import GraphQLError
from callwright.app.demo.run import DemoError


@pytest.mark.parametrize(
    ("error", "said"),
    [(GraphQLError("no such field"), "no such field"), (aiohttp.ServerDisconnectedError(), "Server disconnected")],
)
async def test_a_failure_of_the_api_is_told_with_the_logs(error: Exception, said: str) -> None:
    with pytest.raises(DemoError, match=f"{said}; see the processes' logs in /logs"):
        async with run._explained(Path("/logs"), 1.0):
            raise error


async def test_a_call_without_end_is_told_with_the_logs() -> None:
    with pytest.raises(DemoError, match=r"did not end within 0\.01 s; see the processes' logs in /logs"):
        async with run._explained(Path("/logs"), 1.0, longest=0.01):
            await asyncio.Event().wait()
