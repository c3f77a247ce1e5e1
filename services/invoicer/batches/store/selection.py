"""Selects the open lines of a batch into temporary tables of one transaction.

Nothing here decides: windows, terms and rates come in, and the queries apply them. The cost grows
with the open lines of the company, because pay lines are found by their key; docs/benchmarks.md has
what a long history adds.

Call `locate_lines`, then `select_lines`. The tables that other stores may read, with the columns
that they may rely on:

`selected_line`, one row for each open line of the company:
    group_no, line_no         the document that the line would be on, and its position there
    exclusion_reason          0: the line is in the batch; else the number in `rules.reasons`
    debtor_no                 the debtor in `debtor_decision`; 0: none
    location_no               the row in `line_location`
    pay_line_id, amount, tax, tax_code, tax_rate, currency, week_ending, corrects, hours
    corrects_invoice, digest  for the seal; `digest` is 0 unless the selection is made to be closed
    is_time, worker, work_key, day_minutes, correction, service_from, service_to
                              for the safety checks: a line of worked time, hashes of its worker and
                              of its requirement and document, and the most minutes of one day
`line_location`, one row for each billto node that open lines are at, and for each node on a
document that an open credit corrects: location_no, node, account_name, debtor_node, debtor_level.
`debtor_decision`, one row for each debtor: debtor_no, account_name, weeks_from.

`invoices.store.closing` reads the first two to write documents. Credits by hand and opening data
have no selection: `credits.store` and `opening.store` make both tables with the columns that
closing reads. Afterwards only `cut_groups` of `line_options`, `spread_tax`, `exclude_groups`,
`exclude_debtors` and `allowances.take_allowances` change `selected_line`. `allowances` reads
`open_credit` and `currency_decimals`, too, `line_options` `open_credit`; the others are private.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.batch_filter import NO_FILTER, BatchFilter
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.batches.store import decisions, line_options
from services.invoicer.debtors.rules.companies import BillingCompany, DocumentTerms
from services.invoicer.debtors.store.billto import RESOLVED_NODE_SQL
from services.invoicer.invoices.rules.documents import Group
from services.invoicer.invoices.rules.totals import TaxPart, TaxSpan
from services.invoicer.lines.rules import DocKey
from shared.database import rows, run
from shared.sql import named_queries

WORK_MEM = "256MB"
STATISTICS_TARGET = 25
"""How closely ANALYZE samples the temporary tables: enough for their numbers of rows and groups, in
a quarter of the usual time."""
_TIMESHEET = (
    " || CASE WHEN p.line_kind = 'timesheet' AND coalesce(k.credit_split, 0) = 0"
    " THEN chr(31) || p.document_id ELSE '' END"
)
"""A split key where each timesheet has an invoice of its own; credit notes have none."""
DENSE_RANGE = 3
"""Open lines whose ids span at most so many times their number are read as one range of the table;
others are looked up by their keys, because history lies between them."""

_QUERIES = named_queries(Path(__file__).with_name("selection.sql"))
_REASON_NUMBERS = {name.replace("-", "_"): reasons.number(name) for name in reasons.REASONS}
_TAXED_AFTER_ALLOWANCES = {
    "taxed": "(p.amount + coalesce(a.allowance, 0))",
    "shares": "LEFT JOIN line_allowance a ON a.pay_line_id = p.pay_line_id",
}


def _query(name: str, **parts: object) -> str:
    """Return a named query with the numbers of the reasons and these parts filled in."""
    return _QUERIES[name].format(**_REASON_NUMBERS, **parts)


@dataclass(frozen=True, slots=True)
class LocatedDebtors:
    """The debtors of all open lines, and the terms of the documents that open credits correct."""

    account_names: frozenset[str]
    corrected_terms: frozenset[DocumentTerms]


@dataclass(frozen=True, slots=True)
class SelectedGroups:
    """The rows of `group_totals`, what their numbers stand for, and how many lines are open."""

    rows: Sequence[Any]
    names: Mapping[int, str]
    terms: Sequence[DocumentTerms]
    open_lines: int

    def groups(self) -> list[Group]:
        """Return the groups, in the order of their numbers."""
        groups: dict[int, Group] = {}
        for row in self.rows:
            group_no, debtor_no, terms_no, credit_split, currency, po_number = row[:6]
            lines, credits, service_from, service_to, newest, code, rate, net, tax, hours = row[6:]
            part = TaxPart(code, rate, net, tax)
            group = groups.get(group_no)
            groups[group_no] = (
                group.joined(part, lines, credits, service_from, service_to, newest, hours)
                if group
                else Group(
                    group_no,
                    self.names[debtor_no],
                    currency,
                    self.terms[terms_no - 1],
                    po_number,
                    credit_split,
                    lines,
                    credits,
                    service_from,
                    service_to,
                    (part,),
                    newest,
                    hours,
                )
            )
        return list(groups.values())


async def locate_lines(connection: AsyncConnection, billing_company: str) -> LocatedDebtors:
    """Find the debtors of all open lines of a company.

    The debtor of a debit follows from the billto hierarchy as it is now, the debtor of a credit
    from the document that it corrects.
    """
    await run(connection, f"SET LOCAL work_mem = '{WORK_MEM}'")
    await run(connection, f"SET LOCAL default_statistics_target = {STATISTICS_TARGET}")
    await run(connection, _query("open_credits"), company=billing_company)
    locations = _query("line_locations", resolved_nodes=RESOLVED_NODE_SQL)
    await run(connection, locations, company=billing_company)
    names = await rows(
        connection, "SELECT DISTINCT account_name FROM line_location WHERE account_name IS NOT NULL"
    )
    terms = await rows(
        connection, "SELECT DISTINCT tax_regime, tax_wording, payment_terms FROM open_credit"
    )
    return LocatedDebtors(
        frozenset(row[0] for row in names), frozenset(DocumentTerms(*row) for row in terms)
    )


async def select_lines(
    connection: AsyncConnection,
    company: BillingCompany,
    debtors: Sequence[Debtor],
    spans: Sequence[TaxSpan],
    corrected_terms: frozenset[DocumentTerms],
    *,
    today: date,
    cut_off: date,
    with_digests: bool,
    with_options: bool = False,
    chosen: BatchFilter = NO_FILTER,
) -> SelectedGroups:
    """Apply the decisions to every open line and add up the lines that are in.

    `chosen`: its documents, workers and options say which lines may be in.
    `with_digests`: with what the seal of a closed document needs.
    `with_options`: by the options that `line_options.resolve_options` found.
    """
    terms = sorted({*corrected_terms, *(debtor.terms for debtor in debtors)})
    await decisions.add_decisions(connection, debtors, terms, spans)
    await run(connection, "CREATE INDEX ON debtor_decision (account_name)")
    await run(connection, f"ANALYZE line_location, open_credit, {', '.join(decisions.TABLES)}")
    await run(connection, _query("node_decisions"), cut_off=cut_off)
    found = await _find_exceptions(connection, company, today, chosen)
    (located,) = await rows(
        connection,
        "SELECT min(first_line) AS first, max(last_line) AS last, sum(lines) AS lines"
        " FROM line_location",
    )
    dense = bool(located.lines) and located.last - located.first < DENSE_RANGE * located.lines
    digest = "invoicer.line_digest(x)" if with_digests else "CAST(0 AS bigint)"
    await run(
        connection,
        _query(
            "selected_lines",
            pay_lines=_query("pay_lines_in_range" if dense else "pay_lines_by_key", digest=digest),
            timesheet=_TIMESHEET if company.invoice_per_timesheet else "",
            **line_options.selection_parts(with_options),
            **found,
        ),
        company=company.billing_company,
        today=today,
        default_tax=company.default_tax,
        **({"first": located.first, "last": located.last} if dense else {}),
    )
    await run(connection, "ANALYZE selected_line (group_no, exclusion_reason, pay_line_id)")
    if with_options:
        await line_options.cut_groups(connection)
    return SelectedGroups(
        await rows(connection, _query("group_totals")),
        {debtor.debtor_no: debtor.account_name for debtor in debtors},
        terms,
        int(located.lines or 0),
    )


async def _find_exceptions(
    connection: AsyncConnection,
    company: BillingCompany,
    today: date,
    chosen: BatchFilter,
) -> dict[str, str]:
    """Collect lines to price, lines that are not chosen, credits and snoozes; tell which exist."""
    unpriced = await run(connection, _query("lines_to_price"), company=company.billing_company)
    not_chosen = await run(
        connection,
        _query("lines_not_chosen", **line_options.choice_parts(bool(chosen.options))),
        company=company.billing_company,
        limited=bool(chosen.chosen),
        by_id=bool(chosen.documents or chosen.workers),
        documents=sorted(chosen.documents),
        workers=sorted(chosen.workers),
        exclude_credits=chosen.exclude_credits,
        **({"options": sorted(chosen.options)} if chosen.options else {}),
    )
    credits = await run(connection, _query("credit_decisions"), today=today)
    snoozes = await run(
        connection, _query("snoozed_lines"), company=company.billing_company, today=today
    )
    await run(
        connection,
        "ANALYZE node_decision, credit_decision, snoozed_line, line_to_price, line_not_chosen",
    )
    counts = {
        "has_credits": credits,
        "has_snoozes": snoozes,
        "has_unpriced": unpriced,
        "has_choice": not_chosen,
    }
    return {name: str(count > 0).lower() for name, count in counts.items()}


async def spread_tax(
    connection: AsyncConnection, group_nos: Sequence[int], *, with_allowances: bool = False
) -> dict[int, dict[tuple[str, Decimal], Decimal]]:
    """Compute the tax of these groups over their sums; return it by group, code and rate.

    `with_allowances`: after the shares that `store.allowances` computed.
    """
    parts = _TAXED_AFTER_ALLOWANCES if with_allowances else {"taxed": "p.amount", "shares": ""}
    await run(connection, _query("spread_tax", **parts), groups=list(group_nos))
    taxes: dict[int, dict[tuple[str, Decimal], Decimal]] = {}
    for row in await rows(connection, _query("group_taxes"), groups=list(group_nos)):
        taxes.setdefault(row.group_no, {})[(row.tax_code, row.tax_rate)] = row.tax
    return taxes


async def exclude_groups(
    connection: AsyncConnection, group_nos: Sequence[int], reason: str
) -> None:
    """Exclude every line of these groups, for one reason."""
    if group_nos:
        number = reasons.number(reason)
        await run(connection, _query("exclude_groups"), reason=number, groups=list(group_nos))


async def exclude_debtors(connection: AsyncConnection, debtor_nos: Sequence[int]) -> None:
    """Exclude every line of these debtors, because they are parked."""
    if debtor_nos:
        await run(connection, _query("exclude_debtors"), debtors=list(debtor_nos))


async def left_out(connection: AsyncConnection) -> dict[str, int]:
    """Return how many open lines are out, by reason, in the order of the reasons."""
    return {
        reasons.REASONS[row.exclusion_reason - 1]: row.lines
        for row in await rows(connection, _query("left_out"))
    }


async def unknown_documents(
    connection: AsyncConnection, company: str, ids: Collection[str]
) -> list[str]:
    """Return the ids that are no document of a company."""
    return await _ids(connection, "unknown_documents", ids, company=company)


async def unknown_workers(
    connection: AsyncConnection, company: str, ids: Collection[str]
) -> list[str]:
    """Return the workers of whom a company never had a line."""
    return await _ids(connection, "unknown_workers", ids, company=company)


async def chosen_without_lines(connection: AsyncConnection, ids: Collection[str]) -> list[str]:
    """Return the chosen documents of which no line is open, in order."""
    return await _ids(connection, "chosen_without_lines", ids)


async def _ids(
    connection: AsyncConnection, query: str, ids: Collection[str], **values: object
) -> list[str]:
    if not ids:
        return []
    return [row.id for row in await rows(connection, _query(query), ids=sorted(ids), **values)]


async def documents_to_note(connection: AsyncConnection, company: str) -> list[DocKey]:
    """Return the documents whose citations of bill rates the closed lines may have ended or begun.

    They are the credited timesheets and occurrences of assignments that have open debits, and
    those that were noted before.
    """
    found = await rows(connection, _query("documents_to_note"), company=company)
    return [(row.document_kind, row.document_id) for row in found]


async def drop_tables(connection: AsyncConnection, kept_prefix: str) -> None:
    """Drop the temporary tables of a selection, so that another selection can be made.

    Tables whose names begin with `kept_prefix` stay.
    """
    tables = await rows(connection, _query("temporary_tables"), kept=kept_prefix)
    await run(connection, "DROP TABLE " + ", ".join(f"pg_temp.{row.relname}" for row in tables))
