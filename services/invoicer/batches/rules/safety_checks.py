"""Safety bounds of a batch: what no worker can have worked parks the debtor who would pay for it; the others are billed.

Source: domain rules' parked debtors. More hours a worker a day than the billing company's bound; the same worker, requirement, work date and
time type in two different originals. A worker-day on different requirements is a warning. The store finds days in SQL; `safety_violations` is its
twin for people and tests.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from shared.money import ZERO, plain
from shared.terms import counted

HOURS_OVER_BOUND: Final = "hours_over_bound"
WORKED_TWICE: Final = "worked_twice"
TERMS: Final = "debtor_terms"
"""Parked for something on file about the debtor, before any line is looked at."""


@dataclass(frozen=True, slots=True, order=True)
class WorkedTime:
    """Time of one worker on one day, as the statement in force of a document says it. `hours`: zero for what is not counted in hours."""

    worker_id: str
    day: date
    requirement_id: str
    time_type: str
    document_id: str
    hours: Decimal


@dataclass(frozen=True, slots=True, order=True)
class SafetyViolation:
    """A day that cannot be, with the documents that say it. `requirement_id` and `time_type` are empty where it is about the whole day."""

    code: str
    worker_id: str
    day: date
    requirement_id: str
    time_type: str
    hours: Decimal
    document_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnsafeDebtor:
    """What stands against a debtor: so many days of one code, the first of them, and the documents that say them."""

    debtor_no: int
    code: str
    days: int
    first: SafetyViolation
    document_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParkedDebtor:
    """A debtor that is left out of a batch: why, in a code and a message, and the documents that it is about."""

    account_name: str
    code: str
    message: str
    ids: tuple[str, ...] = ()


def safety_violations(worked: Iterable[WorkedTime], most: int) -> list[SafetyViolation]:
    """The days that cannot be, in their order."""
    by_day: dict[tuple[str, date], list[WorkedTime]] = {}
    by_kind: dict[tuple[str, date, str, str], list[WorkedTime]] = {}
    for one in worked:
        by_day.setdefault((one.worker_id, one.day), []).append(one)
        by_kind.setdefault((one.worker_id, one.day, one.requirement_id, one.time_type), []).append(
            one
        )
    found = []
    for (worker, day), of_day in by_day.items():
        hours = sum((one.hours for one in of_day), ZERO)
        if hours > most:
            found.append(
                SafetyViolation(HOURS_OVER_BOUND, worker, day, "", "", hours, _documents(of_day))
            )
    for (worker, day, requirement, time_type), of_kind in by_kind.items():
        if len(_documents(of_kind)) > 1:
            found.append(
                SafetyViolation(
                    WORKED_TWICE,
                    worker,
                    day,
                    requirement,
                    time_type,
                    sum((one.hours for one in of_kind), ZERO),
                    _documents(of_kind),
                )
            )
    return sorted(found)


def _documents(worked: Iterable[WorkedTime]) -> tuple[str, ...]:
    return tuple(sorted({one.document_id for one in worked}))


def message(unsafe: UnsafeDebtor, most: int) -> str:
    """Why a debtor is parked: the first day, and how many more there are."""
    first = unsafe.first
    documents = ", ".join(first.document_ids[:5])
    if unsafe.code == HOURS_OVER_BOUND:
        said = f"worker {first.worker_id} has {plain(first.hours)} h on {first.day}, more than {most} ({documents})"
    else:
        said = f"worker {first.worker_id} has {first.time_type} on {first.day} for {first.requirement_id} in two originals ({documents})"
    return said + (f", and {counted(unsafe.days - 1, 'more such day')}" if unsafe.days > 1 else "")


def parked(unsafe: Iterable[UnsafeDebtor], names: dict[int, str], most: int) -> list[ParkedDebtor]:
    """One reason for each debtor, in the order of their Account Names: too many hours before time that is there twice."""
    found: dict[int, UnsafeDebtor] = {}
    for one in sorted(unsafe, key=lambda one: (one.debtor_no, one.code)):
        found.setdefault(one.debtor_no, one)
    told = [
        ParkedDebtor(names[number], one.code, message(one, most), one.document_ids)
        for number, one in found.items()
    ]
    return sorted(told, key=lambda one: one.account_name)
