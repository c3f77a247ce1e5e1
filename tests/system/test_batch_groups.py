"""Batch groups through the real services: chosen groups, excluded debtors, waiting debtors.

Source: FastTrack360 automatic invoicing (selecting the invoice batch groups).
"""

from collections import Counter

import pytest

from tests.builders import COMPANY, command, node, placement, requirement
from tests.system.firms import THURSDAY, WEEKS, Firm, firm, of

__all__ = ["firm"]

# -- groups and debtors


async def three_groups(firm: Firm) -> None:
    """Weekly W and X, monthly M, P without a time group; each with a week of August, September.

    P also has a product.
    """
    await firm.opens("W", "X", "M", "P")
    await firm.group("weekly", "weekly", "W", "X", ends_on="sunday")
    await firm.group("monthly", "monthly", "M")
    for name in "WXMP":
        await firm.sheets(name, "2010-08-29", "2010-09-05")


async def test_groups_are_chosen_and_debtors_left_out(firm: Firm) -> None:
    """FastTrack: several groups or one, debtors excluded.

    What was left out is billed by a later batch, once.
    """
    await three_groups(firm)
    both = ("2010-08-29", "2010-09-05")
    assert await firm.batch(THURSDAY, groups=["weekly"], exclude_debtors=["X"]) == of("W", *both)
    assert await firm.batch(THURSDAY, groups=["none"]) == of("P", *both)
    assert await firm.batch(THURSDAY, groups=["weekly", "monthly"], exclude_debtors=["M"]) == of(
        "X", *both
    )
    assert await firm.batch(THURSDAY) == of("M", "2010-08-29")
    assert await firm.batch(THURSDAY) == []
    await firm.check()


async def test_a_filter_with_unknown_names_is_refused(firm: Firm) -> None:
    """The refusal lists the groups, and similar debtors."""
    await three_groups(firm)
    unknown = await firm.ask(
        "generate-batch", billing_company=COMPANY, cut_off_date=THURSDAY, groups=["weekley"]
    )
    assert (unknown["code"], "known are monthly, none, weekly" in unknown["message"]) == (
        "unknown_time_group",
        True,
    )
    firm.pipeline.send("billto-changed", node("office-H", account_name="Mercy Hospital"))
    refused = await firm.ask(
        "preview-batch",
        billing_company=COMPANY,
        cut_off_date=THURSDAY,
        exclude_debtors=["Mercy hopital"],
    )
    assert (refused["code"], refused["fix"]) == ("unknown_debtor", "did you mean 'Mercy Hospital'?")
    assert (
        await firm.ask(
            "preview-batch",
            billing_company=COMPANY,
            cut_off_date=THURSDAY,
            exclude_debtors=["Mercy Hospital"],
        )
    )["outcome"] == "accepted"


async def test_a_digest_includes_the_filter(firm: Firm) -> None:
    """The digest of a preview holds for the same filter only.

    The refusal names the difference.
    """
    await three_groups(firm)
    narrowed = {"groups": ["weekly"], "exclude_debtors": ["X"]}
    preview = await firm.ask(
        "preview-batch", billing_company=COMPANY, cut_off_date=THURSDAY, **narrowed
    )
    out = Counter(
        row[0]
        for row in await firm.select(
            "SELECT reason FROM invoicer.preview_line WHERE reason IS NOT NULL"
        )
    )
    assert out == {"debtor_left_out": 2, "group_not_chosen": 3, "not_in_cycle": 1}
    cited = {
        "billing_company": COMPANY,
        "cut_off_date": THURSDAY,
        "digest": preview["details"]["digest"],
    }
    for other in ({}, {"groups": ["weekly"]}, narrowed | {"missing_timesheets": "bill"}):
        refused = await firm.ask("generate-batch", **cited, **other)
        assert refused["code"] == "digest_differs"
        assert {"groups", "excluded debtors", "rule for missing timesheets"} & set(
            refused["details"]["settings"]
        )
    await firm.ask("set-time-group", time_group="weekly", cycle="weekly", ends_on="saturday")
    changed = await firm.ask("generate-batch", **cited, **narrowed)
    assert "time group weekly" in changed["details"]["settings"]
    await firm.ask("set-time-group", time_group="weekly", cycle="weekly", ends_on="sunday")
    assert (await firm.ask("generate-batch", **cited, **narrowed))["outcome"] == "accepted"


async def test_the_products_of_a_debtor_go_with_its_group(firm: Firm) -> None:
    """By effective date <= cut-off, no cycle.

    But in no batch without the debtor's group.
    """
    await three_groups(firm)
    firm.pipeline.send(
        "operator-commands",
        command("set-catalog-item", item_id="FEE", name="Fee", amount="100.00", currency="USD"),
    )
    fee = [{"fee_id": "F", "item_id": "FEE"}]
    for number, start in enumerate(("2010-09-09", "2010-09-10")):
        firm.pipeline.send(
            "placement-created",
            placement(
                f"P-{number}",
                requirement_id="REQ-M",
                start_date=start,
                salary=None,
                currency=None,
                fees=fee,
            ),
        )
    assert await firm.batch(THURSDAY, groups=["weekly", "none"]) == sorted(
        of("W", *WEEKS[2:4]) + of("X", *WEEKS[2:4]) + of("P", *WEEKS[2:4])
    )
    assert await firm.batch(THURSDAY, groups=["monthly"]) == [*of("M", "2010-08-29"), "P-0"]
    assert (await firm.why_not("P-1", THURSDAY))[0] == "after_cut_off"


async def test_the_time_group_valid_on_the_cut_off_date_decides(firm: Firm) -> None:
    """Monthly before, weekly after.

    A debtor changes from monthly to weekly on 2010-09-08.
    """
    await firm.opens("A")
    await firm.group("monthly", "monthly", "A")
    await firm.group("weekly", "weekly", ends_on="sunday")
    await firm.terms("A", time_group="weekly", from_date="2010-09-08")
    await firm.sheets("A", "2010-08-29", "2010-09-05")
    assert await firm.batch("2010-09-07") == of("A", "2010-08-29")
    assert await firm.batch("2010-09-08") == of("A", "2010-09-05")


async def test_the_companys_default_is_for_debtors_without_a_time_group(firm: Firm) -> None:
    """A default per company.

    One that does not exist stops the batch, because it would change the billing of every debtor.
    """
    await firm.opens("A", "B", default_time_group="monthly")
    stopped = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date=THURSDAY)
    assert stopped["code"] == "default_time_group_unknown"
    await firm.group("monthly", "monthly")
    await firm.group("weekly", "weekly", "B", ends_on="sunday")
    for name in "AB":
        await firm.sheets(name, "2010-08-29", "2010-09-05")
    assert await firm.batch(THURSDAY) == [
        *of("A", "2010-08-29"),
        *of("B", "2010-08-29", "2010-09-05"),
    ]


async def test_a_cut_off_beyond_the_last_period_parks_the_group(firm: Firm) -> None:
    """It is an error of that group.

    The other groups are billed; a batch of that group alone is refused.
    """
    await firm.opens("A", "B")
    await firm.group(
        "retail", "custom", "A", periods=[{"first_day": "2010-08-01", "last_day": "2010-09-04"}]
    )
    for name in "AB":
        await firm.sheets(name, "2010-08-29")
    refused = await firm.ask(
        "generate-batch", billing_company=COMPANY, cut_off_date="2010-09-05", groups=["retail"]
    )
    assert (
        refused["code"],
        "beyond the last period of time group 'retail'" in refused["message"],
    ) == ("cut_off_beyond_periods", True)
    answer = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date="2010-09-05")
    assert await firm.taken(answer["details"]["batch_id"]) == of("B", "2010-08-29")
    assert [
        (each["code"], each["ids"]) for each in answer["findings"] if each["severity"] == "error"
    ] == [("debtor_parked", ["A"])]
    assert (await firm.groups("2010-09-05"))["retail"]["listed"][0]["state"] == "parked"
    assert (await firm.why_not("A w 2010-08-29", "2010-09-05"))[0] == "debtor_parked"
    assert await firm.batch("2010-09-03") == []
    assert await firm.batch("2010-09-04") == of("A", "2010-08-29")


# -- missing timesheets


async def waiting(firm: Firm, rule: str = "wait") -> None:
    """Three temps at A: two sent the timesheet of 2010-09-05, one sent an earlier one late."""
    await firm.opens("A")
    await firm.group("weekly", "weekly", "A", ends_on="sunday")
    await firm.terms("A", missing_timesheets=rule)
    await firm.placed("A", "w", "x", "y")
    await firm.sheets("A", "2010-09-05")
    await firm.sheets("A", "2010-08-29", "2010-09-05", worker="x")


async def test_a_waiting_debtor_waits_with_all_timesheets(firm: Firm) -> None:
    """One timesheet a week is expected.

    Of each active placement; the debtor waits with timesheets of all cycles, not with products.
    """
    await waiting(firm)
    firm.pipeline.send(
        "operator-commands",
        command("set-catalog-item", item_id="FEE", name="Fee", amount="100.00", currency="USD"),
    )
    fee = [{"fee_id": "F", "item_id": "FEE"}]
    hire = placement(
        "HIRE",
        requirement_id="REQ-A",
        worker_id="boss",
        start_date="2010-09-01",
        salary="90000.00",
        currency="USD",
        fees=fee,
    )
    firm.pipeline.send("placement-created", hire)
    await firm.settle()
    shown = (await firm.groups(THURSDAY))["weekly"]
    (debtor,) = shown["listed"]
    assert (shown["received"], shown["expected"], debtor["state"], debtor["missing"]) == (
        2,
        3,
        "waits",
        ["y-A on REQ-A, week ending 2010-09-05"],
    )
    assert shown["amounts"] == [{"currency": "USD", "lines": 1, "net": "100.00", "kept": "1200.00"}]
    answer = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date=THURSDAY)
    assert await firm.taken(answer["details"]["batch_id"]) == ["HIRE"]
    assert [each["code"] for each in answer["findings"] if each["about"] == "debtor"] == [
        "waits_for_timesheets"
    ]
    reason, message, _ = await firm.why_not("A x 2010-08-29", THURSDAY)
    assert reason == "waits_for_timesheets"
    assert "2 of 3 in" in message
    await firm.sheets("A", "2010-09-05", worker="y")
    assert await firm.batch(THURSDAY) == sorted(
        [
            *of("A", "2010-09-05"),
            *of("A", "2010-08-29", "2010-09-05", worker="x"),
            *of("A", "2010-09-05", worker="y"),
        ]
    )
    await firm.check()


async def test_a_correction_waits_with_its_debtors_timesheets(firm: Firm) -> None:
    """FastTrack: adjustments are timesheets, too.

    They wait with them, whether they credit or debit.
    """
    await waiting(firm, "bill")
    assert len(await firm.batch(THURSDAY)) == 3
    await firm.terms("A", missing_timesheets="wait")
    await firm.sheets("A", "2010-09-05", hours="6", revision=2)
    await firm.sheets("A", "2010-09-05", worker="x", hours="9", revision=2)
    await firm.sheets("A", "2010-09-12")
    assert await firm.batch("2010-09-12") == []
    shown = (await firm.groups("2010-09-12"))["weekly"]
    assert (shown["timesheets"], shown["corrections"], shown["received"], shown["expected"]) == (
        1,
        2,
        1,
        3,
    )
    taken = await firm.batch("2010-09-12", missing_timesheets="bill", reason="the client agreed")
    assert taken == sorted(
        [*of("A", "2010-09-05", "2010-09-12"), *of("A", "2010-09-05", worker="x")]
    )
    await firm.check()


async def test_wait_some_days_after_the_cycles_end(firm: Firm) -> None:
    """N days after the cycle's end it is billed."""
    firm.day("2010-09-07")
    await waiting(firm, "wait:3")
    assert await firm.batch("2010-09-07") == []
    firm.day("2010-09-08")
    assert len(await firm.batch("2010-09-07")) == 3


async def test_one_rule_for_the_batch_needs_a_reason(firm: Firm) -> None:
    """The rule can be changed for a batch, with a stored reason."""
    await waiting(firm, "bill")
    assert await firm.batch(THURSDAY, missing_timesheets="wait", reason="the auditors asked") == []
    with pytest.raises(ValueError, match="needs a reason"):
        command(
            "generate-batch",
            billing_company=COMPANY,
            cut_off_date=THURSDAY,
            missing_timesheets="bill",
            reason="",
        )


async def test_what_counts_as_expected_and_as_in(firm: Firm) -> None:
    """Which timesheets are expected, received.

    A week of zero hours is received, a held timesheet is not; a requirement that is not Filled, an
    ended placement and a direct hire expect none.
    """
    await waiting(firm)
    await firm.sheets("A", "2010-09-05", worker="y", hours="0")
    assert (await firm.groups(THURSDAY))["weekly"]["received"] == 3
    await firm.placed("A", "z")
    await firm.placed("A", "gone", end_date="2010-08-29")
    await firm.sheets(
        "A", "2010-09-05", worker="z", workflow={"submitted_at": "2010-09-06T08:00:00Z"}
    )
    (debtor,) = (await firm.groups(THURSDAY))["weekly"]["listed"]
    assert (debtor["received"], debtor["expected"], debtor["held_by_code"], debtor["state"]) == (
        3,
        4,
        {"not_approved": 1},
        "waits",
    )
    statuses = [
        {"from_date": "2000-01-01", "status": "Filled", "position_type": "Temp"},
        {"from_date": "2010-09-01", "status": "Closed"},
    ]
    firm.order("A", 2, statuses=statuses)
    await firm.settle()
    assert (await firm.groups(THURSDAY))["weekly"]["expected"] == 0


async def test_a_debtor_with_nothing_but_missing_timesheets_is_shown(firm: Firm) -> None:
    """ "0 of 1 in" for a debtor without lines."""
    await firm.opens("A", "B")
    await firm.placed("B", "w")
    shown = (await firm.groups(THURSDAY))["none"]
    assert [
        (each["account_name"], each["received"], each["expected"], each["state"])
        for each in shown["listed"]
    ] == [("B", 0, 1, "nothing")]


async def test_what_is_on_a_document_is_in_whatever_became_of_its_approval(firm: Firm) -> None:
    """Invoiced is received.

    A timesheet that lost its approval is withheld, but its invoiced lines remain; it is not
    expected.
    """
    await waiting(firm, "bill")
    assert len(await firm.batch(THURSDAY)) == 3
    await firm.sheets(
        "A", "2010-09-05", revision=2, workflow={"submitted_at": "2010-09-06T08:00:00Z"}
    )
    (debtor,) = (await firm.groups(THURSDAY))["weekly"]["listed"]
    assert (debtor["received"], debtor["expected"], debtor["held_by_code"]) == (
        2,
        3,
        {"not_approved": 1},
    )


async def test_the_groups_of_many_debtors_fit_a_message(firm: Firm) -> None:
    """An answer names as many as fit and counts the others.

    Hundreds of debtors with long ids, each with missing timesheets.
    """
    many = 400
    await firm.opens(default_time_group="monthly")
    await firm.group("monthly", "monthly")
    for at in range(many):
        office, order, worker = (
            f"{kind}-{at:03}".ljust(200, "x") for kind in ("office", "order", "worker")
        )
        firm.pipeline.send("billto-changed", node(office, account_name=f"D {at:03}"))
        firm.pipeline.send("requirement-changed", requirement(order, office_id=office))
        firm.pipeline.send(
            "placement-created",
            placement(
                f"P-{at}",
                requirement_id=order,
                worker_id=worker,
                start_date="2020-01-06",
                salary=None,
                currency=None,
                fees=[],
            ),
        )
    await firm.settle()
    answer = await firm.ask("list-batch-groups", billing_company=COMPANY, cut_off_date="2026-03-31")
    (group,) = answer["details"]["groups"]
    assert (group["debtors"], group["expected"]) == (many, 5 * many)
    assert [each["account_name"] for each in group["listed"]][:2] == ["D 000", "D 001"]
    assert 200 < len(group["listed"]) < many
    assert len(group["listed"]) + answer["details"]["debtors_not_listed"] == many
