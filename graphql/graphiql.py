"""GraphiQL in development, from files of this machine only.

npm installs its scripts by the lock (`make setup`); an installed wheel has none of them, and gets a page that says so.
"""

import os
import secrets
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import Scope

HERE = Path(__file__).parent
NODE_MODULES = HERE.parent / "node_modules"
OWN_FILES = ("graphiql.js", "graphiql.css")
# Of all that npm installs, only these are served.
INSTALLED_FILES = (
    "react/umd/react.production.min.js",
    "react-dom/umd/react-dom.production.min.js",
    "graphql-ws/umd/graphql-ws.min.js",
    "graphiql/graphiql.min.js",
    "graphiql/graphiql.min.css",
)
# GraphiQL's fonts and small images are data: URLs in its style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class GraphiQL:
    """The page and its files, `assets` below the endpoint's `path`."""

    def __init__(self, path: str, node_modules: Path) -> None:
        self._assets = f"{path}/assets"
        self._installed = [node_modules / name for name in INSTALLED_FILES]
        self._templates = Jinja2Templates(HERE / "templates")
        self._query = (HERE / "static" / "graphiql.graphql").read_text()

    def routes(self) -> list[BaseRoute]:
        """The files' route; the page itself is the endpoint's answer to a browser."""
        files = [*self._installed, *(HERE / "static" / name for name in OWN_FILES)]
        return [Mount(self._assets, _Files({file.name: file for file in files}))]

    def page(self, request: Request) -> Response:
        """The page; status 503 and what to run while npm has not installed the scripts."""
        nonce = secrets.token_urlsafe(16)
        context = {"assets": self._assets, "nonce": nonce, "query": self._query}
        if all(file.is_file() for file in self._installed):
            response = self._templates.TemplateResponse(request, "graphiql.html", context)
        else:
            response = self._templates.TemplateResponse(request, "graphiql_missing.html", context, status_code=503)
        response.headers["Content-Security-Policy"] = POLICY.format(nonce=nonce)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


class _Files(StaticFiles):
    """Serves the files of a table, by name."""

    def __init__(self, files: dict[str, Path]) -> None:
        super().__init__()
        self._table = files

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        file = self._table.get(path)
        return (str(file), file.stat()) if file is not None and file.is_file() else ("", None)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        # The names stay the same when npm brings another version.
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
