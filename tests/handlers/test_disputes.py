"""Disputes on a real PostgreSQL: open, resolve, payments and credits meanwhile, ageing, races."""

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import pytest

from services.console.queries.ageing import ageing
from services.console.queries.disputes import dispute, disputes
from services.console.queries.explanations import explain_pay_line
from services.console.queries.history import history
from services.console.queries.reminders import reminder_preview
from services.console.queries.reports import REPORTS, Span, report_rows
from shared.broker.topics import OPERATOR_COMMANDS
from tests.builders import (
    COMPANY,
    command,
    product_line,
    realization,
    realization_line,
    record,
)
from tests.conftest import Configure, EngineOf, as_console, process
from tests.handlers.billed import TODAY, Biller, biller
from tests.handlers.test_payments import PAYER, balance, bill, code, pay, records, unapplied
from tests.running import Pauses

__all__ = ["biller"]


async def dispute_line(biller: Biller, number: str, amount: str, line_no: int = 1) -> Any:
    """Dispute an amount of a line."""
    return await biller.tell(
        "open-dispute",
        invoice_number=number,
        line_no=line_no,
        amount=amount,
        reason="the client says 32 h",
    )


async def resolve(biller: Biller, resolution: str, name: str = "DP-000001", **more: Any) -> Any:
    """End a dispute."""
    return await biller.tell(
        "resolve-dispute", dispute=name, resolution=resolution, reason="agreed by phone", **more
    )


async def standing(biller: Biller) -> list[tuple[str, str]]:
    """What is disputed now of each dispute, and its state."""
    found = await biller.rows(
        "SELECT round(disputed, 2) AS disputed, state FROM invoicer.dispute_balance"
        " ORDER BY dispute_id"
    )
    return [(str(row.disputed), row.state) for row in found]


async def test_msp_9_a_disputed_amount_is_not_due_the_rest_is(
    biller: Biller, engine_of: EngineOf
) -> None:
    """msp 9: dispute a line: reason, amount disputed; the rest is due, ageing and statement show
    both; upheld, all of it is due again. The ages of a past day stay as they were.
    """
    await biller.terms(PAYER, payment_terms="net:0")
    number = await bill(biller, "P-1", "600.00", "400.00")
    answer = await dispute_line(biller, number, "150.00")
    assert answer["message"] == (
        f"DP-000001: 150.00 USD of line 1 of {number} is disputed; 850.00 of {number} is due"
    )
    assert await owed(biller, engine_of, TODAY) == ("1000.00", "150.00")
    assert await balance(biller, number) == ("1000.00", "open"), "a dispute changes no document"
    async with as_console(engine_of("console")) as connection:
        (line, *_) = await biller.rows(
            "SELECT pay_line_id FROM invoicer.invoice_line WHERE line_no = 1"
        )
        place = (await explain_pay_line(connection, line.pay_line_id))["place"]
        assert (str(place["disputed"]), str(place["left_to_pay"])) == ("150.00", "600.00")
    await biller.check_seals()
    answer = await resolve(biller, "uphold")
    assert answer["message"] == (
        f"DP-000001: 150.00 USD disputed of line 1 of {number} is upheld; it is due again"
    )
    assert await standing(biller) == [("0.00", "upheld")]
    assert code(await resolve(biller, "uphold")) == "dispute_ended"
    assert await owed(biller, engine_of, TODAY) == ("1000.00", "0.00")
    async with as_console(engine_of("console")) as connection:
        shown = await dispute(connection, "dp-000001")
        assert [(each["kind"], str(each["amount"])) for each in shown["entries"]] == [
            ("opened", "150.00"),
            ("upheld", "-150.00"),
        ]
        did = [each["what"] for each in await history(connection, "DP-000001")]
        assert did == ["open-dispute", "resolve-dispute", "resolve-dispute"]
        assert did[:2] == [each["what"] for each in await history(connection, number)][-2:]
        assert (await disputes(connection, state="open"))[1] == 0
    await biller.check_seals()


async def owed(biller: Biller, engine_of: EngineOf, as_of: date) -> tuple[str, str]:
    """Total and disputed of the payer by the ageing; the statement says the same."""
    async with as_console(engine_of("console")) as connection:
        (debtor,) = (await ageing(connection, COMPANY, as_of))["debtors"]
        span = Span(TODAY, as_of, as_of.replace(day=1), as_of)
        rows = [
            row async for row in report_rows(connection, REPORTS["statement"], COMPANY, span, PAYER)
        ]
    shown = (str(debtor["total"]), str(debtor["disputed"]))
    assert (str(rows[-1]["balance"]), str(rows[-1]["disputed"])) == shown
    return shown


async def test_the_ages_of_a_past_day_keep_the_dispute(
    biller: Biller, engine_of: EngineOf, configure: Configure
) -> None:
    """Resolved on 2 November, it was disputed on 31 October, whenever one asks."""
    await biller.terms(PAYER, payment_terms="net:0")
    number = await bill(biller, "P-1", "600.00")
    await dispute_line(biller, number, "150.00")
    configure(today="2026-11-02")
    await resolve(biller, "credit", quantity="0.1")
    assert await owed(biller, engine_of, TODAY) == ("600.00", "150.00")
    assert await owed(biller, engine_of, date(2026, 11, 2)) == ("540.00", "0.00")


async def test_msp_9_a_credit_resolves_a_dispute(biller: Biller) -> None:
    """msp 9: resolved by credit: 400.00 of 40 h × 50.00 with 22 % tax are disputed with 488.00:
    8 h are credited and written off.
    """
    await biller.tax("VAT", "22")
    await biller.company(default_tax="VAT")
    await biller.consume(realization("T-1", 1, realization_line("40", tax_code="VAT")))
    await biller.generate()
    number = (await biller.documents())[-1][0]
    await dispute_line(biller, number, "488.00")
    answer = await resolve(biller, "credit")
    assert answer["outcome"] == "accepted", answer
    assert answer["details"]["listed"][0]["quantity"] == "8"
    assert answer["message"].endswith("DP-000001 has 0.00 USD left in dispute")
    assert await standing(biller) == [("0.00", "credited")]
    assert await balance(biller, number) == ("1952.00", "partly credited")
    (entry,) = await biller.rows(
        "SELECT credit_note FROM invoicer.dispute_entry WHERE kind = 'credited'"
    )
    assert entry.credit_note == answer["details"]["invoice_number"]
    await biller.check_seals()


async def test_what_a_credit_of_less_leaves_is_upheld(biller: Biller) -> None:
    """A tenth of the line is credited, the rest of the dispute is due again; no more is credited
    than is disputed; a value that no quantity has is refused with the nearest one.
    """
    number = await bill(biller, "P-1", "600.00")
    await dispute_line(biller, number, "150.01")
    assert code(await resolve(biller, "credit")) == "no_such_quantity"
    assert code(await resolve(biller, "credit", quantity="0.26")) == "more_than_disputed"
    answer = await resolve(biller, "credit", quantity="0.1", to="rebill")
    assert "90.01 of it is upheld" in answer["message"]
    assert answer["details"]["open_again"]["net"] == "60.00"
    assert await standing(biller) == [("0.00", "credited")]
    await biller.check_seals()


async def test_any_credit_of_the_line_takes_off_the_dispute(biller: Biller) -> None:
    """By hand, or of a revision of the timesheet by a batch, also where it nets another invoice."""
    await biller.terms(PAYER, credits="net")
    number = await bill(biller, "P-1", "600.00", "400.00")
    await dispute_line(biller, number, "150.00")
    answer = await biller.tell(
        "credit-invoice",
        invoice_number=number,
        lines=[{"line_no": 1, "quantity": "0.1"}],
        to="write-off",
    )
    assert answer["message"].endswith("DP-000001 has 90.00 USD left in dispute")
    await biller.consume(
        realization(
            "P-1", 2, product_line("500.00", instalment=1), product_line("400.00", instalment=2)
        )
    )
    await bill(biller, "P-2", "1000.00")
    assert await standing(biller) == [("50.00", "open")]
    await biller.check_seals()


async def test_a_payment_pays_what_is_due_first(biller: Biller) -> None:
    """Without an amount the disputed part stays unpaid; with one it is paid last, and then it is
    no longer disputed.
    """
    number = await bill(biller, "P-1", "600.00", "400.00")
    await dispute_line(biller, number, "500.00")
    await pay(biller, "4711", "1000.00", number)
    assert await records(biller, number) == [
        (1, "100.00", "500.00", ["4711"]),
        (2, "400.00", "0.00", ["4711"]),
    ]
    assert await unapplied(biller) == {"4711": "500.00"}
    again = {"check_id": "4711", "apply_to": [{"invoice_number": number}]}
    refused = await biller.tell("apply-payment", **again)
    assert (code(refused), "is disputed" in refused["message"]) == ("disputed", True)
    target = {"invoice_number": number, "amount": "200.00"}
    answer = await biller.tell("apply-payment", check_id="4711", apply_to=[target])
    assert answer["message"].endswith("DP-000001 has 300.00 USD left in dispute")
    await biller.check_seals()
    line = {"invoice_number": number, "line_nos": [1]}
    await biller.tell("apply-credit", account_name=PAYER, apply_to=line)
    assert await standing(biller) == [("0.00", "paid")]
    await biller.check_seals()


async def test_money_that_a_credit_frees_pays_nothing_disputed(biller: Biller) -> None:
    """Line 2 is credited whole: its 400.00 pays what is due of line 1, not what is disputed."""
    number = await bill(biller, "P-1", "600.00", "400.00")
    await pay(biller, "4711", "400.00", apply_to=[{"invoice_number": number, "line_nos": [2]}])
    await dispute_line(biller, number, "500.00")
    await biller.tell(
        "credit-invoice", invoice_number=number, lines=[{"line_no": 2}], to="write-off"
    )
    assert await records(biller, number) == [
        (1, "100.00", "500.00", ["4711"]),
        (2, "0.00", "0.00", []),
    ]
    assert await unapplied(biller) == {"4711": "300.00"}
    assert await standing(biller) == [("500.00", "open")]
    await biller.check_seals()


@pytest.mark.parametrize(
    ("amount", "line_no", "expected"),
    [
        ("600.01", 1, "more_than_left"),
        ("0.001", 1, "too_many_decimals"),
        ("10.00", 3, "unknown_line"),
        ("10.00", 2, "already_disputed"),
    ],
)
async def test_what_cannot_be_disputed(
    biller: Biller, amount: str, line_no: int, expected: str
) -> None:
    """More than is left, a line that is not there, a line with an open dispute."""
    number = await bill(biller, "P-1", "600.00", "400.00")
    await dispute_line(biller, number, "10.00", 2)
    assert code(await dispute_line(biller, number, amount, line_no)) == expected
    assert code(await resolve(biller, "uphold", "DP-000009")) == "unknown_dispute"
    credit = await biller.tell("credit-invoice", invoice_number=number, to="write-off")
    note = credit["details"]["invoice_number"]
    assert code(await dispute_line(biller, note, "1.00")) == "credit_note_disputed"
    assert await standing(biller) == [("0.00", "credited")]


async def test_the_same_command_twice_has_one_effect(biller: Biller) -> None:
    """The stored result comes back."""
    number = await bill(biller, "P-1", "600.00")
    why = {"billing_company": COMPANY, "reason": "short"}
    line = {"invoice_number": number, "line_no": 1, "amount": "60"}
    ends = {"dispute": "DP-000001", "resolution": "credit"}
    for sent in (
        command("open-dispute", **why, **line),
        command("resolve-dispute", **why, **ends),
    ):
        one = record(OPERATOR_COMMANDS.name, sent, COMPANY)
        found = []
        for _ in range(2):
            await process(biller.unit_of_work, biller.dispatcher.subscription(), [one])
            answers = [
                json.loads(each.value)
                for each in biller.published("command-results")
                if each.key == sent.command_id
            ]
            found.append((answers[-1], await standing(biller), len(await biller.documents())))
        assert found[0] == found[1]
        assert found[0][0]["outcome"] == "accepted", found[0]


async def test_reminders_do_not_count_the_disputed_part(
    biller: Biller, engine_of: EngineOf
) -> None:
    """Of 600.00 overdue, 50.00 disputed, 550.00 is due: less than the minimum of 560.00; all of it
    disputed, nothing is reminded.
    """
    await biller.terms(PAYER, payment_terms="net:0", emails=["ap@mercy.example"])
    await biller.consume(realization("P-1", 1, product_line("600.00")))
    await biller.generate(invoice_date=str(TODAY - timedelta(days=20)))
    ((number, *_),) = await biller.documents()
    await biller.rows(
        "INSERT INTO arg_sync.mail_account (billing_company, settings, state, actor, changed_at)"
        " VALUES (:company, '{}', 'ready', 'pat', now())",
        company=COMPANY,
    )
    await biller.rows(
        "INSERT INTO arg_sync.reminder_settings (billing_company, account_name, enabled, stages,"
        " minimum, actor, changed_at)"
        " VALUES (:company, '', true, CAST(:stages AS jsonb), 560, 'pat', now())",
        company=COMPANY,
        stages='[{"days": 7}]',
    )
    assert await reminded(engine_of) == (7, "", "0.00")
    await dispute_line(biller, number, "50.00")
    assert await reminded(engine_of) == (None, "below_minimum", "50.00")
    await resolve(biller, "uphold")
    assert await reminded(engine_of) == (7, "", "0.00")
    await dispute_line(biller, number, "600.00")
    assert await reminded(engine_of) == (None, "disputed", "600.00")


async def reminded(engine_of: EngineOf) -> tuple[int | None, str, str]:
    """The stage of which the only invoice is reminded, or why not, and what is disputed of it."""
    async with as_console(engine_of("console")) as connection:
        (row,) = (await reminder_preview(connection, COMPANY))["invoices"]
    return row["stage"], row["code"], str(row["disputed"])


@pytest.mark.parametrize("second", ["apply-payment", "credit-invoice"])
@pytest.mark.parametrize("dispute_first", [True, False])
async def test_a_dispute_races_with_a_payment_and_a_credit(
    biller: Biller, configure: Configure, tmp_path: Any, second: str, dispute_first: bool
) -> None:
    """One holds the company's lock, the other waits; no more is disputed than is left."""
    number = await bill(biller, "P-1", "600.00")
    await pay(biller, "4711", "600.00")
    opened = {"invoice_number": number, "line_no": 1, "amount": "400", "reason": "short"}
    first: tuple[str, dict[str, Any]] = ("open-dispute", opened)
    target = {"invoice_number": number, "amount": "500"}
    line = {"line_no": 1, "quantity": "0.5"}
    then = {
        "apply-payment": ("apply-payment", {"check_id": "4711", "apply_to": [target]}),
        "credit-invoice": (
            "credit-invoice",
            {"invoice_number": number, "lines": [line], "to": "write-off"},
        ),
    }[second]
    if not dispute_first:
        first, then = then, first
    pauses = Pauses(tmp_path)
    configure(pause=str(tmp_path), today=str(TODAY))
    pauses.hold("after_locks")
    began = asyncio.create_task(biller.tell(first[0], **first[1]))
    await pauses.reached("after_locks")
    waits = asyncio.create_task(biller.tell(then[0], **then[1]))
    await asyncio.sleep(0.2)
    assert not waits.done()
    pauses.release("after_locks")
    answers = [code(await began), code(await waits)]
    expected = {
        ("apply-payment", True): (["accepted", "accepted"], [("100.00", "open")]),
        ("apply-payment", False): (["accepted", "more_than_left"], []),
        ("credit-invoice", True): (["accepted", "accepted"], [("100.00", "open")]),
        ("credit-invoice", False): (["accepted", "more_than_left"], []),
    }[second, dispute_first]
    assert (answers, await standing(biller)) == expected
    await biller.check_seals()
