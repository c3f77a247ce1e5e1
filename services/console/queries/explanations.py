"""Why a line is what it is: its document and realization, its rate version, how it was computed,
and who pays.

For an invoiced line the payer is the node kept on the document; for an open one it is found as of
now. A credit goes to the invoice that it corrects, whatever the nodes say now.
"""

from decimal import Decimal
from typing import Any

from services.console.queries.amounts import with_money
from services.console.queries.fees import fee_of_line
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch
from shared.errors import Refused
from shared.stored import as_json
from shared.terms import LEVELS, is_agreement

LINE = (
    "description",
    "line_kind",
    "quantity",
    "unit",
    "unit_price",
    "amount",
    "currency",
    "effective_date",
    "service_from",
    "service_to",
    "week_ending",
)
WORK = ("requirement_id", "time_type", "worker_id")
REALIZATION = (
    "document_kind",
    "document_id",
    "source_id",
    "revision",
    "realization_no",
    "cause",
    "line_key",
)
INVOICED = (
    "invoice_number",
    "document_type",
    "line_no",
    "batch_id",
    "tax_code",
    "tax_rate",
    "tax_amount",
    "allowance_amount",
)


async def explain_pay_line(connection: ReadConnection, pay_line_id: int) -> Row:
    """All that explains one pay line. Refused if there is none."""
    rows = await fetch(connection, SQL["pay_line_facts"], id=pay_line_id)
    if not rows:
        raise Refused(
            "unknown_pay_line",
            f"there is no pay line {pay_line_id}",
            "see `backoffice pay-lines list`",
        )
    row = with_money(rows[0], "amount", "tax_amount", "allowance_amount")
    return {
        "pay_line_id": row["pay_line_id"],
        "billing_company": row["billing_company"],
        **{name: row[name] for name in WORK},
        "place": _location(row) | await _paid(connection, row),
        "line": {name: row[name] for name in LINE},
        "document": {name: row[name] for name in REALIZATION},
        "rate": await _rate(connection, row) if row["line_kind"] == "timesheet" else None,
        "derivation": as_json(row["derivation"]),
        "fee": await fee_of_line(connection, pay_line_id) if row["invoice_number"] else None,
        "billto": await _billto(connection, row),
    }


def _location(row: Row) -> dict[str, Any]:
    """Where the line is: invoiced, replaced, open or on a draft.

    `nowhere` is a fault that `verify` reports.
    """
    if row["invoice_number"] is not None:
        # The document's discounts and surcharges on the lines of this tax code and rate: the
        # line has its share of their sum.
        allowances = [
            each
            for each in as_json(row["allowances"]) or ()
            if row["allowance_amount"]
            and (each["code"], Decimal(each["rate"])) == (row["tax_code"], row["tax_rate"])
        ]
        place = {"is": "invoiced", **{name: row[name] for name in INVOICED}}
        return place | {"allowances": allowances}
    if row["replaced_by_realization"] is not None:
        return {"is": "replaced", "replaced_by_realization": row["replaced_by_realization"]}
    return {"is": "open" if row["open"] else "drafted" if row["drafted"] else "nowhere"}


async def _paid(connection: ReadConnection, row: Row) -> dict[str, Any]:
    """What received payments pay of an invoiced line, their checks, what is left of it and what of
    that is disputed.
    """
    if row["invoice_number"] is None:
        return {}
    (found,) = await fetch(
        connection,
        "SELECT r.paid, r.check_ids, r.balance AS left_to_pay, coalesce((SELECT sum(d.disputed)"
        " FROM invoicer.console_dispute d WHERE d.invoice_id = r.invoice_id"
        " AND d.line_no = r.line_no), 0) AS disputed, r.currency"
        " FROM invoicer.console_billing_record r WHERE r.pay_line_id = :id",
        id=row["pay_line_id"],
    )
    shown = with_money(found, "paid", "left_to_pay", "disputed")
    return {name: shown[name] for name in ("paid", "check_ids", "left_to_pay", "disputed")}


async def _rate(connection: ReadConnection, row: Row) -> Row:
    """The rate version: its source, who set it and who confirmed it for lines on documents."""
    derived = (as_json(row["derivation"]) or {}).get("rate") or {}
    rate = {"rate_version": row["rate_version"], "rate_book": row["rate_book"]}
    rate |= {"source": derived.get("source"), "actor": None, "confirmed_by": None}
    if "book" in derived:
        versions = await fetch(
            connection,
            SQL["rate_version"],
            requirement=row["requirement_id"],
            time_type=row["time_type"],
            day=derived["from"],
            source=derived["source"],
            book=derived["book"],
        )
        rate |= versions[0] if versions else {}
    return rate


async def _billto(connection: ReadConnection, row: Row) -> dict[str, Any]:
    """Who pays, and which node decides it."""
    if row["corrects_invoice"] is not None and row["amount"] <= 0:
        return {
            "account_name": row["account_name"] or row["corrects_account"],
            "as": "the invoice that it corrects",
            "corrects_invoice": row["corrects_invoice"],
            "corrects_line": row["corrects_line_no"],
        }
    kept = row["paying_node"] is not None
    if is_agreement(row["billing_company"]):
        found = await _agreement(connection, row)
        stays = {"account_name": row["account_name"], "as": "kept on the document"}
        return found | stays if kept else found
    nodes = await fetch(
        connection, SQL["billto_path"], node=row["paying_node"] if kept else row["work_node"]
    )
    path = [
        node | {"node": node.pop("node_id"), "level": LEVELS[node["level"] - 1]} for node in nodes
    ]
    if kept:
        return {
            "account_name": row["account_name"],
            "as": "kept on the document",
            "node": row["paying_node"],
            "level": LEVELS[row["billto_level"] - 1],
            "name": path[0]["name"] if path else "",
        }
    payer = next((node for node in path if node["account_name"]), None)
    if payer is not None:
        return payer | {"as": "the lowest node with an Account Name, as of now", "path": path}
    missing = "no node of the path has an Account Name" if path else "the node is not known yet"
    return {"account_name": None, "as": missing, "node": row["work_node"], "path": path}


async def _agreement(connection: ReadConnection, row: Row) -> dict[str, Any]:
    """The Account Name of a supplier that is paid by self-billing."""
    found = await fetch(
        connection,
        "SELECT account_name FROM invoicer.console_agreement_debtor WHERE billing_company = :id",
        id=row["billing_company"],
    )
    words = "the self-billing agreement, as of now" if found else "there is no agreement yet"
    return {
        "account_name": found[0]["account_name"] if found else None,
        "as": words,
        "node": row["billing_company"],
        "level": "agreement",
        "name": f"supplier {row['billing_company'].rpartition('@')[0]}",
    }
