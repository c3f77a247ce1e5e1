"""Cut-offs and billing cycles through the real services.

Source: FastTrack360 automatic invoicing (both scenarios, by date).
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from shared import clock
from shared.money import plain
from tests.builders import entry, timesheet
from tests.system.firms import THURSDAY, WEEKS, Firm, firm, of

__all__ = ["firm"]

# -- FastTrack's scenarios


@pytest.mark.parametrize(
    ("cycle", "first_day", "last_day", "late", "cycles_own", "out"),
    [
        ({"cycle": "monthly"}, "2010-08-01", "2010-08-31", WEEKS[:1], WEEKS[1:3], WEEKS[3:]),
        (
            {"cycle": "weekly", "ends_on": "sunday"},
            "2010-08-30",
            "2010-09-05",
            WEEKS[:3],
            WEEKS[3:4],
            WEEKS[4:],
        ),
        (
            {"cycle": "fortnightly", "anchor": "2010-09-05"},
            "2010-08-23",
            "2010-09-05",
            WEEKS[:2],
            WEEKS[2:4],
            WEEKS[4:],
        ),
        ({"cycle": "non-date"}, None, None, (), WEEKS, ()),
    ],
    ids=lambda value: value["cycle"] if isinstance(value, dict) else None,
)
async def test_fasttracks_scenarios(
    firm: Firm,
    cycle: dict[str, str],
    first_day: str | None,
    last_day: str | None,
    late: Sequence[str],
    cycles_own: Sequence[str],
    out: Sequence[str],
) -> None:
    """FastTrack360, time group date 09/09/2010: the last complete cycle is billed.

    With late timesheets before it, and nothing of the next cycle.
    """
    await firm.opens("A")
    await firm.group(
        "cycle",
        cycle["cycle"],
        "A",
        **{name: value for name, value in cycle.items() if name != "cycle"},
    )
    await firm.sheets("A", *WEEKS)
    shown = (await firm.groups(THURSDAY))["cycle"]
    assert (shown["first_day"], shown["last_day"], shown["timesheets"], shown["late"]) == (
        first_day,
        last_day,
        len(cycles_own),
        len(late),
    )
    assert await firm.batch(THURSDAY) == of("A", *late, *cycles_own)
    assert await firm.batch("2010-12-31") == of("A", *out)
    await firm.check()


@pytest.mark.parametrize(
    ("cut_off", "week_ending", "is_in"),
    [
        ("2010-08-30", "2010-08-31", False),
        ("2010-08-31", "2010-08-31", True),
        ("2010-08-31", "2010-09-01", False),
        ("2010-09-29", "2010-09-01", False),
        ("2010-09-30", "2010-09-01", True),
    ],
)
async def test_by_the_day_at_a_months_end(
    firm: Firm, cut_off: str, week_ending: str, is_in: bool
) -> None:
    """A cut-off on the last day of a cycle takes it.

    The day before does not; week ending decides, to the day.
    """
    firm.day("2010-10-20")
    await firm.opens("A")
    await firm.group("monthly", "monthly", "A")
    await firm.sheets("A", week_ending)
    assert (await firm.batch(cut_off) != []) is is_in


async def test_a_timesheet_over_a_months_end_is_of_the_month_in_which_its_week_ends(
    firm: Firm,
) -> None:
    """Never split.

    Week ending 2010-09-05 with work on 08-30 and 08-31 is of September, whole.
    """
    await firm.opens("A")
    await firm.group("monthly", "monthly", "A")
    entries = [
        entry("8", day, requirement_id="REQ-A")
        for day in ("2010-08-30", "2010-08-31", "2010-09-01")
    ]
    firm.pipeline.send("timesheet-approved", timesheet("T-1", 1, entries, week_ending="2010-09-05"))
    assert await firm.batch(THURSDAY) == []
    reason, message, fix = await firm.why_not("T-1", THURSDAY)
    assert reason == "not_in_cycle"
    assert (
        "the last cycle of time group monthly (monthly) that is complete by the cut-off 2010-09-09"
        " is 2010-08-01 to 2010-08-31" in message
    )
    assert fix == "take a cut-off of 2010-09-30 or later"
    firm.day("2010-10-01")
    assert await firm.batch("2010-09-30") == ["T-1"]
    assert [plain(row[0]) for row in await firm.select("SELECT net FROM invoicer.invoice")] == [
        "1200"
    ]


async def test_a_late_timesheet_and_a_correction_join_the_next_batch(firm: Firm) -> None:
    """FastTrack: late ones go into the next.

    A correction of an invoiced line is taken whatever its week ending.
    """
    await firm.opens("A", gate="approved")
    await firm.group("weekly", "weekly", "A", ends_on="sunday")
    stamps = {"submitted_at": "2010-09-06T08:00:00Z"}
    await firm.sheets("A", "2010-09-05", worker="late", workflow=stamps)
    await firm.sheets("A", "2010-09-05")
    (shown,) = (await firm.groups(THURSDAY))["weekly"]["listed"]
    assert (shown["timesheets"], shown["held_by_code"]) == (1, {"not_approved": 1})
    assert await firm.batch(THURSDAY) == of("A", "2010-09-05")
    await firm.sheets(
        "A",
        "2010-09-05",
        worker="late",
        revision=2,
        workflow=stamps | {"approved_at": "2010-09-14T08:00:00Z"},
    )
    await firm.sheets("A", "2010-09-05", hours="10", revision=2)
    await firm.sheets("A", "2010-09-12", "2010-09-19")
    shown = (await firm.groups("2010-09-16"))["weekly"]
    assert (shown["timesheets"], shown["late"], shown["corrections"]) == (1, 1, 1)
    assert await firm.batch("2010-09-16") == sorted(
        [*of("A", "2010-09-05", "2010-09-12"), *of("A", "2010-09-05", worker="late")]
    )
    await firm.check()


async def test_scheduled_never_goes_in(firm: Firm) -> None:
    """Whatever the cycle or a cut-off in the future."""
    await firm.opens("A", "B")
    await firm.group("any", "non-date", "A")
    await firm.sheets("A", "2010-09-26")
    await firm.sheets("B", "2010-09-26")
    assert await firm.batch("2010-12-31") == []
    assert (await firm.why_not("A w 2010-09-26", "2010-12-31"))[0] == "scheduled"
    firm.day("2010-09-26")
    assert await firm.batch("2010-09-09") == of("A", "2010-09-26")


# -- days, zones


@pytest.mark.parametrize(
    ("zone", "today", "last_day", "is_in"),
    [
        ("Pacific/Midway", "2026-03-07", "2026-03-01", False),
        ("America/New_York", "2026-03-08", "2026-03-08", True),
        ("Europe/Amsterdam", "2026-03-08", "2026-03-08", True),
        ("Pacific/Auckland", "2026-03-08", "2026-03-08", True),
        ("Pacific/Kiritimati", "2026-03-09", "2026-03-08", True),
    ],
)
async def test_the_cut_off_is_today_where_the_billing_company_is(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, zone: str, today: str, last_day: str, is_in: bool
) -> None:
    """Zones from -11 to +14.

    On the day on which New York's clocks change, one instant is in two cycles.
    """
    firm.configure(today="")
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 3, 8, 10, 59, tzinfo=UTC))
    await firm.opens("A", time_zone=zone)
    await firm.group("weekly", "weekly", "A", ends_on="sunday")
    await firm.sheets("A", "2026-03-01", "2026-03-08")
    shown = (await firm.groups())["weekly"]
    assert shown["last_day"] == last_day
    assert await firm.batch(today) == of("A", "2026-03-01", *(["2026-03-08"] if is_in else []))


@pytest.mark.parametrize(
    ("cycle", "cut_off", "first_day", "last_day"),
    [
        ({"cycle": "monthly"}, "2024-02-29", "2024-02-01", "2024-02-29"),
        ({"cycle": "monthly"}, "2024-02-28", "2024-01-01", "2024-01-31"),
        ({"cycle": "monthly"}, "2023-02-28", "2023-02-01", "2023-02-28"),
        ({"cycle": "monthly"}, "2026-12-31", "2026-12-01", "2026-12-31"),
        ({"cycle": "weekly", "ends_on": "sunday"}, "2027-01-02", "2026-12-21", "2026-12-27"),
        ({"cycle": "weekly", "ends_on": "sunday"}, "2027-01-03", "2026-12-28", "2027-01-03"),
        ({"cycle": "weekly", "ends_on": "saturday"}, "2026-10-25", "2026-10-18", "2026-10-24"),
        (
            {"cycle": "fortnightly", "anchor": "2026-03-08"},
            "2027-01-03",
            "2026-12-14",
            "2026-12-27",
        ),
    ],
)
async def test_cycles_at_leap_days_and_year_ends(
    firm: Firm, cycle: dict[str, str], cut_off: str, first_day: str, last_day: str
) -> None:
    """Cycle days in batch groups and in batches."""
    firm.day("2027-03-01")
    await firm.opens("A")
    await firm.group(
        "cycle",
        cycle["cycle"],
        "A",
        **{name: value for name, value in cycle.items() if name != "cycle"},
    )
    after = str(date.fromordinal(date.fromisoformat(last_day).toordinal() + 1))
    before = str(date.fromordinal(date.fromisoformat(first_day).toordinal() - 1))
    await firm.sheets("A", before, first_day, last_day, after)
    shown = (await firm.groups(cut_off))["cycle"]
    assert (shown["first_day"], shown["last_day"], shown["timesheets"], shown["late"]) == (
        first_day,
        last_day,
        2,
        1,
    )
    assert await firm.batch(cut_off) == of("A", before, first_day, last_day)
