"""What a call costs: estimated by the published rates, metered by what the providers reported. Micro-dollars, integers.

Every amount is computed exactly and rounded once, half up, at its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from callwright.app.calls.conversation import VoiceUsage
from callwright.app.costs.models import CostItem, Provider
from callwright.app.database.sessions import SystemSession
from callwright.app.identifiers import new_id
from callwright.app.settings import Rates

MICROS = 1_000_000
_PER_MILLION = Fraction(1, 1_000_000)
# OpenAI counts one audio token per 100 ms of input.
_AUDIO_TOKENS_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class MeteredItem:
    """One reported quantity, e.g. 1,250 `audio_output_tokens`; `reference` makes it countable only once a call."""

    provider: Provider
    unit: str
    quantity: Decimal
    amount_micros: int
    reference: str


@dataclass(frozen=True, slots=True)
class ReasoningUsage:
    """Tokens of one Claude request; `input_tokens` includes cache reads and writes. `reference` is the request's id."""

    model: str
    input_tokens: int
    output_tokens: int
    reference: str


def estimate_micros(seconds: int, rates: Rates) -> int:
    """A call's price by the published rates: minutes of telephony and voice model, and one sum for reasoning."""
    per_minute = Fraction(rates.telephony_per_minute) + Fraction(rates.voice_model_per_minute)
    return _micros(per_minute * seconds / 60 + Fraction(rates.reasoning_per_call))


def display_usd(micros: int) -> str:
    """The amount in dollars and cents, rounded half up: 972000 is `0.97`."""
    return str((Decimal(micros) / MICROS).quantize(Decimal("0.01"), ROUND_HALF_UP))


def telephony_items(seconds: int, rates: Rates, *, reference: str) -> list[MeteredItem]:
    """The carrier's connected seconds of one attempt, at the rate by the second: its own price comes much later."""
    amount = _micros(Fraction(rates.telephony_per_minute) * seconds / 60)
    return _nonzero(MeteredItem(Provider.TELEPHONY, "seconds", Decimal(seconds), amount, reference))


def voice_items(usage: VoiceUsage, rates: Rates, *, reference: str) -> list[MeteredItem]:
    """The voice model's tokens of one attempt by kind; cached tokens are taken out of the input they are part of.

    Transcription is priced like the voice model's text, or by seconds like its audio input: no dearer than that.
    """
    cached_text = min(usage.cached_text_tokens, usage.input_text_tokens)
    cached_audio = min(usage.cached_audio_tokens, usage.input_audio_tokens)
    transcribed = Decimal(str(usage.transcription_seconds))
    kinds = (
        ("text_input_tokens", Decimal(usage.input_text_tokens - cached_text), rates.voice_text_input),
        ("audio_input_tokens", Decimal(usage.input_audio_tokens - cached_audio), rates.voice_audio_input),
        ("cached_input_tokens", Decimal(cached_text + cached_audio), rates.voice_cached_input),
        ("text_output_tokens", Decimal(usage.output_text_tokens), rates.voice_text_output),
        ("audio_output_tokens", Decimal(usage.output_audio_tokens), rates.voice_audio_output),
        ("transcription_input_tokens", Decimal(usage.transcription_input_tokens), rates.voice_text_input),
        ("transcription_output_tokens", Decimal(usage.transcription_output_tokens), rates.voice_text_output),
        ("transcription_seconds", transcribed, rates.voice_audio_input * _AUDIO_TOKENS_PER_SECOND),
    )
    return _priced(Provider.VOICE_MODEL, kinds, reference)


def reasoning_items(usage: ReasoningUsage, rates: Rates) -> list[MeteredItem]:
    """The tokens of one Claude request."""
    kinds = (
        ("input_tokens", Decimal(usage.input_tokens), rates.reasoning_input),
        ("output_tokens", Decimal(usage.output_tokens), rates.reasoning_output),
    )
    return _priced(Provider.REASONING, kinds, usage.reference)


async def meter(session: SystemSession, call_id: UUID, items: Sequence[MeteredItem]) -> None:
    """Writes the items; one that the call already has (provider, unit, reference) is left as it is."""
    for item in items:
        values = {
            "id": new_id(),
            "call_id": call_id,
            "provider": item.provider,
            "unit": item.unit,
            "quantity": item.quantity,
            "amount_micros": item.amount_micros,
            "reference": item.reference[:80],
        }
        await session.execute(insert(CostItem).values(values).on_conflict_do_nothing())


async def metered_micros(session: SystemSession, call_id: UUID) -> int:
    """The sum of the call's metered items."""
    total = select(func.coalesce(func.sum(col(CostItem.amount_micros)), 0)).where(col(CostItem.call_id) == call_id)
    return int(await session.scalar(total) or 0)


def _priced(provider: Provider, kinds: Sequence[tuple[str, Decimal, Decimal]], reference: str) -> list[MeteredItem]:
    items: list[MeteredItem] = []
    for unit, quantity, per_million in kinds:
        amount = _micros(Fraction(quantity) * Fraction(per_million) * _PER_MILLION)
        items += _nonzero(MeteredItem(provider, unit, quantity, amount, reference))
    return items


def _nonzero(item: MeteredItem) -> list[MeteredItem]:
    return [item] if item.quantity > 0 else []


def _micros(dollars: Fraction) -> int:
    """Rounded half up; amounts are never negative."""
    return int(dollars * MICROS + Fraction(1, 2))
