"""What settles customer invoices in Tryton: the payments of the invoices that changed.

An invoice is settled by payment lines (its Pay wizard, a bank statement, a move that a person adds)
and by what is reconciled with it (the wizard Reconcile, a write-off, an exchange difference). A
cancelled payment stays among the payment lines, reconciled with the move that cancels it. So each
changed invoice is read as a whole, and its payments add up to its total less what Tryton says is
left to pay. Applied credit notes are no payments: our credit notes reduce the balance already.

An invoice changed if it was written, which a payment, its removal and a change of its state do, or
if a line of it was reconciled since.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from operator import index
from typing import Any

from services.arg_sync.ledgers.documents import Payment, PaymentPage
from services.arg_sync.ledgers.lookups import Row, required_values, value_in
from services.arg_sync.ledgers.tryton_rpc import TrytonRpc
from shared.money import ZERO

INVOICE, LINE = "model.account.invoice", "model.account.move.line"
RECONCILIATION = "model.account.move.reconciliation"
OVERLAP = timedelta(minutes=15)
"""What is read again: Tryton stamps a change with the beginning of its transaction."""
READ_AT_ONCE, MOST_AT_ONCE = 200, 2_000
INVOICE_FIELDS = [
    "reference",
    "state",
    "total_amount",
    "amount_to_pay",
    "invoice_date",
    "currency.code",
    "company.currency.code",
    "payment_lines",
    "lines_to_pay",
    "reconciliation_lines",
]
LINE_FIELDS = [
    "debit",
    "credit",
    "amount_second_currency",
    "second_currency.code",
    "date",
    "reconciliation",
    "move",
    "move_origin",
    "move.journal.type",
]
SETTLING = ("posted", "paid")


async def changed_payments(rpc: TrytonRpc, cursor: str, company: int) -> PaymentPage:
    """Return all payments of the invoices that changed since the cursor, a moment of Tryton."""
    changed, newest = await _changed(rpc, cursor, company)
    payments: list[Payment] = []
    for part in _parts(changed):
        rows = await rpc.call(f"{INVOICE}.read", list(part), INVOICE_FIELDS)
        with required_values("an invoice in Tryton"):
            ids = sorted({line for row in rows for line in _line_ids(row)})
        lines = {row["id"]: row for row in await _read(rpc, LINE, ids, LINE_FIELDS)}
        documents = await _moves_of_documents(rpc, lines.values())
        with required_values("a payment in Tryton"):
            for row in rows:
                payments += _Settled(row, lines, documents).payments()
    return PaymentPage(newest, tuple(payments), frozenset(map(str, changed)))


async def _changed(rpc: TrytonRpc, cursor: str, company: int) -> tuple[list[int], str]:
    """Return the ids of the changed invoices in their order, and the moment up to which they are.

    Beyond the cursor they are not many more than `MOST_AT_ONCE`; the rest follows.
    """
    ours = [["company", "=", company], ["type", "=", "out"]]
    written = await rpc.search(INVOICE, [*ours, *_since(cursor, "write_date")], ["write_date"])
    reconciled = await rpc.search(
        RECONCILIATION,
        [["company", "=", company], *_since(cursor, "create_date")],
        ["create_date", "lines"],
    )
    with required_values("a change in Tryton"):
        at = {index(row["id"]): str(row["write_date"] or "") for row in written}
        lines = {
            line: str(value_in(row, "create_date"))
            for row in reconciled
            for line in value_in(row, "lines")
        }
        rows = await _read(rpc, LINE, sorted(lines), ["move", "invoice_payment"])
        moves = {value_in(row, "move"): lines[row["id"]] for row in rows}
        paid = {row["invoice_payment"]: lines[row["id"]] for row in rows}
    for part in _parts(sorted(moves)):
        found = await rpc.search(INVOICE, [*ours, ["move", "in", list(part)]], ["move"])
        paid |= {row["id"]: moves[row["move"]] for row in found}
    paid.pop(None, None)
    at |= {one: max(moment, at.get(one, "")) for one, moment in paid.items()}
    moments = sorted(at.values())
    beyond = [moment for moment in moments if moment > cursor]
    last = beyond[MOST_AT_ONCE] if len(beyond) > MOST_AT_ONCE else max([cursor, *beyond])
    return sorted((one for one in at if at[one] <= last), key=lambda one: at[one]), last


def _since(cursor: str, field: str) -> list[Any]:
    """Return the condition for what changed since shortly before the cursor."""
    try:
        at = datetime.fromisoformat(cursor.removesuffix("Z")) - OVERLAP
    except ValueError:
        return []
    names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return [[field, ">=", {"__class__": "datetime"} | {name: getattr(at, name) for name in names}]]


async def _moves_of_documents(rpc: TrytonRpc, lines: Iterable[Row]) -> dict[int, int]:
    """Return move → invoice or credit note of the lines that are of a document itself.

    The move of a payment by the Pay wizard has the paid invoice as its origin, too.
    """
    kind = "account.invoice,"
    origins = {str(row["move_origin"] or "") for row in lines}
    ids = sorted(int(one.removeprefix(kind)) for one in origins if one.startswith(kind))
    return {row["move"]: row["id"] for row in await _read(rpc, INVOICE, ids, ["move"])}


async def _read(rpc: TrytonRpc, model: str, ids: list[int], fields: list[str]) -> list[Row]:
    rows: list[Row] = []
    for part in _parts(ids):
        rows += await rpc.call(f"{model}.read", list(part), fields)
    return rows


def _parts(ids: list[int]) -> Iterable[list[int]]:
    return (ids[at : at + READ_AT_ONCE] for at in range(0, len(ids), READ_AT_ONCE))


def _line_ids(row: Row) -> list[int]:
    names = ("payment_lines", "lines_to_pay", "reconciliation_lines")
    return [line for name in names for line in value_in(row, name)]


@dataclass(frozen=True)
class _Settled:
    """An invoice, the lines by id, and the moves that are of documents."""

    invoice: Row
    lines: Mapping[int, Row]
    documents: Mapping[int, int]

    def payments(self) -> list[Payment]:
        """Return its payments; they add up to what is settled less applied credit notes."""
        row = self.invoice
        total = value_in(row, "total_amount")
        if row["state"] not in SETTLING or total <= 0:
            return []
        left = value_in(row, "amount_to_pay") if row["state"] == "posted" else ZERO
        own, other = self._lines_that_count()
        shared = any(self._is_document(one) and self._worth(one) < 0 for one in other)
        money = [one for one in (*own, *(() if shared else other)) if not self._is_document(one)]
        credits = [one for one in own if self._is_document(one)]
        if not shared or self._is_first(other):
            credits += [one for one in other if self._is_document(one) and self._worth(one) > 0]
        found = [self._payment(one) for one in money if self._worth(one)]
        known = sum((one.amount for one in found), ZERO)
        rest = total - left - known - sum(map(self._worth, credits), ZERO)
        if rest:
            days = [one["date"] for one in (*own, *other)]
            on = max(days, default=row["invoice_date"])
            found.append(self._made(f"reconciled {row['id']}", rest, on))
        return found

    def _lines_that_count(self) -> tuple[list[Row], list[Row]]:
        """Return the payment lines that no cancellation undid, and other reconciled lines."""
        row, lines = self.invoice, self.lines
        settled = {lines[one]["reconciliation"] for one in value_in(row, "lines_to_pay")}
        paid = set(value_in(row, "payment_lines"))
        own = [lines[one] for one in sorted(paid)]
        own = [one for one in own if one["reconciliation"] in {None} | settled]
        return own, [lines[one] for one in row["reconciliation_lines"] if one not in paid]

    def _is_document(self, line: Row) -> bool:
        return value_in(line, "move") in self.documents

    def _is_first(self, other: Collection[Row]) -> bool:
        """Return whether it has the lowest id of what was reconciled together.

        A credit note in a reconciliation of several invoices counts for that one.
        """
        there = [self.documents[one["move"]] for one in other if one["move"] in self.documents]
        return int(self.invoice["id"]) <= min(there, default=0)

    def _worth(self, line: Row) -> Decimal:
        """Return what a line pays in the invoice's currency; 0 if it tells only another one."""
        currency = value_in(self.invoice, "currency.", "code")
        second = line.get("second_currency.")
        if second and second["code"] == currency:
            return -Decimal(value_in(line, "amount_second_currency"))
        if value_in(self.invoice, "company.", "currency.", "code") != currency:
            return ZERO
        return Decimal(value_in(line, "credit")) - Decimal(value_in(line, "debit"))

    def _payment(self, line: Row) -> Payment:
        kind = value_in(line, "move.", "journal.", "type")
        name = "write-off " if kind == "write-off" else ""
        return self._made(f"{name}{line['id']}", self._worth(line), value_in(line, "date"))

    def _made(self, payment_id: str, amount: Decimal, day: Any) -> Payment:
        row = self.invoice
        return Payment(
            payment_id,
            str(index(row["id"])),
            row["reference"] or "",
            amount,
            value_in(row, "currency.", "code"),
            day,
        )
