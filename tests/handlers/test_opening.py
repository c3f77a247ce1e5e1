"""Opening data: lines billed by another system count as invoiced, are never billed again, and are
credited under the old number (domain-rules 12, "Opening data").
"""

from typing import Any

import pytest

from services.console.cli.explaining import _origin as shown_origin
from services.console.queries.explanations import explain_pay_line
from services.console.queries.snapshot import open_snapshot
from tests.builders import realization, realization_line, time_key
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]
ACCOUNT = "Mercy Hospital"
KEY = time_key("REQ-1", "REG", "2020-01-01@50")


def line(line_no: int = 3, **changes: Any) -> dict[str, Any]:
    """A line of OLD-881: timesheet T-9, 40 h × 50.00, 20 % tax."""
    return {
        "line_no": line_no,
        "document_kind": "timesheet",
        "document_id": "T-9",
        "line_key": KEY,
        "line_kind": "timesheet",
        "quantity": "40",
        "unit": "HUR",
        "unit_price": "50",
        "amount": "2000",
        "tax_code": "VAT",
        "tax_rate": "20",
        "tax": "400",
        "service_from": "2026-09-21",
        "service_to": "2026-09-27",
        "week_ending": "2026-09-27",
        "requirement_id": "REQ-1",
        "worker_id": "W-1",
        "time_type": "REG",
        "rate_version": "2020-01-01@50",
        "rate_book": 1,
        "description": "Nurse",
    } | changes


def balance(amount: str, line_no: int = 1) -> dict[str, Any]:
    """A line that is a balance only, without a document."""
    return {
        "line_no": line_no,
        "quantity": "1" if not amount.startswith("-") else "-1",
        "unit_price": amount.removeprefix("-"),
        "amount": amount,
        "tax_rate": "0",
        "tax": "0",
        "service_from": "2026-09-01",
        "service_to": "2026-09-30",
        "description": "Balance",
    }


def document(number: str = "OLD-881", *lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """OLD-881 of 2026-10-01, 1,000.00 of it paid."""
    return {
        "invoice_number": number,
        "document_type": "invoice",
        "invoice_date": "2026-10-01",
        "due_date": "2026-10-16",
        "account_name": ACCOUNT,
        "currency": "USD",
        "paid": "0",
        "lines": list(lines) or [line()],
    } | changes


@pytest.fixture
async def firm(biller: Biller) -> Biller:
    """A billing company with 20 % tax and a debtor."""
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "20")
    return biller


async def load(firm: Biller, *documents: dict[str, Any]) -> dict[str, Any]:
    """Load documents and return the answer."""
    return await firm.tell("load-opening-documents", documents=list(documents))


async def worth(firm: Biller, hours: str, realization_no: int = 1) -> None:
    """The value of T-9 is now so many hours at 50.00."""
    of = realization_line(hours, line_key=KEY, tax_code="VAT", rate_book=1)
    await firm.consume(realization("T-9", realization_no, of))


async def balances(firm: Biller) -> dict[str, tuple[str, str]]:
    """Balance and state of every closed document."""
    found = await firm.rows(
        "SELECT i.invoice_number, trim_scale(b.balance) AS balance, b.state"
        " FROM invoicer.invoice i JOIN invoicer.invoice_balance b USING (invoice_id)"
    )
    return {row.invoice_number: (str(row.balance), row.state) for row in found}


async def test_a_loaded_line_is_never_billed_again(firm: Biller) -> None:
    """T-9 arrives with its 40 h: no batch contains them; nothing is published or delivered."""
    assert (await load(firm, document(paid="1000")))["details"]["lines"] == 1
    assert firm.published("invoice-closed") == [] and firm.published("batch-generated") == []
    await worth(firm, "40")
    assert await firm.places("T-9") == [("T-9", "40", "2000", "invoiced")]
    await firm.generate()
    assert [each[0] for each in await firm.documents()] == ["OLD-881"]
    assert await balances(firm) == {"OLD-881": ("1400", "part paid")}
    await firm.check_seals()


async def test_fewer_hours_are_credited_under_the_old_number(firm: Biller) -> None:
    """T-9 revised to 38 h: credit note 100.00 + 20.00 that corrects OLD-881 of its date, line 3;
    OLD-881 with 1,000.00 paid keeps a balance of 1,280.00.
    """
    await load(firm, document(paid="1000"))
    await worth(firm, "38")
    assert (await firm.generate())["outcome"] == "accepted"
    assert (await firm.documents())[-1][:5] == ("INV-000001", "credit-note", ACCOUNT, "-100", "-20")
    (corrected,) = await firm.rows(
        "SELECT corrects_invoice, CAST(corrects_date AS text) AS corrects_date, corrects_line_no"
        " FROM invoicer.closed_invoice_line WHERE corrects_invoice_id IS NOT NULL"
    )
    assert tuple(corrected) == ("OLD-881", "2026-10-01", 3)
    assert await balances(firm) == {
        "OLD-881": ("1280", "part paid"),
        "INV-000001": ("0", "applied"),
    }
    await firm.check_seals()


async def test_more_hours_are_billed(firm: Biller) -> None:
    """T-9 revised to 41 h: an invoice of 50.00 + 10.00."""
    await load(firm, document())
    await worth(firm, "41")
    await firm.generate()
    assert (await firm.documents())[-1][1:5] == ("invoice", ACCOUNT, "50", "10")
    await firm.check_seals()


async def test_the_order_of_loading_and_arrival_does_not_matter(firm: Biller) -> None:
    """T-9 arrived first with 38 h: its open line becomes the credit of 2 h."""
    await worth(firm, "38")
    assert await firm.open("T-9") == [("38", "1900")]
    await load(firm, document())
    assert await firm.open("T-9") == [("-2", "-100")]
    await firm.check_seals()


async def test_a_second_import_changes_nothing(firm: Biller) -> None:
    """The same documents are known by number and content; only what is paid may have grown."""
    await load(firm, document(paid="1000"))
    seen = await firm.rows("SELECT * FROM invoicer.invoice")
    again = await load(firm, document(paid="1000"))
    assert again["details"] == {"loaded": 0, "lines": 0, "loaded_before": 1, "payments": 0}
    assert await firm.rows("SELECT * FROM invoicer.invoice") == seen
    await load(firm, document(paid="2400"))
    assert await balances(firm) == {"OLD-881": ("0", "paid")}
    other = await load(firm, document("OLD-881", line(quantity="39", amount="1950", tax="390")))
    assert other["code"] == "loaded_differently"


async def test_balances_credit_notes_and_unapplied_cash(firm: Biller) -> None:
    """A balance needs no lines; cash that belongs to no invoice is a credit note; a credit note of
    the old system may name the line that it corrects.
    """
    await load(
        firm,
        document(),
        document("OLD-700", balance("300")),
        document("CASH-7", balance("-50"), document_type="credit-note"),
    )
    credit = line(
        1, quantity="-2", amount="-100", tax="-20", corrects_invoice="OLD-881", corrects_line=3
    )
    await load(firm, document("OLD-CN-1", credit, document_type="credit-note"))
    assert await balances(firm) == {
        "OLD-881": ("2280", "partly credited"),
        "OLD-700": ("300", "open"),
        "CASH-7": ("-50", "unapplied"),
        "OLD-CN-1": ("0", "applied"),
    }
    await worth(firm, "38")
    assert await firm.open("T-9") == []
    await firm.check_seals()


async def test_a_loaded_line_is_credited_by_hand(firm: Biller) -> None:
    """Before its timesheet ever arrived: a write-off of 2 h; then 40 h arrive and 2 h stay
    forgiven. A credit to rebill is billed when the timesheet arrives.
    """
    await load(firm, document(), document("OLD-882", line(1, document_id="T-10")))
    off = await firm.tell(
        "credit-invoice",
        invoice_number="OLD-881",
        lines=[{"line_no": 3, "quantity": "2"}],
        to="write-off",
    )
    assert off["outcome"] == "accepted"
    again = await firm.tell(
        "credit-invoice",
        invoice_number="OLD-882",
        lines=[{"line_no": 1, "quantity": "5"}],
        to="rebill",
    )
    assert [finding["code"] for finding in again["findings"]] == ["withheld"]
    await worth(firm, "40")
    assert await firm.open("T-9") == []
    of = realization_line("40", line_key=KEY, tax_code="VAT", rate_book=1)
    await firm.consume(realization("T-10", 1, of))
    assert await firm.open("T-10") == [("5", "250")]
    await firm.check_seals()


async def test_numbers_begin_after_the_last_number(firm: Biller) -> None:
    """The next document has the next number; a second import changes nothing; it is set once."""
    values = {"series_prefix": "INV-", "last_number": 881, "last_date": "2026-09-30"}
    assert (await firm.tell("set-opening-number", **values))["details"]["next_number"] == 882
    again = await firm.tell("set-opening-number", **values)
    assert "as it was" in again["message"]
    await firm.consume(realization("T-1", 1, realization_line(tax_code="VAT")))
    early = await firm.generate(invoice_date="2026-09-29")
    assert early["code"] == "date_goes_back"
    await firm.generate()
    assert (await firm.documents())[-1][0] == "INV-000882"
    refused = await firm.tell("set-opening-number", **values | {"last_number": 900})
    assert refused["code"] == "series_in_use"
    await firm.check_seals()


async def test_a_number_of_the_old_system_is_not_given_again(firm: Biller) -> None:
    """Old and new documents may have one prefix: the batch is refused before a number repeats."""
    await load(firm, document("INV-000001"))
    await firm.consume(realization("T-1", 1, realization_line(tax_code="VAT")))
    assert (await firm.generate())["code"] == "number_used"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"account_name": "NOBODY"}, "unknown_account_name"),
        ({"invoice_date": "2026-11-30", "due_date": "2026-11-30"}, "date_in_future"),
        ({"document_type": "credit-note"}, "wrong_sign"),
        ({"lines": [line(amount="2000.005")]}, "too_many_decimals"),
        ({"paid": "1000.005"}, "too_many_decimals"),
        ({"lines": [line(line_key="T-9")]}, "bad_line_key"),
        (
            {
                "document_type": "credit-note",
                "lines": [
                    line(quantity="-1", amount="-50", tax="-10", corrects_invoice="OLD-1",
                         corrects_line=1)
                ],
            },
            "unknown_invoice",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused(firm: Biller, changes: dict[str, Any], code: str) -> None:
    """Nothing is loaded of a command with one wrong document."""
    answer = await load(firm, document("OLD-1", balance("10")), document(**changes))
    assert answer["code"] == code
    assert await firm.rows("SELECT 1 FROM invoicer.invoice") == []
    assert await firm.rows("SELECT 1 FROM invoicer.settled_document") == []


async def test_each_loaded_document_keeps_its_own_due_date(firm: Biller) -> None:
    """OLD-881 and OLD-882 are due on different days; one credit note corrects both, and an invoice
    bills 10 h and takes 2 h back.
    """
    other = document("OLD-882", line(1, document_id="T-10"), due_date="2026-10-31")
    await load(firm, document(), other)
    back = {"quantity": "-1", "amount": "-50", "tax": "-10"}
    credits = [
        line(1, **back, corrects_invoice="OLD-881", corrects_line=3),
        line(2, **back, document_id="T-10", corrects_invoice="OLD-882", corrects_line=1),
    ]
    note = document("OLD-CN", *credits, document_type="credit-note", due_date="2026-10-01")
    more = line(3, document_id="T-11", quantity="10", amount="500", tax="100")
    netted = document("OLD-883", *credits, more, due_date="2026-11-25")
    assert (await load(firm, note))["outcome"] == "accepted"
    assert (await load(firm, netted))["outcome"] == "accepted"
    due = await firm.rows(
        "SELECT invoice_number, CAST(due_date AS text) AS due FROM invoicer.invoice ORDER BY number"
    )
    assert [tuple(row) for row in due] == [
        ("OLD-881", "2026-10-16"),
        ("OLD-882", "2026-10-31"),
        ("OLD-CN", "2026-10-01"),
        ("OLD-883", "2026-11-25"),
    ]
    await firm.check_seals()


async def test_a_timesheet_of_two_companies_is_loaded_for_both(firm: Biller) -> None:
    """Each company billed its own lines of T-9; a correction of the second one is loaded too."""
    await firm.company("acme-eu")
    key = time_key("REQ-2", "REG", "2020-01-01@50")
    of_both = document("EU-1", line(1, line_key=key, requirement_id="REQ-2"))
    credit = line(1, line_key=key, requirement_id="REQ-2", quantity="-2", amount="-100", tax="-20",
                  corrects_invoice="EU-1", corrects_line=1)  # fmt: skip
    note = document("EU-2", credit, document_type="credit-note")
    await load(firm, document())
    for each in (of_both, note):
        answer = await firm.tell(
            "load-opening-documents", billing_company="acme-eu", documents=[each]
        )
        assert answer["outcome"] == "accepted", answer
    assert await balances(firm) == {
        "OLD-881": ("2400", "open"),
        "EU-1": ("2280", "partly credited"),
        "EU-2": ("0", "applied"),
    }
    await firm.check_seals()


async def test_a_credit_takes_no_more_than_its_line_has(firm: Biller) -> None:
    """In several documents of one command too."""
    await load(firm, document())
    credits = [
        document(
            f"OLD-CN-{n}",
            line(
                1,
                quantity="-25",
                amount="-1250",
                tax="-250",
                corrects_invoice="OLD-881",
                corrects_line=3,
            ),
            document_type="credit-note",
        )
        for n in (1, 2)
    ]
    assert (await load(firm, *credits))["code"] == "more_than_left"
    assert (await load(firm, credits[0]))["outcome"] == "accepted"


async def test_what_a_batch_invoiced_is_not_loaded(firm: Biller) -> None:
    """It would count twice, and settlement would credit it."""
    await worth(firm, "40")
    await firm.generate()
    assert (await load(firm, document()))["code"] == "invoiced_already"
    assert [each[3] for each in await firm.documents()] == ["2000"]


async def test_a_loaded_line_with_a_discount_is_credited_with_its_part(firm: Biller) -> None:
    """T-9 of 2,000.00 less 2.5 %, 390.00 tax: nothing is billed for its 40 h; 38 h are a credit of
    100.00 − 2.50, tax 19.50 (domain-rules 12: "allowance per line", and credits of a part).
    """
    loaded = await load(firm, document("OLD-881", line(allowance="-50", tax="390")))
    assert loaded["outcome"] == "accepted", loaded
    await worth(firm, "40")
    assert await firm.open("T-9") == []
    await worth(firm, "38", 2)
    await firm.generate()
    assert [row[3:5] for row in await firm.documents()] == [("1950", "390"), ("-97.5", "-19.5")]
    assert await balances(firm) == {
        "OLD-881": ("2223", "partly credited"),
        "INV-000001": ("0", "applied"),
    }
    await firm.check_seals()


async def test_allowances_of_loaded_lines_are_checked(firm: Biller) -> None:
    """A share above its amount, and a credit that gives back more than is left, are refused."""
    above = await load(firm, document("OLD-1", line(allowance="2000.01", tax="800")))
    assert above["code"] == "allowance_above_amount"
    await load(firm, document("OLD-881", line(allowance="-50", tax="390")))
    credit = line(1, quantity="-2", amount="-100", tax="-20", corrects_invoice="OLD-881",
                  corrects_line=3)  # fmt: skip
    for share in ("50.01", "-1"):
        note = document("OLD-CN", credit | {"allowance": share}, document_type="credit-note")
        assert (await load(firm, note))["code"] == "more_than_left"
    note = document(
        "OLD-CN", credit | {"allowance": "2.5", "tax": "-19.5"}, document_type="credit-note"
    )
    assert (await load(firm, note))["outcome"] == "accepted"
    await worth(firm, "38")
    assert await firm.open("T-9") == []
    await firm.check_seals()


async def test_why_not_names_the_old_number_before_the_document_arrives(firm: Biller) -> None:
    """`why-not` of a timesheet that only opening data knows: it is invoiced, not unknown."""
    await load(firm, document())
    answer = await firm.tell("explain", document_id="T-9")
    assert answer["message"] == "T-9 is invoiced: OLD-881"
    assert answer["details"]["reason"] == "invoiced"
    await firm.tell("credit-invoice", invoice_number="OLD-881", lines=[], to="write-off")
    answer = await firm.tell("explain", document_id="T-9")
    assert answer["message"].startswith("T-9 is invoiced: OLD-881; credited in full on INV-000001;")
    assert (await firm.tell("explain", document_id="T-8"))["details"]["reason"] == "not_known"


async def test_why_says_that_a_line_was_loaded(firm: Biller, database: str) -> None:
    """No revision and no realization are known of it: `why` does not print None."""
    await load(firm, document())
    ((pay_line_id,),) = await firm.rows("SELECT pay_line_id FROM invoicer.pay_line")
    async with open_snapshot(database) as connection:
        found = await explain_pay_line(connection, pay_line_id)
    assert shown_origin(found["document"]) == {"document": "timesheet T-9, loaded as opening data"}
