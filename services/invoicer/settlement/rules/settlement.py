"""Settlement: replaces open lines and opens the difference between a realization and what is
settled.

A realization has the full value of a document. What is invoiced never changes. The same rule serves
originals, adjustments, cancellations and re-pricings: docs/billing.md, Settlement and
corrections, has examples.

Per line key, in quantity and in money:
    target   = value of the realization + operator edits
    settled  = invoiced - credited + forgiven,
    forgiven = min(ever written off, target - net billed), never below zero
    new open = target - settled: a debit, or credits of the invoice lines, newest first, never more
               than can be credited

So the amount of a correction is a difference of rounded amounts and never quantity x price. Signs:
a credit is negative. Quantity and money are settled each by itself, because they can differ in
sign: an edit of money only leaves 0 h with an amount, and after a change of the price one key can
need a debit in money and a credit in hours at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from services.invoicer.lines.rules import (
    NOTHING,
    InvoicedLine,
    NewLine,
    PayLine,
    QuantityAmount,
    value_of,
)
from shared.events.realizations import RealizationLine
from shared.money import plain


class Settlement(NamedTuple):
    """The lines that are replaced, and those that are opened."""

    replaced: tuple[PayLine, ...]
    opened: tuple[NewLine, ...]


def first_lines(lines: Iterable[RealizationLine]) -> list[RealizationLine]:
    """Return the lines to open for a document that was never settled: those with a value."""
    return [line for line in lines if line.amount or line.quantity]


def forgiven(written_off: QuantityAmount, rest: QuantityAmount) -> QuantityAmount:
    """Return the part of what was ever written off that lies between value and net billed
    (`rest`).

    Never below zero. It is computed anew at every settlement: of 40 h invoiced with 2 h written
    off, a value of 40 h forgives 2 h, 39 h forgives 1 h, 38 h and less forgives none.
    """
    return written_off.at_most(rest).above_zero()


def withhold(pay_lines: Iterable[PayLine]) -> Settlement:
    """Withdraw the open and drafted lines of a withheld document; what is invoiced stays."""
    return Settlement(tuple(line for line in pay_lines if line.location != "invoiced"), ())


def settle(
    lines: Sequence[RealizationLine],
    pay_lines: Sequence[PayLine],
    edits: Mapping[str, QuantityAmount] | None = None,
    written_off: Mapping[str, QuantityAmount] | None = None,
) -> Settlement:
    """Compare a realization with the pay lines, key by key.

    An open line that would be opened again without a change stays.
    """
    # An open line has no date for credits: it would differ from its stored form.
    realized = {
        line.line_key: line.model_copy(update={"credit_date": None}) if line.credit_date else line
        for line in lines
    }
    credit_dates = {line.line_key: line.credit_date for line in lines if line.credit_date}
    invoiced: dict[str, list[PayLine]] = {}
    for pay_line in pay_lines:
        if pay_line.location == "invoiced":
            invoiced.setdefault(pay_line.realized.line_key, []).append(pay_line)
    wanted: list[NewLine] = []
    for key in [*realized, *sorted(invoiced.keys() - realized.keys())]:
        edit, off = (edits or {}).get(key, NOTHING), (written_off or {}).get(key, NOTHING)
        billed = invoiced.get(key, [])
        wanted += _difference(realized.get(key), billed, edit, off, credit_dates.get(key))
    replaced: list[PayLine] = []
    for old in pay_lines:
        if old.location == "invoiced":
            continue
        same = (at for at, new in enumerate(wanted) if new[:2] == (old.realized, old.corrects))
        at = next(same, None)
        if at is None:
            replaced.append(old)
        else:
            wanted.pop(at)
    return Settlement(tuple(replaced), tuple(wanted))


def _difference(
    realized: RealizationLine | None,
    invoiced: Sequence[PayLine],
    edit: QuantityAmount,
    written_off: QuantityAmount,
    credit_date: date | None,
) -> list[NewLine]:
    """Return the lines to open for one key, so that the sum of its lines is its value.

    Credits have the effective date `credit_date`, or else that of the realized line.
    Currencies never mix: what was billed in another currency is credited in full.
    """
    if realized is not None and not invoiced:
        return _original(realized, edit)
    opened: list[NewLine] = []
    all_lines = [*(line.realized for line in invoiced), *([] if realized is None else [realized])]
    for currency in sorted({line.currency for line in all_lines}):
        line = realized if realized is not None and realized.currency == currency else None
        billed = [pay_line for pay_line in invoiced if pay_line.realized.currency == currency]
        target = value_of(line) + edit if line is not None else NOTHING
        net = sum((pay_line.value for pay_line in billed), NOTHING)
        taken = forgiven(written_off, target - net)
        correction = _correction(target, edit, net, taken)
        difference = target - net - taken
        dates: dict[str, Any] = {}
        if realized is not None:
            effective = credit_date or realized.effective_date
            dates = {"effective_date": effective, "week_ending": realized.week_ending}
        credits, uncredited = _credits((-difference).above_zero(), billed, dates, correction)
        debit = difference.above_zero() - uncredited
        if debit:
            opened.append(_debit(line or billed[-1].realized, debit, correction, _rebilled(billed)))
        opened += credits
    return opened


def _correction(
    target: QuantityAmount, edit: QuantityAmount, net: QuantityAmount, taken: QuantityAmount
) -> dict[str, Any]:
    """Return the values that a correction comes from, for its derivation; `taken`: forgiven."""
    settled = net + taken
    difference = target.amount - settled.amount
    return {
        "rule": "new rounded amount minus what is settled, never quantity × price",
        "value": target.as_strings(),
        "net_billed": net.as_strings(),
        "forgiven": taken.as_strings(),
        "formula": _formula(target.amount, "−", settled.amount, difference),
    } | ({"edited": edit.as_strings()} if edit else {})


def _formula(first: Decimal, sign: str, second: Decimal, result: Decimal) -> str:
    return f"{plain(first)} {sign} {plain(second)} = {plain(result)}"


def _original(realized: RealizationLine, edit: QuantityAmount) -> list[NewLine]:
    """Open a key that was never invoiced: its realized line, with the operator's edit added."""
    target = value_of(realized) + edit
    if not edit:
        return [NewLine(realized)] if target else []
    formula = _formula(realized.amount, "+", edit.amount, target.amount)
    derivation = {**realized.derivation, "edited": {**edit.as_strings(), "formula": formula}}
    return [NewLine(_changed(realized, target, derivation))] if target else []


def _rebilled(billed: Sequence[PayLine]) -> list[dict[str, Any]]:
    """Return the credits by hand whose quantity a debit bills again.

    These are the ones since the key was last billed.
    """
    invoiced = [(line, line.invoiced_line) for line in billed if line.invoiced_line is not None]
    last = max((at.invoice_id for line, at in invoiced if line.corrects is None), default=0)
    return [
        {"credit_note": at.invoice_number, "line": at.line_no}
        for line, at in invoiced
        if at.invoice_id > last
        and line.realized.derivation.get("credit", {}).get("to") in ("rebill", "reissue")
    ]


def _debit(
    realized: RealizationLine,
    value: QuantityAmount,
    correction: dict[str, Any],
    rebilled: list[dict[str, Any]],
) -> NewLine:
    derivation = {**realized.derivation, "correction": correction}
    if rebilled:
        derivation["bills_again"] = rebilled
    return NewLine(_changed(realized, value, derivation), correction=True)


def _credits(
    needed: QuantityAmount,
    billed: Sequence[PayLine],
    dates: Mapping[str, Any],
    correction: dict[str, Any],
) -> tuple[list[NewLine], QuantityAmount]:
    """Credit invoice lines, newest first, each up to what is left on it.

    The second value is what no line can give: with 0 invoiced and a value of -100.00 (an edit of
    money only), no line can give the 100.00, and the caller opens a negative debit.
    """
    credits: list[NewLine] = []
    for invoiced_line, line, rest in _creditable(billed):
        given = needed.at_most(rest)
        if not given:
            continue
        needed -= given
        named = {"invoice": invoiced_line.invoice_number, "line": invoiced_line.line_no}
        derivation = {"correction": correction | {"corrects": named}}
        credit = _changed(line, -given, derivation, **dates)
        corrects = (invoiced_line.invoice_id, invoiced_line.line_no)
        credits.append(NewLine(credit, corrects, correction=True))
    return credits, needed


def _creditable(
    billed: Sequence[PayLine],
) -> list[tuple[InvoicedLine, RealizationLine, QuantityAmount]]:
    """Return the invoice lines, newest first, with what earlier credits have left of each."""
    credited: dict[tuple[int, int], QuantityAmount] = {}
    for line in billed:
        if line.corrects is not None:
            credited[line.corrects] = credited.get(line.corrects, NOTHING) + line.value
    originals = {
        (line.invoiced_line.invoice_id, line.invoiced_line.line_no): line
        for line in billed
        if line.invoiced_line is not None and line.corrects is None
    }
    return [
        (line.invoiced_line, line.realized, (line.value + credited.get(key, NOTHING)).above_zero())
        for key, line in sorted(originals.items(), key=lambda item: item[0], reverse=True)
        if line.invoiced_line is not None
    ]


def _changed(
    line: RealizationLine, value: QuantityAmount, derivation: dict[str, Any], **changes: Any
) -> RealizationLine:
    changes |= {"quantity": value.quantity, "amount": value.amount, "derivation": derivation}
    return line.model_copy(update=changes)
