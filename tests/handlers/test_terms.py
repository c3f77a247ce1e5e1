"""Time groups and the terms of debtors by command: validity, refusals, history."""

import json
from typing import Any

import pytest

from tests.builders import command, record
from tests.conftest import process
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]


async def group(biller: Biller, name: str, cycle: str, **values: Any) -> dict[str, Any]:
    """Gives set-time-group, which is of no billing company; its answer."""
    asked = command("set-time-group", time_group=name, cycle=cycle, **values)
    await process(
        biller.unit_of_work, biller.dispatcher.subscription(), [record("operator-commands", asked)]
    )
    (answer,) = [
        json.loads(each.value)
        for each in biller.published("command-results")
        if each.key == asked.command_id
    ]
    return answer  # type: ignore[no-any-return]


def period(first: str, last: str) -> dict[str, str]:
    return {"first_day": first, "last_day": last}


async def test_a_time_group_is_made_and_changed(biller: Biller) -> None:
    """A definition replaces the one before; actor and earlier values are stored."""
    assert (await group(biller, "weekly", "weekly", ends_on="sunday"))[
        "message"
    ] == "time group weekly is weekly, ends on Sunday"
    changed = await group(biller, "weekly", "weekly", ends_on="saturday")
    assert (
        changed["message"]
        == "time group weekly is weekly, ends on Saturday, weekly, ends on Sunday until now"
    )
    await group(biller, "f", "fortnightly", anchor="2026-03-08")
    await group(biller, "m", "monthly")
    await group(biller, "any", "non-date")
    found = await biller.rows(
        "SELECT time_group, cycle, ends_on, CAST(anchor AS text) FROM invoicer.time_group ORDER BY"
        " time_group"
    )
    assert [tuple(row) for row in found] == [
        ("any", "non-date", None, None),
        ("f", "fortnightly", None, "2026-03-08"),
        ("m", "monthly", None, None),
        ("weekly", "weekly", "saturday", None),
    ]
    (kept,) = await biller.rows(
        "SELECT before, after, actor FROM invoicer.command WHERE 'weekly' = ANY(subjects) ORDER BY"
        " answered_at DESC LIMIT 1"
    )
    assert (kept.before["ends_on"], kept.after["ends_on"], kept.actor) == (
        "sunday",
        "saturday",
        "pat",
    )


@pytest.mark.parametrize(
    ("periods", "code", "named"),
    [
        (
            [("2026-01-01", "2026-01-31"), ("2026-02-02", "2026-02-28")],
            "periods_gap",
            "2026-01-01 to 2026-01-31 and 2026-02-02 to 2026-02-28 leave days",
        ),
        (
            [("2026-02-01", "2026-02-28"), ("2026-01-01", "2026-02-01")],
            "periods_overlap",
            "2026-01-01 to 2026-02-01 and 2026-02-01 to 2026-02-28 share days",
        ),
    ],
)
async def test_custom_periods_with_a_gap_or_an_overlap_are_refused(
    biller: Biller, periods: list[tuple[str, str]], code: str, named: str
) -> None:
    """No gap, no overlap; the refusal names the two periods, and nothing is
    kept.
    """
    answer = await group(biller, "retail", "custom", periods=[period(*each) for each in periods])
    assert (answer["outcome"], answer["code"]) == ("refused", code)
    assert named in answer["message"]
    assert await biller.rows("SELECT 1 FROM invoicer.time_group") == []


async def terms(biller: Biller, **values: Any) -> dict[str, Any]:
    return await biller.tell("set-debtor-terms", **{"account_name": "Mercy Hospital"} | values)


async def test_terms_hold_from_a_day(biller: Biller) -> None:
    """The first terms hold from the beginning, later ones from the billing company's today
    (2026-10-31) unless a day is given; a version copies the one in force; one that is
    followed by a later one says until when it holds.
    """
    await group(biller, "weekly", "weekly", ends_on="sunday")
    first = await terms(biller, time_group="weekly")
    assert first["message"] == "terms of Mercy Hospital apply at all times"
    later = await terms(biller, payment_terms="net:10")
    assert (
        later["details"]["from_date"],
        later["details"]["time_group"],
        later["details"]["payment_terms"],
    ) == ("2026-10-31", "weekly", "net:10")
    between = await terms(biller, credits="net", from_date="2026-03-01")
    assert between["message"].endswith(
        "apply from 2026-03-01 on until the day before 2026-10-31, when later terms begin"
    )
    again = await terms(biller, credits="per-invoice", from_date="2026-03-01")
    assert (again["details"]["credits"], again["details"]["payment_terms"]) == ("per-invoice", "")
    found = await biller.rows(
        "SELECT CAST(from_date AS text), credits FROM invoicer.debtor_terms ORDER BY from_date"
    )
    assert [tuple(row) for row in found] == [
        ("1970-01-01", "separate"),
        ("2026-03-01", "per-invoice"),
        ("2026-10-31", "separate"),
    ]
    (kept,) = await biller.rows(
        "SELECT before, after FROM invoicer.command WHERE 'Mercy Hospital' = ANY(subjects) ORDER"
        " BY answered_at DESC LIMIT 1"
    )
    assert (kept.before["credits"], kept.after["credits"]) == ("net", "per-invoice")


async def test_terms_that_make_no_sense_are_refused(biller: Biller) -> None:
    """Unknown time groups, and commands without a change or a debtor, are refused.

    An unknown time group would park the debtor.
    """
    await group(biller, "weekly", "weekly", ends_on="sunday")
    unknown = await terms(biller, time_group="wekly")
    assert (unknown["code"], "there are weekly" in unknown["message"]) == (
        "unknown_time_group",
        True,
    )
    assert (await terms(biller))["code"] == "nothing_given"
    assert (await terms(biller, account_name=" ", credits="net"))["code"] == "no_account_name"
    assert (await terms(biller, billing_company="acme-xx", credits="net"))[
        "code"
    ] == "unknown_billing_company"
    assert await biller.rows("SELECT 1 FROM invoicer.debtor_terms") == []


async def test_terms_of_an_unknown_account_name_are_accepted_with_a_note(biller: Biller) -> None:
    """Terms may come before the hierarchy; a misspelt name must be noticed."""
    answer = await terms(biller, account_name="Mercy Hopsital", credits="net")
    assert answer["outcome"] == "accepted"
    assert (
        "no billto node has this Account Name yet (there is 'Mercy Hospital')" in answer["message"]
    )
