"""Dates without a clock: today is always an argument. Local dates of a billing company, month ends, payment terms, ages.

Source of the rules: domain rules 8 (numbers and dates of documents).
"""

from calendar import monthrange
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones


def is_time_zone(name: str) -> bool:
    """Whether the name is in the IANA database."""
    return name in available_timezones()


def local_date(instant: datetime, time_zone: str) -> date:
    """The date on the wall calendar of a billing company at an instant."""
    return instant.astimezone(ZoneInfo(time_zone)).date()


def month_end(day: date) -> date:
    """The last day of the month of `day`."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def day_of_month(year: int, month: int, day: int) -> date:
    """That day, or the month's last where it has fewer (31 in February 2026 is the 28th)."""
    return date(year, month, min(day, monthrange(year, month)[1]))


def next_month(day: date) -> tuple[int, int]:
    """Year and month after the month of `day`."""
    return (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)


def due_date(invoice_date: date, terms: str) -> date:
    """When a document falls due.

    Terms: `on-receipt`, `net:N`, `end-of-next-month`, `day:N`. 2026-08-15 net:15 is 08-30; end-of-next-month is 09-30;
    2026-02-10 day:31 is 02-28; 08-20 day:15 is 09-15.
    """
    kind, _, number = terms.partition(":")
    if kind == "on-receipt":
        return invoice_date
    if kind == "net":
        return invoice_date + timedelta(days=int(number))
    if kind == "end-of-next-month":
        return month_end(date(*next_month(invoice_date), 1))
    if kind == "day":
        this_month = day_of_month(invoice_date.year, invoice_date.month, int(number))
        return (
            this_month
            if this_month >= invoice_date
            else day_of_month(*next_month(invoice_date), int(number))
        )
    raise ValueError(
        f"payment terms {terms!r} are not one of on-receipt, net:N, end-of-next-month, day:N"
    )


AGEING_BUCKETS = ("current", "1-30", "31-60", "61-90", "91-120", "121+")
"""How long a document is past due, in days, as a report of ages groups it."""
AGEING_DAYS = 30


def ageing_bucket(due: date, as_of: date) -> str:
    """The age of what was due on a day: 30 days past due is in 1-30, what is due on the day itself or later is current."""
    days = (as_of - due).days
    return AGEING_BUCKETS[
        min(max(days + AGEING_DAYS - 1, 0) // AGEING_DAYS, len(AGEING_BUCKETS) - 1)
    ]


def describe_payment_terms(terms: str) -> str:
    """Payment terms as a document prints them."""
    kind, _, number = terms.partition(":")
    return {
        "on-receipt": "Due on receipt",
        "net": f"Net {number} days",
        "end-of-next-month": "End of next month",
        "day": f"Day {number} of the month",
    }[kind]
