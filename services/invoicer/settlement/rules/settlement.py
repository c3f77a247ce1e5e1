"""Settlement: a statement says in full what a document is worth; what has been settled stands, what is open is replaced, and the
difference becomes new open lines. One rule for originals, adjustments, cancellations, re-pricings (domain rules 5, design 4).

Per line key, in quantity and in money:
    target   = worth of the statement + operator edits
    settled  = invoiced - credited + forgiven,  forgiven = min(written off ever, target - net billed), never below zero
    new open = target - settled: a debit, or credits of the invoice lines, newest first, never more than is creditable

The amount of a correction is therefore a difference of rounded amounts and never quantity x price. Signs: a credit is negative.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Settlement:
    """What changes: the lines that give up their place, and those that are opened."""

    replaced: tuple[PayLine, ...]
    opened: tuple[NewLine, ...]


def first_lines(lines: Iterable[RealizationLine]) -> list[RealizationLine]:
    """What a document opens of which nothing is known yet: its lines as they are, those worth nothing left out."""
    return [line for line in lines if line.amount or line.quantity]


def forgiven(written_off: QuantityAmount, rest: QuantityAmount) -> QuantityAmount:
    """Of what was ever written off, as much as lies between worth and net billed (`rest`), never below zero. It is computed afresh
    at every settlement and has no memory: 40 h invoiced, 2 h written off; worth 40 forgives 2 h, 39 forgives 1 h, 38 and less none."""
    return written_off.at_most(rest).above_zero()


def withhold(pay_lines: Iterable[PayLine]) -> Settlement:
    """A withheld document: what is open or drafted is withdrawn, what is on documents stands, nothing is credited."""
    return Settlement(tuple(line for line in pay_lines if line.location != "invoiced"), ())


def settle(
    lines: Sequence[RealizationLine],
    pay_lines: Sequence[PayLine],
    edits: Mapping[str, QuantityAmount] | None = None,
    written_off: Mapping[str, QuantityAmount] | None = None,
) -> Settlement:
    """Compares a statement, key by key, with what stands. An open line that would be opened again just as it is stays."""
    realized = {line.line_key: line for line in lines}
    invoiced: dict[str, list[PayLine]] = {}
    for one in pay_lines:
        if one.location == "invoiced":
            invoiced.setdefault(one.line.line_key, []).append(one)
    wanted: list[NewLine] = []
    for key in [*realized, *sorted(invoiced.keys() - realized.keys())]:
        edit, off = (edits or {}).get(key, NOTHING), (written_off or {}).get(key, NOTHING)
        wanted += _difference(realized.get(key), invoiced.get(key, []), edit, off)
    replaced: list[PayLine] = []
    for one in pay_lines:
        if one.location == "invoiced":
            continue
        same = next(
            (
                at
                for at, new in enumerate(wanted)
                if new.line == one.line and new.corrects == one.corrects
            ),
            None,
        )
        if same is None:
            replaced.append(one)
        else:
            wanted.pop(same)
    return Settlement(tuple(replaced), tuple(wanted))


def _difference(
    realized: RealizationLine | None,
    invoiced: Sequence[PayLine],
    edit: QuantityAmount,
    written_off: QuantityAmount,
) -> list[NewLine]:
    """One key: what must be opened so that all that counts sums to its worth. Currencies never mix: what was billed in another one
    than the statement's is credited whole."""
    if realized is not None and not invoiced:
        return _original(realized, edit)
    opened: list[NewLine] = []
    currencies = {one.line.currency for one in invoiced} | (
        {realized.currency} if realized is not None else set()
    )
    for currency in sorted(currencies):
        line = realized if realized is not None and realized.currency == currency else None
        billed = [one for one in invoiced if one.line.currency == currency]
        target = value_of(line) + edit if line is not None else NOTHING
        net = sum((one.value for one in billed), NOTHING)
        given_up = forgiven(written_off, target - net)
        difference = target - net - given_up
        basis = _CorrectionBasis(target, edit, net, given_up)
        needed = (-difference).above_zero()
        credits, uncredited = _credits(needed, billed, realized, basis)
        above_zero = difference.above_zero() - uncredited
        if above_zero:
            opened.append(_debit(line or billed[-1].line, above_zero, basis, _rebilled(billed)))
        opened += credits
    return opened


@dataclass(frozen=True, slots=True)
class _CorrectionBasis:
    """What a correction came from, for its derivation."""

    target: QuantityAmount
    edit: QuantityAmount
    net: QuantityAmount
    forgiven: QuantityAmount

    def derivation(
        self, realized: Mapping[str, Any], invoiced_line: InvoicedLine | None = None
    ) -> dict[str, Any]:
        settled = self.net + self.forgiven
        difference = self.target.amount - settled.amount
        words: dict[str, Any] = {
            "rule": "new rounded amount minus what is settled, never quantity × price",
            "value": self.target.as_strings(),
            "net_billed": self.net.as_strings(),
            "forgiven": self.forgiven.as_strings(),
            "formula": f"{plain(self.target.amount)} − {plain(settled.amount)} = {plain(difference)}",
        }
        if self.edit:
            words["edited"] = self.edit.as_strings()
        if invoiced_line is not None:
            words["corrects"] = {
                "invoice": invoiced_line.invoice_number,
                "line": invoiced_line.line_no,
            }
            return {"correction": words}
        return {**realized, "correction": words}


def _original(realized: RealizationLine, edit: QuantityAmount) -> list[NewLine]:
    """A key of which nothing was ever invoiced: its line as the statement says it, with the operator's edit added."""
    target = value_of(realized) + edit
    if not target:
        return []
    if not edit:
        return [NewLine(realized)]
    words = {
        **edit.as_strings(),
        "formula": f"{plain(realized.amount)} + {plain(edit.amount)} = {plain(target.amount)}",
    }
    return [NewLine(_changed(realized, target, {**realized.derivation, "edited": words}))]


def _rebilled(billed: Sequence[PayLine]) -> list[dict[str, Any]]:
    """The credits by hand whose quantity a debit bills again: those since the key was last billed."""
    last = max(
        (
            one.invoiced_line.invoice_id
            for one in billed
            if one.invoiced_line is not None and one.corrects is None
        ),
        default=0,
    )
    return [
        {"credit_note": one.invoiced_line.invoice_number, "line": one.invoiced_line.line_no}
        for one in billed
        if one.invoiced_line is not None
        and one.invoiced_line.invoice_id > last
        and one.line.derivation.get("credit", {}).get("to") in ("rebill", "reissue")
    ]


def _debit(
    realized: RealizationLine,
    value: QuantityAmount,
    basis: _CorrectionBasis,
    rebilled: list[dict[str, Any]],
) -> NewLine:
    words = basis.derivation(realized.derivation)
    return NewLine(
        _changed(realized, value, {**words, "bills_again": rebilled} if rebilled else words),
        correction=True,
    )


def _credits(
    needed: QuantityAmount,
    billed: Sequence[PayLine],
    realized: RealizationLine | None,
    basis: _CorrectionBasis,
) -> tuple[list[NewLine], QuantityAmount]:
    """Credits of invoice lines, newest first: a line used up gives all that stands on it, the last one takes the rest. What no line
    can give (only where a worth below zero was never billed) comes back as the second value."""
    credits: list[NewLine] = []
    for invoiced_line, line, rest in _creditable(billed):
        given = needed.at_most(rest)
        if not given:
            continue
        needed -= given
        dates = (
            {}
            if realized is None
            else {"effective_date": realized.effective_date, "week_ending": realized.week_ending}
        )
        credit = _changed(line, -given, basis.derivation({}, invoiced_line), **dates)
        credits.append(
            NewLine(credit, (invoiced_line.invoice_id, invoiced_line.line_no), correction=True)
        )
    return credits, needed


def _creditable(
    billed: Sequence[PayLine],
) -> list[tuple[InvoicedLine, RealizationLine, QuantityAmount]]:
    """Invoice lines, newest first, with what is left on them after the credits that already stand on documents."""
    credited: dict[tuple[int, int], QuantityAmount] = {}
    for one in billed:
        if one.corrects is not None:
            credited[one.corrects] = credited.get(one.corrects, NOTHING) + one.value
    newest_first = sorted(
        (
            (one.invoiced_line, one)
            for one in billed
            if one.invoiced_line is not None and one.corrects is None
        ),
        key=lambda pair: (pair[0].invoice_id, pair[0].line_no),
        reverse=True,
    )
    return [
        (
            invoiced_line,
            one.line,
            (
                one.value + credited.get((invoiced_line.invoice_id, invoiced_line.line_no), NOTHING)
            ).above_zero(),
        )
        for invoiced_line, one in newest_first
    ]


def _changed(
    line: RealizationLine, value: QuantityAmount, derivation: dict[str, Any], **changes: Any
) -> RealizationLine:
    return line.model_copy(
        update={
            "quantity": value.quantity,
            "amount": value.amount,
            "derivation": derivation,
            **changes,
        }
    )
