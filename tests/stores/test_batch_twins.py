"""Rules that exist in Python and in SQL agree on generated lines."""

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.rules.grouping import Debtor, debtors
from services.invoicer.batches.store import selection
from services.invoicer.debtors.rules.companies import BillingCompany, TaxRate
from services.invoicer.debtors.rules.cycles import NO_COMPLETE_CYCLE, Window, window
from services.invoicer.invoices.rules.totals import credit_taxes, tax_spans
from shared.money import minor_unit
from tests.conftest import Transact
from tests.twins import document_tax, in_window, line_tax, rate_on

D = Decimal
TODAY = date(2026, 10, 31)
CUT_OFF = date(2026, 9, 6)
CURRENCIES = ("USD", "EUR", "JPY", "KWD")
PERCENTS = (D("6.25"), D("8.875"), D(15), D(21))

LINE = """
WITH inserted AS (
  INSERT INTO invoicer.pay_line (
    billing_company, document_kind, document_id, realization_no, line_key, line_kind, quantity,
    unit, unit_price, amount, currency, effective_date, service_from, service_to,
    accounting_period, week_ending, billto_node, requirement_id, worker_id, time_type, item_id,
    project, cost_center, po_number, tax_code, tax_date, rate_version, rate_book, description,
    derivation, announce_when_due, corrects_invoice_id, corrects_line_no, engagement)
  SELECT :company, :document_kind, :document, 1, 'k', :kind, 1, 'HUR', 1, :amount, :currency,
    :effective, :effective, :effective, 202601, CAST(:week AS date), :office, '', 'w', '', '', '',
    '', '', :tax_code, CAST(:tax_date AS date), '', 0, '', '{}', false, CAST(:invoice AS bigint),
    CAST(:line AS integer), CAST(CAST(:engagement AS text) AS jsonb)
  RETURNING *)
INSERT INTO invoicer.open_line
SELECT billing_company, pay_line_id, effective_date, week_ending, billto_node, :correction
FROM inserted RETURNING pay_line_id"""


async def add_line(connection: AsyncConnection, company: str = "acme", **changes: Any) -> int:
    """Insert an open line as the owner."""
    values: dict[str, Any] = {
        "document": "T",
        "document_kind": "timesheet",
        "engagement": None,
        "office": "office",
        "kind": "timesheet",
        "amount": D(1),
        "currency": "USD",
        "effective": CUT_OFF,
        "week": CUT_OFF,
        "tax_code": "",
        "tax_date": None,
        "invoice": None,
        "line": None,
        "correction": False,
    }
    found = await connection.execute(text(LINE), {"company": company} | values | changes)
    return int(found.scalar_one())


async def node(connection: AsyncConnection) -> None:
    """Insert the office that pays."""
    await connection.execute(
        text(
            "INSERT INTO invoicer.billto_node"
            " (node_id, revision, level, name, account_name, address, tax_id, body)"
            " VALUES ('office', 1, 3, 'Office', 'Mercy', '', '', '{}')"
        )
    )


async def selected_line(
    connection: AsyncConnection, company: BillingCompany, rates: list[TaxRate]
) -> dict[int, Any]:
    """Return the selection of a company, by line."""
    located = await selection.locate_lines(connection, company)
    decided = debtors(located.account_names, company, {}, CUT_OFF)
    await selection.select_lines(
        connection,
        company,
        decided,
        tax_spans(rates),
        located.corrected_terms,
        today=TODAY,
        cut_off=CUT_OFF,
        with_digests=True,
    )
    return {
        row.pay_line_id: row
        for row in (await connection.execute(text("SELECT * FROM selected_line"))).all()
    }


@pytest.mark.parametrize("neighbours", [0, 9], ids=["lines lie together", "others lie between"])
async def test_window_and_line_tax(transact: Transact, neighbours: int) -> None:
    """SQL and rules agree on reason and tax, by both ways to the pay lines."""
    draw = random.Random(7)
    company = BillingCompany("acme", default_tax="VAT")
    rates = [
        TaxRate("VAT", date(2026, 1, 1), D(19)),
        TaxRate("VAT", date(2026, 8, 1), D("8.875")),
        TaxRate("LOW", date(2026, 7, 1), D("6.25")),
    ]

    async def work(connection: AsyncConnection) -> None:
        await node(connection)
        lines: dict[int, dict[str, Any]] = {}
        for at in range(400):
            effective = date(2026, 6, 1) + timedelta(days=draw.randrange(200))
            kind = draw.choice(("timesheet", "product"))
            currency = draw.choice(CURRENCIES)
            line = {
                "kind": kind,
                "week": effective if kind == "timesheet" else None,
                "effective": effective,
                "correction": draw.random() < 0.3,
                "currency": currency,
                "amount": draw.randrange(-5000, 99999) * minor_unit(currency),
                "tax_code": draw.choice(("", "LOW", "GST")),
                "tax_date": draw.choice((None, effective - timedelta(days=draw.randrange(7)))),
            }
            lines[await add_line(connection, document=f"T-{at}", **line)] = line
            for _ in range(neighbours):
                await add_line(connection, "other")
        found = await selected_line(connection, company, rates)
        assert found.keys() == lines.keys()
        seen = set()
        for pay_line_id, line in lines.items():
            reason, tax = expected(line, company, rates)
            row = found[pay_line_id]
            assert (
                reasons.REASONS[row.exclusion_reason - 1] if row.exclusion_reason else ""
            ) == reason, line
            seen.add(reason)
            if not reason:
                assert row.tax == tax, line
        assert seen == {"", reasons.SCHEDULED, reasons.AFTER_CUT_OFF, reasons.NO_TAX_RATE}

    await transact("owner", work)


WINDOWS = (
    Window(CUT_OFF, CUT_OFF),
    Window(None, CUT_OFF),
    Window(NO_COMPLETE_CYCLE, CUT_OFF),
    Window(date(2026, 8, 31), CUT_OFF, date(2026, 8, 1)),
    Window(date(2026, 9, 6), CUT_OFF, date(2026, 8, 31)),
)


async def test_windows_of_many_debtors(transact: Transact) -> None:
    """SQL and rules agree for each debtor's window and decisions.

    Debtors are parked, left out or waiting at random, with debits and corrections.
    """
    draw = random.Random(17)
    company = BillingCompany("acme")

    async def work(connection: AsyncConnection) -> None:
        names = [f"D{at:02}" for at in range(40)]
        for name in names:
            await connection.execute(
                text(
                    "INSERT INTO invoicer.billto_node"
                    " (node_id, revision, level, name, account_name, address, tax_id, body)"
                    " VALUES (:n, 1, 3, :n, :n, '', '', '{}')"
                ),
                {"n": name},
            )
        decided = {
            debtor.account_name: with_random_decisions(draw, debtor)
            for debtor in debtors(names, company, {}, CUT_OFF)
        }
        lines: dict[int, tuple[Debtor, dict[str, Any]]] = {}
        for at in range(1500):
            effective = date(2026, 6, 1) + timedelta(days=draw.randrange(200))
            kind = draw.choice(("timesheet", "product"))
            correction = draw.random() < 0.2
            line = {
                "kind": kind,
                "week": effective if kind == "timesheet" else None,
                "effective": effective,
                "correction": correction,
            }
            name = draw.choice(names)
            lines[await add_line(connection, document=f"T-{at}", office=name, **line)] = (
                decided[name],
                line,
            )
        located = await selection.locate_lines(connection, company)
        await selection.select_lines(
            connection,
            company,
            list(decided.values()),
            [],
            located.corrected_terms,
            today=TODAY,
            cut_off=CUT_OFF,
            with_digests=False,
        )
        seen = set()
        for row in (
            await connection.execute(
                text("SELECT pay_line_id, exclusion_reason FROM selected_line")
            )
        ).all():
            debtor, line = lines[row.pay_line_id]
            reason = reason_of(debtor, line)
            assert (
                reasons.REASONS[row.exclusion_reason - 1] if row.exclusion_reason else ""
            ) == reason, (debtor, line)
            seen.add(reason)
        assert len(seen) == 8

    await transact("owner", work)


def with_random_decisions(draw: random.Random, debtor: Debtor) -> Debtor:
    """A debtor with a random window, sometimes parked, left out or waiting."""
    left_out = draw.choice(("", "", "", reasons.GROUP_NOT_CHOSEN, reasons.DEBTOR_LEFT_OUT))
    return debtor._replace(
        window=draw.choice(WINDOWS),
        left_out=left_out,
        parked=draw.choice(("", "", "", "wrong")),
        waiting=draw.choice(("", "", "1 of 2 in")),
    )


def reason_of(debtor: Debtor, line: dict[str, Any]) -> str:
    """Return the reason of the rules for a debit of this debtor; empty for in."""
    if line["effective"] > TODAY:
        return reasons.SCHEDULED
    if not in_window(
        line["kind"], line["week"], line["effective"], line["correction"], debtor.window
    ):
        of_cycle = line["kind"] == "timesheet" and debtor.window.is_cyclic
        return reasons.NOT_IN_CYCLE if of_cycle else reasons.AFTER_CUT_OFF
    if debtor.left_out:
        return debtor.left_out
    if debtor.parked:
        return reasons.DEBTOR_PARKED
    return reasons.WAITS_FOR_TIMESHEETS if debtor.waiting and line["kind"] == "timesheet" else ""


def expected(
    line: dict[str, Any], company: BillingCompany, rates: list[TaxRate]
) -> tuple[str, Decimal]:
    """Return the reason (empty for in) and the tax of the rules for a line."""
    if line["effective"] > TODAY:
        return reasons.SCHEDULED, D(0)
    if not in_window(
        line["kind"], line["week"], line["effective"], line["correction"], window(None, CUT_OFF)
    ):
        return reasons.AFTER_CUT_OFF, D(0)
    day = line["tax_date"] or line["effective"]
    percent = rate_on(tax_spans(rates), line["tax_code"] or company.default_tax, day)
    if percent is None:
        return reasons.NO_TAX_RATE, D(0)
    return "", line_tax(line["amount"], percent, line["currency"])


async def test_tax_over_a_document(transact: Transact) -> None:
    """Tax over the sum by code and rate, spread by largest remainder.

    Equal remainders go to the earlier line.
    """
    draw = random.Random(11)
    groups: list[tuple[str, Decimal, list[Decimal]]] = []
    for _ in range(150):
        currency = draw.choice(CURRENCIES)
        step = minor_unit(currency)
        # Few different amounts make equal remainders.
        amounts = [
            draw.choice((draw.randrange(-300, 9000), 10, 25)) * step
            for _ in range(draw.randrange(1, 40))
        ]
        groups.append((currency, draw.choice(PERCENTS), amounts))

    async def work(connection: AsyncConnection) -> None:
        await node(connection)
        ids: dict[int, list[int]] = {}
        company = BillingCompany("acme", default_tax="VAT")
        for at, (currency, _, amounts) in enumerate(groups):
            ids[at] = [
                await add_line(
                    connection, document=f"{at:03}-{n:03}", currency=currency, amount=amount
                )
                for n, amount in enumerate(amounts)
            ]
        await selected_line(connection, company, [TaxRate("VAT", date(2020, 1, 1), D(1))])
        for at, (_, percent, _) in enumerate(groups):
            statement = """
                UPDATE selected_line SET group_no = :at, tax_rate = :rate, line_no = n
                FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS u(i, n)
                WHERE i = pay_line_id"""
            await connection.execute(text(statement), {"at": at, "rate": percent, "ids": ids[at]})
        sums = await selection.spread_tax(connection, list(ids))
        found = {
            row.pay_line_id: row.tax
            for row in (
                await connection.execute(text("SELECT pay_line_id, tax FROM selected_line"))
            ).all()
        }
        for at, (currency, percent, amounts) in enumerate(groups):
            assert [found[pay_line_id] for pay_line_id in ids[at]] == document_tax(
                amounts, percent, currency
            ), groups[at]
            assert list(sums[at].values()) == [sum(document_tax(amounts, percent, currency))]

    await transact("owner", work)


async def test_tax_of_credits(transact: Transact) -> None:
    """Credits have their share of the tax, and the last one the rest."""
    draw = random.Random(13)

    async def work(connection: AsyncConnection) -> None:
        await node(connection)
        await connection.execute(
            text(
                "INSERT INTO invoicer.batch VALUES ('B', 'acme', 'c', '2026-01-01', '2026-01-01',"
                " '1', '1', 1, 1, '[]', 'x', '', now())"
            )
        )
        wanted: dict[int, Decimal] = {}
        for at in range(120):
            cents = draw.randrange(0, 400)
            amount, percent = D(cents) / 100, draw.choice(PERCENTS)
            tax = line_tax(amount, percent, "USD")
            before, after = parts_of(draw, cents)
            invoice_id = await invoiced(connection, at, amount, tax, percent)
            taxes_before = credit_taxes(amount, tax, D(0), D(0), before, "USD")
            for number, (credit, credit_tax) in enumerate(zip(before, taxes_before, strict=True)):
                await invoiced(
                    connection,
                    1000 + at * 10 + number,
                    credit,
                    credit_tax,
                    percent,
                    corrects=invoice_id,
                )
            taxes = credit_taxes(
                amount, tax, sum(before, D(0)), sum(taxes_before, D(0)), after, "USD"
            )
            for credit, credit_tax in zip(after, taxes, strict=True):
                wanted[
                    await add_line(
                        connection,
                        document=f"T-{at}",
                        amount=credit,
                        invoice=invoice_id,
                        line=1,
                        correction=True,
                    )
                ] = credit_tax
        found = await selected_line(connection, BillingCompany("acme"), [])
        assert {pay_line_id: found[pay_line_id].tax for pay_line_id in wanted} == wanted
        assert len(wanted) > 100

    await transact("owner", work)


def parts_of(draw: random.Random, cents: int) -> tuple[list[Decimal], list[Decimal]]:
    """Return invoiced credits and open credits of a line: together at most the whole line."""
    left, parts = cents, []
    while left > 0 and len(parts) < 5:
        part = left if draw.random() < 0.3 else draw.randrange(1, left + 1)
        parts.append(D(-part) / 100)
        left -= part
    cut = draw.randrange(0, len(parts) + 1)
    return parts[:cut], parts[cut:]


async def invoiced(
    connection: AsyncConnection,
    number: int,
    amount: Decimal,
    tax: Decimal,
    percent: Decimal,
    corrects: int | None = None,
) -> int:
    """Insert a document of one line; return its id."""
    line_id = await add_line(
        connection,
        amount=amount,
        invoice=corrects,
        line=None if corrects is None else 1,
        correction=corrects is not None,
    )
    await connection.execute(
        text("DELETE FROM invoicer.open_line WHERE pay_line_id = :id"), {"id": line_id}
    )
    statement = """
        WITH inserted AS (
          INSERT INTO invoicer.invoice (
            billing_company, batch_id, series, number, invoice_number, document_type, account_name,
            currency, payment_terms, po_number, tax_regime, tax_wording, tax_basis, invoice_date,
            due_date, cut_off_date, service_from, service_to, net, tax, total, line_count,
            tax_totals, seller, buyer,
            closed_at)
          VALUES (
            'acme', 'B', 'I', CAST(:number AS bigint), 'I' || CAST(:number AS bigint), 'invoice',
            'Mercy', 'USD', 'net:30', '', 'standard', '', 'line', '2026-01-01', '2026-01-01',
            '2026-01-01', '2026-01-01', '2026-01-01', CAST(:amount AS numeric),
            CAST(:tax AS numeric), CAST(:amount AS numeric) + CAST(:tax AS numeric), 1, '[]',
            '{}', '{}', now())
          RETURNING invoice_id)
        INSERT INTO invoicer.invoice_line
        SELECT invoice_id, 1, :id, 'office', 3, 'VAT', :percent, CAST(:tax AS numeric)
        FROM inserted RETURNING invoice_id"""
    values = {"number": number, "amount": amount, "tax": tax, "id": line_id, "percent": percent}
    return int((await connection.execute(text(statement), values)).scalar_one())
