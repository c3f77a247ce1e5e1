"""Which invoice option a billing item gets, and by which values its document is grouped.

The option that the engagement names wins if it is active and fits. Else the default option of the
client country: one for the location before one for the country, one for the currency before one for
any. An item in a country without active options has the implicit option: it is billed without
grouping. `batches.store.line_options` carries out the same rule in SQL, for all items of a batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NamedTuple, get_args

from shared.events.commands.options import BillingType
from shared.events.field_types import RequestType
from shared.events.realizations import LineEngagement
from shared.terms import listed

CLIENT = "client"
BILLING_TYPES: tuple[str, ...] = get_args(BillingType)
REQUEST_TYPES: tuple[str, ...] = get_args(RequestType)
ENGAGEMENT_FIELDS = ("id", "supplier", "location", "department", "requirement")
BILL_FIELDS = (
    "po_number", "worker", "cost_center", "project", "week_ending", "time_type", "document",
)  # fmt: skip
FIELDS = (
    *(f"engagement.{name}" for name in ENGAGEMENT_FIELDS),
    *(f"bill.{name}" for name in BILL_FIELDS),
)
CUSTOM = "custom."
OptionReason = Literal[
    "option_does_not_fit", "no_invoice_option", "two_invoice_options", "not_visible"
]


@dataclass(frozen=True, slots=True)
class InvoiceOption:
    """An invoice option as it is in force on a day.

    No request types, or no billing types: all of them. No currency: any. `group_by` is None where
    it inherits the list of its country, whole; lists are never merged.
    """

    name: str
    country: str
    location: str = ""
    request_types: tuple[str, ...] = ()
    currency: str = ""
    bill_to: str = CLIENT
    billing_types: tuple[str, ...] = ()
    max_lines: int | None = None
    group_by: tuple[str, ...] | None = None
    is_default: bool = False
    active: bool = True
    workflow: str = ""
    needs_transfer: bool = False

    def misfits(self, item: "Item") -> list[str]:
        """Return what of an item the option does not take, in words; nothing if it fits."""
        found = []
        if not self.active:
            found.append("it is not active")
        if self.request_types and item.request_type not in self.request_types:
            found.append(f"it does not take request type {item.request_type}")
        if self.billing_types and item.billing_type not in self.billing_types:
            found.append(f"it does not take billing type {item.billing_type}")
        if self.currency and item.currency != self.currency:
            found.append(f"it is for {self.currency}, not {item.currency}")
        return found

    @property
    def closes_at_once(self) -> bool:
        """Whether a batch closes its documents at once: they need no transfer and no approval."""
        return not (self.workflow or self.needs_transfer)

    @property
    def values(self) -> dict[str, Any]:
        """The definition by field, without the name, with JSON values."""
        return {
            "client_country": self.country,
            "location": self.location,
            "request_types": list(self.request_types),
            "currency": self.currency,
            "bill_to": self.bill_to,
            "billing_types": list(self.billing_types),
            "max_lines": self.max_lines,
            "group_by": None if self.group_by is None else list(self.group_by),
            "default": self.is_default,
            "active": self.active,
            "workflow": self.workflow,
            "needs_transfer": self.needs_transfer,
        }


class Item(NamedTuple):
    """What of an open debit decides its option."""

    engagement: LineEngagement | None
    billing_type: str
    currency: str

    @property
    def request_type(self) -> str:
        """The request type of its engagement."""
        return self.engagement.request_type if self.engagement else "staffing"


@dataclass(frozen=True, slots=True)
class Choice:
    """The option of an item, or the reason why it has none, and the steps that led to it.

    Neither: the item has the implicit option. `names`: two options of one rank.
    """

    option: InvoiceOption | None = None
    reason: OptionReason | None = None
    steps: Sequence[str] = ()
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class _Steps:
    """The steps of a choice while it is made."""

    taken: list[str] = field(default_factory=list)

    def end(self, step: str, **found: Any) -> Choice:
        """Return the choice, with a last step."""
        return Choice(steps=(*self.taken, step), **found)


def choose(item: Item, options: Mapping[str, InvoiceOption]) -> Choice:
    """Choose the option of an item among those of its billing company, by name."""
    steps, engagement = _Steps(), item.engagement
    named = engagement.invoice_option if engagement else ""
    country = engagement.client_country if engagement else ""
    if engagement is None:
        steps.taken.append("the item has no engagement")
    if engagement is not None and named:
        says = f"engagement {engagement.engagement_id} names option {named}"
        option = options.get(named)
        wrong = ["there is none of that name"] if option is None else option.misfits(item)
        if option is None or wrong:
            return steps.end(f"{says}, but {listed(wrong)}", reason="option_does_not_fit")
        steps.taken.append(f"{says}, which is active and fits")
        return _visible(item, option, steps)
    if engagement is not None:
        steps.taken.append(f"engagement {engagement.engagement_id} names no option")
    in_country = [one for one in options.values() if one.active and one.country == country]
    if not in_country:
        where = f"client country {country}" if country else "an item without a client country"
        return steps.end(f"there is no active option for {where}: it is billed as without options")
    location = engagement.location if engagement else ""
    fits = [
        one
        for one in in_country
        if one.is_default and one.location in ("", location) and not one.misfits(item)
    ]
    place = f"country {country}, location {location or '-'}, {item.currency}"
    if not fits:
        says = (
            f"no default option of {place} takes {item.request_type}, {item.billing_type}"
            f" ({listed(sorted(one.name for one in in_country))} are active in {country})"
        )
        return steps.end(says, reason="no_invoice_option")
    best = max(map(_rank, fits))
    first = sorted((one for one in fits if _rank(one) == best), key=lambda one: one.name)
    if len(first) > 1:
        names = tuple(one.name for one in first)
        says = f"{listed(names)} are default options of one rank for {place}"
        return steps.end(says, reason="two_invoice_options", names=names)
    by_rank = "for the location" if best[0] else "for the country"
    by_currency = "for the currency" if best[1] else "for any currency"
    steps.taken.append(f"option {first[0].name} is the default {by_rank} and {by_currency}")
    return _visible(item, first[0], steps)


def _rank(option: InvoiceOption) -> tuple[bool, bool]:
    """Return the rank of a default option: location before country, currency before any."""
    return bool(option.location), bool(option.currency)


def _visible(item: Item, option: InvoiceOption, steps: _Steps) -> Choice:
    """Check that the billing filter lets the party of an option see the item."""
    pairs = item.engagement.billing_filter if item.engagement else ()
    if pairs and not any(option.bill_to in pair.lower().split(":") for pair in pairs):
        return steps.end(
            f"its billing filter {listed(pairs)} does not let the {option.bill_to} see it",
            reason="not_visible",
        )
    seen = f"its billing filter {listed(pairs)} lets the {option.bill_to} see it"
    return steps.end(seen if pairs else "no billing filter: every party sees it", option=option)


def group_list(option: InvoiceOption, by_country: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the grouping fields of an option: its own list, else the whole list of its country."""
    return tuple(by_country.get(option.country, ())) if option.group_by is None else option.group_by


def unknown_fields(fields: Iterable[str]) -> list[str]:
    """Return those that are no grouping field: neither one of `FIELDS` nor custom.NAME."""
    return [
        name
        for name in fields
        if name not in FIELDS and not (name.startswith(CUSTOM) and len(name) > len(CUSTOM))
    ]


class OptionVersion(NamedTuple):
    """An option and the first day on which it is so."""

    from_date: date
    option: InvoiceOption
