"""Selects the open lines of a batch into temporary tables of one transaction.

Nothing here decides: windows, terms and rates come in, and the statements apply them. The cost grows
with the open lines of the company and never with history, because pay lines are found by their key.

Call `locate_lines`, then `select_lines`. The tables that other stores may read, with the columns
that they may rely on:

`selected_line`, one row for each open line of the company:
    group_no, line_no         the document that the line would be on, and its position there
    exclusion_reason          0: the line is in the batch; else the number in `rules.reasons`
    debtor_no                 the debtor in `debtor_decision`; 0: none
    location_no               the row in `line_location`
    pay_line_id, amount, tax, tax_code, tax_rate, currency, week_ending, corrects
    corrects_invoice, digest  for the seal; `digest` is 0 unless the selection is made to be closed
    is_time, worker, work_key, day_minutes, correction, service_from, service_to
                              for the safety checks: a line of worked time, hashes of its worker and
                              of its requirement and document, and the most minutes of one day
`line_location`, one row for each billto node that open lines are at, and for each node on a document
that an open credit corrects: location_no, node, account_name, debtor_node, debtor_level.
`debtor_decision`, one row for each debtor: debtor_no, account_name, weeks_from.

`invoices.store.closing` reads the first two to write documents. A credit by hand has no selection:
`credits.store` makes both tables with the columns that closing reads. `exclude_groups` and
`store.safety_checks.exclude_debtors` are the only ones that change `selected_line` afterwards,
besides `spread_tax`. All other tables here are private: `open_credit`, `credit_decision`,
`node_decision`, `snoozed_line`, `document_terms`, `tax_span`, `currency_decimals`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.grouping import Debtor
from services.invoicer.debtors.rules.companies import BillingCompany, DocumentTerms
from services.invoicer.debtors.store.billto import RESOLVED_NODE_SQL
from services.invoicer.invoices.rules.documents import Group
from services.invoicer.invoices.rules.totals import TaxPart, TaxSpan
from shared.database import columns, joined, rows, run
from shared.money import currencies_without_two_decimals

WORK_MEM = "256MB"
SAMPLE = 25
"""How closely ANALYZE looks at the temporary tables: enough for their numbers of rows and groups, a quarter of the usual time."""
CREDIT_SPLITS = {"net": 0, "separate": 1, "per-invoice": 2}

_DEBTOR = {
    "debtor_no": "integer",
    "account_name": "text",
    "terms_no": "integer",
    "taxed": "boolean",
    "credit_split": "integer",
    "exclusion_reason": "integer",
    "waits": "boolean",
    "weeks_from": "date",
    "weeks_to": "date",
    "products_to": "date",
}
DEBTORS_SQL = f"""
CREATE TEMP TABLE debtor_decision ON COMMIT DROP AS SELECT * FROM unnest({columns(_DEBTOR)}) AS d({", ".join(_DEBTOR)}) WHERE debtor_no IS NOT NULL"""

OPEN_CREDITS_SQL = """
CREATE TEMP TABLE open_credit ON COMMIT DROP AS
SELECT o.pay_line_id, o.effective_date, o.week_ending, p.amount, p.corrects_invoice_id, p.corrects_line_no,
       i.invoice_number, i.account_name, i.currency, i.po_number, i.payment_terms, i.tax_regime, i.tax_wording,
       l.tax_code, l.tax_rate, l.billto_node, l.billto_level, l.tax_amount, c.amount AS corrected_amount,
       before.amount AS credited, before.tax AS tax_credited
FROM invoicer.open_line o
JOIN invoicer.pay_line p ON p.pay_line_id = o.pay_line_id
JOIN invoicer.invoice i ON i.invoice_id = p.corrects_invoice_id
JOIN invoicer.invoice_line l ON l.invoice_id = p.corrects_invoice_id AND l.line_no = p.corrects_line_no
JOIN invoicer.pay_line c ON c.pay_line_id = l.pay_line_id
CROSS JOIN LATERAL (
  SELECT coalesce(sum(e.amount), 0) AS amount, coalesce(sum(el.tax_amount), 0) AS tax
  FROM invoicer.pay_line e JOIN invoicer.invoice_line el ON el.pay_line_id = e.pay_line_id
  WHERE e.corrects_invoice_id = p.corrects_invoice_id AND e.corrects_line_no = p.corrects_line_no) before
WHERE o.billing_company = :company AND o.correction"""

LINE_LOCATIONS_SQL = f"""
CREATE TEMP TABLE line_location ON COMMIT DROP AS
SELECT CAST(row_number() OVER () AS integer) AS location_no, node, account_name, debtor_node, CAST(debtor_level AS integer) AS debtor_level, known, of_credit,
       first_line, last_line, lines
FROM (
  SELECT o.billto_node AS node, r.account_name, r.debtor_node, r.debtor_level, r.node_id IS NOT NULL AS known, false AS of_credit,
         o.first_line, o.last_line, o.lines
  FROM (
    SELECT billto_node, min(pay_line_id) AS first_line, max(pay_line_id) AS last_line, count(*) AS lines
    FROM invoicer.open_line WHERE billing_company = :company GROUP BY billto_node) o
  LEFT JOIN ({RESOLVED_NODE_SQL}) r ON r.node_id = o.billto_node
  UNION ALL
  SELECT NULL, account_name, billto_node, billto_level, true, true, NULL, NULL, 0 FROM open_credit GROUP BY account_name, billto_node, billto_level) s"""

# A snooze belongs to document and line key, and never holds a credit.
SNOOZED_LINES_SQL = """
CREATE TEMP TABLE snoozed_line ON COMMIT DROP AS
SELECT o.pay_line_id, z.code
FROM invoicer.snooze z
JOIN invoicer.pay_line p ON p.document_id = z.document_id AND p.document_kind = z.document_kind AND p.line_key = z.line_key
JOIN invoicer.open_line o ON o.billing_company = p.billing_company AND o.pay_line_id = p.pay_line_id
WHERE p.billing_company = :company AND p.corrects_invoice_id IS NULL AND (z.until_date IS NULL OR z.until_date > CAST(:today AS date))"""

# What a line needs to know of the node where it is, in one narrow row.
NODE_DECISIONS_SQL = f"""
CREATE TEMP TABLE node_decision ON COMMIT DROP AS
SELECT s.node, s.location_no, d.debtor_no, d.terms_no, d.taxed, d.waits,
       CASE WHEN NOT s.known THEN {reasons.number(reasons.UNKNOWN_NODE)}
            WHEN s.account_name IS NULL THEN {reasons.number(reasons.NO_ACCOUNT_NAME)} ELSE d.exclusion_reason END AS exclusion_reason,
       CASE WHEN d.debtor_no IS NULL THEN CAST(:cut_off AS date) ELSE d.weeks_to END AS weeks_to, coalesce(d.products_to, :cut_off) AS products_to
FROM line_location s LEFT JOIN debtor_decision d ON d.account_name = s.account_name
WHERE NOT s.of_credit"""

# One reason for each line that is out, in the order of `rules.reasons`. A credit has its debtor, is not snoozed, and waits for no cycle; but
# one of a timesheet waits with its debtor's timesheets.
CREDIT_DECISIONS_SQL = f"""
CREATE TEMP TABLE credit_decision ON COMMIT DROP AS
SELECT pay_line_id, invoice_number, debtor_no, terms_no, location_no, currency, po_number, tax_code, tax_rate, exclusion_reason,
       CASE credit_split WHEN 2 THEN 1 + corrects_invoice_id ELSE credit_split END AS credit_split,
       -sign_of_tax * (credited_up_to - lag(credited_up_to, 1, CAST(0 AS numeric)) OVER one_line) AS tax
FROM (
  SELECT *, CASE WHEN corrected_amount <> 0 AND corrected_amount + credited + running = 0 THEN rest ELSE least(rest, shares) END AS credited_up_to
  FROM (
    SELECT *, CASE WHEN tax_amount < 0 THEN -1 ELSE 1 END AS sign_of_tax, abs(tax_amount + tax_credited) AS rest,
           sum(amount) OVER one_line AS running,
           sum(coalesce(abs(round(tax_amount * amount / nullif(corrected_amount, 0), decimals)), 0)) OVER one_line AS shares
    FROM (
      SELECT k.*, d.debtor_no, d.credit_split, t.terms_no, s.location_no, coalesce(m.decimals, 2) AS decimals,
             CASE WHEN k.effective_date > CAST(:today AS date) THEN {reasons.number(reasons.SCHEDULED)}
                  WHEN k.week_ending IS NULL AND k.effective_date > d.products_to THEN {reasons.number(reasons.NOT_IN_CYCLE)}
                  WHEN d.exclusion_reason <> 0 THEN d.exclusion_reason
                  WHEN d.waits AND k.week_ending IS NOT NULL THEN {reasons.number(reasons.WAITS_FOR_TIMESHEETS)} ELSE 0 END AS exclusion_reason
      FROM open_credit k
      JOIN debtor_decision d ON d.account_name = k.account_name
      JOIN document_terms t ON t.tax_regime = k.tax_regime AND t.tax_wording = k.tax_wording AND t.payment_terms = k.payment_terms
      JOIN line_location s ON s.of_credit AND s.account_name = k.account_name AND s.debtor_node = k.billto_node AND s.debtor_level = k.billto_level
      LEFT JOIN currency_decimals m ON m.currency = k.currency) a
    WINDOW one_line AS (PARTITION BY corrects_invoice_id, corrects_line_no, exclusion_reason ORDER BY pay_line_id)) b) c
WINDOW one_line AS (PARTITION BY corrects_invoice_id, corrects_line_no, exclusion_reason ORDER BY pay_line_id)"""

# The first sort key is one number that tells most rows from each other, and keys that rarely decide come last: half of the time is sorting. `split_keys`
# has the split keys that are not in that number; which invoice a credit corrects is in it where each has a document of its own.
# The number of a group is the id of its first line.
# Columns of one width that are never NULL come first: what follows the others takes longer to find in a row.
# A table without rows is not looked into line by line: its join says `false`.
# OFFSET 0 keeps the digest of a line below the sort: without it every column of the pay line would travel through the sort.
SELECTED_LINES_SQL = """
CREATE TEMP TABLE selected_line ON COMMIT DROP AS
SELECT first_value(pay_line_id) OVER one_group AS group_no, CAST(row_number() OVER one_group AS integer) AS line_no,
       pay_line_id, worker, work_key, digest, exclusion_reason, location_no, is_time, correction, service_from, service_to, credit_split, debtor_no, terms_no, day_minutes,
       week_ending, corrects, amount, tax, tax_rate, tax_code, currency, po_number, corrects_invoice
FROM (
  SELECT *, ((debtor_no * CAST(16777216 AS bigint) + terms_no) * 4 + least(credit_split, 2)) * 16 + exclusion_reason AS decision_key FROM (
  SELECT o.pay_line_id, p.amount, o.week_ending, p.worker_id COLLATE "C" AS worker_id, o.effective_date, p.document_id COLLATE "C" AS document_id,
         p.line_key COLLATE "C" AS line_key, p.service_from, p.service_to, p.corrects_invoice_id AS corrects, p.corrects_line_no, p.currency,
         coalesce(k.debtor_no, s.debtor_no, 0) AS debtor_no, coalesce(k.terms_no, s.terms_no, 0) AS terms_no, coalesce(k.credit_split, 0) AS credit_split,
         coalesce(k.po_number, p.po_number) AS po_number, coalesce(k.location_no, s.location_no) AS location_no,
         CASE WHEN k.credit_split > 1 THEN concat_ws(chr(31), p.currency, k.credit_split, k.po_number)
              ELSE p.currency || chr(31) || coalesce(k.po_number, p.po_number) END COLLATE "C" AS split_keys,
         coalesce(k.tax_code, nullif(p.tax_code, ''), :default_tax) AS tax_code,
         coalesce(k.tax_rate, t.percent, 0) AS tax_rate,
         coalesce(k.tax, round(p.amount * t.fraction, coalesce(m.decimals, 2)), 0) AS tax,
         CASE WHEN k.pay_line_id IS NOT NULL THEN k.exclusion_reason
              WHEN o.effective_date > CAST(:today AS date) THEN {scheduled}
              WHEN z.code = 'snoozed' THEN {snoozed}
              WHEN z.code IS NOT NULL THEN {edit_meets_revision}
              WHEN p.line_kind = 'product' AND o.effective_date > s.products_to THEN {not_in_cycle}
              WHEN p.line_kind = 'timesheet' AND NOT o.correction AND o.week_ending > s.weeks_to THEN {not_in_cycle}
              WHEN s.exclusion_reason <> 0 THEN s.exclusion_reason
              WHEN s.waits AND p.line_kind = 'timesheet' THEN {waits_for_timesheets}
              WHEN s.taxed AND t.percent IS NULL AND coalesce(nullif(p.tax_code, ''), :default_tax) <> '' THEN {no_tax_rate}
              ELSE 0 END AS exclusion_reason,
         k.invoice_number AS corrects_invoice, p.digest, {worked}
  FROM invoicer.open_line o
  {facts}
  JOIN node_decision s ON s.node = o.billto_node
  LEFT JOIN credit_decision k ON {credits} AND k.pay_line_id = o.pay_line_id
  LEFT JOIN currency_decimals m ON m.currency = p.currency
  LEFT JOIN tax_span t ON s.taxed AND t.tax_code = coalesce(nullif(p.tax_code, ''), :default_tax)
       AND o.effective_date >= t.from_date AND o.effective_date < t.to_date
  LEFT JOIN snoozed_line z ON {held} AND z.pay_line_id = o.pay_line_id
  WHERE o.billing_company = :company
  OFFSET 0) l) q
WINDOW one_group AS (
  PARTITION BY decision_key, split_keys
  ORDER BY week_ending, worker_id, document_id, line_key, effective_date, corrects, corrects_line_no, pay_line_id ROWS UNBOUNDED PRECEDING)"""

# The two ways to the facts of open lines. Where open lines lie close together, the piece of the table between the first and the last is
# read once; where history lies between them, each is looked up by its key. Neither reads history.
FACTS_BETWEEN = """JOIN (SELECT x.*, {digest} AS digest FROM invoicer.pay_line x WHERE x.pay_line_id BETWEEN :first AND :last) p
    ON p.pay_line_id = o.pay_line_id"""
FACTS_BY_KEY = """CROSS JOIN LATERAL (
    SELECT x.*, {digest} AS digest FROM invoicer.pay_line x WHERE x.pay_line_id = o.pay_line_id OFFSET 0) p"""
CLOSE_TOGETHER = 3

# What the bounds look at (`store.bounds`), as narrow as it can be. `work_key`: requirement and document.
WORKED = """p.line_kind = 'timesheet' AND p.corrects_invoice_id IS NULL AS is_time, o.correction, hashtextextended(p.worker_id, 0) AS worker,
         hashtextextended(p.requirement_id, hashtextextended(p.document_id, 0)) AS work_key, p.day_minutes"""

# All lines of a group have the same debtor, terms, currency and PO number: any value is the value.
HEADS_SQL = """
SELECT group_no, any_value(debtor_no) AS debtor_no, any_value(terms_no) AS terms_no, any_value(credit_split) AS credit_split, any_value(currency) AS currency,
       any_value(po_number) AS po_number, count(*) AS line_count, count(corrects) AS credit_count, min(service_from) AS service_from,
       max(service_to) AS service_to, max(corrects) AS newest_corrected, tax_code, tax_rate, sum(amount) AS net, sum(tax) AS tax
FROM selected_line WHERE exclusion_reason = 0 GROUP BY group_no, tax_code, tax_rate ORDER BY group_no, tax_code, tax_rate"""

# Tax over the sum of a document's lines of one code and rate, spread by largest remainder; twin of `rules.totals.document_tax`.
# Only debits: a credit keeps what it takes from the line that it corrects.
SPREAD_SQL = """
UPDATE selected_line k SET tax = c.tax
FROM (
  SELECT pay_line_id, (floor_units + CASE WHEN place <= round(sum_exact) - sum_floors THEN 1 ELSE 0 END) * step AS tax
  FROM (
    SELECT *, row_number() OVER (PARTITION BY group_no, tax_code, tax_rate ORDER BY exact - floor_units DESC, line_no) AS place,
           sum(exact) OVER (PARTITION BY group_no, tax_code, tax_rate) AS sum_exact,
           sum(floor_units) OVER (PARTITION BY group_no, tax_code, tax_rate) AS sum_floors
    FROM (
      SELECT p.pay_line_id, p.group_no, p.tax_code, p.tax_rate, p.line_no, power(CAST(10 AS numeric), -coalesce(m.decimals, 2)) AS step,
             p.amount * p.tax_rate / 100 * power(CAST(10 AS numeric), coalesce(m.decimals, 2)) AS exact,
             floor(p.amount * p.tax_rate / 100 * power(CAST(10 AS numeric), coalesce(m.decimals, 2))) AS floor_units
      FROM selected_line p LEFT JOIN currency_decimals m ON m.currency = p.currency
      WHERE p.group_no = ANY(CAST(:groups AS bigint[])) AND p.corrects IS NULL AND p.tax_rate <> 0) e) s) c
WHERE c.pay_line_id = k.pay_line_id AND c.tax <> k.tax"""


@dataclass(frozen=True, slots=True)
class LocatedDebtors:
    """Who could be invoiced: Account Names of the nodes where open lines are and of the documents that open credits correct, and the
    terms of those documents."""

    account_names: frozenset[str]
    corrected_terms: frozenset[DocumentTerms]


@dataclass(frozen=True, slots=True)
class SelectedGroups:
    """The lines that are in, added up per group, tax code and rate: as the database tells it; and how many lines are open."""

    rows: Sequence[Any]
    names: Mapping[int, str]
    terms: Sequence[DocumentTerms]
    open_lines: int

    def groups(self) -> list[Group]:
        """The groups, in the order of their numbers."""
        found: dict[int, Group] = {}
        for row in self.rows:
            (
                group_no,
                debtor_no,
                terms_no,
                credit_split,
                currency,
                po_number,
                lines,
                credits,
                since,
                until,
                newest,
                code,
                rate,
                net,
                tax,
            ) = row
            part = TaxPart(code, rate, net, tax)
            was = found.get(group_no)
            found[group_no] = (
                was.joined(part, lines, credits, since, until, newest)
                if was
                else Group(
                    group_no,
                    self.names[debtor_no],
                    currency,
                    self.terms[terms_no - 1],
                    po_number,
                    credit_split,
                    lines,
                    credits,
                    since,
                    until,
                    (part,),
                    newest,
                )
            )
        return list(found.values())


async def locate_lines(connection: AsyncConnection, billing_company: str) -> LocatedDebtors:
    """Finds the debtors of all open lines of a company: for debits as the hierarchy stands now, for credits as the documents say."""
    await run(connection, f"SET LOCAL work_mem = '{WORK_MEM}'")
    await run(connection, f"SET LOCAL default_statistics_target = {SAMPLE}")
    await run(connection, OPEN_CREDITS_SQL, company=billing_company)
    await run(connection, LINE_LOCATIONS_SQL, company=billing_company)
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
) -> SelectedGroups:
    """Applies what was decided to every open line; the heads of the groups of those that are in. `with_digests`: with what a closed document's seal needs."""
    terms = sorted({*corrected_terms, *(debtor.terms for debtor in debtors)})
    await _add_decisions(connection, debtors, terms, spans)
    await run(connection, "CREATE INDEX ON debtor_decision (account_name)")
    await run(
        connection,
        "ANALYZE debtor_decision, line_location, open_credit, document_terms, tax_span, currency_decimals",
    )
    await run(connection, NODE_DECISIONS_SQL, cut_off=cut_off)
    credits = await run(connection, CREDIT_DECISIONS_SQL, today=today)
    held = await run(connection, SNOOZED_LINES_SQL, company=company.billing_company, today=today)
    await run(connection, "ANALYZE node_decision, credit_decision, snoozed_line")
    open_lines = await _select_lines(
        connection,
        company,
        today=today,
        with_digests=with_digests,
        some={"credits": credits > 0, "held": held > 0},
    )
    await run(connection, "ANALYZE selected_line (group_no, exclusion_reason, pay_line_id)")
    return SelectedGroups(
        await rows(connection, HEADS_SQL),
        {debtor.debtor_no: debtor.account_name for debtor in debtors},
        terms,
        open_lines,
    )


async def _select_lines(
    connection: AsyncConnection,
    company: BillingCompany,
    *,
    today: date,
    with_digests: bool,
    some: Mapping[str, bool],
) -> int:
    """Makes `selected_line`, by the cheaper way to the facts; how many lines are open. `some`: which of the tables that few lines are in have any rows."""
    (reach,) = await rows(
        connection,
        "SELECT min(first_line) AS first, max(last_line) AS last, sum(lines) AS lines FROM line_location",
    )
    close = bool(reach.lines) and reach.last - reach.first < CLOSE_TOGETHER * reach.lines
    facts = (FACTS_BETWEEN if close else FACTS_BY_KEY).format(
        digest="invoicer.line_digest(x)" if with_digests else "CAST(0 AS bigint)"
    )
    between = {"first": reach.first, "last": reach.last} if close else {}
    numbers = {reason.replace("-", "_"): reasons.number(reason) for reason in reasons.REASONS}
    query = SELECTED_LINES_SQL.format(
        facts=facts,
        worked=WORKED,
        **numbers,
        **{name: str(there).lower() for name, there in some.items()},
    )
    await run(
        connection,
        query,
        company=company.billing_company,
        today=today,
        default_tax=company.default_tax,
        **between,
    )
    return int(reach.lines or 0)


async def _add_decisions(
    connection: AsyncConnection,
    debtors: Sequence[Debtor],
    terms: Sequence[DocumentTerms],
    spans: Sequence[TaxSpan],
) -> None:
    """Puts the decisions of the rules where the statements can join them."""
    number = {each: at for at, each in enumerate(terms, start=1)}
    await run(
        connection,
        DEBTORS_SQL,
        debtor_no=joined([str(debtor.debtor_no) for debtor in debtors]),
        account_name=joined([debtor.account_name for debtor in debtors]),
        terms_no=joined([str(number[debtor.terms]) for debtor in debtors]),
        taxed=joined([str(debtor.terms.tax_regime == "standard") for debtor in debtors]),
        credit_split=joined([str(CREDIT_SPLITS[debtor.credits]) for debtor in debtors]),
        exclusion_reason=joined([str(_exclusion_reason(debtor)) for debtor in debtors]),
        waits=joined([str(bool(debtor.waiting)) for debtor in debtors]),
        weeks_from=joined([_day(debtor.window.weeks_from) for debtor in debtors]),
        weeks_to=joined([_day(debtor.window.weeks_to) for debtor in debtors]),
        products_to=joined([_day(debtor.window.products_to) for debtor in debtors]),
    )
    await run(
        connection,
        "CREATE TEMP TABLE document_terms ON COMMIT DROP AS SELECT * FROM unnest(CAST(:numbers AS integer[]), CAST(:regimes AS text[]), CAST(:wordings AS text[]),"
        " CAST(:terms AS text[])) AS t(terms_no, tax_regime, tax_wording, payment_terms)",
        numbers=list(number.values()),
        regimes=[each.tax_regime for each in terms],
        wordings=[each.tax_wording for each in terms],
        terms=[each.payment_terms for each in terms],
    )
    await run(
        connection,
        "CREATE TEMP TABLE tax_span ON COMMIT DROP AS SELECT * FROM unnest(CAST(:codes AS text[]), CAST(:since AS date[]), CAST(:until AS date[]),"
        " CAST(:percents AS numeric[]), CAST(:fractions AS numeric[])) AS t(tax_code, from_date, to_date, percent, fraction)",
        codes=[span.tax_code for span in spans],
        since=[span.from_date for span in spans],
        until=[span.to_date for span in spans],
        percents=[span.percent for span in spans],
        fractions=[span.percent / 100 for span in spans],
    )
    await run(
        connection,
        "CREATE TEMP TABLE currency_decimals ON COMMIT DROP AS SELECT * FROM unnest(CAST(:currencies AS text[]), CAST(:decimals AS integer[])) AS m(currency, decimals)",
        currencies=[currency for currency, _ in currencies_without_two_decimals()],
        decimals=[decimals for _, decimals in currencies_without_two_decimals()],
    )


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _exclusion_reason(debtor: Debtor) -> int:
    """Why none of a debtor's lines is in, by number."""
    if debtor.left_out:
        return reasons.number(debtor.left_out)
    return reasons.number(reasons.DEBTOR_PARKED) if debtor.parked else reasons.IN


async def spread_tax(
    connection: AsyncConnection, group_nos: Sequence[int]
) -> dict[int, dict[tuple[str, Decimal], Decimal]]:
    """Computes the tax of these groups over their sums; by group the new tax of each code and rate."""
    await run(connection, SPREAD_SQL, groups=list(group_nos))
    query = """
        SELECT group_no, tax_code, tax_rate, sum(tax) AS tax FROM selected_line
        WHERE group_no = ANY(CAST(:groups AS bigint[])) GROUP BY group_no, tax_code, tax_rate"""
    found: dict[int, dict[tuple[str, Decimal], Decimal]] = {}
    for row in await rows(connection, query, groups=list(group_nos)):
        found.setdefault(row.group_no, {})[(row.tax_code, row.tax_rate)] = row.tax
    return found


async def exclude_groups(
    connection: AsyncConnection, group_nos: Sequence[int], reason: str
) -> None:
    """Takes whole groups out, for one reason."""
    if group_nos:
        query = "UPDATE selected_line SET exclusion_reason = :reason WHERE group_no = ANY(CAST(:groups AS bigint[]))"
        await run(connection, query, reason=reasons.number(reason), groups=list(group_nos))


async def left_out(connection: AsyncConnection) -> dict[str, int]:
    """How many open lines are out, by reason, in the order of the reasons."""
    found = await rows(
        connection,
        "SELECT exclusion_reason, count(*) AS lines FROM selected_line WHERE exclusion_reason <> 0 GROUP BY exclusion_reason ORDER BY exclusion_reason",
    )
    return {reasons.REASONS[row.exclusion_reason - 1]: row.lines for row in found}


async def drop_tables(connection: AsyncConnection, kept_prefix: str) -> None:
    """Drops the temporary tables of a selection, so that another one can be made.

    Tables whose names begin with `kept_prefix` stay.
    """
    found = await rows(
        connection,
        "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'"
        " AND NOT starts_with(relname, :kept) ORDER BY relname",
        kept=kept_prefix,
    )
    await run(connection, "DROP TABLE " + ", ".join(f"pg_temp.{row.relname}" for row in found))
