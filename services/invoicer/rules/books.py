"""What the health check looks at: a frozen snapshot of counts and ids, read by the store, judged by `rules.health`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from services.invoicer.rules.companies import Company
from services.invoicer.rules.ledgers import Ledger
from services.invoicer.rules.numbers import Series


@dataclass(frozen=True, slots=True)
class Named:
    """How many there are, and the ids of the first of them."""

    count: int = 0
    ids: tuple[str, ...] = ()


NONE = Named()


@dataclass(frozen=True, slots=True)
class UnitOfWork:
    """What the rules look at. `documents` is how many documents a batch would close now."""

    company: Company
    today: date
    cut_off: date
    series: Series
    documents: int
    zero_groups: Sequence[str] = ()
    parked: Mapping[str, str] = field(default_factory=dict)
    nodes_without_account: Mapping[str, int] = field(default_factory=dict)
    unknown_nodes: Mapping[str, int] = field(default_factory=dict)
    taxless: Mapping[str, int] = field(default_factory=dict)
    snoozed: Named = NONE
    edit_meets_revision: Named = NONE
    scheduled: Named = NONE
    very_late: Named = NONE
    two_currencies: Sequence[str] = ()
    two_addresses: Sequence[str] = ()
    wrong_parents: Named = NONE
    unknown_parents: Named = NONE
    idle_nodes: int = 0
    held: Mapping[str, Named] = field(default_factory=dict)
    in_flight: Named = NONE
    stale: Named = NONE
    dead_letters: Named = NONE
    rate_impact: Named = NONE
    double_days: Named = NONE
    waiting: Mapping[str, str] = field(default_factory=dict)
    known_time_groups: frozenset[str] = frozenset()
    ledgers: Sequence[Ledger] = ()
    unmapped: Mapping[str, Sequence[str]] = field(default_factory=dict)
