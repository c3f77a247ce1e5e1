"""Commands about pay lines on a real PostgreSQL: snooze, release, edit, and later realizations."""

from typing import Any

import pytest

from tests.builders import realization, realization_line, time_key
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.settled import Invoicer, invoicer

SNOOZES = "SELECT line_key, code, reason, actor, until_date FROM invoicer.snooze ORDER BY line_key"


@pytest.fixture
def unit_of_work(
    unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf, configure: Configure
) -> Invoicer:
    """The invoicer's subscriptions; today is 2026-03-10."""
    configure(today="2026-03-10")
    return invoicer(unit_of_work_for, engine_of)


async def test_a_snooze_needs_a_reason(unit_of_work: Invoicer) -> None:
    """On hold with a reason."""
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    answer = await unit_of_work.ask("snooze-pay-lines", pay_line_ids=[1], reason=" ")
    assert (answer["outcome"], answer["code"]) == ("refused", "reason_missing")
    assert await unit_of_work.rows(SNOOZES) == []


async def test_a_snooze_is_kept_with_who_why_and_until_when(unit_of_work: Invoicer) -> None:
    """Kept with actor, time, reason, before and after; found by document and
    line.
    """
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    answer = await unit_of_work.ask(
        "snooze-pay-lines", pay_line_ids=[1], reason="client asks", until="2026-04-01"
    )
    assert answer["outcome"] == "accepted"
    (row,) = await unit_of_work.rows(SNOOZES)
    assert (row.line_key, row.code, row.reason, row.actor, str(row.until_date)) == (
        time_key(),
        "snoozed",
        "client asks",
        "pat",
        "2026-04-01",
    )
    (kept,) = await unit_of_work.rows("SELECT before, after, subjects FROM invoicer.command")
    assert (kept.before, kept.after["1"]["reason"]) == ({"1": None}, "client asks")
    assert {"T-1", "pay-line 1"} <= set(kept.subjects)


async def test_released_lines_are_on_hold_no_more(unit_of_work: Invoicer) -> None:
    """It ends by release or its until-date only."""
    await unit_of_work.consume(
        realization("T-1", 1, realization_line("40")), realization("T-2", 1, realization_line("8"))
    )
    await unit_of_work.ask("snooze-pay-lines", pay_line_ids=[1])
    answer = await unit_of_work.ask("release-pay-lines", pay_line_ids=[1, 2])
    assert (answer["outcome"], answer["details"]["lines"], answer["details"]["not_on_hold"]) == (
        "accepted",
        1,
        1,
    )
    assert await unit_of_work.rows(SNOOZES) == []
    assert (await unit_of_work.ask("release-pay-lines", pay_line_ids=[1]))["code"] == "not_on_hold"


async def test_a_later_realization_inherits_the_snooze(unit_of_work: Invoicer) -> None:
    """A replacing line and a re-priced one are on hold like the one that was
    snoozed.
    """
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    await unit_of_work.ask("snooze-pay-lines", pay_line_ids=[1], reason="client asks")
    await unit_of_work.consume(realization("T-1", 2, realization_line("38")))
    assert [row.line_key for row in await unit_of_work.rows(SNOOZES)] == [time_key()]
    await unit_of_work.consume(realization("T-1", 3, realization_line("38", "55.00")))
    assert [(row.line_key, row.reason) for row in await unit_of_work.rows(SNOOZES)] == [
        (time_key(version="2020-01-01@55"), "client asks")
    ]


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("snooze-pay-lines", {"pay_line_ids": [99]}, "unknown_pay_line"),
    (
        "snooze-pay-lines",
        {"pay_line_ids": [3], "billing_company": "globex"},
        "other_billing_company",
    ),
    ("snooze-pay-lines", {"pay_line_ids": [1, 3]}, "not_open"),
    ("snooze-pay-lines", {"pay_line_ids": [2]}, "not_open"),
    ("snooze-pay-lines", {"pay_line_ids": [4]}, "credit_line"),
    ("snooze-pay-lines", {"pay_line_ids": [3], "until": "2026-03-10"}, "until_has_come"),
    ("release-pay-lines", {"pay_line_ids": [98, 99]}, "unknown_pay_line"),
    ("release-pay-lines", {"pay_line_ids": [1]}, "not_open"),
    ("edit-pay-line", {"pay_line_id": 99, "quantity": "1"}, "unknown_pay_line"),
    ("edit-pay-line", {"pay_line_id": 1, "quantity": "1"}, "not_open"),
    ("edit-pay-line", {"pay_line_id": 4, "quantity": "1"}, "credit_line"),
    ("edit-pay-line", {"pay_line_id": 3, "quantity": "1", "reason": ""}, "reason_missing"),
    ("edit-pay-line", {"pay_line_id": 3, "quantity": "-1"}, "below_zero"),
    ("edit-pay-line", {"pay_line_id": 3, "amount": "1.005"}, "not_a_whole_unit"),
    ("edit-pay-line", {"pay_line_id": 3, "quantity": "8"}, "nothing_changes"),
]


async def test_what_is_refused_names_the_lines_and_changes_nothing(unit_of_work: Invoicer) -> None:
    """Open lines of that company only; a credit follows from its document."""
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    await unit_of_work.invoice()  # 1 is invoiced
    await unit_of_work.consume(realization("T-1", 2, realization_line("41")))  # 2 is replaced by
    await unit_of_work.consume(realization("T-2", 1, realization_line("8")))  # (3 is open)
    await unit_of_work.consume(realization("T-1", 3, realization_line("38")))  # 4, a credit
    before = [await unit_of_work.places(document) for document in ("T-1", "T-2")]
    for kind, values, code in REFUSALS:
        answer = await unit_of_work.ask(kind, **values)
        assert (answer["outcome"], answer["code"]) == ("refused", code), (kind, values, answer)
        assert answer["message"]
        if code in ("unknown_pay_line", "not_open", "credit_line"):
            assert "pay line" in answer["message"]
            assert answer["details"]["pay_line_ids"]
    assert [await unit_of_work.places(document) for document in ("T-1", "T-2")] == before
    assert await unit_of_work.rows(SNOOZES) == []


async def test_an_edit_replaces_the_line(unit_of_work: Invoicer) -> None:
    """Who, why, before, after, difference in quantity and money; the amount
    follows the quantity, rounded.
    """
    await unit_of_work.consume(
        realization("T-1", 1, realization_line("2", "35.0350", amount="70.07"))
    )
    answer = await unit_of_work.ask(
        "edit-pay-line", pay_line_id=1, quantity="1.5", reason="client signed less"
    )
    assert answer["details"]["before"] == {"quantity": "2", "amount": "70.07"}
    assert answer["details"]["after"] == {"quantity": "1.5", "amount": "52.55"}
    assert await unit_of_work.places() == [
        ("T-1", "2", "70.07", "replaced"),
        ("T-1", "1.5", "52.55", "open"),
    ]
    (row,) = await unit_of_work.rows("SELECT * FROM invoicer.operator_edit")
    assert (str(row.quantity_difference), str(row.amount_difference), row.actor, row.reason) == (
        "-0.5000",
        "-17.5200",
        "pat",
        "client signed less",
    )
    await unit_of_work.check()


async def test_a_line_that_was_edited_to_nothing_comes_back_by_an_edit(
    unit_of_work: Invoicer,
) -> None:
    """The last word of the operator counts, also after one that left nothing
    open to edit; a line that something else replaced is edited no more.
    """
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    answer = await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="0")
    assert answer["message"].endswith(
        "edited: 40 → 0, 2,000.00 → 0.00 USD; nothing of it is left to bill;"
        " edit it again to restore it"
    )
    assert await unit_of_work.open() == []
    answer = await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="39")
    assert (answer["outcome"], answer["details"]["before"]) == (
        "accepted",
        {"quantity": "0", "amount": "0"},
    )
    assert await unit_of_work.open() == [("39", "1950")]
    assert (await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="40"))[
        "code"
    ] == "not_open"
    await unit_of_work.invoice()
    assert (await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="40"))[
        "code"
    ] == "not_open"
    await unit_of_work.consume(realization("T-1", 2, realization_line("41")))
    await unit_of_work.ask("edit-pay-line", pay_line_id=3, quantity="0")
    await unit_of_work.ask("edit-pay-line", pay_line_id=3, quantity="2")
    assert await unit_of_work.open() == [("2", "100")]
    await unit_of_work.check()


async def test_an_amount_is_edited_without_its_hours(unit_of_work: Invoicer) -> None:
    """Quantity or amount; the difference of the other is zero."""
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    await unit_of_work.ask("edit-pay-line", pay_line_id=1, amount="1900.00")
    assert await unit_of_work.open() == [("40", "1900")]
    await unit_of_work.check()


async def test_edits_add_up(unit_of_work: Invoicer) -> None:
    """Each edit is a row; the last word of the operator counts."""
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="38")
    await unit_of_work.ask("edit-pay-line", pay_line_id=2, quantity="39")
    assert await unit_of_work.open() == [("39", "1950")]
    await unit_of_work.check()


async def test_an_edit_is_added_to_later_realizations_and_holds_the_line(
    unit_of_work: Invoicer,
) -> None:
    """An edit is added to the value of every later realization.

    A revision that touches the key puts it on hold as edit_meets_revision.
    """
    await unit_of_work.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        )
    )
    await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="38")
    await unit_of_work.consume(
        realization(
            "T-1", 2, realization_line("40"), realization_line("6", "75.00", time_type="OT")
        )
    )
    assert (sorted(await unit_of_work.open()), await unit_of_work.rows(SNOOZES)) == (
        [("38", "1900"), ("6", "450")],
        [],
    )
    await unit_of_work.consume(
        realization(
            "T-1", 3, realization_line("41"), realization_line("6", "75.00", time_type="OT")
        )
    )
    assert sorted(await unit_of_work.open()) == [("39", "1950"), ("6", "450")]
    assert [(row.line_key, row.code) for row in await unit_of_work.rows(SNOOZES)] == [
        (time_key(), "edit_meets_revision")
    ]
    await unit_of_work.check()
    open_now = (
        await unit_of_work.rows("SELECT pay_line_id FROM invoicer.pay_line WHERE quantity = 39")
    )[0].pay_line_id
    await unit_of_work.ask("release-pay-lines", pay_line_ids=[open_now])
    await unit_of_work.consume(
        realization(
            "T-1", 4, realization_line("41"), realization_line("7", "75.00", time_type="OT")
        )
    )
    assert await unit_of_work.rows(SNOOZES) == []


async def test_an_edit_of_a_line_that_goes_is_set_aside(unit_of_work: Invoicer) -> None:
    """An edit of a key without value is cancelled.

    Nothing of it is open, and the lines that replace the key are on hold.
    """
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="38")
    await unit_of_work.consume(realization("T-1", 2, realization_line("40", "55.00")))
    assert await unit_of_work.open() == [("40", "2200")]
    assert [(row.line_key, row.code) for row in await unit_of_work.rows(SNOOZES)] == [
        (time_key(version="2020-01-01@55"), "edit_meets_revision")
    ]
    assert [
        str(row.q)
        for row in await unit_of_work.rows(
            "SELECT sum(quantity_difference) AS q FROM invoicer.operator_edit"
        )
    ] == ["0.0000"]
    await unit_of_work.check()


async def test_an_edited_line_is_corrected_like_any_other_once_it_is_invoiced(
    unit_of_work: Invoicer,
) -> None:
    """38 h invoiced after an edit of 40 h, revised to 41 h: a debit of 1 h, on
    hold.
    """
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="38")
    await unit_of_work.invoice()
    await unit_of_work.consume(realization("T-1", 2, realization_line("41")))
    assert await unit_of_work.open() == [("1", "50")]
    await unit_of_work.check()


async def test_a_correction_can_be_edited(unit_of_work: Invoicer) -> None:
    """An open debit of an invoiced key may be edited; its difference is kept
    like any other.
    """
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    await unit_of_work.invoice()
    await unit_of_work.consume(realization("T-1", 2, realization_line("43")))
    await unit_of_work.ask("edit-pay-line", pay_line_id=2, quantity="2")
    assert await unit_of_work.open() == [("2", "100")]
    await unit_of_work.check()


async def test_the_same_command_twice_is_answered_once(unit_of_work: Invoicer) -> None:
    """The same command id with the same body returns the first result."""
    await unit_of_work.consume(realization("T-1", 1, realization_line("40")))
    first = await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="38", command_id="once")
    again = await unit_of_work.ask("edit-pay-line", pay_line_id=1, quantity="38", command_id="once")
    assert first == again
    assert await unit_of_work.open() == [("38", "1900")]
