"""The only place that reads the wall clock for business dates; handlers and apps pass what it says into rules."""

from datetime import UTC, date, datetime

from shared.calendar import local_date
from shared.settings import settings


def now() -> datetime:
    """This instant, with a time zone."""
    return datetime.now(UTC)  # noqa: TID251 - the one clock


def today_of(time_zone: str) -> date:
    """The local date of a billing company, or the date that the settings put in its place."""
    if settings().today:
        return date.fromisoformat(settings().today)
    return local_date(now(), time_zone)
