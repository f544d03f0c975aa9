"""The container's health check, against a real server."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callwright.app.health import health_url, is_healthy
from callwright.app.settings import Settings


@pytest.mark.parametrize(
    ("command", "port"),
    [("callwright web", 8001), ("/sbin/docker-init -- callwright bridge", 8081), ("callwright up", 8001)],
)
def test_the_check_asks_the_process_the_container_runs(command: str, port: int) -> None:
    settings = Settings(web_port=8001, bridge_port=8081)
    assert health_url(command.split(), settings) == f"http://127.0.0.1:{port}/health"


def test_a_process_that_listens_nowhere_is_healthy_while_it_lives() -> None:
    assert health_url(["callwright", "worker"], Settings()) is None


async def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", health)
    async with TestServer(app) as server:
        assert await asyncio.to_thread(is_healthy, str(server.make_url("/health")))


async def test_only_a_good_answer_is_healthy() -> None:
    answers = [503, 200]

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=answers.pop(0))

    app = web.Application()
    app.router.add_get("/health", health)
    async with TestServer(app) as server:
        url = str(server.make_url("/health"))
        assert [await asyncio.to_thread(is_healthy, url) for _ in range(2)] == [False, True]
    assert not await asyncio.to_thread(is_healthy, url)
