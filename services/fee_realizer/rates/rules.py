"""Summaries of the impact of rate changes, for answers to operators."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.fee_realizer.sources.rules.facts import format_price
from services.fee_realizer.sources.rules.repricing import RateChange, Repricing
from shared.money import ZERO, plain, rounded


@dataclass(frozen=True, slots=True)
class ImpactRow:
    """A repricing of a timesheet line, with the newest invoice that has the line (or none)."""

    document_id: str
    change: RateChange
    repricing: Repricing
    invoice_number: str = ""
    account_name: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The values by which rows can be grouped."""
        one = self.repricing
        return {
            "requirement_id": self.change.requirement_id,
            "time_type": self.change.time_type,
            "effective_from": self.change.effective_from.isoformat(),
            "billing_company": one.billing_company,
            "account_name": self.account_name,
            "invoice_number": self.invoice_number,
            "unit": one.unit,
            "old_price": format_price(one.old_price, one.currency),
            "new_price": format_price(one.new_price, one.currency),
            "currency": one.currency,
        }


def sum_impact(impact: Iterable[ImpactRow], *by: str) -> list[dict[str, object]]:
    """Sum documents, lines, hours and amounts for each value of these labels and each currency."""
    groups: dict[tuple[str, ...], list[ImpactRow]] = {}
    names = (*by, "currency")
    for row in impact:
        labels = row.labels
        groups.setdefault(tuple(labels[name] for name in names), []).append(row)
    found: list[dict[str, object]] = []
    for values, group in sorted(groups.items()):
        old = sum((row.repricing.old_amount for row in group), ZERO)
        new = sum((row.repricing.new_amount for row in group), ZERO)
        found.append(
            dict(zip(names, values, strict=True))
            | {
                "documents": len({row.document_id for row in group}),
                "lines": len(group),
                "hours": plain(sum((row.repricing.quantity for row in group), ZERO)),
                "old": str(rounded(old, values[-1])),
                "new": str(rounded(new, values[-1])),
                "net": str(rounded(new - old, values[-1])),
            }
        )
    return found
