"""Suppliers are paid by self-billing, through all services (msp.md 3.4)."""

import json
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.console.actions.commands import new_command
from services.console.importing.export import write_export
from services.console.queries import ageing, explanations, pay_lines, reports, self_billing
from services.console.queries.snapshot import open_snapshot
from tests.builders import COMPANY, engagement, entry, node, requirement, supplier
from tests.builders import timesheet as any_timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.test_options import Programme

AGREEMENT = f"S-1@{COMPANY}"
FROM = "2026-01-01"
UP_TO = {"cut_off_date": "2026-03-31"}
TERMS = {"from_date": FROM, "supplier_rates": [{"time_type": "REG", "pay_rate": "40"}]}
TAX = {
    "default_tax": "VAT",
    "taxes": [{"tax_code": "VAT", "percent": "20", "from_date": "2020-01-01"}],
}
DOCUMENTS = (
    "SELECT billing_company, invoice_number, document_type, account_name, trim_scale(net)::text,"
    " trim_scale(tax)::text, seller ->> 'name', buyer ->> 'name' FROM invoicer.invoice"
    " ORDER BY invoice_id"
)
OPEN = (
    "SELECT p.billing_company, trim_scale(p.quantity)::text, trim_scale(p.amount)::text"
    " FROM invoicer.pay_line p JOIN invoicer.open_line USING (pay_line_id) ORDER BY 1"
)


class SuppliedProgramme(Programme):
    """A programme that bills the client at 50.00 and pays the supplier S-1 40.00 an hour."""

    async def agree(self, **fields: Any) -> dict[str, Any]:
        """Set the self-billing agreement with S-1, in force from the beginning of the year."""
        return await self.tell(
            "set-self-billing-agreement", supplier_id="S-1", **{"from_date": FROM} | fields
        )

    async def pay_by_option(self, **fields: Any) -> None:
        """Set the default option by which suppliers in the US are paid."""
        await self.option("US suppliers", bill_to="supplier", **fields)

    async def work(self, hours: str = "40", revision: int = 1, document: str = "T-1") -> None:
        """Send the timesheet of a week of E-1: so many hours over its days."""
        left = int(hours)
        entries = [entry(str(min(8, left - at * 8)), f"2026-03-0{at + 2}")
                   for at in range((left + 7) // 8)]  # fmt: skip
        await self.send(
            "timesheet-approved",
            any_timesheet(
                document, revision, engagement_id="E-1", entries=entries, worker_id=f"W {document}"
            ),
        )

    async def batch(self, company: str = AGREEMENT, **fields: Any) -> dict[str, Any]:
        """Generate a batch of all that is due, of the agreement or of a company, and verify."""
        return await self.bill(**{"billing_company": company} | fields)

    async def asked(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Send a command to the agreement; return its result whatever it is."""
        return await self.tell(name, **{"billing_company": AGREEMENT} | fields)


@pytest.fixture
async def supplied(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> SuppliedProgramme:
    """The client, the requirement, the supplier and its engagement with a pay rate."""
    configure(today=date(2026, 3, 31))
    found = SuppliedProgramme(engine_of, unit_of_work_for)
    await found.tell("set-billing-company", name="Acme Inc.", address="1 Main St\nBoston, USA")
    await found.send("billto-changed", node())
    await found.send("requirement-changed", requirement())
    await found.send(
        "supplier-changed",
        supplier(account_name="NORTHSIDE", address="2 Side St\nSalem, USA", tax_id="US-77"),
    )
    await found.send("engagement-changed", engagement("E-1", terms=[TERMS]))
    return found


async def test_both_sides_are_billed_each_at_its_own_rate(
    supplied: SuppliedProgramme, database: str
) -> None:
    """The client pays 50.00 an hour, the supplier gets 40.00, in series of their own (msp.md 3.4).

    A revision to 38 h corrects both sides; conservation holds for each (`verify`).
    """
    assert (await supplied.agree(series_prefix="NS-", series_width=4, **TAX))["code"] == "ok"
    await supplied.pay_by_option()
    await supplied.work()
    assert await supplied.rows(OPEN) == [(AGREEMENT, "40", "1600"), (COMPANY, "40", "2000")]
    await supplied.bill()
    answer = await supplied.batch()
    assert answer["details"]["first_number"] == "NS-0001"
    (listed,) = answer["details"]["listed"]
    assert listed["invoice_option"] == {
        "name": "US suppliers", "bill_to": "supplier", "group": []
    }  # fmt: skip
    first = [
        (COMPANY, "INV-000001", "invoice", "office-1 account", "2000", "0", "Acme Inc.",
         "office-1"),
        (AGREEMENT, "NS-0001", "invoice", "NORTHSIDE", "1600", "320", "Northside Staffing",
         "Acme Inc."),
    ]  # fmt: skip
    assert await supplied.rows(DOCUMENTS) == first
    await supplied.work("38", 2)
    async with open_snapshot(database) as connection:
        lines, _ = await pay_lines.pay_lines(
            connection, {AGREEMENT: date(2026, 3, 31)}, document="T-1",
            statuses=("Pending", "Invoiced"),
        )  # fmt: skip
        assert {(line["account_name"], line["status"]) for line in lines} == {
            ("NORTHSIDE", "Pending"), ("NORTHSIDE", "Invoiced"),
        }  # fmt: skip
        (billed,) = [line["pay_line_id"] for line in lines if line["status"] == "Invoiced"]
        kept = await explanations.explain_pay_line(connection, billed)
        assert kept["billto"] == {
            "account_name": "NORTHSIDE", "as": "kept on the document", "node": AGREEMENT,
            "level": "agreement", "name": "supplier S-1",
        }  # fmt: skip
    assert await supplied.rows(OPEN) == [(AGREEMENT, "-2", "-80"), (COMPANY, "-2", "-100")]
    await supplied.batch()
    await supplied.bill()
    assert (await supplied.rows(DOCUMENTS))[2:] == [
        (AGREEMENT, "NS-0002", "credit-note", "NORTHSIDE", "-80", "-16", "Northside Staffing",
         "Acme Inc."),
        (COMPANY, "INV-000002", "credit-note", "office-1 account", "-100", "0", "Acme Inc.",
         "office-1"),
    ]  # fmt: skip


async def test_a_pay_rate_that_changes_corrects_what_was_paid(supplied: SuppliedProgramme) -> None:
    """40.00 becomes 42.00: the week is credited and paid anew; the client's side stays."""
    await supplied.agree()
    await supplied.pay_by_option()
    await supplied.work()
    await supplied.bill()
    await supplied.batch()
    dearer = TERMS | {"supplier_rates": [{"time_type": "REG", "pay_rate": "42"}]}
    await supplied.send("engagement-changed", engagement("E-1", 2, terms=[dearer]))
    assert sorted(await supplied.rows(OPEN)) == [
        (AGREEMENT, "-40", "-1600"), (AGREEMENT, "40", "1680")
    ]  # fmt: skip
    await supplied.batch()


async def test_without_an_agreement_nothing_is_paid(supplied: SuppliedProgramme) -> None:
    """Without an agreement on file: `no_self_billing`, in the batch, why-not and health check."""
    await supplied.pay_by_option()
    await supplied.work()
    assert (await supplied.asked("generate-batch", **UP_TO))["code"] == "no_self_billing"
    line = (await supplied.rows(
        "SELECT pay_line_id FROM invoicer.pay_line WHERE billing_company LIKE '%@%'"
    ))[0][0]  # fmt: skip
    why = await supplied.tell("explain", pay_line_id=line)
    assert why["details"]["reason"] == "no_self_billing"
    assert "suppliers agreement set S-1 --billing-company acme-us" in why["details"]["fix"]
    health = await supplied.tell("health-check")
    (finding,) = [one for one in health["findings"] if one["code"] == "no_self_billing"]
    assert (finding["severity"], finding["ids"]) == ("warning", ["S-1"])
    await supplied.agree(from_date="2026-04-01")
    refused = await supplied.asked("generate-batch", **UP_TO)
    assert refused["code"] == "no_self_billing" and "before 2026-04-01" in refused["message"]
    await supplied.agree()
    health = await supplied.tell("health-check")
    (finding,) = [one for one in health["findings"] if one["code"] == "supplier_items"]
    assert finding["ids"] == [AGREEMENT]
    await supplied.bill()
    await supplied.batch()


async def test_a_supplier_without_an_account_name(supplied: SuppliedProgramme) -> None:
    """`no_account_name` until the ATS or the agreement has one."""
    await supplied.send("supplier-changed", supplier(revision=2))
    await supplied.agree()
    await supplied.pay_by_option()
    await supplied.work()
    assert (await supplied.batch())["details"]["left_out"] == {"no_account_name": 1}
    why = await supplied.tell("explain", document_id="T-1")
    assert why["details"]["reason"] == "no_account_name"
    assert "supplier S-1, which has no Account Name" in why["message"]
    await supplied.agree(account_name="NORTH")
    await supplied.batch()
    assert (await supplied.rows(DOCUMENTS))[0][3] == "NORTH"


@pytest.mark.parametrize(
    ("option", "terms", "reason"),
    [
        (None, {}, "no_invoice_option"),
        ({"billing_types": ["expense"]}, {}, "no_invoice_option"),
        ({}, {"billing_filter": ["MSP:Client"]}, "not_visible"),
        ({}, {"supplier_option": "US staffing"}, "option_does_not_fit"),
    ],
)
async def test_items_of_the_suppliers_side_that_no_option_takes(
    supplied: SuppliedProgramme,
    option: dict[str, Any] | None,
    terms: dict[str, Any],
    reason: str,
) -> None:
    """Only an option that bills the supplier takes them, and only if the filter lets it see them.

    The client's side is not concerned.
    """
    await supplied.agree()
    await supplied.option("US staffing")
    if option is not None:
        await supplied.pay_by_option(**option)
    await supplied.send("engagement-changed", engagement("E-1", 2, terms=[TERMS | terms]))
    await supplied.work()
    assert (await supplied.batch())["details"]["left_out"] == {reason: 1}
    line = (await supplied.rows(
        "SELECT pay_line_id FROM invoicer.pay_line JOIN invoicer.open_line USING (pay_line_id)"
        f" WHERE invoicer.pay_line.billing_company = '{AGREEMENT}'"
    ))[0][0]  # fmt: skip
    answer = await supplied.tell("explain-option", pay_line_id=line)
    assert answer["details"]["reason"] == reason
    assert (await supplied.bill())["details"]["documents"] == 1


async def test_options_of_the_other_side_change_nothing(supplied: SuppliedProgramme) -> None:
    """A country with options for suppliers only keeps the implicit option of its clients."""
    await supplied.pay_by_option()
    await supplied.work()
    answer = await supplied.bill()
    assert "invoice_option" not in answer["details"]["listed"][0]
    refused = await supplied.asked(
        "set-invoice-option", name="own", client_country="US", bill_to="supplier"
    )
    assert refused["code"] == "options_of_agreement"


async def test_an_outgoing_payment_pays_and_no_balance_of_the_company_has_it(
    supplied: SuppliedProgramme, database: str
) -> None:
    """Never in debtor ageing, totals or balances; paid by an outgoing payment (msp.md 3.4)."""
    await supplied.agree(**TAX)
    await supplied.pay_by_option()
    await supplied.work()
    await supplied.batch()
    paid = await supplied.asked(
        "record-payment", account_name="NORTHSIDE", check_id="OUT-1", received_on="2026-03-31",
        amount="1000.00", currency="USD", apply_to=[{"invoice_number": "SB-000001"}],
    )  # fmt: skip
    assert paid["code"] == "ok", paid
    async with open_snapshot(database) as connection:
        owed = await ageing.ageing(connection, COMPANY, date(2026, 5, 31))
        assert (owed["debtors"], owed["totals"]) == ([], [])
        (document,), total = await self_billing.self_billed(connection, COMPANY, "S-1", 10)
        assert (document["total"], document["balance"], document["state"], total) == (
            Decimal(1920), Decimal(920), "part paid", 1,
        )  # fmt: skip
        (agreement,) = await self_billing.agreements(connection, COMPANY)
        assert (agreement["billing_company"], agreement["account_name"]) == (
            AGREEMENT, "NORTHSIDE",
        )  # fmt: skip
        span = await reports.span_of(connection, COMPANY, since=date(2026, 1, 1))
        register = reports.REPORTS["register"]
        assert [one async for one in reports.report_rows(connection, register, COMPANY, span)] == []
    reminded = await supplied.rows("SELECT count(*) FROM arg_sync.console_open_invoice")
    assert reminded == [(0,)]


async def test_a_supplier_uses_each_of_its_numbers_once(supplied: SuppliedProgramme) -> None:
    """The supplier's own invoice number is a reference, unique per supplier (msp.md 3.4)."""
    await supplied.agree()
    await supplied.pay_by_option()
    for document in ("T-1", "T-2"):
        await supplied.work("8", document=document)
        await supplied.batch(documents=[document])

    async def give(invoice: str, number: str) -> str:
        answer = await supplied.asked(
            "record-supplier-number", invoice_number=invoice, supplier_number=number
        )
        return str(answer["code"])

    assert await give("SB-000001", "N-7") == "ok"
    assert await give("SB-000001", "N-7") == "ok", "the same once more changes nothing"
    assert await give("SB-000001", "N-8") == "has_supplier_number"
    assert await give("SB-000002", "N-7") == "supplier_number_used"
    assert await give("SB-000009", "N-9") == "unknown_invoice"
    assert await give("SB-000002", "N-8") == "ok"


async def test_a_credit_by_hand_is_one_of_the_series(supplied: SuppliedProgramme) -> None:
    """A self-billed credit note takes party, option, tax and buyer of what it corrects."""
    await supplied.agree(**TAX)
    await supplied.pay_by_option(group_by=["engagement.id"])
    await supplied.work()
    await supplied.batch()
    answer = await supplied.asked(
        "credit-invoice", invoice_number="SB-000001", reason="wrong week",
        lines=[{"line_no": 1, "quantity": "10"}], to="write-off",
    )  # fmt: skip
    assert answer["code"] == "ok", answer
    assert (await supplied.rows(DOCUMENTS))[1] == (
        AGREEMENT, "SB-000002", "credit-note", "NORTHSIDE", "-400", "-80", "Northside Staffing",
        "Acme Inc.",
    )  # fmt: skip
    options = "SELECT DISTINCT invoice_option::text FROM invoicer.invoice"
    assert len(await supplied.rows(options)) == 1
    assert await supplied.rows(OPEN) == [(COMPANY, "40", "2000")]


async def test_what_an_agreement_cannot_be(supplied: SuppliedProgramme) -> None:
    """Supplier and billing company must be known; an @ is for agreements only; no ledger yet."""
    unknown = await supplied.tell("set-self-billing-agreement", supplier_id="S-9")
    assert unknown["code"] == "unknown_supplier"
    unknown = await supplied.agree(billing_company="nobody")
    assert unknown["code"] == "unknown_billing_company"
    refused = await supplied.tell("set-billing-company", billing_company="a@b")
    assert refused["code"] == "reserved_character"
    refused = await supplied.agree(default_tax="VAT")
    assert refused["code"] == "default_tax_unknown"
    assert await supplied.rows("SELECT * FROM fee_realizer.self_billing_agreement") == []
    changed = await supplied.agree(reference="SBA-1")
    changed = await supplied.agree(payment_terms="net:60")
    assert changed["details"]["reference"] == "SBA-1"
    assert changed["details"]["from_date"] == FROM


async def test_an_export_sets_the_agreement_again(
    supplied: SuppliedProgramme, database: str, tmp_path: Path
) -> None:
    """The exported command sets the same, even before the ATS has sent the supplier."""
    await supplied.agree(reference="SBA-1", series_prefix="NS-", **TAX)
    async with open_snapshot(database) as connection:
        await write_export(connection, tmp_path, partial(new_command, actor="jo", reason="moved"))
        (before,) = await self_billing.agreements(connection)
    sent = [json.loads(line) for line in (tmp_path / "settings.jsonl").read_text().splitlines()]
    companies = [one for one in sent if one["command"] == "set-billing-company"]
    assert [one["billing_company"] for one in companies] == [COMPANY]
    (agreement,) = [one for one in sent if one["command"] == "set-self-billing-agreement"]
    agreement = {name: value for name, value in agreement.items() if value is not None}
    del agreement["command"], agreement["command_id"], agreement["actor"], agreement["reason"]
    for supplier_id in ("S-1", "S-9"):
        again = await supplied.tell(
            "set-self-billing-agreement", **agreement | {"supplier_id": supplier_id}
        )
        assert again["code"] == "ok", again
    async with open_snapshot(database) as connection:
        kept, copied = await self_billing.agreements(connection)
    assert kept == before
    ids = ("billing_company", "supplier_id", "account_name")
    assert {k: v for k, v in copied.items() if k not in ids} == {
        k: v for k, v in before.items() if k not in ids
    }
