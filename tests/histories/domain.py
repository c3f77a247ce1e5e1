"""The small domain of a history, and what may happen in it.

Two billing companies, a hierarchy of payers, four requirements in three currencies. It is small so
that events concern the same things: few weeks, few requirements, few prices with decimals to round.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from shared.events.commands import AnyCommand
from tests.builders import command
from tests.histories.reference.assignments import RENT
from tests.histories.reference.billing import Allowance, Company, Cycle, Way
from tests.histories.reference.fees import GUARANTEE, RETAINER, TRAVEL

FIRST_DAY = date(2026, 3, 9)
WEEKS = [date(2026, 2, 22), date(2026, 3, 1), date(2026, 3, 8), date(2026, 3, 15)]
LONG_SINCE = date(2020, 1, 1)
RATE_DAYS = [LONG_SINCE, date(2026, 3, 4), date(2026, 2, 18)]
"""The beginning, and two Wednesdays, each in one of the weeks."""
NORTH, SOUTH = "north", "south"
COMPANIES: dict[str, dict[str, Any]] = {
    NORTH: {
        "series_prefix": "N-",
        "default_tax": "VAT",
        "taxes": [
            {"tax_code": "VAT", "percent": "15", "from_date": "1990-01-01"},
            {"tax_code": "VAT", "percent": "20.5", "from_date": "2026-03-05"},
        ],
    },
    SOUTH: {"series_prefix": "S-", "payment_terms": "net:14"},
}
NODES = {
    "group": ("company", None, ""),
    "client": ("client", "group", "Client"),
    "east": ("office", "client", "Alpha"),
    "west": ("office", "client", ""),
}
OFFICES = ("east", "west")
ACCOUNTS = ("Alpha", "Client", "Gamma")
TIME_GROUPS: dict[str, dict[str, Any]] = {
    "sundays": {"cycle": "weekly", "ends_on": "sunday"},
    "wednesdays": {"cycle": "weekly", "ends_on": "wednesday"},
    "fortnights": {"cycle": "fortnightly", "anchor": "2026-03-01"},
    "months": {"cycle": "monthly"},
    "odd": {
        "cycle": "custom",
        "periods": [
            {"first_day": "2026-02-23", "last_day": "2026-03-03"},
            {"first_day": "2026-03-04", "last_day": "2026-03-15"},
            {"first_day": "2026-03-16", "last_day": "2027-12-31"},
        ],
    },
    "whenever": {"cycle": "non-date"},
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ORDERS = {
    "R-USD": (NORTH, "east", "USD"),
    "R-JPY": (NORTH, "west", "JPY"),
    "R-KWD": (SOUTH, "east", "KWD"),
    "R-TWO": (NORTH, "west", "USD"),
}
PRICES = ["50", "0", "35.035", "33.33", "17.1234", "60.5", "1234.5678"]
HOURS = ["8", "7.6", "7.5", "0.25", "3.3333", "4.5", "0", "6.9999"]
TIME_TYPES = ("REG", "OT")
POS = ("", "", "", "PO-7")
ITEM = "HIRE"
PLANS = [[("100", 1)], [("50", 1), ("50", 9)], [("33.34", 1), ("33.33", 5), ("33.33", 20)]]

WEEK_DAYS = 7
LATER = timedelta(days=40)
Drawn = tuple[str, str, str, str]
"""Requirement, time type, hours and PO of a day, as a history draws them."""

prices = st.sampled_from(PRICES)
picks = st.integers(0, 9_999)
"""Which of the things that are there is meant: the number is taken modulo how many there are."""
entries = st.lists(
    st.tuples(
        st.sampled_from(sorted(ORDERS)),
        st.sampled_from(TIME_TYPES),
        st.sampled_from(HOURS),
        st.sampled_from(POS),
    ),
    min_size=1,
    max_size=5,
)
"""Time, each on a day of its own, so that no worker has more than 24 hours a day."""
fees = st.lists(
    st.tuples(st.sampled_from(["100.01", "333.333", "1000", "0"]), st.sampled_from(PLANS)),
    max_size=2,
)
ends = st.none() | st.none() | st.integers(-1, 20)
"""Days from the start of a placement to its end; before it, the worker never came."""
retainers = st.none() | st.sampled_from(["0", "90.005", "500"])
charges = st.tuples(st.sampled_from(["1", "2.5", "0"]), st.sampled_from(["12.50", "99.995"]))
rents = st.sampled_from(["500", "500", "480.005", "33.3333", "0"])
SINCE = [0, 0, -9, -40, 5, 20]
schedules = st.sampled_from([9, 15, 31]) | st.lists(
    st.sampled_from([-10, -3, 0, 2, 6, 15, 366, 367, 370]), min_size=1, max_size=3, unique=True
)
"""When an assignment is due: a day of each month, or days after the first, some in a year."""
ALLOWANCES = (
    Allowance("Volume", -1, Decimal("2.5"), of="timesheets"),
    Allowance("Framework", -1, Decimal("10")),
    Allowance("Fuel", 1, Decimal("3.3333"), of="products"),
    Allowance("Goodwill", -1, None, Decimal("60")),
    Allowance("Administration", 1, None, Decimal("7")),
)
"""Discounts and surcharges of debtors."""
ways = st.builds(
    Way,
    payment=st.sampled_from(["", "net:7"]),
    credits=st.sampled_from(["net", "separate", "per-invoice", "net"]),
    zero_documents=st.booleans(),
    regime=st.sampled_from(["standard", "standard", "standard", "exempt"]),
    time_group=st.sampled_from(["", "", *sorted(TIME_GROUPS)]),
    allowances=st.just(())
    | st.lists(st.sampled_from(ALLOWANCES), max_size=3, unique=True).map(tuple),
)
revisions = st.sampled_from(["revision", "revision", "A", "B", "cancelled", "late"])
turns = st.lists(st.sampled_from(HOURS), min_size=1, max_size=4) | st.sampled_from(
    [["8", "5", "2", "0"], ["7.6", "3.3333", "0"], ["8", "6.9999", "1", "0"]]
)
"""Hours of a day, revision by revision: any, or bit by bit down to nothing."""
stamps = st.sampled_from(["imported", "imported", "imported", "imported", "stamped", "unapproved"])
groups = st.just(set[str]()) | st.sets(
    st.sampled_from(["none", *sorted(TIME_GROUPS)]), min_size=1, max_size=4
)
cut_offs = st.integers(-20, 12) | st.just(LATER.days)
"""Days from today; a late cut-off takes nearly everything, so that there is much to correct."""


@dataclass(frozen=True)
class Entry:
    """Time of one day as a history draws it."""

    order_id: str
    day: date
    time_type: str
    hours: Decimal
    po: str

    @property
    def wire(self) -> dict[str, Any]:
        """As the ATS sends it."""
        return {
            "requirement_id": self.order_id,
            "work_date": str(self.day),
            "time_type": self.time_type,
            "hours": str(self.hours),
            "po_number": self.po,
        }


def week_of(drawn: list[Drawn], week: date) -> list[Entry]:
    """Drawn time on the days of a week, from Monday on."""
    return [
        Entry(order, week - timedelta(days=6 - at), kind, Decimal(hours), po)
        for at, (order, kind, hours, po) in enumerate(drawn)
    ]


def companies() -> dict[str, Company]:
    """The billing companies, without documents."""
    found = {}
    for name, values in COMPANIES.items():
        taxes = {
            date.fromisoformat(one["from_date"]): Decimal(one["percent"])
            for one in values.get("taxes", ())
        }
        found[name] = Company(
            name, values["series_prefix"], taxes, values.get("payment_terms", "net:30")
        )
    return found


def cycles() -> dict[str, Cycle]:
    """The time groups."""
    found = {}
    for name, values in TIME_GROUPS.items():
        periods = tuple(
            (date.fromisoformat(one["first_day"]), date.fromisoformat(one["last_day"]))
            for one in values.get("periods", ())
        )
        anchor = date.fromisoformat(values.get("anchor", "1970-01-01"))
        found[name] = Cycle(
            values["cycle"], WEEKDAYS.index(values.get("ends_on", "monday")), anchor, periods
        )
    return found


def commands() -> list[AnyCommand]:
    """The commands of the setup: companies, a catalog item, time groups."""
    found = [
        command("set-billing-company", billing_company=name, **values)
        for name, values in COMPANIES.items()
    ]
    found.append(
        command(
            "set-catalog-item",
            item_id=ITEM,
            name="Direct hire",
            amount="1",
            currency="USD",
            guarantee=[{"until_day": day, "percent": str(each)} for day, each in GUARANTEE],
        )
    )
    found += [
        command("set-catalog-item", item_id=RETAINER, name="Retainer", percent_of_salary="1"),
        command(
            "set-catalog-item",
            item_id=TRAVEL,
            name="Travel",
            amount="1",
            currency="USD",
            product_kind="non-placement",
        ),
    ]
    found.append(
        command(
            "set-catalog-item",
            item_id=RENT,
            name="Office rent",
            amount="1",
            currency="USD",
            product_kind="non-placement",
        )
    )
    return found + [
        command("set-time-group", time_group=name, **values) for name, values in TIME_GROUPS.items()
    ]
