"""One example of each message and command, from which the golden files were made."""

from datetime import date
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from shared.events.billing import (
    BatchGenerated,
    CommandResult,
    CurrencyTotal,
    Finding,
    InvoiceClosed,
    TaxLine,
)
from shared.events.commands import OPERATOR_COMMAND
from shared.events.ledgers import (
    ArDocumentPosted,
    ArDocumentRefused,
    LedgerDriftFound,
    PaymentRecorded,
)
from shared.events.realizations import DocumentHeld, DocumentReleased, PayLineDue
from shared.events.registry import DEAD_LETTER, DeadLetterRecorded
from tests import builders

WHO = {"command_id": "7c0d6a5e", "actor": "pat@example.com", "reason": "month end"}
COMPANY = {"billing_company": "acme-us"}
COMMANDS = {
    "set-billing-company": COMPANY
    | {
        "name": "Acme Staffing Inc.",
        "address": "1 Main Street\nNew York",
        "tax_id": "12-3456789",
        "bank": "First Bank 021000021",
        "time_zone": "America/New_York",
        "currency": "USD",
        "series_prefix": "US-",
        "series_width": 6,
        "taxes": [{"tax_code": "NY", "percent": "8.875", "from_date": "2026-01-01"}],
        "default_tax": "NY",
        "tax_basis": "document",
        "payment_terms": "net:30",
        "gate": "reviewed",
    },
    "set-mail-account": COMPANY
    | {
        "sender": "billing@acme.example",
        "sender_name": "Acme Staffing",
        "host": "smtp.acme.example",
        "port": 587,
        "tls": "starttls",
        "user": "billing",
        "sealed_password": "x25519.0123456789abcdef.AAAA",
        "subject": "{document} {number}",
    },
    "send-batch": COMPANY | {"batch_id": "B-1"},
    "send-invoice": COMPANY | {"invoice_number": "US-000042", "again": True},
    "decide-mail": COMPANY
    | {"invoice_number": "US-000042", "address": "ap@mercy.example", "sent": True},
    "record-bounces": {
        "bounces": [
            {
                "message_id": "3f0c@acme.example",
                "status": "5.1.1",
                "text": "smtp; 550 5.1.1 no such user",
            }
        ]
    },
    "set-reminders": COMPANY
    | {
        "account_name": "ACME-HOSPITAL",
        "enabled": True,
        "stages": [7, 14, 30],
        "templates": [{"stage": 30, "subject": "Final reminder: {total} {currency}"}],
        "minimum": "5.00",
    },
    "hold-reminders": COMPANY | {"invoice_number": "US-000042", "until": "2026-05-01"},
    "send-reminder": COMPANY | {"reminder": "reminder:17", "again": True},
    "set-catalog-item": {
        "item_id": "DIRECT-HIRE",
        "name": "Direct hire",
        "percent_of_salary": "20",
        "plan": [{"share": "50", "day": 1}, {"share": "50", "day": 90}],
    },
    "set-invoice-option": COMPANY
    | {
        "name": "US staffing",
        "client_country": "US",
        "location": "Boston",
        "bill_to": "client",
        "request_types": ["staffing"],
        "currency": "USD",
        "billing_types": ["time", "adjustment"],
        "max_lines": 500,
        "group_by": ["engagement.supplier", "custom.cost_code"],
        "default": True,
        "from_date": "2026-01-01",
    },
    "set-self-billing-agreement": COMPANY
    | {
        "supplier_id": "S-1",
        "from_date": "2026-01-01",
        "account_name": "NORTHSIDE",
        "reference": "SBA-2026-1",
        "address": "2 Side Street\nSalem",
        "tax_id": "US-77",
        "bank": "Second Bank 021000022",
        "series_prefix": "NS-",
        "series_width": 6,
        "taxes": [{"tax_code": "VAT", "percent": "20", "from_date": "2026-01-01"}],
        "default_tax": "VAT",
    },
    "record-supplier-number": {
        "billing_company": "S-1@acme-us",
        "invoice_number": "NS-000001",
        "supplier_number": "2026-77",
    },
    "set-country-grouping": COMPANY | {"client_country": "US", "group_by": ["engagement.supplier"]},
    "create-drafts": COMPANY | {"cut_off_date": "2026-03-31", "options": ["US staffing"]},
    "remove-draft-line": COMPANY | {"draft": "D-000001", "line_no": 2},
    "cancel-draft": COMPANY | {"draft": "D-000001"},
    "regenerate-draft": COMPANY | {"draft": "D-000001"},
    "combine-drafts": COMPANY | {"drafts": ["D-000001", "D-000002"]},
    "finalize-drafts": COMPANY
    | {"drafts": [{"draft": "D-000001", "version": 2}], "invoice_date": "2026-03-31"},
    "set-fee": COMPANY
    | {
        "option": "US staffing",
        "funded_by": "client",
        "charged_as": "markup",
        "percent": "3",
        "tax_code": "VAT",
        "base_adds": ["products"],
        "from_date": "2026-01-01",
    },
    "set-fee-tiers": COMPANY
    | {
        "option": "US staffing",
        "funded_by": "client",
        "currency": "USD",
        "volume_of": "91-days",
        "tiers": [{"volume": "0", "percent": "3"}, {"volume": "100000.00", "percent": "2"}],
        "from_date": "2026-01-01",
    },
    "set-opening-volume": COMPANY
    | {"option": "US staffing", "currency": "USD", "amount": "75000.00", "on_date": "2025-12-31"},
    "set-workflow": {
        "name": "two steps",
        "steps": [
            {"step": "head", "order": "after", "approvers": ["field:department_head"]},
            {
                "step": "controller",
                "order": "after",
                "approvers": ["role:controller", "person:ann"],
                "mandatory": 1,
                "at_least": [{"amount": "10000.00", "currency": "USD"}],
                "departments": ["Sales"],
            },
        ],
        "forbids": [{"status": "pending_finalization", "action": "edit"}],
    },
    "approve-draft": {"draft": "D-000001@1", "on_behalf_of": "ann"},
    "reject-draft": {"draft": "D-000001@1"},
    "reassign-draft": {"draft": "D-000001@1", "to": "ben", "step": "head"},
    "explain-option": {"pay_line_id": 17},
    "add-charge": COMPANY
    | {
        "charge_id": "EXP-1",
        "node_id": "office-1",
        "item_id": "TRAVEL",
        "quantity": "1",
        "price": "101.24",
        "currency": "USD",
        "service_date": "2026-03-04",
        "receipt": "R-77",
        "recoverable_tax": "20",
        "markup": "10",
    },
    "set-assignment": COMPANY
    | {
        "assignment_id": "RENT-1",
        "node_id": "client-1",
        "item_id": "RENT",
        "price": "500.00",
        "currency": "USD",
        "monthly_day": 31,
        "from_date": "2026-01-31",
        "until_date": "2026-06-30",
    },
    "end-assignment": {"assignment_id": "RENT-1", "last_date": "2026-04-30"},
    "confirm-assignment": {"assignment_id": "RENT-1", "from_date": "2026-03-01"},
    "settle-retainer": {
        "requirement_id": "REQ-1",
        "excess": "credit",
        "reason": "the placement is smaller than agreed",
    },
    "set-bill-rate": {
        "requirement_id": "REQ-1",
        "time_type": "REG",
        "effective_from": "2026-03-04",
        "bill_rate": "52.5000",
    },
    "confirm-rates": {
        "requirement_id": "REQ-1",
        "time_type": "REG",
        "effective_from": "2026-03-04",
    },
    "rates-impact": {"requirement_id": "REQ-1"},
    "retry-document": {"document_kind": "timesheet", "document_id": "T-1"},
    "snooze-pay-lines": COMPANY | {"pay_line_ids": [1, 2], "until": "2026-04-01"},
    "release-pay-lines": COMPANY | {"pay_line_ids": [1]},
    "edit-pay-line": COMPANY | {"pay_line_id": 1, "quantity": "38.5"},
    "set-time-group": {"time_group": "weekly-sunday", "cycle": "weekly", "ends_on": "sunday"},
    "set-debtor-terms": COMPANY
    | {
        "account_name": "ACME-HOSPITAL",
        "from_date": "2026-03-01",
        "time_group": "weekly-sunday",
        "payment_terms": "net:15",
        "missing_timesheets": "wait:3",
    },
    "health-check": COMPANY | {"cut_off_date": "2026-03-31"},
    "preview-batch": COMPANY | {"cut_off_date": "2026-03-31"},
    "generate-batch": COMPANY
    | {
        "cut_off_date": "2026-03-31",
        "digest": "4f1c",
        "invoice_date": "2026-04-01",
        "first_number": 7,
    },
    "list-batch-groups": COMPANY | {"cut_off_date": "2026-03-31"},
    "what-if": COMPANY | {"cut_off_dates": ["2026-03-29", "2026-03-31"]},
    "retry-parked": COMPANY | {"batch_id": "B-1"},
    "credit-invoice": COMPANY
    | {"invoice_number": "US-000001", "lines": [{"line_no": 2, "quantity": "3.5"}], "to": "rebill"},
    "record-payment": COMPANY
    | {
        "check_id": "4711",
        "account_name": "ACME-HOSPITAL",
        "received_on": "2026-04-07",
        "bank": "First Bank",
        "amount": "500",
        "currency": "USD",
        "apply_to": [{"invoice_number": "US-000001"}],
    },
    "apply-payment": COMPANY
    | {
        "check_id": "4711",
        "account_name": "ACME-HOSPITAL",
        "apply_to": [{"invoice_number": "US-000002", "line_nos": [1], "amount": "100.5"}],
    },
    "unapply-payment": COMPANY | {"check_id": "4711", "invoice_number": "US-000001"},
    "reverse-payment": COMPANY | {"check_id": "4711", "received_on": "2026-04-07"},
    "apply-credit": COMPANY
    | {"account_name": "ACME-HOSPITAL", "apply_to": {"invoice_number": "US-000003"}},
    "record-refund": COMPANY
    | {"account_name": "ACME-HOSPITAL", "amount": "25", "although_ledger": True},
    "open-dispute": COMPANY | {"invoice_number": "US-000001", "line_no": 2, "amount": "120.5"},
    "resolve-dispute": COMPANY
    | {"dispute": "DP-000001", "resolution": "credit", "quantity": "2.5"},
    "load-opening-documents": COMPANY
    | {
        "documents": [
            {
                "invoice_number": "OLD-881",
                "document_type": "invoice",
                "invoice_date": "2026-02-15",
                "due_date": "2026-03-17",
                "account_name": "ACME-HOSPITAL",
                "currency": "USD",
                "paid": "1000",
                "lines": [
                    {
                        "line_no": 3,
                        "document_kind": "timesheet",
                        "document_id": "T-9",
                        "line_key": '["t","REQ-1","REG","2020-01-01@50","","",""]',
                        "line_kind": "timesheet",
                        "quantity": "40",
                        "unit": "HUR",
                        "unit_price": "50",
                        "amount": "2000",
                        "tax_code": "VAT",
                        "tax_rate": "20",
                        "tax": "400",
                        "service_from": "2026-02-02",
                        "service_to": "2026-02-08",
                        "week_ending": "2026-02-08",
                        "requirement_id": "REQ-1",
                        "worker_id": "W-1",
                        "time_type": "REG",
                        "rate_version": "2020-01-01@50",
                        "rate_book": 1,
                        "description": "Registered Nurse",
                    }
                ],
            }
        ]
    },
    "set-opening-number": COMPANY
    | {"series_prefix": "INV-", "last_number": 881, "last_date": "2026-02-28"},
    "explain": {"pay_line_id": 1, "cut_off_date": "2026-03-31"},
    "record-download": COMPANY | {"batch_id": "B-1", "file_format": "csv"},
    "connect-ledger": {
        "ledger": "main-ledger",
        "kind": "tryton",
        "billing_company": "acme-us",
        "settings": {"base_url": "https://tryton.example"},
    },
    "test-ledger": {"ledger": "main-ledger"},
    "poll-ledger": {"ledger": "main-ledger"},
    "disconnect-ledger": {"ledger": "main-ledger"},
    "rotate-ledger-key": {},
    "forget-worker": {"service": "fee_realizer", "worker_id": "W-1"},
    "import-mapping": {
        "ledger": "main-ledger",
        "rows": [{"what": "account", "code": "", "remote": "4000"}],
    },
    "sync-batch": COMPANY | {"batch_id": "B-1"},
    "retry-delivery": {"ledger": "main-ledger", "invoice_number": "US-000001"},
    "resync-delivery": {"ledger": "main-ledger", "invoice_number": "US-000001"},
    "adopt-delivery": {"ledger": "main-ledger", "invoice_number": "US-000001", "remote_id": "77"},
    "mark-posted": {"ledger": "main-ledger", "invoice_number": "US-000001", "remote_number": "A-9"},
    "reconcile": {"ledger": "main-ledger"},
    "replay-dead-letter": {"service": "fee_realizer", "dead_letter_id": 1, "value": "{}"},
    "discard-dead-letter": {"service": "fee_realizer", "dead_letter_id": 1},
    "skip-records": {
        "service": "fee_realizer",
        "topic": "timesheet-approved",
        "partition": 0,
        "to_offset": 43,
    },
    "resume-consumer": {"service": "fee_realizer", "topic": "timesheet-approved"},
    "republish": {"service": "fee_realizer", "document_kind": "timesheet", "document_id": "T-1"},
    "set-person": {
        "person": "pat@example.com",
        "name": "Pat Example",
        "roles": [{"role": "clerk", "billing_companies": ["acme-us"]}, {"role": "viewer"}],
    },
    "add-key": {
        "program": "payroll-export",
        "public_key": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "roles": [{"role": "manager"}],
    },
    "rotate-key": {
        "program": "payroll-export",
        "public_key": "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
        "keep_old_hours": 24,
    },
    "disable-key": {"program": "payroll-export"},
}

_MONEY = {"net": Decimal("2000.00"), "tax": Decimal("177.50")}
_STAMPS = {"submitted_at": "2026-03-09T08:00:00Z", "approved_at": "2026-03-09T17:30:00-05:00"}

_DELIVERED: dict[str, Any] = {
    "ledger": "main-ledger",
    "kind": "tryton",
    "billing_company": "acme-us",
    "invoice_id": 1,
    "invoice_number": "US-000007",
    "document_type": "invoice",
    "batch_id": "B-1",
}

EXAMPLES: dict[str, BaseModel] = {
    "requirement-changed": builders.requirement(
        engagement={"project": "Ward 7", "cost_center": "CC-1", "po_number": "PO-9"},
        retainer={"item_id": "RETAINER", "amount": "4000.00", "approved_on": "2026-02-02"},
    ),
    "billto-changed": builders.node(
        parent_id="client-1", address="1 Main Street\nNew York", tax_id="12-3456789"
    ),
    "timesheet-approved": builders.timesheet(
        "T-1a",
        2,
        [builders.entry("7.5", po_number="PO-9")],
        adjusts="T-1",
        worker_name="Maya Torres",
        workflow=_STAMPS | {"approved_by": "Kim Lee"},
    ),
    "charge-added": builders.charge(),
    "engagement-changed": builders.engagement(
        terms=[
            {
                "from_date": "2026-01-01",
                "invoice_option": "US staffing",
                "billing_filter": ["MSP:Client", "MSP:Supplier"],
                "needs_transfer": True,
            }
        ],
        custom={"cost_code": "A"},
    ),
    "supplier-changed": builders.supplier(account_name="Northside Staffing LLC"),
    "placement-created": builders.placement(end_date="2026-12-31", end_reason="resigned"),
    "command-results": CommandResult(
        command_id="7c0d6a5e",
        command="health-check",
        service="invoicer",
        outcome="accepted",
        message="1 finding",
        details={"documents": 3, "net": "2000.00"},
        findings=(
            Finding(
                severity="error",
                code="no_account_name",
                about="line",
                message="office-1 has no Account Name",
                fix="name it",
                ids=("office-1",),
            ),
        ),
    ),
    "pay-lines-realized": builders.realization(
        "T-1", 3, builders.realization_line("7.5", "33.33", amount="249.98")
    ),
    "document-held": DocumentHeld(
        document_kind="timesheet",
        document_id="T-1",
        revision=2,
        realization_no=3,
        code="no_bill_rate",
        message="REQ-1 has no bill rate for OT",
    ),
    "document-released": DocumentReleased(
        document_kind="timesheet", document_id="T-1", revision=2, realization_no=4
    ),
    "pay-line-due": PayLineDue(
        pay_line_id=1,
        billing_company="acme-us",
        document_kind="placement",
        document_id="P-1",
        line_key=builders.product_key(instalment=2),
        effective_date=date(2026, 5, 30),
        currency="USD",
        amount=Decimal("10000.00"),
        description="Direct hire · W-1 · instalment 2 of 2",
    ),
    "batch-generated": BatchGenerated(
        batch_id="B-1",
        billing_company="acme-us",
        cut_off_date=date(2026, 3, 31),
        invoice_date=date(2026, 4, 1),
        first_number="US-000007",
        last_number="US-000007",
        documents=1,
        totals=(
            CurrencyTotal(currency="USD", documents=1, lines=1, total=Decimal("2177.50"), **_MONEY),
        ),
        command_id="7c0d6a5e",
    ),
    "invoice-closed": InvoiceClosed(
        invoice_id=1,
        invoice_number="US-000007",
        document_type="invoice",
        batch_id="B-1",
        billing_company="acme-us",
        account_name="Mercy Hospital",
        invoice_date=date(2026, 4, 1),
        due_date=date(2026, 5, 1),
        currency="USD",
        po_number="PO-9",
        total=Decimal("2177.50"),
        tax_totals=(TaxLine(code="NY", rate="8.875", **_MONEY),),
        line_count=1,
        content_hash="9f86d081",
        **_MONEY,
    ),
    "ar-document-posted": ArDocumentPosted(
        **_DELIVERED,
        currency="USD",
        total=Decimal("2177.50"),
        remote_id="77",
        remote_number="SI-0007",
        how="created",
    ),
    "ar-document-refused": ArDocumentRefused(
        **_DELIVERED,
        attempt=1,
        code="http_422",
        message="the period is closed",
        fix="fix it in the ledger, then retry",
    ),
    "payment-recorded": PaymentRecorded(
        ledger="main-ledger",
        billing_company="acme-us",
        payment_id="P-5",
        entry_no=1,
        invoice_id=1,
        invoice_number="US-000007",
        remote_id="77",
        amount=Decimal("2177.50"),
        currency="USD",
        paid_on=date(2026, 4, 20),
    ),
    "ledger-drift-found": LedgerDriftFound(
        ledger="main-ledger",
        billing_company="acme-us",
        drift_id=1,
        invoice_id=1,
        invoice_number="US-000007",
        remote_id="77",
        code="voided",
        message="US-000007 is voided in the ledger",
        fix="credit it here, or resync it",
    ),
    DEAD_LETTER: DeadLetterRecorded(
        dead_letter_id=1,
        service="fee_realizer",
        topic="timesheet-approved",
        partition=3,
        offset=41,
        sha256="9f86d081",
        code="bad_json",
        message="the value is not JSON at line 1 column 2: send one JSON object",
    ),
} | {
    f"operator-commands.{kind}": OPERATOR_COMMAND.validate_python(
        {"command": kind, **WHO, **_values}, strict=False
    )
    for kind, _values in COMMANDS.items()
}
