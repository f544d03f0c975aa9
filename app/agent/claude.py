"""The way to Claude: the real SDK, at the real service or at the stand-in that speaks the same protocol."""

import json

from anthropic import AnthropicError, AsyncAnthropic, DefaultAsyncHttpxClient
from anthropic.types import Message
from pydantic import ValidationError

from callwright.app.costs.metering import ReasoningUsage
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.settings import Settings

# All that a request may raise: the SDK's own errors, our deadline, a body that is not JSON or not a message.
CLAUDE_ERRORS = (AnthropicError, TimeoutError, json.JSONDecodeError, ValidationError)
_READ_SECONDS = 30.0


def claude_client(settings: Settings) -> AsyncAnthropic:
    """A client to close after use. Raises CONFIGURATION when the key is missing outside the sandbox.

    The SDK's timeout is per read and starts anew with each retry: callers set their own deadline.
    """
    if settings.sandbox_url is not None:
        # A proxy of the environment cannot reach the loopback.
        http = DefaultAsyncHttpxClient(trust_env=False)
        return AsyncAnthropic(api_key="sandbox", base_url=settings.sandbox_url, timeout=_READ_SECONDS, http_client=http)
    if settings.anthropic_api_key is None:
        raise CallwrightError(
            ErrorCode.CONFIGURATION, "ANTHROPIC_API_KEY is not set", remedy="Set it, or run in the sandbox."
        )
    return AsyncAnthropic(api_key=settings.anthropic_api_key.get_secret_value(), timeout=_READ_SECONDS)


def text_of(message: Message) -> str:
    """The message's text; empty when there is none (a body without content still parses)."""
    return "".join(block.text or "" for block in message.content or () if block.type == "text").strip()


def usage_of(message: Message, model: str) -> ReasoningUsage | None:
    """What the request used, if the reply tells."""
    usage = message.usage
    if usage is None:
        return None
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return ReasoningUsage(model, usage.input_tokens + cached, usage.output_tokens, message.id)
