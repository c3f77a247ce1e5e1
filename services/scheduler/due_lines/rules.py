"""When a watermark moves, and over which days. Pure: today and stored values are arguments."""

from dataclasses import dataclass
from datetime import date, timedelta

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WatermarkMove:
    """A move announces the days after `from_date` up to and including `to_date`."""

    from_date: date
    to_date: date


def next_move(watermark: date | None, today: date, earliest: date | None) -> WatermarkMove | None:
    """Return the move of a company's watermark to today.

    None if the watermark is there already, or beyond because the clock or the time zone went back.
    `earliest` is the effective date of the first line not announced yet: the first move of a
    company starts before it, so that lines due before the scheduler ever ran are announced too.
    """
    if watermark is None:
        watermark = min(today, earliest or today) - ONE_DAY
    return WatermarkMove(watermark, today) if watermark < today else None
