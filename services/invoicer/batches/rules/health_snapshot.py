"""The data of the health check: counts and first ids, which the store reads and `health` judges."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from services.invoicer.batches.rules.ledgers import LedgerConnection
from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.invoices.rules.numbers import Series

MOST_IDS = 20


@dataclass(frozen=True, slots=True)
class CountedIds:
    """How many there are, and the first `MOST_IDS` ids."""

    count: int = 0
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[Any]) -> "CountedIds":
        """Make it of rows with an `id` each, and in each the `number` of all."""
        return cls(rows[0].number, tuple(row.id for row in rows)) if rows else NONE

    @classmethod
    def all(cls, ids: Iterable[str]) -> "CountedIds":
        """Make it of all ids."""
        known = tuple(ids)
        return cls(len(known), known[:MOST_IDS])


NONE = CountedIds()


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """What the health rules read.

    `documents`: how many documents a batch would close now. `counts`: what was counted, by the code
    of its rule. `lines`: how many lines are out, by the code of its rule and by billto node or tax
    code. `waits_for_price`: for how many seconds the oldest document has waited to be priced again.
    `parked`, `waiting`: the cause by debtor. `held`: documents by the code of the hold.
    `unmapped`: the missing codes by ledger. `unusable`: what is wrong with mapped codes, by ledger.
    `details`: what differs between the nodes of a debtor.
    `look_alikes`: groups of Account Names that look alike. `retainers`: what is left to decide, as
    text, by the code of its rule and by requirement.
    """

    company: BillingCompany
    today: date
    cut_off: date
    series: Series
    documents: int
    counts: Mapping[str, CountedIds] = field(default_factory=dict)
    lines: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    waits_for_price: int = 0
    parked: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, CountedIds] = field(default_factory=dict)
    known_time_groups: frozenset[str] = frozenset()
    ledgers: Sequence[LedgerConnection] = ()
    unmapped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unusable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    details: Sequence[str] = ()
    look_alikes: Sequence[Sequence[str]] = ()
    retainers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
