"""The only module that reads the clock for business dates; handlers pass its values into rules."""

from datetime import UTC, date, datetime

from shared.calendar import local_date
from shared.settings import settings


def now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one clock


def today_of(time_zone: str) -> date:
    """Return today in a time zone, or the date that the setting `today` puts in its place."""
    return date_in_place_of_today() or local_date(now(), time_zone)


def date_in_place_of_today() -> date | None:
    """Return the date that the setting `today` puts in place of today; None: the clock decides."""
    return date.fromisoformat(settings().today) if settings().today else None
