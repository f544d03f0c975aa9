"""The ledger alone: what counts as heard."""

from hypothesis import given
from hypothesis import strategies as st

from callwright.bridge.actions import Purpose
from callwright.bridge.playout import Cut, Playout


def push(playout: Playout, item: str, ms: int, at_ms: int, response: str = "r") -> str:
    return playout.push(response, item, Purpose.REPLY, ms * 8, at_ms).end


def heard(cuts: list[Cut]) -> dict[str, tuple[int, int, bool]]:
    return {cut.item_id: (cut.heard_ms, cut.received_ms, cut.truncate) for cut in cuts}


def test_acknowledged_audio_and_the_time_since_count() -> None:
    playout = Playout()
    first = push(playout, "a", 200, 1_000)
    push(playout, "a", 200, 1_000)
    playout.acknowledge(first, 1_230)  # the line is 30 ms late
    assert heard(playout.clear(1_300)) == {"a": (270, 400, True)}


def test_never_more_than_was_received() -> None:
    playout = Playout()
    push(playout, "a", 200, 0)
    assert heard(playout.clear(9_000)) == {"a": (200, 200, True)}  # still open: more may have been generated


def test_a_complete_item_that_has_played_out_needs_no_truncation() -> None:
    playout = Playout()
    push(playout, "a", 200, 0)
    playout.complete("r")
    assert heard(playout.clear(9_000)) == {"a": (200, 200, False)}


def test_items_are_heard_one_after_the_other() -> None:
    playout = Playout()
    push(playout, "a", 200, 0)
    push(playout, "b", 200, 0)
    assert heard(playout.clear(300)) == {"a": (200, 200, True), "b": (100, 200, True)}


def test_an_item_is_over_when_it_is_complete_and_acknowledged_in_either_order() -> None:
    playout = Playout()
    mark = push(playout, "a", 200, 0)
    assert playout.acknowledge(mark, 200) == []
    assert [item.item_id for item in playout.complete("r")] == ["a"]
    mark = push(playout, "b", 200, 300, "s")
    assert playout.complete("s") == []
    assert [item.item_id for item in playout.acknowledge(mark, 500)] == ["b"]
    assert not playout.audible


def test_a_later_mark_stands_for_the_earlier_ones() -> None:
    playout = Playout()
    push(playout, "a", 200, 0)
    last = push(playout, "a", 200, 0)
    playout.acknowledge(last, 400)
    assert not playout.audible


def test_marks_of_a_cleared_generation_repeated_and_foreign_ones_change_nothing() -> None:
    playout = Playout()
    old = push(playout, "a", 200, 0)
    playout.clear(100)
    new = push(playout, "b", 200, 200)
    for mark in (old, "", ":", "1:x", "9:1", "1:999", "-1:1", "²:1", "part"):
        assert playout.acknowledge(mark, 300) == []
        assert playout.audible
    playout.acknowledge(new, 400)
    assert playout.acknowledge(new, 500) == []


def test_a_pause_at_the_phone_restarts_the_clock() -> None:
    playout = Playout()
    playout.acknowledge(push(playout, "a", 200, 0), 200)
    push(playout, "a", 200, 1_000)
    assert playout.ends_at(1_000) == 1_200
    assert heard(playout.clear(1_050)) == {"a": (250, 400, True)}


def test_the_leading_mark_tells_when_the_audio_really_began() -> None:
    playout = Playout()
    lead = playout.push("r", "a", Purpose.REPLY, 8_000, 1_000).lead
    assert lead is not None
    assert playout.push("r", "a", Purpose.REPLY, 8_000, 1_000).lead is None
    assert playout.late_ms(lead, 1_180) == 180
    playout.acknowledge(lead, 1_180)
    assert playout.ends_at(1_180) == 3_180
    assert heard(playout.clear(1_680)) == {"a": (500, 2_000, True)}
    assert playout.late_ms(lead, 1_700) == 0


@given(st.lists(st.tuples(st.sampled_from(["push", "ack", "clear", "wait"]), st.integers(0, 400)), max_size=60))
def test_heard_is_never_negative_nor_more_than_received(steps: list[tuple[str, int]]) -> None:
    playout, at_ms, marks, received = Playout(), 0, ["0:1"], 0
    for number, (step, value) in enumerate(steps):
        if step == "push":
            marks.append(push(playout, f"i{number % 3}", value, at_ms))
            received += value
        elif step == "ack":
            playout.acknowledge(marks[value % len(marks)], at_ms)
        elif step == "wait":
            at_ms += value
        else:
            cuts = playout.clear(at_ms)
            assert all(0 <= cut.heard_ms <= cut.received_ms for cut in cuts)
            assert sum(cut.received_ms for cut in cuts) <= received
            assert not playout.audible
            received = 0
