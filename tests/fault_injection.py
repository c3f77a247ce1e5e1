"""Rows inserted as the owner: for tests of readers (verify, the scheduler, console views).

What services write is tested through the services. Here a test needs a state, right or wrong,
without the events that lead to it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.realizations import PayLinesRealized, RealizationLine
from tests.builders import COMPANY
from tests.drafted import draft_of

NOT_STORED_AS_IS = {"derivation", "credit_date"}
LINE_FIELDS = tuple(name for name in RealizationLine.model_fields if name not in NOT_STORED_AS_IS)


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A pay line on a document, with its tax."""

    pay_line_id: int
    amount: Decimal
    tax: Decimal = Decimal(0)
    code: str = ""
    rate: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class RowInserter:
    """Insert rows on one connection."""

    connection: AsyncConnection

    async def run(self, sql: str, **values: Any) -> Any:
        """Run one SQL statement; return the first column of its first row, if it has any."""
        result = await self.connection.execute(text(sql), values)
        return result.scalar() if result.returns_rows else None

    async def without_triggers(self) -> None:
        """Disable all triggers until this transaction ends, to inject faults."""
        await self.run("SET LOCAL session_replication_role = replica")

    async def company(self, billing_company: str = COMPANY, **changes: Any) -> None:
        """A known billing company."""
        values = {
            "known": True,
            "billing_company": billing_company,
            "name": billing_company,
            "time_zone": "UTC",
        } | changes
        names = ", ".join(values)
        await self.run(
            f"INSERT INTO fee_realizer.billing_company ({names}) VALUES"
            f" ({', '.join(':' + name for name in values)})",
            **values,
        )

    async def realization(
        self,
        said: PayLinesRealized,
        *,
        settled: bool = True,
        minutes_ago: int = 0,
        hold: str | None = None,
    ) -> None:
        """A realization as fee_realizer stores it, by default settled by the invoicer."""
        values = {
            "kind": said.document_kind,
            "id": said.document_id,
            "no": said.realization_no,
            "is": said.realization_kind,
            "body": said.model_dump_json(),
        }
        await self.run(
            "INSERT INTO fee_realizer.source_document (document_kind, document_id, source_id,"
            " revision, realization_no, hold_code)"
            " VALUES (:kind, :id, :id, CAST(:no AS bigint), CAST(:no AS integer), :hold) ON"
            " CONFLICT (document_kind, document_id)"
            " DO UPDATE SET realization_no = excluded.realization_no, hold_code ="
            " excluded.hold_code",
            kind=said.document_kind,
            id=said.document_id,
            no=said.realization_no,
            hold=hold,
        )
        await self.run(
            "INSERT INTO fee_realizer.realization (document_kind, document_id, realization_no,"
            " realization_kind, source_id, revision, cause, body, issued_at)"
            " VALUES (:kind, :id, CAST(:no AS integer), :is, :id, CAST(:no AS bigint), 'test',"
            " :body, now() - make_interval(mins => :minutes))",
            **values,
            minutes=minutes_ago,
        )
        if settled:
            await self.run(
                "INSERT INTO invoicer.settled_document (document_kind, document_id,"
                " realization_no, realization_kind, body)"
                " VALUES (:kind, :id, :no, :is, :body) ON CONFLICT (document_kind, document_id)"
                " DO UPDATE SET realization_no = excluded.realization_no, realization_kind ="
                " excluded.realization_kind, body = excluded.body",
                **values,
            )

    async def pay_line(
        self,
        line: RealizationLine,
        document_id: str,
        place: str = "open",
        *,
        realization_no: int = 1,
        corrects: tuple[int, int] | None = None,
        announce: bool = False,
    ) -> int:
        """A pay line in its place: open, draft, replaced, or none yet (for an invoice)."""
        values = {name: getattr(line, name) for name in LINE_FIELDS} | {
            "document_kind": "placement" if line.line_kind == "product" else "timesheet",
            "document_id": document_id,
            "realization_no": realization_no,
            "accounting_period": line.effective_date.year * 100 + line.effective_date.month,
            "derivation": json.dumps(line.derivation),
            "announce_when_due": announce,
            "corrects_invoice_id": corrects[0] if corrects else None,
            "corrects_line_no": corrects[1] if corrects else None,
        }
        columns = ", ".join(values)
        marks = ", ".join(
            f"CAST(:{name} AS jsonb)" if name == "derivation" else f":{name}" for name in values
        )
        pay_line_id: int = await self.run(
            f"INSERT INTO invoicer.pay_line ({columns}) VALUES ({marks}) RETURNING pay_line_id",
            **values,
        )
        into = {
            "open": "INSERT INTO invoicer.open_line SELECT billing_company,"
            " pay_line_id, effective_date, week_ending, billto_node,"
            " corrects_invoice_id IS NOT NULL FROM invoicer.pay_line WHERE pay_line_id = :id",
            "draft": draft_of("SELECT * FROM invoicer.pay_line WHERE pay_line_id = :id"),
            "replaced": "INSERT INTO invoicer.replaced_line VALUES (:id, 99)",
        }
        if place in into:
            await self.run(into[place], id=pay_line_id)
        return pay_line_id

    async def batch(
        self, batch_id: str, numbers: Sequence[int], invoice_date: date, company: str = COMPANY
    ) -> None:
        """The head of a batch; `close_batch` adds its totals when its documents exist."""
        await self.run(
            "INSERT INTO invoicer.batch (batch_id, billing_company, command_id, cut_off_date,"
            " invoice_date, first_number, last_number, documents,"
            " line_count, totals, actor, reason, generated_at)"
            " VALUES (:id, :company, :id, :date, :date, :first, :last, :documents, 0, '[]', 'pat',"
            " 'test', now())",
            id=batch_id,
            company=company,
            date=invoice_date,
            first=f"INV-{numbers[0]:06}",
            last=f"INV-{numbers[-1]:06}",
            documents=len(numbers),
        )

    async def close_batch(self, batch_id: str) -> None:
        """Totals of a batch from its documents."""
        await self.run(
            "UPDATE invoicer.batch b SET line_count = s.lines, totals = s.totals FROM ("
            " SELECT sum(lines) AS lines, jsonb_agg(jsonb_build_object('currency', currency,"
            " 'documents', documents, 'lines', lines,"
            "  'net', CAST(net AS text), 'tax', CAST(tax AS text), 'total', CAST(total AS text)))"
            " AS totals"
            " FROM (SELECT currency, count(*) AS documents, sum(line_count) AS lines, sum(net) AS"
            " net, sum(tax) AS tax, sum(total) AS total"
            "       FROM invoicer.invoice WHERE batch_id = :id GROUP BY currency) AS c) AS s WHERE"
            " b.batch_id = :id",
            id=batch_id,
        )

    async def invoice(
        self,
        batch_id: str,
        number: int,
        invoice_date: date,
        lines: Sequence[InvoiceLine],
        **changes: Any,
    ) -> int:
        """A closed document with its lines; `seal` sets its seal."""
        net, tax = (
            sum((line.amount for line in lines), Decimal(0)),
            sum((line.tax for line in lines), Decimal(0)),
        )
        values = {
            "billing_company": COMPANY,
            "batch_id": batch_id,
            "series": "INV-",
            "number": number,
            "invoice_number": f"INV-{number:06}",
            "document_type": "invoice" if net >= 0 else "credit-note",
            "account_name": "office-1 account",
            "currency": "USD",
            "payment_terms": "net:30",
            "po_number": "",
            "tax_regime": "standard",
            "tax_wording": "",
            "tax_basis": "line",
            "invoice_date": invoice_date,
            "due_date": date.fromordinal(invoice_date.toordinal() + 30),
            "cut_off_date": invoice_date,
            "service_from": invoice_date,
            "service_to": invoice_date,
            "net": net,
            "tax": tax,
            "total": net + tax,
            "line_count": len(lines),
            "tax_totals": _tax_totals(lines),
            "seller": "{}",
            "buyer": "{}",
        } | changes
        columns = ", ".join(values)
        marks = ", ".join(
            f"CAST(:{name} AS jsonb)" if name in ("tax_totals", "seller", "buyer") else f":{name}"
            for name in values
        )
        invoice_id: int = await self.run(
            f"INSERT INTO invoicer.invoice ({columns}, closed_at) VALUES ({marks}, now())"
            " RETURNING invoice_id",
            **values,
        )
        for at, line in enumerate(lines, 1):
            await self.run(
                "INSERT INTO invoicer.invoice_line (invoice_id, line_no, pay_line_id, billto_node,"
                " billto_level, tax_code, tax_rate, tax_amount)"
                " VALUES (:invoice, :no, :line, 'office-1', 3, :code, :rate, :tax)",
                invoice=invoice_id,
                no=at,
                line=line.pay_line_id,
                code=line.code,
                rate=line.rate,
                tax=line.tax,
            )
        return invoice_id

    async def seal(self) -> None:
        """Seal every document without a seal."""
        await self.run(
            "INSERT INTO invoicer.invoice_seal SELECT c.invoice_id, c.content_hash FROM"
            " invoicer.invoice_content c"
            " WHERE NOT EXISTS (SELECT FROM invoicer.invoice_seal s WHERE s.invoice_id ="
            " c.invoice_id)"
        )

    async def series(
        self, first: int, following: int, last_date: date, company: str = COMPANY
    ) -> None:
        """The counter of a series."""
        await self.run(
            "INSERT INTO invoicer.number_series VALUES (:company, 'INV-', :first, :following,"
            " :last)",
            company=company,
            first=first,
            following=following,
            last=last_date,
        )


def _tax_totals(lines: Sequence[InvoiceLine]) -> str:
    """Net and tax of each tax code and rate, as JSON."""
    taxes: dict[tuple[str, str], list[Decimal]] = {}
    for line in lines:
        sums = taxes.setdefault((line.code, str(line.rate)), [Decimal(0), Decimal(0)])
        sums[0] += line.amount
        sums[1] += line.tax
    return json.dumps(
        [
            {"code": code, "rate": rate, "net": str(sums[0]), "tax": str(sums[1])}
            for (code, rate), sums in taxes.items()
        ]
    )
