"""Log lines as JSON on standard error, with ids and never a person's data."""

import logging
import sys
from typing import Any

import structlog

_EXCEPTIONS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=30)
)
# Ours, whose texts hold ids and codes only.
_SAFE_TEXTS = frozenset({"CallwrightError", "IllegalTransition", "EmbeddedStoreError", "SupervisorError"})
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
                _exceptions,
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


def _exceptions(
    logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Types and places of exceptions; no local variables, and no texts but our own: the others quote people's data."""
    rendered = _EXCEPTIONS(logger, name, event)
    _drop_texts(rendered.get("exception", []))
    return rendered


def _drop_texts(stack: list[dict[str, Any]]) -> None:
    for exception in stack:
        if exception["exc_type"] not in _SAFE_TEXTS:
            exception["exc_value"] = ""
        exception["exc_notes"] = []
        for inner in exception.get("exceptions", []):
            _drop_texts(inner)
