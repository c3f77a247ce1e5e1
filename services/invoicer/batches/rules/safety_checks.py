"""Safety rules of a batch: impossible worked time parks the debtor who would pay for it.

Two rules park a debtor: more hours of one worker on one day than the billing company allows, and
the same worker, requirement, work date and time type in two different originals. The batch bills
the other debtors. A worker-day on several requirements is only a warning.
The store finds the days in SQL; `tests.twins.safety_violations` is the same rule in Python.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from shared.money import plain
from shared.terms import counted

HOURS_OVER_BOUND: Final = "hours_over_bound"
WORKED_TWICE: Final = "worked_twice"
TERMS: Final = "debtor_terms"
"""The code of a debtor that is parked because of its own data, before any line is read."""


@dataclass(frozen=True, slots=True, order=True)
class SafetyViolation:
    """A day that breaks a rule, and its documents.

    `requirement_id` and `time_type` are empty where the rule is about the whole day.
    """

    code: str
    worker_id: str
    day: date
    requirement_id: str
    time_type: str
    hours: Decimal
    document_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnsafeDebtor:
    """How many days of a debtor break one rule, the first of them, and all their documents."""

    debtor_no: int
    code: str
    days: int
    first: SafetyViolation
    document_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParkedDebtor:
    """A debtor that a batch leaves out: a code and a message that say why, and the documents."""

    account_name: str
    code: str
    message: str
    ids: tuple[str, ...] = ()


def message(unsafe: UnsafeDebtor, max_hours: int) -> str:
    """Say why a debtor is parked: the first day, and how many more days there are."""
    first = unsafe.first
    why = (
        f"{plain(first.hours)} h on {first.day}, more than {max_hours}"
        if unsafe.code == HOURS_OVER_BOUND
        else f"{first.time_type} on {first.day} for {first.requirement_id} in two timesheets"
    )
    more = f", and {counted(unsafe.days - 1, 'more such day')}" if unsafe.days > 1 else ""
    return f"worker {first.worker_id} has {why} ({', '.join(first.document_ids[:5])}){more}"


def parked(
    unsafe: Iterable[UnsafeDebtor], names: Mapping[int, str], max_hours: int
) -> list[ParkedDebtor]:
    """Park each unsafe debtor for one reason, too many hours first; sorted by Account Name."""
    reasons: dict[int, UnsafeDebtor] = {}
    for each in sorted(unsafe, key=lambda each: (each.debtor_no, each.code)):
        reasons.setdefault(each.debtor_no, each)
    debtors = [
        ParkedDebtor(names[number], each.code, message(each, max_hours), each.document_ids)
        for number, each in reasons.items()
    ]
    return sorted(debtors, key=lambda debtor: debtor.account_name)
