"""The start page, rendered by its own app."""

import httpx2
from starlette.applications import Starlette

from callwright.app.settings import Settings
from callwright.portal.routes import portal_routes


async def get(settings: Settings, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=Starlette(routes=portal_routes(settings)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://callwright") as client:
        return await client.get(path)


async def test_the_sandbox_is_announced_and_links_are_there(settings: Settings) -> None:
    page = await get(settings, "/")
    assert page.status_code == 200
    assert "Nobody is really called" in page.text
    assert 'href="/graphql"' in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    sheet = await get(settings, "/static/callwright.css")
    assert sheet.headers["content-type"].startswith("text/css")


async def test_production_shows_no_sandbox_and_no_graphiql(settings: Settings) -> None:
    production = settings.model_copy(update={"sandbox_url": None, "environment": "production"})
    page = await get(production, "/")
    assert "Nobody is really called" not in page.text
    assert 'href="/graphql"' not in page.text
