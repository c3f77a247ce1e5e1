"""The facts that documents are priced from, and what pricing results in: lines or a hold."""

from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import to_json

from services.fee_realizer.engagements.rules import EngagementState, PlacedEngagement
from services.fee_realizer.requirements.rules import Requirement
from shared.money import ZERO, minor_unit

# A line under the field names of `RealizationLine`, with JSON values: a pydantic model for each
# line would halve the speed of pricing.
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BillingCompany:
    """What pricing needs of a billing company. A stub that no command has set is not `known`.

    `tax_by_work_date`: the work date decides the tax rate of time, not the week ending.
    `tax_changes`: the days from which the rate of the default tax is another one, in order.
    `go_live`: weeks that end before it were billed by another system.
    """

    billing_company: str
    known: bool = False
    enabled: bool = True
    approval_level: str = "approved"
    tax_by_work_date: bool = False
    tax_changes: tuple[date, ...] = ()
    time_zone: str = "UTC"
    go_live: date | None = None


@dataclass(frozen=True, slots=True)
class Instalment:
    """A part of a pay plan: its share (a weight) and the day when it is due (1: the start)."""

    share: Decimal
    day: int


@dataclass(frozen=True, slots=True)
class GuaranteePart:
    """What is due back, in percent of the whole fee, if the worker leaves by a day (1: the
    start).
    """

    until_day: int
    percent: Decimal


@dataclass(frozen=True, slots=True)
class CatalogItem:
    """A catalog item: an amount in a currency, or a percent of salary, OTE or another base."""

    item_id: str
    known: bool = False
    name: str = ""
    amount: Decimal | None = None
    currency: str | None = None
    percent_of_salary: Decimal | None = None
    plan: tuple[Instalment, ...] | None = None
    tax_code: str = ""
    product_kind: str = "placement"
    percent_of: str = "salary"
    guarantee: tuple[GuaranteePart, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None


class RetainerUse(NamedTuple):
    """What a placement takes off a retainer.

    `fee`: its fees in the retainer's currency, the most that it can take; `set_off`: what it takes;
    `refund`: what a guarantee gives back beyond the instalments; `last_day`: the last day worked.
    """

    start_date: date
    fee: Decimal
    set_off: Decimal = ZERO
    refund: Decimal = ZERO
    last_day: date | None = None


class RetainerValue(NamedTuple):
    """The amount of a retainer."""

    amount: Decimal
    currency: str


@dataclass(slots=True)
class RetainerState:
    """A retainer, locked: who takes it off, by placement, and what operators decided of the excess.

    `kept`, `credited`: how much of the excess was decided so; a smaller excess counts.
    `value`: its amount, or what it waits for; `stored_value`: the last one that was known.
    """

    uses: dict[str, RetainerUse] = field(default_factory=dict)
    kept: Decimal = ZERO
    credited: Decimal = ZERO
    stored_value: RetainerValue | None = None
    value: "RetainerValue | Held | None" = None

    @property
    def shares(self) -> dict[str, Decimal]:
        """What each placement takes: all that is left, in the order of start dates and ids."""
        rest = self.value.amount if isinstance(self.value, RetainerValue) else ZERO
        shares = {}
        for placement_id, use in sorted(
            self.uses.items(), key=lambda item: (item[1].start_date, item[0])
        ):
            shares[placement_id] = min(use.fee, rest)
            rest -= shares[placement_id]
        return shares

    @property
    def excess(self) -> Decimal:
        """What no fee takes."""
        if not isinstance(self.value, RetainerValue):
            return ZERO
        return self.value.amount - sum(self.shares.values(), ZERO)


@dataclass(frozen=True)
class Facts:
    """The locked facts of the documents of one transaction. `retainers`: by requirement.

    `placed`: the placements of a worker, by requirement and worker, with their engagements.
    """

    requirements: dict[str, Requirement] = field(default_factory=dict)
    companies: dict[str, BillingCompany] = field(default_factory=dict)
    items: dict[str, CatalogItem] = field(default_factory=dict)
    retainers: dict[str, RetainerState] = field(default_factory=dict)
    engagements: dict[str, EngagementState] = field(default_factory=dict)
    placed: dict[tuple[str, str], list[PlacedEngagement]] = field(default_factory=dict)

    def requirement(self, requirement_id: str) -> Requirement:
        """Return the requirement, or a stub."""
        return self.requirements.get(requirement_id) or Requirement(requirement_id)

    def with_requirement(self, changed: Requirement) -> "Facts":
        """Return these facts with another state of one requirement."""
        requirements = self.requirements | {changed.requirement_id: changed}
        return replace(self, requirements=requirements)


@dataclass(frozen=True, slots=True)
class Held:
    """A document waits: a code for programs, and a message that says what to send."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Realized:
    """The lines of a document, maybe none, in the order of their keys.

    `basis` names the rate book from which each requirement and time type was priced.
    `retainer_use`: what the placement takes off the retainer of its requirement.
    """

    lines: list[Line]
    basis: list[dict[str, Any]] = field(default_factory=list)
    retainer_use: RetainerUse | None = None


PricingResult = Realized | Held


def compact_json(value: Any) -> str:
    """Write line keys and realizations: without spaces, characters not escaped.

    The bytes are those of `json.dumps` with the same settings, in half the time.
    """
    return to_json(value).decode()


@lru_cache(maxsize=1_000)
def format_price(price: Decimal, currency: str) -> str:
    """Format a price with at least the decimals of its currency: 50.00, 35.035."""
    at_step = price.quantize(minor_unit(currency))
    return format(at_step if at_step == price else price.normalize(), "f")
