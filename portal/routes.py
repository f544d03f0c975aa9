"""The portal's pages. The start page tells a newcomer where things are and whether they run."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from callwright.app.settings import Environment, Settings

HERE = Path(__file__).parent


def portal_routes(settings: Settings) -> list[BaseRoute]:
    """Routes of every page and of the static files."""
    templates = Jinja2Templates(HERE / "templates")

    async def start(request: Request) -> Response:
        context = {
            "in_sandbox": settings.in_sandbox,
            "graphiql": settings.environment is Environment.DEVELOPMENT,
        }
        response = templates.TemplateResponse(request, "start.html", context)
        response.headers["Content-Security-Policy"] = "default-src 'self'; frame-ancestors 'none'"
        return response

    return [Route("/", start), Mount("/static", StaticFiles(directory=HERE / "static"), name="static")]
