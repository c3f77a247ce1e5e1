"""Why a line is what it is: the document and statement it comes from, the rate version, how it was computed, and who pays.

For an invoiced line the node that paid is the one kept on the document; for an open one it is found as it stands now; a credit is never
resolved again, it goes to the invoice that it corrects.
"""

from typing import Any

from services.console.client.books import ReadConnection, Row, found
from services.console.client.figures import with_money
from shared.errors import Refused
from shared.stored import as_json
from shared.terms import LEVELS

FACTS = """
  SELECT p.pay_line_id, p.billing_company, p.document_kind, p.document_id, p.realization_no, p.line_key, p.line_kind, p.description, p.quantity, p.unit,
         p.unit_price, p.amount, p.currency, p.effective_date, p.service_from, p.service_to, p.week_ending, p.rate_version, p.rate_book,
         p.derivation,
         p.requirement_id, p.time_type,
         p.billto_node AS work_node, s.source_id, s.revision, s.cause, i.invoice_number, i.document_type, i.account_name, i.batch_id,
         il.line_no, il.billto_node, il.billto_level, il.tax_code, il.tax_rate, c.invoice_number AS corrects_invoice, p.corrects_line_no AS corrects_line,
         c.account_name AS corrects_account, r.replaced_by_realization, o.pay_line_id IS NOT NULL AS open, d.pay_line_id IS NOT NULL AS drafted
  FROM invoicer.pay_line p
  LEFT JOIN fee_realizer.document_realization s
    ON s.document_kind = p.document_kind AND s.document_id = p.document_id AND s.realization_no = p.realization_no
  LEFT JOIN invoicer.invoice_line il ON il.pay_line_id = p.pay_line_id
  LEFT JOIN invoicer.invoice i ON i.invoice_id = il.invoice_id
  LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id
  LEFT JOIN invoicer.replaced_line r ON r.pay_line_id = p.pay_line_id
  LEFT JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
  LEFT JOIN invoicer.draft_line d ON d.pay_line_id = p.pay_line_id
  WHERE p.pay_line_id = :id
"""
PATH = """
  WITH RECURSIVE path AS (
    SELECT node_id, level, parent_id, name, account_name FROM invoicer.billto_node WHERE node_id = :node
    UNION ALL
    SELECT n.node_id, n.level, n.parent_id, n.name, n.account_name FROM path p JOIN invoicer.billto_node n ON n.node_id = p.parent_id AND n.level < p.level)
  SELECT node_id, level, name, account_name FROM path ORDER BY level DESC
"""
STATEMENT = (
    "document_kind",
    "document_id",
    "source_id",
    "revision",
    "realization_no",
    "cause",
    "line_key",
)
RATE = ("rate_version", "rate_book")


async def why(connection: ReadConnection, pay_line_id: int) -> Row:
    """All that explains one pay line. Refused if there is none."""
    rows = await found(connection, FACTS, id=pay_line_id)
    if not rows:
        raise Refused(
            "unknown_pay_line",
            f"there is no pay line {pay_line_id}",
            "see `backoffice pay-lines list`",
        )
    row = with_money(rows[0], "amount")
    line = (
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
    return {
        "pay_line_id": row["pay_line_id"],
        "billing_company": row["billing_company"],
        "place": _place(row),
        "line": {name: row[name] for name in line},
        "document": {name: row[name] for name in STATEMENT},
        "rate": await _rate(connection, row) if row["line_kind"] == "timesheet" else None,
        "derivation": as_json(row["derivation"]),
        "billto": await _billto(connection, row),
    }


def _place(row: Row) -> dict[str, Any]:
    """Where the line is: in exactly one place, or it is a fault that `verify` reports."""
    if row["invoice_number"] is not None:
        names = ("invoice_number", "document_type", "line_no", "batch_id", "tax_code", "tax_rate")
        return {"is": "invoiced", **{name: row[name] for name in names}}
    if row["replaced_by_realization"] is not None:
        return {"is": "replaced", "replaced_by_realization": row["replaced_by_realization"]}
    return {"is": "open" if row["open"] else "drafted" if row["drafted"] else "nowhere"}


async def _rate(connection: ReadConnection, row: Row) -> Row:
    """The rate version: where it came from, who said it and who let it take its place on documents."""
    told = (as_json(row["derivation"]) or {}).get("rate") or {}
    about = {"source": told.get("source"), "actor": None, "confirmed_by": None}
    if "book" in told:
        versions = await found(
            connection,
            "SELECT r.source, r.actor, (SELECT max(c.actor) FROM fee_realizer.confirmed_rate c WHERE c.requirement_id = r.requirement_id"
            "   AND c.time_type = r.time_type AND c.effective_from = r.effective_from AND c.rate_book >= r.since_book"
            "   AND (r.until_book IS NULL OR c.rate_book < r.until_book)) AS confirmed_by"
            " FROM fee_realizer.bill_rate r WHERE r.requirement_id = :requirement AND r.time_type = :time_type"
            " AND r.effective_from = CAST(CAST(:day AS text) AS date) AND r.source = :source AND r.since_book = CAST(CAST(:book AS text) AS integer)",
            requirement=row["requirement_id"],
            time_type=row["time_type"],
            day=told["from"],
            source=told["source"],
            book=told["book"],
        )
        about |= versions[0] if versions else {}
    return {name: row[name] for name in RATE} | about


async def _billto(connection: ReadConnection, row: Row) -> dict[str, Any]:
    if row["corrects_invoice"] is not None and row["amount"] <= 0:
        return {
            "account_name": row["account_name"] or row["corrects_account"],
            "as": "the invoice that it corrects",
            "corrects_invoice": row["corrects_invoice"],
            "corrects_line": row["corrects_line"],
        }
    if row["billto_node"] is not None:
        names = await found(
            connection,
            "SELECT name FROM invoicer.billto_node WHERE node_id = :node",
            node=row["billto_node"],
        )
        return {
            "account_name": row["account_name"],
            "as": "kept on the document",
            "node": row["billto_node"],
            "level": LEVELS[row["billto_level"] - 1],
            "name": names[0]["name"] if names else "",
        }
    path = await found(connection, PATH, node=row["work_node"])
    winner = next((node for node in path if node["account_name"]), None)
    walked = [
        {
            "node": node["node_id"],
            "level": LEVELS[node["level"] - 1],
            "name": node["name"],
            "account_name": node["account_name"],
        }
        for node in path
    ]
    if winner is None:
        return {
            "account_name": None,
            "as": "no node of the path has an Account Name"
            if path
            else "the node is not known yet",
            "node": row["work_node"],
            "path": walked,
        }
    return {
        "account_name": winner["account_name"],
        "as": "the lowest node with an Account Name, as it stands now",
        "node": winner["node_id"],
        "level": LEVELS[winner["level"] - 1],
        "name": winner["name"],
        "path": walked,
    }
