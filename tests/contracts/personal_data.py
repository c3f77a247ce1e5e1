"""Which fields of messages and tables hold personal data, and what becomes of them.

`docs/reference/personal-data.md` is made from it. A field of text that is in neither list fails
`test_personal_data.py`; a new place of a personal field changes the page.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

from shared.events.commands import AnyCommand
from shared.events.registry import EVENT_MODELS

SQL = Path(__file__).parents[2] / "shared" / "migrations" / "sql"
TABLE = re.compile(r"CREATE TABLE ([\w.%$]+) \((.*?)\);", re.DOTALL)
COLUMN = re.compile(r"(?:^|[,(])\s*(\w+) (?:text\[\]|text|jsonb|bytea)\b", re.DOTALL)
SERVICES = ("fee_realizer", "scheduler", "invoicer", "arg_sync")


class Personal(NamedTuple):
    """Of whom it is, what it is, how long it is kept, and what `forget worker` does."""

    of: str
    what: str
    kept: str
    forgotten: str


WORKER, CLIENT, STAFF, ANYBODY = "worker", "client or own company", "operator", "anybody"
BOOKS = "as long as the documents that rest on it (by law: 6 to 10 years)"
HISTORY = "as long as the history"
STAYS = "stays"
PERSONAL: dict[str, Personal] = {
    "worker_id": Personal(
        WORKER, "id; a pseudonym as long as the ATS puts no name into it", BOOKS, "views: pseudonym"
    ),
    "worker_name": Personal(
        WORKER, "name, as documents print it", BOOKS, "removed, and from what arrives later"
    ),
    "approved_by": Personal(
        CLIENT, "name of the approver of a timesheet", BOOKS, "removed from his timesheets"
    ),
    "detail": Personal(
        WORKER,
        "names on a document: of a worker; of a requirement and the client's contact for it",
        BOOKS,
        "name of the worker removed; its digest stays for the seal",
    ),
    "digest": Personal(WORKER, "digest of a name; names preview digests too", BOOKS, STAYS),
    "description": Personal(
        WORKER, "text of a line, with the worker's id", BOOKS, "views: pseudonym"
    ),
    "custom": Personal(ANYBODY, "fields that a client defines on engagements", BOOKS, STAYS),
    "engagement": Personal(ANYBODY, "engagement of a line with such fields", BOOKS, STAYS),
    "invoice_option": Personal(
        WORKER, "option of a document; its group may name the worker", BOOKS, STAYS
    ),
    "text": Personal(ANYBODY, "text of a charge or assignment, as it is printed", BOOKS, STAYS),
    "terms": Personal(
        ANYBODY, "terms of an assignment with its text; of an engagement", BOOKS, STAYS
    ),
    "shown_as": Personal(WORKER, "pseudonym of a forgotten worker", HISTORY, STAYS),
    "end_reason": Personal(WORKER, "why a placement ended, free text", BOOKS, "removed"),
    "body": Personal(
        WORKER,
        "message or command as received, with fields that we do not declare: names, contact data;"
        " salary of a placement",
        BOOKS,
        "undeclared fields and free text removed; replayed values removed",
    ),
    "record_value": Personal(ANYBODY, "value of an unreadable record", HISTORY, "removed"),
    "record_key": Personal(ANYBODY, "key of an unreadable record", HISTORY, "removed"),
    "headers": Personal(ANYBODY, "headers of an unreadable record", HISTORY, "removed"),
    "value": Personal(ANYBODY, "value of a replayed dead letter", HISTORY, "removed"),
    "request": Personal(
        WORKER, "document as sent to the accounting system, with ids of workers", BOOKS, STAYS
    ),
    "subjects": Personal(WORKER, "what a command is about", HISTORY, STAYS),
    "result": Personal(
        WORKER, "result of a command; findings may name ids of workers", HISTORY, STAYS
    ),
    "details": Personal(WORKER, "details of a result; may name ids of workers", "90 days", STAYS),
    "message": Personal(
        WORKER, "why something waits or failed; may name ids of workers", HISTORY, STAYS
    ),
    "raw": Personal(
        WORKER, "what a ledger answered; may quote a line of a document", HISTORY, STAYS
    ),
    "hold_message": Personal(WORKER, "why a document waits; may name ids", HISTORY, STAYS),
    "ids": Personal(WORKER, "ids of lines and workers of a finding", HISTORY, STAYS),
    "before": Personal(ANYBODY, "values before a command", HISTORY, STAYS),
    "after": Personal(ANYBODY, "values after a command", HISTORY, STAYS),
    "name": Personal(
        CLIENT, "name of a client, office, company or item", "until it is changed", STAYS
    ),
    "account_name": Personal(CLIENT, "name of a debtor; may be a person", BOOKS, STAYS),
    "exclude_debtors": Personal(CLIENT, "names of debtors", HISTORY, STAYS),
    "workers": Personal(WORKER, "ids of the workers whom a batch is limited to", HISTORY, STAYS),
    "documents": Personal(
        WORKER, "ids of the timesheets that a batch is limited to", HISTORY, STAYS
    ),
    "chosen": Personal(WORKER, "what a batch was limited to, with ids of workers", BOOKS, STAYS),
    "settings": Personal(
        WORKER,
        "settings of a preview, with ids of chosen workers; settings of a connection",
        HISTORY,
        STAYS,
    ),
    "address": Personal(
        CLIENT, "postal address; of an e-mail its recipient", "until it is changed", STAYS
    ),
    "tax_id": Personal(CLIENT, "tax id; may be of a person", "until it is changed", STAYS),
    "bank": Personal(CLIENT, "bank of a billing company or of a payment", BOOKS, STAYS),
    "seller": Personal(CLIENT, "name, address, tax id, bank ... on a document", BOOKS, STAYS),
    "buyer": Personal(CLIENT, "name, address, tax id, contact ... on a document", BOOKS, STAYS),
    "emails": Personal(CLIENT, "e-mail addresses of a debtor", "until they are changed", STAYS),
    "sender": Personal(CLIENT, "address that sends e-mails", "until it is changed", STAYS),
    "reply_to": Personal(CLIENT, "address that gets answers", "until it is changed", STAYS),
    "sender_name": Personal(CLIENT, "name beside that address", "until it is changed", STAYS),
    "user": Personal(CLIENT, "login of the mail account", "until it is changed", STAYS),
    "mail_subject": Personal(CLIENT, "template of a subject", "until it is changed", STAYS),
    "mail_text": Personal(CLIENT, "template of a text", "until it is changed", STAYS),
    "stages": Personal(
        CLIENT, "stages of reminders, with templates", "until they are changed", STAYS
    ),
    "subject": Personal(CLIENT, "subject of an e-mail, with the debtor's name", BOOKS, STAYS),
    "content": Personal(CLIENT, "text of an e-mail, with the debtor's name", BOOKS, STAYS),
    "contact": Personal(CLIENT, "for whom a client's documents are", "until it is changed", STAYS),
    "client_contact": Personal(CLIENT, "who ordered at the client", "until it is changed", STAYS),
    "remit_to": Personal(CLIENT, "where payments go", "until it is changed", STAYS),
    "payment_instructions": Personal(CLIENT, "how to pay", "until it is changed", STAYS),
    "footer": Personal(CLIENT, "last lines of the pages", "until it is changed", STAYS),
    "customer": Personal(CLIENT, "id of the debtor in the accounting system", BOOKS, STAYS),
    "actor": Personal(STAFF, "who sent a command", HISTORY, STAYS),
    "created_by": Personal(STAFF, "who made a draft", HISTORY, STAYS),
    "closed_by": Personal(STAFF, "who closed a dead letter", HISTORY, STAYS),
    "reason": Personal(STAFF, "why, in the words of an operator", HISTORY, STAYS),
    "credit_reason": Personal(STAFF, "why, as a credit note prints it", BOOKS, STAYS),
    "person": Personal(STAFF, "name of a person who sends commands", HISTORY, STAYS),
    "changed_by": Personal(STAFF, "who set a person's roles", HISTORY, STAYS),
    "added_by": Personal(STAFF, "who added a program or key", HISTORY, STAYS),
    "disabled_by": Personal(STAFF, "who disabled a key", HISTORY, STAYS),
    "disabled_reason": Personal(STAFF, "why a key was disabled", HISTORY, STAYS),
    "client": Personal(STAFF, "host of the sender of a command", HISTORY, STAYS),
    "approvers": Personal(STAFF, "who approves in a step of a workflow", HISTORY, STAYS),
    "given": Personal(STAFF, "approver of a step as its workflow names him", HISTORY, STAYS),
    "planned": Personal(STAFF, "approver of a step of a draft", HISTORY, STAYS),
    "to": Personal(STAFF, "who approves in place of another", HISTORY, STAYS),
    "on_behalf_of": Personal(STAFF, "for whom an approver acts", HISTORY, STAYS),
    "who": Personal(STAFF, "approver of a step of a draft, as it is now", HISTORY, STAYS),
    "closed_reason": Personal(STAFF, "why a dead letter was closed", HISTORY, STAYS),
}
OF_PLACES: dict[str, tuple[frozenset[str], Personal]] = {
    "name": (
        frozenset({"SetPerson", "invoicer.person"}),
        Personal(STAFF, "name of a person who sends commands", HISTORY, STAYS),
    ),
}
"""Places where a field is of another person than elsewhere."""
NOT_PERSONAL_TEXT = """
    about action adjusts allowance_terms approval_level assignment_id attach audience batch_id
    billed_in_batch draft drafts made_by made_by_id option_name options
    billing_companies billing_company billto_node body_sha256 capabilities cause charge_id
    check_id check_message check_outcome circuit_message client_reference code command command_id
    company_ids content_hash corrects_invoice corrects_number cost_center country credit_note
    credits dispute
    currency cursor cycle default_account default_item default_tax default_time_group derivation
    document_id document_kind document_type ends_on fact_id fact_kind family fee_id
    base charged_as fees funded_by option option_name tiers volume_of
    file_format first_number fix groups guarantee hold_code holder host id invoice_number
    item_class item_id item_ids job_title key_id kind last_number leased_by ledger line_hash
    layout line_key line_kind login_refused logo message_id missing_timesheets needs node_id
    office_id
    outcome parent_id payment_id payment_terms percent_of picture placement_id plan po_number
    position_type preview_id product_kind program project public_key rate rate_version
    allowances percent realization_kind receipt reference reminder remote remote_id remote_number
    remote_state remove_allowances request_key requirement_id requirement_ids retainer role
    schedule sealed sealed_password sealed_secrets series series_prefix service sha256 source
    source_id state status steps subject_id tax_basis tax_code tax_date tax_regime tax_totals
    tax_wording time_group time_type time_zone timesheet_detail timesheet_id title topic totals
    unit value_sha256 variant warning what worker
    bill_to billing_filter billing_types client_country department engagement_id group group_by
    location request_types supplier_id supplier_number supplier_option workflow
    departments forbids locations step
"""
NOT_PERSONAL = frozenset(NOT_PERSONAL_TEXT.split())


@cache
def columns() -> frozenset[tuple[str, str]]:
    """Table and column of every text, array of texts, JSON and bytes, from the migrations."""
    found = set()
    for file in sorted(SQL.glob("*.sql")):
        text = re.sub(r"--.*", "", file.read_text(encoding="utf-8"))
        for table in TABLE.finditer(text):
            names = [table[1].replace("%1$I", service) for service in SERVICES]
            for column in COLUMN.finditer(table[2]):
                found |= {(name, column[1]) for name in names}
    return frozenset(found)


def fields() -> Iterator[tuple[str, str]]:
    """Model and field of every text and free object of messages."""
    models = [one for one in EVENT_MODELS.values() if hasattr(one, "model_json_schema")]
    for model in [*models, *get_args(AnyCommand)]:
        schema = model.model_json_schema()
        for name, each in {model.__name__: schema, **schema.get("$defs", {})}.items():
            for field, described in each.get("properties", {}).items():
                if _is_text(json.dumps(described)):
                    yield name, field


def _is_text(described: str) -> bool:
    words = ('"format"', "decimal as a string", '"enum"', '"const"')
    text = '"string"' in described and not any(word in described for word in words)
    return text or ('"object"' in described and '"$ref"' not in described)


def places() -> dict[str, list[str]]:
    """Every field of text, with the tables and messages that have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for place, name in [*columns(), *fields()]:
        found[name].add(place)
    return {name: sorted(of) for name, of in sorted(found.items())}


def page() -> list[str]:
    """The rows of the page."""
    rows = ["| field | of | what | kept | `forget worker` | where |", "|---|---|---|---|---|---|"]
    where: dict[str, Any] = places()
    for name, elsewhere in PERSONAL.items():
        others, special = OF_PLACES.get(name, (frozenset(), None))
        for one, at in (
            (elsewhere, [place for place in where[name] if place not in others]),
            (special, sorted(others)),
        ):
            if one is not None:
                of = ", ".join(f"`{place}`" for place in at)
                facts = f"{one.of} | {one.what} | {one.kept} | {one.forgotten}"
                rows.append(f"| `{name}` | {facts} | {of} |")
    return rows
