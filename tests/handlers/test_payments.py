"""Payments by hand on a real PostgreSQL: commands, balances of documents and lines, repeats."""

import asyncio
import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.console.queries.ageing import ageing
from services.console.queries.explanations import explain_pay_line
from services.console.queries.history import history
from services.console.queries.invoices import invoice, invoice_payments
from services.console.queries.payments import company_of_check, payments, payments_with
from services.console.queries.reports import REPORTS, Span, report_rows
from shared.broker.topics import OPERATOR_COMMANDS
from tests.builders import COMPANY, command, node, product_line, realization, record
from tests.conftest import Configure, EngineOf, as_console, process
from tests.handlers.billed import TODAY, Biller, biller
from tests.running import Pauses

__all__ = ["biller"]
PAYER = "Mercy Hospital"


async def bill(biller: Biller, number: str, *line_amounts: str) -> str:
    """Close an invoice of a placement with lines of these amounts; its number."""
    await biller.consume(
        realization(
            number,
            1,
            *(product_line(each, instalment=at) for at, each in enumerate(line_amounts, start=1)),
        )
    )
    answer = await biller.generate()
    assert answer["outcome"] == "accepted", answer
    return str((await biller.documents())[-1][0])


async def pay(biller: Biller, check_id: str, amount: str, *numbers: str, **more: Any) -> Any:
    """Record a check of the payer of 2026-10-05 and apply it to documents."""
    return await biller.tell(
        "record-payment",
        **{
            "check_id": check_id,
            "account_name": PAYER,
            "received_on": "2026-10-05",
            "bank": "First Bank",
            "amount": amount,
            "currency": "USD",
            "apply_to": [{"invoice_number": number} for number in numbers],
        }
        | more,
    )


async def balance(biller: Biller, number: str) -> tuple[str, str]:
    """Balance and state of a document."""
    (row,) = await biller.rows(
        "SELECT round(b.balance, 2) AS balance, b.state FROM invoicer.invoice_balance b"
        " JOIN invoicer.invoice USING (invoice_id) WHERE invoice_number = :number",
        number=number,
    )
    return str(row.balance), row.state


async def records(biller: Biller, number: str) -> list[tuple[int, str, str, list[str]]]:
    """Line, what is paid of it, what is left of it, and the checks that pay it."""
    found = await biller.rows(
        "SELECT line_no, round(paid, 2) AS paid, round(balance, 2) AS balance, check_ids"
        " FROM invoicer.billing_record WHERE invoice_number = :number ORDER BY line_no",
        number=number,
    )
    return [(row.line_no, str(row.paid), str(row.balance), list(row.check_ids)) for row in found]


async def unapplied(biller: Biller) -> dict[str, str]:
    """What is unapplied of each check."""
    found = await biller.rows(
        "SELECT check_id, round(unapplied, 2) AS rest FROM invoicer.received_payment_balance"
        " WHERE unapplied <> 0 ORDER BY check_id"
    )
    return {row.check_id: str(row.rest) for row in found}


def code(answer: dict[str, Any]) -> str:
    """The code of a refusal, or `accepted`."""
    return str(answer["code"] if answer["outcome"] == "refused" else answer["outcome"])


async def test_msp_8_a_check_is_shared_and_stands_on_the_billing_records(biller: Biller) -> None:
    """msp 8: INV-1 of 600.00 and 400.00; check 4711 of 500.00: lines 300.00 and 200.00 carry
    4711; balance 500.00; part paid.
    """
    number = await bill(biller, "P-1", "600.00", "400.00")
    answer = await pay(biller, "4711", "500.00", number)
    assert answer["outcome"] == "accepted", answer
    assert answer["message"] == (
        f"check 4711 of Mercy Hospital, 2026-10-05, of 500.00 USD recorded: 500.00 on {number};"
        " 0.00 unapplied"
    )
    assert await records(biller, number) == [
        (1, "300.00", "300.00", ["4711"]),
        (2, "200.00", "200.00", ["4711"]),
    ]
    assert await balance(biller, number) == ("500.00", "part paid")
    await biller.check_seals()


async def test_msp_8_a_credit_moves_the_money_and_frees_the_rest(biller: Biller) -> None:
    """msp 8: then line 1 is credited whole (600.00): 200.00 of the 300.00 moves to line 2, 100.00
    is unapplied; balance 0.00.
    """
    number = await bill(biller, "P-1", "600.00", "400.00")
    await pay(biller, "4711", "500.00", number)
    answer = await biller.tell(
        "credit-invoice", invoice_number=number, lines=[{"line_no": 1}], to="write-off"
    )
    assert answer["message"].endswith(f"100.00 USD of check 4711 on {number} is unapplied now")
    assert await records(biller, number) == [
        (1, "0.00", "0.00", []),
        (2, "400.00", "0.00", ["4711"]),
    ]
    assert await unapplied(biller) == {"4711": "100.00"}
    assert await balance(biller, number) == ("0.00", "paid")
    await biller.check_seals()


async def test_a_credit_that_a_revision_opens_frees_money_at_its_batch(biller: Biller) -> None:
    """The same when a batch closes the credit note; and once more changes nothing."""
    number = await bill(biller, "P-1", "600.00", "400.00")
    await pay(biller, "4711", "1000.00", number)
    await biller.consume(realization("P-1", 2, product_line("400.00", instalment=2)))
    assert await unapplied(biller) == {}
    answer = await biller.generate()
    assert answer["details"]["freed"] == [
        {"check_id": "4711", "invoice_number": number, "unapplied": "600.00", "currency": "USD"}
    ]
    assert await unapplied(biller) == {"4711": "600.00"}
    assert await balance(biller, number) == ("0.00", "paid")
    await biller.check_seals()


async def test_msp_8_what_exceeds_the_balance_is_unapplied(biller: Biller) -> None:
    """msp 8: instead check 4712 of 700.00 on INV-1: 500.00 applied, 200.00 unapplied; paid. 4711
    reversed after that: balance 500.00, part paid; the entries of 4712 stay.
    """
    number = await bill(biller, "P-1", "600.00", "400.00")
    await pay(biller, "4711", "500.00", number)
    await pay(biller, "4712", "700.00", number)
    assert await unapplied(biller) == {"4712": "200.00"}
    assert await balance(biller, number) == ("0.00", "paid")
    answer = await biller.tell("reverse-payment", check_id="4711", reason="bounced")
    assert answer["outcome"] == "accepted", answer
    assert await balance(biller, number) == ("500.00", "part paid")
    assert await records(biller, number) == [
        (1, "300.00", "300.00", ["4712"]),
        (2, "200.00", "200.00", ["4712"]),
    ]
    assert code(await biller.tell("reverse-payment", check_id="4711")) == "payment_reversed"
    (row,) = await biller.rows("SELECT kind, amount FROM invoicer.payment_return")
    assert (row.kind, row.amount) == ("reversal", Decimal(-500))
    await biller.check_seals()


async def test_msp_8_one_check_over_several_documents_by_order(biller: Biller) -> None:
    """msp 8: check 4713 of 300.00 over INV-2 (100.00) and INV-3 (250.00), by order: 100.00 and
    200.00; INV-3 part paid, 50.00 left.
    """
    second, third = await bill(biller, "P-2", "100.00"), await bill(biller, "P-3", "250.00")
    await pay(biller, "4713", "300.00", second, third)
    assert await balance(biller, second) == ("0.00", "paid")
    assert await balance(biller, third) == ("50.00", "part paid")
    await biller.check_seals()


async def test_msp_8_a_repeat_changes_nothing_another_amount_is_refused(biller: Biller) -> None:
    """msp 8: identity is payer, check and date of deposit; the first must be reversed before
    another amount.
    """
    number = await bill(biller, "P-1", "1000.00")
    await pay(biller, "4711", "500.00", number)
    again = await pay(biller, "4711", "500.00", number)
    assert (again["outcome"], again["details"]["repeat"]) == ("accepted", True)
    assert code(await pay(biller, "4711", "501.00")) == "payment_differs"
    assert await balance(biller, number) == ("500.00", "part paid")
    await biller.tell("reverse-payment", check_id="4711")
    assert code(await pay(biller, "4711", "501.00", number)) == "accepted"
    assert await balance(biller, number) == ("499.00", "part paid")
    await biller.check_seals()


async def test_the_same_command_twice_has_one_effect(biller: Biller) -> None:
    """The stored result comes back, whatever command it is."""
    number = await bill(biller, "P-1", "1000.00")
    common = {"billing_company": COMPANY}
    check = {
        "check_id": "4711",
        "account_name": PAYER,
        "received_on": "2026-10-05",
        "amount": "700",
        "currency": "USD",
    }
    target = {"invoice_number": number, "amount": "100"}
    for sent in (
        command("record-payment", **common, **check),
        command("apply-payment", **common, check_id="4711", apply_to=[target]),
        command("apply-credit", **common, account_name=PAYER, apply_to=target),
        command("record-refund", **common, account_name=PAYER, amount="50"),
        command("unapply-payment", **common, check_id="4711", invoice_number=number),
        command("reverse-payment", **common, check_id="4711"),
    ):
        one = record(OPERATOR_COMMANDS.name, sent, COMPANY)
        found: list[Any] = []
        for _ in range(2):
            await process(biller.unit_of_work, biller.dispatcher.subscription(), [one])
            answers = [
                json.loads(each.value)
                for each in biller.published("command-results")
                if each.key == sent.command_id
            ]
            rows = await biller.rows(
                "SELECT (SELECT count(*) FROM invoicer.received_payment),"
                " (SELECT count(*) FROM invoicer.payment),"
                " (SELECT count(*) FROM invoicer.payment_return)"
            )
            found.append((answers[-1], list(rows[0])))
        assert found[0] == found[1]
        assert found[0][0]["outcome"] == "accepted", found[0]
    assert await balance(biller, number) == ("1000.00", "open")
    await biller.check_seals()


async def test_money_is_taken_off_and_applied_to_a_line(biller: Biller) -> None:
    """Unapplied money of the payer pays line 2 alone; unapply makes it a credit again."""
    number = await bill(biller, "P-1", "600.00", "400.00")
    await pay(biller, "4711", "500.00")
    line = {"invoice_number": number, "line_nos": [2]}
    answer = await biller.tell("apply-payment", check_id="4711", apply_to=[line])
    assert answer["details"]["applied"][0]["lines"] == [{"line_no": 2, "amount": "400.00"}]
    assert await records(biller, number) == [
        (1, "0.00", "600.00", []),
        (2, "400.00", "0.00", ["4711"]),
    ]
    await biller.tell("unapply-payment", check_id="4711", invoice_number=number)
    assert await balance(biller, number) == ("1000.00", "open")
    assert await unapplied(biller) == {"4711": "500.00"}
    missing = await biller.tell("unapply-payment", check_id="4711", invoice_number=number)
    assert code(missing) == "not_applied"
    await biller.check_seals()


async def test_unapplied_credit_of_the_oldest_deposit_pays_first(biller: Biller) -> None:
    """Apply-credit takes several checks; a refund takes what is left; more is refused."""
    number = await bill(biller, "P-1", "600.00")
    await pay(biller, "4712", "500.00", received_on="2026-10-06")
    await pay(biller, "4711", "300.00")
    target = {"invoice_number": number}
    await biller.tell("apply-credit", account_name=PAYER, apply_to=target)
    assert await records(biller, number) == [(1, "600.00", "0.00", ["4711", "4712"])]
    assert await unapplied(biller) == {"4712": "200.00"}
    refused = await biller.tell("record-refund", account_name=PAYER, amount="200.01")
    assert code(refused) == "more_than_unapplied"
    answer = await biller.tell("record-refund", account_name=PAYER, amount="150")
    assert answer["message"] == "150.00 USD refunded to Mercy Hospital; 50.00 unapplied"
    answer = await biller.tell("reverse-payment", check_id="4712")
    assert [each["code"] for each in answer["findings"]] == ["refunded_before"]
    assert await balance(biller, number) == ("300.00", "part paid")
    assert await unapplied(biller) == {}
    await biller.check_seals()


async def test_negative_lines_of_a_netted_document(biller: Biller) -> None:
    """msp 8: negative lines of a netted document share with their sign; a paid document has no
    line left.
    """
    await biller.terms(PAYER, credits="net")
    await bill(biller, "P-1", "100.00")
    await biller.consume(realization("P-1", 2, product_line("40.00")))
    number = await bill(biller, "P-2", "600.00")
    assert (await biller.documents())[-1][3] == "540"
    await pay(biller, "4711", "270.00", number)
    by_line = {paid for _, paid, _, _ in await records(biller, number)}
    assert by_line == {"300.00", "-30.00"}
    await pay(biller, "4712", "1000.00", number)
    assert {left for _, _, left, _ in await records(biller, number)} == {"0.00"}
    assert await unapplied(biller) == {"4712": "730.00"}
    await biller.check_seals()
    await biller.tell("credit-invoice", invoice_number=number, to="write-off")
    await biller.check_seals()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"account_name": "Nobody"}, "unknown_payer"),
        ({"received_on": "2026-11-01"}, "received_in_future"),
        ({"amount": "0.001"}, "too_many_decimals"),
        ({"apply_to": [{"invoice_number": "X-1"}]}, "unknown_invoice"),
        ({"apply_to": [{"invoice_number": "INV-000001"}] * 2}, "document_given_twice"),
        ({"apply_to": [{"invoice_number": "INV-000001", "line_nos": [7]}]}, "unknown_line"),
        ({"apply_to": [{"invoice_number": "INV-000001", "amount": "101"}]}, "more_than_left"),
        ({"currency": "EUR", "apply_to": [{"invoice_number": "INV-000001"}]}, "other_currency"),
    ],
)
async def test_what_is_refused_leaves_nothing(
    biller: Biller, values: dict[str, Any], expected: str
) -> None:
    """A refused payment is not recorded either."""
    await bill(biller, "P-1", "100.00")
    others = {name: value for name, value in values.items() if name != "amount"}
    answer = await pay(biller, "4711", values.get("amount", "500.00"), **others)
    assert code(answer) == expected
    assert await biller.rows("SELECT 1 FROM invoicer.received_payment") == []


async def test_msp_8_a_credit_note_and_another_debtor_take_no_payment(biller: Biller) -> None:
    """msp 8: never directly to a credit note; a document of another debtor has another payer."""
    number = await bill(biller, "P-1", "100.00")
    credit = await biller.tell("credit-invoice", invoice_number=number, to="write-off")
    note = credit["details"]["invoice_number"]
    assert code(await pay(biller, "4711", "50.00", note)) == "credit_note_takes_no_payment"
    assert code(await pay(biller, "4711", "50.00", number)) == "nothing_left"
    await biller.consume_nodes(node("office-9", account_name="St. Anne"))
    other = await bill(biller, "P-2", "100.00")
    assert code(await pay(biller, "4711", "50.00", other, account_name="St. Anne")) == "other_payer"


async def test_msp_8_the_payer_is_asked_for(biller: Biller) -> None:
    """msp 8: `--payer` is asked for where a check number is not unique."""
    await biller.consume_nodes(node("office-9", account_name="St. Anne"))
    await pay(biller, "4711", "50.00")
    await pay(biller, "4711", "50.00", account_name="St. Anne")
    assert code(await biller.tell("reverse-payment", check_id="4711")) == "ambiguous_check"
    answer = await biller.tell("reverse-payment", check_id="4711", account_name="St. Anne")
    assert answer["outcome"] == "accepted", answer
    assert code(await biller.tell("reverse-payment", check_id="4799")) == "unknown_payment"


async def test_msp_8_a_connected_ledger_owns_the_payments(biller: Biller) -> None:
    """msp 8: by hand is refused (`ledger_owns_payments`) unless the command says so."""
    await biller.rows(
        "INSERT INTO arg_sync.connection (ledger, billing_company, kind, settings, auto_sync,"
        " state, actor, connected_at) VALUES ('gl-us', :company, 'xero', '{}', true, 'connected',"
        " 'pat', now())",
        company=COMPANY,
    )
    assert code(await pay(biller, "4711", "50.00")) == "ledger_owns_payments"
    assert code(await pay(biller, "4711", "50.00", although_ledger=True)) == "accepted"
    refund = {"account_name": PAYER, "amount": "1"}
    assert code(await biller.tell("record-refund", **refund)) == "ledger_owns_payments"
    await biller.rows("UPDATE arg_sync.connection SET state = 'disconnected'")
    assert code(await biller.tell("record-refund", **refund)) == "accepted"


async def test_what_opening_data_states_as_paid_counts_first(biller: Biller) -> None:
    """A document of which another source states 500.00 as paid takes no more than the rest."""
    number = await bill(biller, "P-1", "600.00", "400.00")
    await biller.rows(
        "INSERT INTO invoicer.payment (ledger, payment_id, invoice_id, entry_no, amount, currency,"
        " paid_on, remote_id) SELECT 'opening', 'opening', invoice_id, 1, 500, 'USD',"
        " '2026-10-01', '' FROM invoicer.invoice"
    )
    await pay(biller, "4711", "700.00", number)
    assert await balance(biller, number) == ("0.00", "paid")
    assert await unapplied(biller) == {"4711": "200.00"}
    await biller.tell(
        "credit-invoice", invoice_number=number, lines=[{"line_no": 2}], to="write-off"
    )
    assert await balance(biller, number) == ("0.00", "paid")
    assert await unapplied(biller) == {"4711": "600.00"}
    await biller.check_seals()


async def owed(biller: Biller, engine_of: EngineOf, day: str) -> tuple[dict[str, str], list[Any]]:
    """The ages of the payer at the end of a day, and its statement of October until that day."""
    until = date.fromisoformat(day)
    span = Span(TODAY, until, date(2026, 10, 1), until)
    async with as_console(engine_of("console")) as connection:
        found = await ageing(connection, COMPANY, until)
        rows = [
            row async for row in report_rows(connection, REPORTS["statement"], COMPANY, span, PAYER)
        ]
    statement = [(str(row["day"]), row["entry"], row["payment"], row["balance"]) for row in rows]
    (debtor,) = found["debtors"]
    assert debtor["total"] == rows[-1]["balance"], "the statement closes with the sum of the ages"
    return {age: str(debtor[age]) for age in (*found["ages"], "total") if debtor[age]}, [
        (*words, str(amount)) for *words, amount in statement
    ]


async def test_msp_8_what_is_unapplied_ages_by_its_own_date(
    biller: Biller, engine_of: EngineOf
) -> None:
    """msp 8: what is not applied is an unapplied credit that ages by its own date; a reversal is a
    negative entry. The statement has the check whole, on the day of its deposit.
    """
    await biller.terms(PAYER, payment_terms="net:0")
    await biller.consume(realization("P-1", 1, product_line("1000.00")))
    await biller.generate(invoice_date="2026-10-20")
    await pay(biller, "4711", "1300.00", "INV-000001", received_on="2026-09-01")
    await pay(biller, "4712", "50.00", received_on="2026-10-25")
    ages, statement = await owed(biller, engine_of, "2026-10-31")
    # 1,300.00 of 1 September: 1,000.00 pays the invoice, the rest is 60 days old.
    assert ages == {"1-30": "-50.00", "31-60": "-300.00", "total": "-350.00"}
    assert statement == [
        ("2026-10-01", "opening balance", "", "-1300.00"),
        ("2026-10-20", "invoice", "", "-300.00"),
        ("2026-10-25", "payment", "check 4712", "-350.00"),
        ("2026-10-31", "closing balance", "", "-350.00"),
    ]
    ages, _ = await owed(biller, engine_of, "2026-10-19")
    assert ages == {"31-60": "-1300.00", "total": "-1300.00"}, "there is no invoice yet"
    await biller.tell("record-refund", account_name=PAYER, amount="20")
    await biller.tell("reverse-payment", check_id="4712")
    ages, statement = await owed(biller, engine_of, "2026-10-31")
    assert ages == {"31-60": "-280.00", "total": "-280.00"}
    assert [row[1:3] for row in statement[-3:]] == [
        ("refund", "check 4711"),
        ("reversal", "check 4712"),
        ("closing balance", ""),
    ]
    assert (await owed(biller, engine_of, "2026-10-30"))[0]["total"] == "-350.00", "the day before"


async def test_checks_are_shown_where_a_document_is(biller: Biller, engine_of: EngineOf) -> None:
    """The invoice, `why`, the history, the list and the payment itself name the check."""
    number = await bill(biller, "P-1", "600.00", "400.00")
    await pay(biller, "4711", "1200.00", number)
    await biller.tell("unapply-payment", check_id="4711", invoice_number=number)
    await biller.tell("apply-payment", check_id="4711", apply_to=[{"invoice_number": number}])
    async with as_console(engine_of("console")) as connection:
        head = await invoice(connection, number)
        entries = await invoice_payments(connection, head["invoice_id"])
        assert [(each["check_id"], str(each["amount"])) for each in entries] == [
            ("4711", "1000.00"),
            ("4711", "-1000.00"),
            ("4711", "1000.00"),
        ]
        (line, *_) = await biller.rows("SELECT pay_line_id FROM invoicer.invoice_line")
        place = (await explain_pay_line(connection, line.pay_line_id))["place"]
        assert (place["check_ids"], str(place["paid"]), str(place["left_to_pay"])) == (
            ["4711"],
            "600.00",
            "0.00",
        )
        did = [each["what"] for each in await history(connection, number)]
        assert did[-3:] == ["record-payment", "unapply-payment", "apply-payment"]
        assert did[-3:] == [each["what"] for each in await history(connection, "check 4711")]
        rows, total = await payments(connection, COMPANY, PAYER, True, 10)
        assert (total, rows[0]["state"], str(rows[0]["unapplied"])) == (1, "part applied", "200.00")
        (shown,) = await payments_with(connection, "4711", None, None, 10)
        assert [(each["line_no"], str(each["amount"])) for each in shown["lines"]] == [
            (1, "600.00"),
            (2, "400.00"),
        ]
        assert await company_of_check(connection, "4711", None) == COMPANY


@pytest.mark.parametrize("second", ["reverse-payment", "credit-invoice"])
@pytest.mark.parametrize("payment_first", [True, False])
async def test_a_payment_races_with_a_reversal_and_a_credit(
    biller: Biller,
    configure: Configure,
    engine_of: EngineOf,
    tmp_path: Any,
    second: str,
    payment_first: bool,
) -> None:
    """One holds the company's lock, the other waits; either order leaves consistent balances."""
    number = await bill(biller, "P-1", "600.00", "400.00")
    await pay(biller, "4711", "1000.00")
    apply = ("apply-payment", {"check_id": "4711", "apply_to": [{"invoice_number": number}]})
    other: dict[str, dict[str, Any]] = {
        "reverse-payment": {"check_id": "4711"},
        "credit-invoice": {
            "invoice_number": number,
            "lines": [{"line_no": 1}],
            "to": "write-off",
        },
    }
    first, then = apply, (second, other[second])
    if not payment_first:
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
    answers = [await began, await waits]
    expected = {
        ("reverse-payment", True): (["accepted", "accepted"], "1000.00", {}),
        ("reverse-payment", False): (["accepted", "payment_reversed"], "1000.00", {}),
        ("credit-invoice", True): (["accepted", "accepted"], "0.00", {"4711": "600.00"}),
        ("credit-invoice", False): (["accepted", "accepted"], "0.00", {"4711": "600.00"}),
    }[second, payment_first]
    left = (await balance(biller, number))[0]
    assert ([code(each) for each in answers], left, await unapplied(biller)) == expected
    await biller.check_seals()
