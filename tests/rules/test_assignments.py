"""When assignments are due, what their occurrences are worth, and that each is made once."""

import random
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from pydantic import ValidationError

from services.fee_realizer.assignments.rules import (
    HORIZON_DAYS,
    Schedule,
    Version,
    changes,
    default_from,
    due_dates,
    first_dates,
    in_force,
    schedule_of,
)
from services.fee_realizer.assignments.store import schedule_from, schedule_values
from services.fee_realizer.sources.rules.facts import (
    BillingCompany,
    CatalogItem,
    Facts,
    Held,
    Instalment,
    Realized,
)
from services.fee_realizer.sources.rules.occurrences import (
    Occurrence,
    realize_occurrence,
    unconfirmed_price,
)
from services.fee_realizer.sources.rules.repricing import RateChange
from services.fee_realizer.sources.rules.timesheets import CitedPrice
from services.scheduler.due_lines.rules import next_move
from shared.events.commands import SetAssignment
from tests.builders import COMPANY, command
from tests.rules.test_fee_realizer_pricing import lines_of

START = date(2026, 1, 31)
JUNE = date(2026, 6, 30)
RENT = CatalogItem("RENT", True, "Office rent", product_kind="non-placement")


def setting(**changes: Any) -> SetAssignment:
    """Return a command that sets RENT at 500.00 USD, monthly on day 31."""
    fields = {
        "assignment_id": "A-1",
        "billing_company": COMPANY,
        "node_id": "office-1",
        "item_id": "RENT",
        "price": "500.00",
        "currency": "USD",
        "monthly_day": 31,
    } | changes
    made = command("set-assignment", **{k: v for k, v in fields.items() if v is not None})
    assert isinstance(made, SetAssignment)
    return made


def monthly(day: int, since: date, number: int = 1, until: date | None = None) -> Version:
    """Return a version that is due on a day of each month."""
    schedule = schedule_of(setting(monthly_day=day), since, None)
    return Version(number, since, until, schedule, {"price": str(number)}, "jane")


def dates(*versions: Version, most: int = 400) -> list[str]:
    """Return the due dates without their year."""
    return [f"{due:%m-%d}" for due, _ in islice(due_dates(versions), most)]


def test_a_month_that_is_shorter_has_its_last_day() -> None:
    """Monthly on day 31 from 2026-01-31 until 2026-06-30 (domain-rules 12, row 1)."""
    expected = ["01-31", "02-28", "03-31", "04-30", "05-31", "06-30"]
    assert dates(monthly(31, START, until=JUNE)) == expected
    leap = monthly(31, date(2028, 2, 1), until=date(2028, 2, 29))
    assert dates(leap) == ["02-29"]
    assert dates(monthly(15, date(2026, 1, 16), until=date(2026, 3, 14))) == ["02-15"]


def test_quarters_are_counted_from_the_first_due_date() -> None:
    """Quarterly on day 15 from 2026-02-15 (domain-rules 12, row 4); a change keeps the months."""
    quarterly = setting(monthly_day=None, quarterly_day=15)
    first = schedule_of(quarterly, date(2026, 2, 15), None)
    version = Version(1, date(2026, 2, 15), None, first)
    assert dates(version, most=5) == ["02-15", "05-15", "08-15", "11-15", "02-15"]
    late = schedule_of(quarterly, date(2026, 2, 16), None)
    assert dates(Version(1, date(2026, 2, 16), None, late), most=2) == ["03-15", "06-15"]
    kept = schedule_of(quarterly, date(2026, 4, 1), first)
    assert dates(version, Version(2, date(2026, 4, 1), None, kept), most=3) == [
        "02-15",
        "05-15",
        "08-15",
    ]
    anew = schedule_of(quarterly, date(2026, 4, 1), schedule_of(setting(), START, None))
    assert anew.anchor == date(2026, 4, 1), "months have no quarters"


def test_another_day_of_the_month_is_due_in_the_month_from_which_it_is_set() -> None:
    """Monthly on day 5 from 03-31 begins in April; changed to day 31 from 03-31 it is due then.

    Months need no anchor: only quarters keep the months in which they were due before.
    """
    since = date(2026, 3, 31)
    before = schedule_of(setting(monthly_day=5), since, None)
    assert dates(Version(1, since, None, before), most=2) == ["04-05", "05-05"]
    after = schedule_of(setting(monthly_day=31), since, before)
    assert dates(Version(2, since, None, after), most=2) == ["03-31", "04-30"]
    assert schedule_of(setting(monthly_day=31), date(2026, 6, 1), after) == after, "unchanged"


def test_what_is_set_from_a_date_replaces_that_date_and_later() -> None:
    """An end leaves nothing after it; a later setting resumes."""
    first, second = monthly(31, START, 1), monthly(1, date(2026, 3, 15), 2, date(2026, 6, 1))
    assert dates(first, second) == ["01-31", "02-28", "04-01", "05-01", "06-01"]
    third = monthly(31, date(2026, 2, 1), 3, date(2026, 3, 31))
    assert in_force([third, second, first]) == [first, third]
    ended = Version(4, date(2026, 3, 1))
    assert dates(first, second, third, ended) == ["01-31", "02-28"]
    assert first_dates([first, ended], START, 2) == [date(2026, 2, 28)]
    again = monthly(10, date(2026, 5, 1), 5, date(2026, 6, 30))
    assert dates(first, ended, again) == ["01-31", "02-28", "05-10", "06-10"]


def test_single_dates_are_due_once_each_and_replace_all_that_was_set() -> None:
    """Without a from-date, months begin today and single dates with the assignment."""
    listed = setting(monthly_day=None, dates=["2026-09-15", "2026-03-01", "2026-03-01"])
    schedule = schedule_of(listed, START, None)
    assert dates(Version(1, START, None, schedule)) == ["03-01", "09-15"]
    assert str(schedule) == "on 2026-03-01, 2026-09-15"
    assert str(Schedule(dates=tuple(date(2026, 1, day) for day in range(1, 6)))) == (
        "on 2026-01-01, 2026-01-02, 2026-01-03 and 2 more"
    )
    today = date(2026, 5, 5)
    assert default_from(setting(), [monthly(1, START)], today) == today
    assert default_from(setting(from_date="2026-02-02"), [], today) == date(2026, 2, 2)
    assert default_from(listed, [], today) == date(2026, 3, 1)
    once = setting(monthly_day=None, on_date="2026-04-01")
    assert default_from(once, [monthly(1, START)], today) == START
    for each in (schedule, schedule_of(setting(), START, None)):
        assert schedule_from(schedule_values(each)) == each


@pytest.mark.parametrize(
    "wrong",
    [
        {"on_date": "2026-01-01"},
        {"monthly_day": None},
        {"monthly_day": 32},
        {"price": None},
        {"price": "-1"},
        {"from_date": "2026-03-02", "until_date": "2026-03-01"},
        {"plan": [{"share": "0", "day": 1}]},
        {"assignment_id": "A" * 190},
    ],
)
def test_a_command_has_one_schedule_and_a_price_with_currency(wrong: dict[str, Any]) -> None:
    """Everything else is no command."""
    with pytest.raises(ValidationError):
        setting(**wrong)


def test_each_occurrence_is_made_once_in_five_years_of_a_disturbed_clock() -> None:
    """The clock stops for weeks, runs twice, and moves zone (issue 14, 3.3).

    Every run sees the watermark of the scheduler, which never goes back. The price rises each year.
    """
    for seed in range(20):
        rng = random.Random(seed)
        versions = [monthly(31, START, until=date(2030, 12, 31))]
        existing: dict[date, tuple[int, bool]] = {}
        made: Counter[date] = Counter()
        today, watermark = date(2026, 1, 1), None
        while today < date(2031, 1, 10):
            local = today + timedelta(days=rng.choice((-1, 0, 0, 1)))
            move = next_move(watermark, local, None)
            watermark = move.to_date if move else watermark
            assert watermark is not None
            if rng.random() < 0.02:
                raised = monthly(31, watermark, len(versions) + 1, date(2030, 12, 31))
                versions.append(raised)
            for _ in range(rng.choice((1, 1, 2))):
                until = watermark + timedelta(days=HORIZON_DAYS)
                for change in changes(versions, existing, until):
                    assert change.version is not None
                    made[change.due_date] += change.due_date not in existing
                    existing[change.due_date] = (change.revision, False)
                assert changes(versions, existing, until) == []
            today += timedelta(days=rng.choice((1, 1, 1, 7, 30)))
        assert len(made) == 60
        assert set(made.values()) == {1}
        assert sorted(made)[:2] == [START, date(2026, 2, 28)]


def test_an_end_withdraws_once_and_a_new_setting_brings_back() -> None:
    """Each with a higher revision of the same document; a confirmed one is not revised."""
    first = monthly(31, START, 1, date(2026, 3, 31))
    made = {one.due_date: (1, False) for one in changes([first], {}, JUNE)}
    assert len(made) == 3
    ended = [first, Version(2, date(2026, 3, 1))]
    (gone,) = changes(ended, made, JUNE)
    assert (gone.due_date, gone.revision, gone.version) == (date(2026, 3, 31), 2, None)
    made[gone.due_date] = (2, True)
    assert changes(ended, made, JUNE) == []
    back = [*ended, monthly(31, date(2026, 3, 1), 3, date(2026, 3, 31))]
    assert [one[:2] for one in changes(back, made, JUNE)] == [(date(2026, 3, 31), 3)]
    assert changes(back, made | {date(2026, 3, 31): (4, False)}, JUNE) == []


# -- what an occurrence is worth


def occurrence(revision: int = 1, **changes: Any) -> Occurrence:
    """Return an occurrence of 500.00 USD on 2026-03-31."""
    fields = {
        "assignment_id": "A-1",
        "revision": revision,
        "billing_company": COMPANY,
        "due_date": date(2026, 3, 31),
        "node_id": "office-1",
        "item_id": "RENT",
        "price": Decimal("500.00"),
        "currency": "USD",
        "price_from": START,
        "set_by": "jane",
    } | changes
    return Occurrence(**fields)


def facts(item: CatalogItem = RENT, company: BillingCompany | None = None) -> Facts:
    """Return a catalog with one item, and a known billing company."""
    return Facts({}, {COMPANY: company or BillingCompany(COMPANY, True)}, {"RENT": item})


def test_an_occurrence_is_its_price_on_its_date() -> None:
    """The derivation names the assignment, its price, since when and by whom."""
    (line,) = lines_of(realize_occurrence(occurrence(po_number="PO-1"), facts(), {}, ()))
    shown = {name: line[name] for name in ("amount", "quantity", "effective_date", "billto_node")}
    assert shown == {
        "amount": "500",
        "quantity": "1",
        "effective_date": "2026-03-31",
        "billto_node": "office-1",
    }
    assert (line["po_number"], line["description"], line["rate_book"]) == ("PO-1", "Office rent", 1)
    assert line["line_key"] == '["p","assignment","RENT",1,"500 USD"]'
    assert line["derivation"] == {
        "assignment": "A-1",
        "due": "2026-03-31",
        "item": "RENT",
        "price": {
            "price": "500.00 USD",
            "from": "2026-01-31",
            "set_by": "jane",
            "confirmed": "no",
        },
        "revision": "1",
        "formula": "500.00",
    }


def test_a_pay_plan_divides_an_occurrence() -> None:
    """The item's plan, or that of the assignment; parts sum to the whole, day 1 is the due date."""
    thirds = tuple(Instalment(Decimal(1), day) for day in (1, 31, 61))
    item = CatalogItem("RENT", True, "Office rent", plan=thirds, product_kind="non-placement")
    lines = lines_of(realize_occurrence(occurrence(price=Decimal(100)), facts(item), {}, ()))
    assert [(line["amount"], line["effective_date"]) for line in lines] == [
        ("33.34", "2026-03-31"),
        ("33.33", "2026-04-30"),
        ("33.33", "2026-05-30"),
    ]
    assert lines[0]["derivation"]["formula"] == "100.00, 1/3 of it = 33.34"
    assert lines[2]["description"] == "Office rent · instalment 3 of 3"
    own = occurrence(plan=({"share": Decimal(1), "day": 2},), price=Decimal("-8"), text="Rebate")
    (line,) = lines_of(realize_occurrence(own, facts(item), {}, ()))
    assert (line["amount"], line["quantity"], line["unit_price"]) == ("-8", "-1", "8")
    assert (line["effective_date"], line["description"]) == ("2026-04-01", "Rebate")
    assert lines_of(realize_occurrence(occurrence(price=Decimal(0)), facts(), {}, ())) == []


@pytest.mark.parametrize(
    ("code", "terms", "known"),
    [
        ("unknown_catalog_item", {"item_id": "OTHER"}, facts()),
        ("unknown_catalog_item", {}, facts(CatalogItem("RENT"))),
        ("product_kind", {}, facts(CatalogItem("RENT", True))),
        ("unknown_billing_company", {}, facts(company=BillingCompany(COMPANY))),
        ("billing_company_disabled", {}, facts(company=BillingCompany(COMPANY, True, False))),
        ("amount_too_large", {"price": Decimal("9999999999.999")}, facts()),
        ("date_out_of_range", {"due_date": date(2999, 12, 31), "plan": "late"}, facts()),
        (
            "catalog_item_not_valid",
            {},
            facts(
                CatalogItem(
                    "RENT", True, product_kind="non-placement", valid_until=date(2026, 3, 30)
                )
            ),
        ),
    ],
)
def test_an_occurrence_that_lacks_a_fact_is_held(
    code: str, terms: dict[str, Any], known: Facts
) -> None:
    """Held with a code and a message about what to do."""
    if terms.get("plan") == "late":
        terms = terms | {"plan": ({"share": Decimal(1), "day": 2},)}
    held = realize_occurrence(occurrence(**terms), known, {}, ())
    assert isinstance(held, Held)
    assert held.code == code
    assert ":" in held.message or ";" in held.message


def test_what_is_invoiced_keeps_its_price_until_a_later_one_is_confirmed() -> None:
    """500.00 becomes 480.00 (domain-rules 12, row 3): the impact is shown, and then applied."""
    old = occurrence()
    new = occurrence(2, price=Decimal("480"), price_from=date(2026, 3, 1))
    cited = {("A-1@2026-03-31", ""): CitedPrice(1)}
    kept = realize_occurrence(new, facts(), cited, [old, new])
    assert isinstance(kept, Realized)
    assert [line["amount"] for line in kept.lines] == ["500"]
    assert kept.basis[0] == {
        "requirement_id": "A-1@2026-03-31",
        "time_type": "",
        "rate_book": 1,
        "cited": True,
    }
    ((change, (one,)),) = unconfirmed_price(new, facts(), kept).items()
    assert change == RateChange("A-1", "", date(2026, 3, 1))
    assert (one.old_amount, one.new_amount, one.new_price) == (500, 480, 480)
    free = occurrence(2, price=Decimal(0))
    ((_, (given,)),) = unconfirmed_price(free, facts(), kept).items()
    assert (given.old_amount, given.new_amount) == (500, 0)
    assert unconfirmed_price(occurrence(2, text="Office"), facts(), kept) == {}
    confirmed = new.model_copy(update={"revision": 3, "confirmed": True})
    then = realize_occurrence(confirmed, facts(), cited, [old, new, confirmed])
    assert isinstance(then, Realized)
    assert [(line["amount"], line["rate_book"]) for line in then.lines] == [("480", 1)]
    assert then.lines[0]["derivation"]["price"]["confirmed"] == "yes"
    later = occurrence(4, price=Decimal("470"))
    still = realize_occurrence(later, facts(), cited, [old, new, confirmed, later])
    assert lines_of(still)[0]["amount"] == "480"


def test_a_withdrawn_occurrence_has_no_line_unless_it_is_invoiced() -> None:
    """The basis names the revision, so that a batch that closed meanwhile is noticed."""
    gone = occurrence(2, withdrawn=True)
    basis = {"requirement_id": "A-1@2026-03-31", "time_type": "", "rate_book": 2, "cited": False}
    assert realize_occurrence(gone, facts(), {}, ()) == Realized([], [basis])
    cited = {("A-1@2026-03-31", ""): CitedPrice(1)}
    kept = realize_occurrence(gone, facts(), cited, [occurrence(), gone])
    assert [line["amount"] for line in lines_of(kept)] == ["500"]
    assert isinstance(kept, Realized)
    assert unconfirmed_price(gone, facts(), kept) == {}
