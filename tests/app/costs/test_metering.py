"""Money is exact: integers of micro-dollars, rounded once."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.app.calls.conversation import VoiceUsage
from callwright.app.costs.metering import (
    ReasoningUsage,
    display_usd,
    estimate_micros,
    meter,
    metered_micros,
    reasoning_items,
    telephony_items,
    voice_items,
)
from callwright.app.database.sessions import Database
from callwright.app.settings import Rates
from tests.world import World

RATES = Rates(_env_file=None)
seconds = st.integers(0, 100_000)
prices = st.decimals(0, 100, places=4)


def test_three_minutes_cost_97_cents() -> None:
    assert estimate_micros(180, RATES) == 972_000
    assert display_usd(972_000) == "0.97"


@pytest.mark.parametrize(
    ("length", "micros"), [(0, 30_000), (1, 35_233), (60, 344_000), (100, 553_333), (300, 1_600_000)]
)
def test_estimates_by_the_second(length: int, micros: int) -> None:
    assert estimate_micros(length, RATES) == micros


@given(length=seconds, telephony=prices, voice=prices, reasoning=prices)
def test_estimate_is_the_exact_sum_rounded_half_up_once(
    length: int, telephony: Decimal, voice: Decimal, reasoning: Decimal
) -> None:
    rates = Rates(
        _env_file=None, telephony_per_minute=telephony, voice_model_per_minute=voice, reasoning_per_call=reasoning
    )
    sixtieths = ((telephony + voice) * length + reasoning * 60) * 1_000_000
    whole, rest = divmod(sixtieths, 60)
    assert estimate_micros(length, rates) == int(whole) + (1 if rest >= 30 else 0)


@given(shorter=seconds, longer=seconds)
def test_a_longer_call_never_costs_less(shorter: int, longer: int) -> None:
    shorter, longer = sorted((shorter, longer))
    assert estimate_micros(shorter, RATES) <= estimate_micros(longer, RATES)


@given(micros=st.integers(-(10**12), 10**12))
def test_shown_money_is_rounded_to_the_cent(micros: int) -> None:
    shown = Decimal(display_usd(micros))
    assert shown == (Decimal(micros) / 1_000_000).quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_voice_tokens_are_priced_by_kind_and_cached_ones_only_once() -> None:
    usage = VoiceUsage(
        input_text_tokens=1000,
        input_audio_tokens=2000,
        cached_text_tokens=400,
        cached_audio_tokens=600,
        output_text_tokens=100,
        output_audio_tokens=3000,
    )
    items = {item.unit: (int(item.quantity), item.amount_micros) for item in voice_items(usage, RATES, reference="a")}
    assert items == {
        "text_input_tokens": (600, 2_400),
        "audio_input_tokens": (1400, 44_800),
        "cached_input_tokens": (1000, 400),
        "text_output_tokens": (100, 1_600),
        "audio_output_tokens": (3000, 192_000),
    }
    assert voice_items(VoiceUsage(), RATES, reference="a") == []


def test_seconds_and_reasoning_tokens_are_priced() -> None:
    assert [item.amount_micros for item in telephony_items(90, RATES, reference="a")] == [21_000]
    items = reasoning_items(ReasoningUsage("claude", 1000, 100, "msg_1"), RATES)
    assert [(item.unit, item.amount_micros) for item in items] == [("input_tokens", 3_000), ("output_tokens", 1_500)]


async def test_the_same_item_is_metered_once(database: Database, world: World) -> None:
    call = await world.call()
    for _ in range(2):
        async with database.system() as session:
            await meter(session, call.id, telephony_items(60, RATES, reference="attempt"))
    async with database.system() as session:
        await meter(session, call.id, telephony_items(30, RATES, reference="another"))
        assert await metered_micros(session, call.id) == 21_000
