"""The web process: GraphQL, portals, TwiML, webhooks and recordings on one Starlette app."""

import asyncio
import time

import structlog
import uvicorn
import uvloop
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from callwright.app.database.migrate import upgrade
from callwright.app.recordings import routes as recordings
from callwright.app.settings import Environment, Settings
from callwright.app.state import AppState, open_state
from callwright.app.telephony import routes as telephony
from callwright.graphql.asgi import graphql_routes
from callwright.portal.routes import portal_routes

log = structlog.get_logger(__name__)

HEALTH_SECONDS = 2.0


def create_app(state: AppState) -> Starlette:
    """The whole web application over one process's state."""
    app = Starlette(
        routes=[
            Route("/health", health),
            *telephony.carrier_routes(),
            *recordings.routes(),
            *graphql_routes(state),
            *portal_routes(state.settings),
        ]
    )
    app.state.callwright = state
    app.state.started = time.monotonic()
    return app


async def health(request: Request) -> JSONResponse:
    """200 while both stores answer, 503 with the name of the one that does not."""
    state: AppState = request.app.state.callwright
    database, redis = await asyncio.gather(_database_answers(state), _redis_answers(state))
    healthy = database and redis
    return JSONResponse(
        {
            "status": "ok" if healthy else "degraded",
            "database": database,
            "redis": redis,
            "uptime": round(time.monotonic() - request.app.state.started, 1),
        },
        status_code=200 if healthy else 503,
    )


async def _database_answers(state: AppState) -> bool:
    try:
        async with asyncio.timeout(HEALTH_SECONDS), state.database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("health.database_lost", error=type(error).__name__)
        return False
    return True


async def _redis_answers(state: AppState) -> bool:
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            await state.live.redis.ping()
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("health.redis_lost", error=type(error).__name__)
        return False
    return True


def run(settings: Settings) -> None:
    """Serves until SIGTERM. Access logs are off: URLs carry signatures."""
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    if settings.environment is Environment.DEVELOPMENT and settings.database_url:
        await asyncio.to_thread(upgrade, settings.database_url)  # in production it is `callwright migrate`
    async with open_state(settings) as state:
        config = uvicorn.Config(
            create_app(state),
            host=settings.web_host,
            port=settings.web_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
            ws_max_size=256 * 1024,
        )
        await uvicorn.Server(config).serve()
