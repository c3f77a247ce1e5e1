"""When a watermark moves, and over which days. Pure: today and what is stored come in as arguments."""

from dataclasses import dataclass
from datetime import date, timedelta

A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Move:
    """The days after `from_date` up to and with `to_date` are announced by this move."""

    from_date: date
    to_date: date


def move(watermark: date | None, today: date, earliest: date | None) -> Move | None:
    """The move that brings a company's watermark to today; None if it stands there, or beyond because clock or zone went back.

    `earliest` is the effective date of the company's first line that waits to be announced: the first move of all reaches back to it,
    so that what fell due before this worker ever ran is announced, too.
    """
    if watermark is None:
        before = today - A_DAY
        return Move(before if earliest is None else min(earliest - A_DAY, before), today)
    return Move(watermark, today) if watermark < today else None
