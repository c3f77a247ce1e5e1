"""When a watermark moves (design 3, the life of a pay line): every day in exactly one move, and never back."""

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.rules import Move, move

TODAY = date(2026, 10, 15)


@pytest.mark.parametrize(
    ("watermark", "earliest", "expected"),
    [
        (date(2026, 10, 14), None, Move(date(2026, 10, 14), TODAY)),
        (date(2026, 9, 15), None, Move(date(2026, 9, 15), TODAY)),
        (TODAY, None, None),
        (date(2026, 10, 16), None, None),
        (None, None, Move(date(2026, 10, 14), TODAY)),
        (None, date(2026, 10, 3), Move(date(2026, 10, 2), TODAY)),
        (None, date(2026, 12, 1), Move(date(2026, 10, 14), TODAY)),
    ],
    ids=[
        "next day",
        "off for a month",
        "same day",
        "clock went back",
        "first ever",
        "first ever, lines waited",
        "first ever, lines in the future",
    ],
)
def test_a_watermark_moves_to_today(
    watermark: date | None, earliest: date | None, expected: Move | None
) -> None:
    """From where it stood to today; the first move reaches back to the first line that waits."""
    assert move(watermark, TODAY, earliest) == expected


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_every_day_lies_in_exactly_one_move(days: list[int]) -> None:
    """Whatever the clock shows, forwards and backwards: the moves join and never overlap."""
    watermark: date | None = None
    moves: list[Move] = []
    for day in days:
        step = move(watermark, TODAY + timedelta(days=day), None)
        if step is not None:
            moves.append(step)
            watermark = step.to_date
    assert watermark == TODAY + timedelta(days=max(days))
    assert all(before.to_date == after.from_date for before, after in itertools.pairwise(moves))
    assert all(step.from_date < step.to_date for step in moves)
