"""A received payment in the small data set of `test_verify`, and faults of payments and options."""

from tests.fault_injection import RowInserter
from tests.stores.fee_faults import FEE_FAULTS

LATER_FAULTS = {
    "a document that is grouped by a value that its lines have not": (
        """UPDATE invoicer.invoice SET invoice_option = '{"name": "US staffing",
        "bill_to": "client", "group": [["engagement.supplier", "S-1"]]}' WHERE number = 8""",
        {"group_values", "seal"},
    ),
    "an item of a supplier that bills the client": (
        """UPDATE invoicer.pay_line SET engagement = '{"engagement_id": "E-1", "side": "supplier"}'
        WHERE pay_line_id = 1""",
        {"sides"},
    ),
    "a document that says that its buyer issued it": (
        """UPDATE invoicer.invoice SET seller = seller || '{"self_billed_by": "acme-us"}'
        WHERE number = 8""",
        {"sides", "seal"},
    ),
    "more applied than received": (
        "UPDATE invoicer.received_payment SET amount = 499",
        {"payment_entries"},
    ),
    "a reversed payment that still pays": (
        "INSERT INTO invoicer.payment_return VALUES ('pay-1', 1, 'reversal', -700, '2026-04-10',"
        " 'c-9', 'pat', 'bounced')",
        {"payment_entries"},
    ),
    "a payment in another currency than its document": (
        "UPDATE invoicer.received_payment SET currency = 'EUR'",
        {"payment_fits", "unapplied_by_debtor"},
    ),
    "a payment of another debtor": (
        "UPDATE invoicer.received_payment SET account_name = 'another debtor'",
        {"payment_fits", "unapplied_by_debtor"},
    ),
    "an entry before the date of deposit": (
        "UPDATE invoicer.payment SET paid_on = '2026-04-01'",
        {"payment_fits"},
    ),
    "a part that is lost": (
        "UPDATE invoicer.payment_line SET amount = 499",
        {"payment_parts", "document_balances"},
    ),
    "a line that is paid beyond its value": (
        "UPDATE invoicer.payment_line SET amount = 2068.63",
        {"line_balances", "payment_parts"},
    ),
    "a dispute of more than is left to pay": (
        "INSERT INTO invoicer.dispute_entry VALUES (1, 2, 'opened', 9999, '2026-04-08', '', 'c-8',"
        " 'pat', '')",
        {"dispute_entries", "disputed_lines"},
    ),
    "a dispute of which more is upheld than was disputed": (
        "INSERT INTO invoicer.dispute_entry VALUES (1, 2, 'upheld', -101, '2026-04-08', '', 'c-8',"
        " 'pat', '')",
        {"dispute_entries"},
    ),
    "a second open dispute of a line": (
        "WITH twin AS (INSERT INTO invoicer.dispute OVERRIDING SYSTEM VALUE SELECT 2,"
        " billing_company, invoice_id, line_no, currency, reason, actor, opened_on"
        " FROM invoicer.dispute)"
        " INSERT INTO invoicer.dispute_entry SELECT 2, entry_no, kind, amount, entered_on,"
        " credit_note, command_id, actor, reason FROM invoicer.dispute_entry",
        {"disputed_lines"},
    ),
    "a document that is paid beyond its balance": (
        "UPDATE invoicer.payment SET amount = 2068.63",
        {"document_balances", "payment_parts"},
    ),
} | FEE_FAULTS


async def received_payment(inserter: RowInserter) -> None:
    """A check of 700.00, of which 500.00 pays the invoice of T-2, which is credited in part."""
    await inserter.run(
        "INSERT INTO invoicer.received_payment VALUES ('pay-1', 'acme-us', 'office-1 account',"
        " '4711', '2026-04-07', 'First Bank', 700, 'USD', 'pat', '')"
    )
    await inserter.run(
        "INSERT INTO invoicer.payment VALUES ('hand', 'pay-1', 2, 1, 500, 'USD', '2026-04-07', '')"
    )
    await inserter.run("INSERT INTO invoicer.payment_line VALUES (2, 'hand', 'pay-1', 1, 1, 500)")
    await inserter.run(
        "INSERT INTO invoicer.dispute (billing_company, invoice_id, line_no, currency, reason,"
        " actor, opened_on) VALUES ('acme-us', 2, 1, 'USD', '38 h', 'pat', '2026-04-08')"
    )
    await inserter.run(
        "INSERT INTO invoicer.dispute_entry"
        " VALUES (1, 1, 'opened', 100, '2026-04-08', '', 'c-7', 'pat', '38 h')"
    )
