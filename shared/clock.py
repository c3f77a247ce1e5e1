"""The only module that reads the clock for business dates; handlers pass its values into rules."""

from datetime import UTC, date, datetime

from shared.calendar import local_date
from shared.settings import settings


def now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one clock


def today_of(time_zone: str) -> date:
    """Return today in a time zone, or the date that the setting `today` puts in its place."""
    if settings().today:
        return date.fromisoformat(settings().today)
    return local_date(now(), time_zone)
