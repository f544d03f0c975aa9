"""The way to Claude: the real SDK, at the real service or at the stand-in that speaks the same protocol."""

from dataclasses import dataclass

from anthropic import AnthropicError, AsyncAnthropic, DefaultAsyncHttpxClient, Omit, omit
from anthropic.types import OutputConfigParam
from pydantic import BaseModel, ValidationError

from callwright.app.costs.metering import ReasoningUsage
from callwright.app.errors import CallwrightError, ErrorCode
from callwright.app.settings import Settings

# All that a request may raise: the SDK's own errors, our deadline, a body that is not JSON or not a message.
CLAUDE_ERRORS = (AnthropicError, TimeoutError, ValidationError)
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


class _Block(BaseModel):
    type: str = ""
    text: str | None = None


class _Usage(BaseModel):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Body(BaseModel):
    """The parts of a message that we use; the SDK passes bodies of any shape on as they are."""

    id: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Claude's words ("" for none), why they end, and what the request took, if the reply tells."""

    text: str
    stop_reason: str | None
    usage: ReasoningUsage | None


async def ask(
    client: AsyncAnthropic,
    model: str,
    system: str,
    question: str,
    *,
    max_tokens: int,
    output_config: OutputConfigParam | Omit = omit,
) -> Answer:
    """One question, one answer. Raises CLAUDE_ERRORS; the client's options decide on retries."""
    raw = await client.messages.with_raw_response.create(
        model=model,
        max_tokens=max_tokens,
        system=system,
        messages=[{"role": "user", "content": question}],
        output_config=output_config,
    )
    body = _Body.model_validate_json(await raw.read())
    text = "".join(block.text or "" for block in body.content or () if block.type == "text").strip()
    return Answer(text, body.stop_reason, _usage(body, model))


def _usage(body: _Body, model: str) -> ReasoningUsage | None:
    usage = body.usage
    if usage is None:
        return None
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return ReasoningUsage(model, usage.input_tokens + cached, usage.output_tokens, body.id)
