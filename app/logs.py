"""Log lines as JSON on standard error, with ids and never a person's data."""

import logging
import sys

import structlog

# These log URLs, form bodies or statements at INFO, which would carry numbers and tokens, or every connection.
_TALKATIVE = (
    *("twilio", "httpx", "httpx2", "openai", "anthropic", "uvicorn.access", "sqlalchemy", "aiohttp.access"),
    *("alembic", "picows", "uvicorn.error"),
)


def configure_logging(process: str, *, level: int = logging.INFO) -> None:
    """Call once at the start of a process; `process` is written on every line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.dict_tracebacks,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(process=process)
