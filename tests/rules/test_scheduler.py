"""When a watermark moves: every day is in exactly one move, and it never goes back."""

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.due_lines.rules import WatermarkMove, next_move

TODAY = date(2026, 10, 15)


@pytest.mark.parametrize(
    ("watermark", "earliest", "expected"),
    [
        (date(2026, 10, 14), None, WatermarkMove(date(2026, 10, 14), TODAY)),
        (date(2026, 9, 15), None, WatermarkMove(date(2026, 9, 15), TODAY)),
        (TODAY, None, None),
        (date(2026, 10, 16), None, None),
        (None, None, WatermarkMove(date(2026, 10, 14), TODAY)),
        (None, date(2026, 10, 3), WatermarkMove(date(2026, 10, 2), TODAY)),
        (None, date(2026, 12, 1), WatermarkMove(date(2026, 10, 14), TODAY)),
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
    watermark: date | None, earliest: date | None, expected: WatermarkMove | None
) -> None:
    """It moves to today; the first move starts before the first line not announced yet."""
    assert next_move(watermark, TODAY, earliest) == expected


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_every_day_lies_in_exactly_one_move(days: list[int]) -> None:
    """The moves join and never overlap, even if the clock goes forwards and backwards."""
    watermark: date | None = None
    moves: list[WatermarkMove] = []
    for day in days:
        step = next_move(watermark, TODAY + timedelta(days=day), None)
        if step is not None:
            moves.append(step)
            watermark = step.to_date
    assert watermark == TODAY + timedelta(days=max(days))
    assert all(before.to_date == after.from_date for before, after in itertools.pairwise(moves))
    assert all(step.from_date < step.to_date for step in moves)
