"""The order in which turns are told: each once, in place wherever that is possible, all in the end."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from callwright.app.calls.follow import HOLD, TurnOrder
from callwright.app.calls.models import Speaker, TranscriptTurn

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def _turns(*places: tuple[int, int]) -> list[tuple[int, TranscriptTurn]]:
    return [
        (
            number,
            TranscriptTurn(
                call_id=uuid4(), attempt_id=uuid4(), index=index, speaker=Speaker.AGENT, text="", start_ms=0, end_ms=0
            ),
        )
        for number, index in sorted(places)
    ]


def _told(
    order: TurnOrder, *places: tuple[int, int], after: timedelta = timedelta(0), complete: bool = False
) -> list[int]:
    return [turn.index for turn in order.ready(_turns(*places), NOW + after, complete=complete)]


def test_a_turn_past_a_gap_waits_for_the_hold() -> None:
    order = TurnOrder()
    assert _told(order, (1, 0), (1, 2), (1, 3)) == [0]
    assert _told(order, (1, 0), (1, 2), (1, 3), after=HOLD / 2) == []
    assert _told(order, (1, 0), (1, 2), (1, 3), after=HOLD) == [2, 3]
    # The gap is filled after all: late, but not lost.
    assert _told(order, (1, 0), (1, 1), (1, 2), (1, 3), after=HOLD) == [1]


def test_a_filled_gap_frees_what_waited() -> None:
    order = TurnOrder()
    assert _told(order, (1, 1)) == []
    assert _told(order, (1, 0), (1, 1)) == [0, 1]


def test_an_earlier_attempt_is_over_when_the_next_one_speaks() -> None:
    order = TurnOrder()
    assert _told(order, (1, 4)) == []
    assert _told(order, (1, 4), (2, 0)) == [4, 0]


def test_nothing_is_held_back_in_the_end() -> None:
    assert _told(TurnOrder(), (1, 3), (1, 7), complete=True) == [3, 7]


@given(st.permutations(range(8)), st.lists(st.integers(0, 4), min_size=8, max_size=8))
def test_each_turn_once_whatever_the_order_of_storing(arrival: list[int], seconds: list[int]) -> None:
    order = TurnOrder()
    told: list[int] = []
    passed = timedelta(0)
    for count, pause in enumerate(seconds, start=1):
        passed += timedelta(seconds=pause)
        told += _told(order, *((1, index) for index in arrival[:count]), after=passed)
    told += _told(order, *((1, index) for index in arrival), after=passed, complete=True)
    assert sorted(told) == list(range(8))
    if not any(seconds):
        assert told == list(range(8))
