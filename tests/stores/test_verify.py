"""`verify` finds each fault by name, nothing in correct data; faults are injected by the owner."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from shared.verify import Report, verify
from shared.verify.checks import CHECKS
from tests.builders import product_line, realization, realization_line
from tests.conftest import EngineOf
from tests.fault_injection import InvoiceLine, RowInserter
from tests.handlers import test_approvals, test_drafts
from tests.stores.payment_faults import LATER_FAULTS, received_payment

MARCH = date(2026, 3, 31)
APRIL = date(2026, 4, 30)
VAT: dict[str, Any] = {"code": "VAT", "rate": Decimal("8.875")}
FORTY_HOURS = realization_line("40", tax_code="VAT")


async def small_data_set(inserter: RowInserter) -> None:
    """A small data set with a case of everything that is checked.

    A corrected line, an open and edited one, one partly forgiven, a withheld document, a fee in two
    instalments, two batches with a jump of numbers, a watermark that moved.
    """
    await inserter.company()
    first, second = await _first_batch(inserter)
    await _second_batch(inserter, second)
    await _realized_and_invoiced(inserter, first)
    await _edited_and_withheld(inserter)
    await _fee_in_two_instalments(inserter)
    await received_payment(inserter)
    await inserter.run(
        "INSERT INTO scheduler.watermark VALUES ('acme-us', '2026-03-01', '2026-03-31', now()),"
        " ('acme-us', '2026-03-31', '2026-04-30', now())"
    )


async def _first_batch(inserter: RowInserter) -> tuple[int, int]:
    """Invoice T-1 and T-2 in a batch; return the ids of both invoices."""
    corrected = await inserter.pay_line(FORTY_HOURS, "T-1", "invoice")
    forgiven = await inserter.pay_line(FORTY_HOURS, "T-2", "invoice")
    await inserter.batch("B-1", [7, 8], MARCH)
    first = await inserter.invoice(
        "B-1", 7, MARCH, [InvoiceLine(corrected, Decimal(2000), Decimal("177.50"), **VAT)]
    )
    second = await inserter.invoice(
        "B-1", 8, MARCH, [InvoiceLine(forgiven, Decimal(2000), Decimal("177.50"), **VAT)]
    )
    await inserter.close_batch("B-1")
    return first, second


async def _second_batch(inserter: RowInserter, second: int) -> None:
    """Credit a part of the invoice of T-2 as a write-off, and skip numbers."""
    off = realization_line(
        "-2", tax_code="VAT", derivation={"credit": {"to": "write-off", "command_id": "B-2"}}
    )
    given_back = await inserter.pay_line(off, "T-2", "invoice", corrects=(second, 1))
    instalment = await inserter.pay_line(product_line("10000.00"), "P-1", "invoice")
    await inserter.batch("B-2", [12, 13], APRIL)
    await inserter.invoice("B-2", 12, APRIL, [InvoiceLine(instalment, Decimal(10000))])
    await inserter.invoice(
        "B-2", 13, APRIL, [InvoiceLine(given_back, Decimal(-100), Decimal("-8.88"), **VAT)]
    )
    await inserter.close_batch("B-2")
    await inserter.run(
        "INSERT INTO invoicer.write_off VALUES ('timesheet', 'T-2', :key, 'B-2', 2, 100, 'pat',"
        " 'goodwill')",
        key=FORTY_HOURS.line_key,
    )
    await inserter.run(
        "INSERT INTO invoicer.number_jump VALUES ('acme-us', 'INV-', 9, 11, 'pat', 'a misprinted"
        " pad', 'c-2', now())"
    )
    await inserter.series(7, 14, APRIL)
    await inserter.run(
        "INSERT INTO invoicer.invoice_detail SELECT 1, 'worker', 'W-1', detail,"
        " invoicer.detail_digest('worker', 'W-1', detail)"
        ' FROM (SELECT CAST(\'{"name": "Maya"}\' AS jsonb) AS detail) d'
    )
    await inserter.seal()


async def _realized_and_invoiced(inserter: RowInserter, first: int) -> None:
    """Realize T-2 as it is invoiced, and T-1 with a correction of its invoice."""
    await inserter.realization(realization("T-1", 1, FORTY_HOURS))
    await inserter.realization(realization("T-1", 2, realization_line("38", tax_code="VAT")))
    await inserter.pay_line(
        realization_line("-2", tax_code="VAT"), "T-1", "open", realization_no=2, corrects=(first, 1)
    )
    await inserter.realization(realization("T-2", 1, FORTY_HOURS))


async def _edited_and_withheld(inserter: RowInserter) -> None:
    """An edited line of T-3; T-4 is withheld."""
    await inserter.realization(realization("T-3", 1, FORTY_HOURS))
    await inserter.pay_line(FORTY_HOURS, "T-3", "replaced")
    await inserter.pay_line(realization_line("39", amount="1950.00"), "T-3", "open")
    await inserter.run(
        "INSERT INTO invoicer.operator_edit VALUES ('timesheet', 'T-3', :key, 'c-3', -1, -50,"
        " '{}', '{}', 'pat', 'agreed', now())",
        key=FORTY_HOURS.line_key,
    )
    await inserter.pay_line(FORTY_HOURS, "T-4", "replaced")
    await inserter.realization(realization("T-4", 1, FORTY_HOURS))
    await inserter.realization(
        realization("T-4", 2, realization_kind="withheld"), hold="not_approved"
    )


async def _fee_in_two_instalments(inserter: RowInserter) -> None:
    """The second instalment of P-1 is on a draft."""
    later = product_line("10000.00", "2026-05-30", instalment=2)
    await inserter.realization(realization("P-1", 1, product_line("10000.00"), later))
    await inserter.pay_line(later, "P-1", "draft", announce=True)


async def look(engine_of: EngineOf, minutes: int = 5) -> Report:
    """Verify, as the console runs it."""
    async with engine_of("auditor").connect() as connection:
        return await verify(connection, minutes)


async def test_correct_data_has_no_findings(engine_of: EngineOf) -> None:
    """Corrections, edits, write-offs, holds and declared jumps are right."""
    async with engine_of("owner").begin() as connection:
        await small_data_set(RowInserter(connection))
    report = await look(engine_of)
    assert report.faults == ()
    assert report.in_flight == ()
    assert report.looked_at == {
        "documents": 5,
        "pay_lines": 9,
        "open_lines": 2,
        "invoices": 4,
        "invoice_lines": 4,
        "batches": 2,
    }
    assert report.checks == tuple(check.name for check in CHECKS)


async def test_an_empty_database_has_no_findings(engine_of: EngineOf) -> None:
    """An empty database has no faults."""
    assert (await look(engine_of)).clean


TWIN = (
    "INSERT INTO invoicer.pay_line OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(p,"
    " '{\"pay_line_id\": 900001}')).*"
    " FROM invoicer.pay_line p WHERE document_id = 'T-2' AND quantity = 40 RETURNING *"
)
FAULTS = {
    "a doubled line, open": (
        f"WITH twin AS ({TWIN}) INSERT INTO invoicer.open_line SELECT billing_company,"
        " pay_line_id, effective_date, week_ending, billto_node, false FROM twin",
        {"conservation"},
    ),
    "a doubled line on its document": (
        f"WITH twin AS ({TWIN}) INSERT INTO invoicer.invoice_line SELECT 2, 2, pay_line_id,"
        " billto_node, 3, tax_code, 8.875, 177.50 FROM twin",
        {"conservation", "invoice_sums", "tax_totals", "seal"},
    ),
    "a cent off, moved from line to line": (
        "UPDATE invoicer.pay_line SET amount = amount + CASE document_id WHEN 'T-1' THEN 0.01 ELSE"
        " -0.01 END"
        " WHERE document_id IN ('T-1', 'T-2') AND quantity = 40",
        {"conservation", "line_amount", "invoice_sums", "seal"},
    ),
    "a cent off in a tax": (
        "UPDATE invoicer.invoice_line SET tax_amount = 177.51 WHERE invoice_id = 1",
        {"invoice_sums", "tax_totals", "seal"},
    ),
    "a cent off in an open line": (
        "UPDATE invoicer.pay_line SET amount = -99.99 WHERE document_id = 'T-1' AND quantity = -2",
        {"conservation"},
    ),
    "a cent off on a document": (
        "UPDATE invoicer.pay_line SET amount = amount + 0.01 WHERE document_id = 'T-1' AND"
        " quantity = 40",
        {"conservation", "line_amount", "invoice_sums", "tax_totals", "seal"},
    ),
    "a line in no place": (
        "DELETE FROM invoicer.open_line o USING invoicer.pay_line p WHERE p.pay_line_id ="
        " o.pay_line_id AND p.document_id = 'T-1'",
        {"one_place", "conservation"},
    ),
    "a line open and on an invoice": (
        "INSERT INTO invoicer.open_line SELECT billing_company, pay_line_id, effective_date,"
        " week_ending, billto_node, false"
        " FROM invoicer.pay_line WHERE document_id = 'T-2' AND quantity = 40",
        {"one_place", "conservation"},
    ),
    "a place without a pay line": (
        "INSERT INTO invoicer.draft_line SELECT 999999, billing_company, draft_id, 2, false,"
        " billto_node, 3, '', 0, 0 FROM invoicer.draft_line",
        {"one_place"},
    ),
    "quantity off, money right": (
        "UPDATE invoicer.pay_line SET quantity = 38.5 WHERE document_id = 'T-3' AND quantity = 39",
        {"conservation"},
    ),
    "a line of another document's key": (
        "UPDATE invoicer.pay_line SET line_key = 'x' WHERE document_id = 'T-3' AND quantity = 39",
        {"conservation"},
    ),
    "a line in another currency": (
        "UPDATE invoicer.pay_line SET currency = 'EUR' WHERE document_id = 'P-1' AND"
        " effective_date = '2026-05-30'",
        {"conservation"},
    ),
    "an edit lost": ("DELETE FROM invoicer.operator_edit", {"conservation"}),
    "a write-off lost": ("DELETE FROM invoicer.write_off", {"conservation", "written_off"}),
    "forgiven what was never credited": (
        "INSERT INTO invoicer.write_off SELECT document_kind, document_id, line_key, 'c-9', 1, 50,"
        " actor, reason FROM invoicer.write_off",
        {"written_off"},
    ),
    "more forgiven than credited": (
        "UPDATE invoicer.write_off SET quantity = 3, amount = 150",
        {"written_off"},
    ),
    "a write-off taken back in part": (
        "INSERT INTO invoicer.write_off SELECT document_kind, document_id, line_key, ' undone:"
        " B-2', -1, -50, actor, reason FROM invoicer.write_off",
        {"written_off", "conservation"},
    ),
    "a withheld document has an open line": (
        "WITH gone AS (DELETE FROM invoicer.replaced_line r USING invoicer.pay_line p WHERE"
        " p.pay_line_id = r.pay_line_id AND p.document_id = 'T-4'"
        " RETURNING p.*) INSERT INTO invoicer.open_line SELECT billing_company, pay_line_id,"
        " effective_date, week_ending, billto_node, false FROM gone",
        {"withheld"},
    ),
    "settled what was never issued": (
        "UPDATE invoicer.settled_document SET realization_no = 9 WHERE document_id = 'T-3'",
        {"settled_realization"},
    ),
    "settled with other content": (
        "UPDATE invoicer.settled_document SET body = replace(body, '\"revision\":1',"
        " '\"revision\":7') WHERE document_id = 'T-3'",
        {"settled_realization"},
    ),
    "a held document goes on being billed": (
        "UPDATE fee_realizer.source_document SET hold_code = 'no_bill_rate' WHERE document_id ="
        " 'T-3'",
        {"held_is_withheld"},
    ),
    "the open copy tells another date": (
        "UPDATE invoicer.open_line SET effective_date = effective_date + 1",
        {"open_copy"},
    ),
    "an amount finer than cents": (
        "UPDATE invoicer.pay_line SET amount = 9999.995, unit_price = 9999.995 WHERE document_id ="
        " 'P-1' AND effective_date = '2026-05-30'",
        {"minor_unit", "conservation"},
    ),
    "a tax finer than cents": (
        "UPDATE invoicer.invoice_line SET tax_amount = 177.505 WHERE invoice_id = 1",
        {"minor_unit", "invoice_sums", "seal"},
    ),
    "price times quantity off": (
        "UPDATE invoicer.pay_line SET unit_price = 51 WHERE document_id = 'T-2' AND quantity = 40",
        {"line_amount", "seal"},
    ),
    "an invoice's net off": (
        "UPDATE invoicer.invoice SET net = net + 1, total = total + 1 WHERE number = 7",
        {"invoice_sums", "batch_sums", "seal"},
    ),
    "an invoice's total off": (
        "UPDATE invoicer.invoice SET total = total + 1 WHERE number = 7",
        {"invoice_sums", "batch_sums"},
    ),
    "an invoice line lost": (
        "DELETE FROM invoicer.invoice_line WHERE invoice_id = 1",
        {"invoice_sums", "one_place", "conservation", "credits"},
    ),
    "an invoice head lost": (
        "DELETE FROM invoicer.invoice WHERE number = 12",
        {"invoice_sums", "batch_sums", "gap_certificate", "seal"},
    ),
    "tax moved to another code": (
        "UPDATE invoicer.invoice SET tax_totals = replace(tax_totals::text, 'VAT', 'GST')::jsonb"
        " WHERE number = 8",
        {"tax_totals", "seal"},
    ),
    "a share of an allowance that its document does not state": (
        "UPDATE invoicer.invoice_line SET allowance_amount = -50 WHERE invoice_id = 1",
        {"allowances", "invoice_sums", "tax_totals", "seal"},
    ),
    "an allowance above its base and without shares": (
        """UPDATE invoicer.invoice SET allowances = '[{"name": "Volume", "code": "VAT",
        "rate": "8.875", "base": "2000.00", "percent": null, "amount": "-2000.01"}]'
        WHERE number = 8""",
        {"allowances", "seal"},
    ),
    "a credit that gives back an allowance that its line has not": (
        "UPDATE invoicer.invoice_line SET allowance_amount = 5 WHERE tax_amount < 0",
        {"credits", "allowances", "invoice_sums", "tax_totals", "seal"},
    ),
    "two currencies on one document": (
        "UPDATE invoicer.invoice SET currency = 'EUR' WHERE number = 12",
        {"line_belongs", "batch_sums", "seal"},
    ),
    "a foreign PO number": (
        "UPDATE invoicer.pay_line SET po_number = 'PO-9' WHERE document_id = 'P-1' AND"
        " effective_date = '2026-03-02'",
        {"line_belongs"},
    ),
    "a batch's totals off": (
        "UPDATE invoicer.batch SET totals = replace(totals::text, '4000', '4001')::jsonb WHERE"
        " batch_id = 'B-1'",
        {"batch_sums"},
    ),
    "a batch's count off": (
        "UPDATE invoicer.batch SET documents = 3 WHERE batch_id = 'B-1'",
        {"batch_sums"},
    ),
    "a credit over its line": (
        "UPDATE invoicer.pay_line SET quantity = -41, amount = -2050 WHERE document_id = 'T-1' AND"
        " quantity = -2",
        {"credits", "conservation"},
    ),
    "a credit over its line in hours only": (
        "UPDATE invoicer.pay_line SET quantity = -40.0001 WHERE document_id = 'T-1' AND quantity ="
        " -2",
        {"credits", "conservation"},
    ),
    "a credit over its line by a cent": (
        "UPDATE invoicer.pay_line SET amount = -2000.01 WHERE document_id = 'T-1' AND quantity ="
        " -2",
        {"credits", "conservation"},
    ),
    "a credit that raises the debt": (
        "UPDATE invoicer.pay_line SET quantity = 2, amount = 100 WHERE document_id = 'T-1' AND"
        " quantity = -2",
        {"credits", "conservation"},
    ),
    "a credit of a credit": (
        "UPDATE invoicer.pay_line SET corrects_invoice_id = 4 WHERE document_id = 'T-1' AND"
        " quantity = -2",
        {"credits"},
    ),
    "a credit to another debtor": (
        "UPDATE invoicer.invoice SET account_name = 'another debtor' WHERE number = 13",
        {"credit_of", "seal"},
    ),
    "a credit at another rate": (
        "UPDATE invoicer.invoice_line SET tax_rate = 9 WHERE tax_amount < 0",
        {"credit_of", "tax_totals", "seal"},
    ),
    "a credit of a line that is not there": (
        "UPDATE invoicer.pay_line SET corrects_line_no = 7 WHERE document_id = 'T-1' AND quantity"
        " = -2",
        {"credits"},
    ),
    "a credit that takes more tax than there is": (
        "UPDATE invoicer.invoice_line SET tax_amount = -200 WHERE tax_amount < 0",
        {"credits", "invoice_sums", "seal"},
    ),
    "a seal lost": ("DELETE FROM invoicer.invoice_seal WHERE invoice_id = 1", {"sealed"}),
    "a changed closed invoice: a word": (
        "UPDATE invoicer.pay_line SET description = 'something else' WHERE document_id = 'T-1' AND"
        " quantity = 40",
        {"seal"},
    ),
    "a changed closed invoice: its buyer": (
        'UPDATE invoicer.invoice SET buyer = \'{"name": "other"}\' WHERE number = 7',
        {"seal"},
    ),
    "a changed closed invoice: a name": (
        'UPDATE invoicer.invoice_detail SET detail = \'{"name": "other"}\'',
        {"names"},
    ),
    "a closed invoice that lost a name": (
        "UPDATE invoicer.invoice_detail SET detail = NULL",
        {"names"},
    ),
    "an unexplained number": ("DELETE FROM invoicer.number_jump", {"gap_certificate"}),
    "a number used in a jump": (
        "UPDATE invoicer.number_jump SET from_number = 8",
        {"gap_certificate"},
    ),
    "the counter goes back": (
        "UPDATE invoicer.number_series SET next_number = 13",
        {"gap_certificate"},
    ),
    "the series begins elsewhere": (
        "UPDATE invoicer.number_series SET first_number = 1",
        {"gap_certificate"},
    ),
    "no counter": ("DELETE FROM invoicer.number_series", {"gap_certificate"}),
    "another number printed": (
        "UPDATE invoicer.invoice SET invoice_number = 'INV-000099' WHERE number = 8",
        {"printed_number", "batch_sums", "seal"},
    ),
    "a date goes back": (
        "UPDATE invoicer.invoice SET invoice_date = '2026-03-30', due_date = '2026-04-29' WHERE"
        " number = 8",
        {"dates_along_numbers", "seal"},
    ),
    "the counter forgot the last date": (
        "UPDATE invoicer.number_series SET last_date = '2026-01-01'",
        {"dates_along_numbers"},
    ),
    "due on another day": (
        "UPDATE invoicer.invoice SET due_date = due_date + 1 WHERE number = 8",
        {"due_date", "seal"},
    ),
    "unknown terms": (
        "UPDATE invoicer.invoice SET payment_terms = 'whenever' WHERE number = 8",
        {"due_date", "seal"},
    ),
    "a day announced twice": (
        "UPDATE scheduler.watermark SET from_date = '2026-03-15' WHERE to_date = '2026-04-30'",
        {"watermark"},
    ),
    "days never announced": (
        "UPDATE scheduler.watermark SET from_date = '2026-04-02' WHERE to_date = '2026-04-30'",
        {"watermark"},
    ),
} | LATER_FAULTS


async def test_injected_faults_are_found_by_the_named_check(engine_of: EngineOf) -> None:
    """Each, injected in a transaction that is rolled back, is found with ids and text."""
    async with engine_of("owner").begin() as connection:
        await small_data_set(RowInserter(connection))
    missed: dict[str, object] = {}
    for fault, (sql, expected) in FAULTS.items():
        async with engine_of("owner").connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            async with connection.begin() as transaction:
                inserter = RowInserter(connection)
                await inserter.without_triggers()
                assert (await connection.exec_driver_sql(sql)).rowcount > 0, (
                    f"the fault was not injected: {fault}"
                )
                await inserter.run("SET LOCAL ROLE auditor")
                report = await verify(connection)
                await transaction.rollback()
        found = {one.check for one in report.faults}
        if not expected <= found or not all(
            one.count >= 1 and one.offenders[0].id and one.offenders[0].detail
            for one in report.faults
        ):
            missed[fault] = (expected - found, report.faults)
    assert not missed
    assert (await look(engine_of)).clean, "the last fault was not taken back"


def test_every_check_has_a_fault_that_it_catches() -> None:
    """Each check has at least one fault that it finds."""
    elsewhere = [check for _, check in test_approvals.FAULTS + test_drafts.FAULTS]
    caught = {name for _, names in FAULTS.values() for name in names} | set(elsewhere)
    caught |= {"in_flight", "to_be_priced"}
    assert {check.name for check in CHECKS} == caught


async def test_realizations_in_flight_are_listed_and_become_a_fault(engine_of: EngineOf) -> None:
    """A new realization is listed as in flight.

    One that is older than some minutes is a fault.
    """
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        await inserter.realization(realization("T-new", 1, realization_line()), settled=False)
        await inserter.realization(
            realization("T-late", 1, realization_line()), settled=False, minutes_ago=7
        )
    report = await look(engine_of)
    assert [one.id for one in report.in_flight] == ["timesheet T-late", "timesheet T-new"]
    assert [(one.check, one.count, one.offenders[0].id) for one in report.faults] == [
        ("in_flight", 1, "timesheet T-late")
    ]
    assert (await look(engine_of, minutes=10)).clean


async def test_a_stale_price_basis_is_in_flight(engine_of: EngineOf) -> None:
    """A realization refused as stale is listed as in flight.

    It is a fault when it waits too long.
    """
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        await inserter.realization(realization("T-1", 1, realization_line()))
        await inserter.pay_line(realization_line(), "T-1")
        await inserter.realization(
            realization("T-1", 2, realization_line("39")), settled=False, minutes_ago=3
        )
        await inserter.run("UPDATE invoicer.settled_document SET stale_realization_no = 2")
    report = await look(engine_of)
    assert report.clean
    assert "waits to be priced again" in report.in_flight[0].detail
    assert [one.check for one in (await look(engine_of, minutes=2)).faults] == ["in_flight"]


async def test_documents_to_be_priced_are_counted_and_become_a_fault(engine_of: EngineOf) -> None:
    """A document that waits to be priced again is counted.

    One that has waited for more than some minutes is a fault: its lines are in no batch.
    """
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        for document_id, minutes in (("T-new", 0), ("T-late", 7)):
            await inserter.realization(realization(document_id, 1, realization_line()))
            await inserter.pay_line(realization_line(), document_id)
            await inserter.run(
                "INSERT INTO fee_realizer.pricing_queue VALUES"
                " ('timesheet', :id, 'set-bill-rate', now() - make_interval(mins => :minutes))",
                id=document_id,
                minutes=minutes,
            )
    report = await look(engine_of)
    assert report.to_be_priced_count == 2
    assert [(one.check, one.count, one.offenders[0].id) for one in report.faults] == [
        ("to_be_priced", 1, "timesheet T-late")
    ]
    assert (await look(engine_of, minutes=10)).clean


async def test_verify_reads_one_snapshot_and_writes_nothing(engine_of: EngineOf) -> None:
    """REPEATABLE READ and READ ONLY.

    What commits meanwhile is not seen in part.
    """
    async with engine_of("auditor").connect() as connection:
        await verify(connection)
        assert (
            await connection.exec_driver_sql("SHOW transaction_isolation")
        ).scalar() == "repeatable read"
        assert (await connection.exec_driver_sql("SHOW transaction_read_only")).scalar() == "on"


async def test_many_offenders_are_counted_and_the_first_shown(engine_of: EngineOf) -> None:
    """At most a hundred ids, and their number."""
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        for at in range(130):
            await inserter.pay_line(
                realization_line(effective_date=date(2026, 1, 1) + timedelta(days=at)),
                f"T-{at}",
                "nowhere",
            )
    (fault,) = (await look(engine_of)).faults
    assert (fault.check, fault.count, len(fault.offenders)) == ("one_place", 130, 100)
    assert fault.offenders[0].id.startswith("pay line ")
