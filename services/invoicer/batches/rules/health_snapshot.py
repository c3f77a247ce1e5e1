"""What the health check looks at: a frozen snapshot of counts and ids, read by the store, judged by `rules.health`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.invoicer.batches.rules.ledgers import LedgerConnection
from services.invoicer.debtors.rules.companies import BillingCompany
from services.invoicer.invoices.rules.numbers import Series


@dataclass(frozen=True, slots=True)
class CountedIds:
    """How many there are, and the ids of the first of them."""

    count: int = 0
    ids: tuple[str, ...] = ()


NONE = CountedIds()


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """What the rules look at. `documents` is how many documents a batch would close now."""

    company: BillingCompany
    today: date
    cut_off: date
    series: Series
    documents: int
    zero_groups: Sequence[str] = ()
    parked: Mapping[str, str] = field(default_factory=dict)
    nodes_without_account: Mapping[str, int] = field(default_factory=dict)
    unknown_nodes: Mapping[str, int] = field(default_factory=dict)
    taxless: Mapping[str, int] = field(default_factory=dict)
    snoozed: CountedIds = NONE
    edit_meets_revision: CountedIds = NONE
    scheduled: CountedIds = NONE
    very_late: CountedIds = NONE
    two_currencies: Sequence[str] = ()
    two_addresses: Sequence[str] = ()
    wrong_parents: CountedIds = NONE
    unknown_parents: CountedIds = NONE
    idle_nodes: int = 0
    held: Mapping[str, CountedIds] = field(default_factory=dict)
    in_flight: CountedIds = NONE
    stale: CountedIds = NONE
    dead_letters: CountedIds = NONE
    rate_impact: CountedIds = NONE
    double_days: CountedIds = NONE
    waiting: Mapping[str, str] = field(default_factory=dict)
    known_time_groups: frozenset[str] = frozenset()
    ledgers: Sequence[LedgerConnection] = ()
    unmapped: Mapping[str, Sequence[str]] = field(default_factory=dict)
