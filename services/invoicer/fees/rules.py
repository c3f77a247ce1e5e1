"""The MSP fee of an invoice option: which percentage, of what, and what a credit returns.

A fee has versions, and so have its tiers; the effective date of a line decides which of them it
takes. Where a fee has tiers in the currency of a document, the volume that is reached before the
document decides the percentage. `batches.store.fees` computes the amounts of many documents in SQL;
generated tests compare the two.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from shared.errors import Refused
from shared.money import ZERO, plain, rounded

FundedBy = Literal["client", "supplier"]
ChargedAs = Literal["markup", "discount"]
VolumeOf = Literal["364-days", "91-days", "year-to-date"]
CLIENT: FundedBy = "client"
FOREVER = date(9999, 12, 31)
TIMESHEETS = "timesheets"
ITEM_ID = "msp-fee"
"""The catalog item that the line of a markup shows, by which ledgers map it."""
NAME = "MSP fee"


class Fee(NamedTuple):
    """A version of a fee. `tax_code`: of a markup; empty: the default of the billing company.

    `base`: what of a document the percentage is taken of: timesheets, products, expenses.
    """

    option: str
    funded_by: FundedBy
    from_date: date
    charged_as: ChargedAs
    percent: Decimal
    tax_code: str = ""
    base: tuple[str, ...] = (TIMESHEETS,)

    @property
    def values(self) -> dict[str, Any]:
        """The definition by field, with JSON values."""
        return {
            "charged_as": self.charged_as,
            "percent": plain(self.percent),
            "tax_code": self.tax_code,
            "base": list(self.base),
        }


class Tier(NamedTuple):
    """The percentage from a volume on."""

    volume: Decimal
    percent: Decimal


class Tiers(NamedTuple):
    """A version of the tiers of a fee in one currency; without tiers the fee has one percentage."""

    option: str
    funded_by: FundedBy
    currency: str
    from_date: date
    volume_of: VolumeOf
    tiers: tuple[Tier, ...]

    def percent(self, volume: Decimal) -> Decimal:
        """Return the percentage of a document before which this volume is reached."""
        return max(each for each in self.tiers if each.volume <= max(volume, ZERO)).percent

    @property
    def rows(self) -> list[dict[str, str]]:
        """The tiers as they are stored: decimals as strings."""
        return [
            {"volume": plain(each.volume), "percent": plain(each.percent)} for each in self.tiers
        ]

    @property
    def values(self) -> dict[str, Any]:
        """The definition by field, with JSON values."""
        return {"currency": self.currency, "volume_of": self.volume_of, "tiers": self.rows}


def tiers_of(stored: Iterable[Mapping[str, str]]) -> tuple[Tier, ...]:
    """Return the tiers of stored rows."""
    return tuple(Tier(Decimal(row["volume"]), Decimal(row["percent"])) for row in stored)


def check_tiers(tiers: Sequence[Tier]) -> None:
    """Refuse tiers that do not begin at 0, or that do not rise."""
    if not tiers:
        return
    volumes = [each.volume for each in tiers]
    if volumes[0] != 0 or any(later <= earlier for earlier, later in pairwise(volumes)):
        raise Refused(
            "tiers_out_of_order",
            f"the tiers begin at {', '.join(map(plain, volumes))}",
            "give the first at volume 0 and each later one at a higher volume:"
            " `--tier 0=3 --tier 100000=2`",
        )


def volume_from(volume_of: VolumeOf, invoice_date: date) -> date:
    """Return the first day of the volume of a document: the last one is its own date.

    Of its own date it has the documents before it.
    """
    if volume_of == "year-to-date":
        return date(invoice_date.year, 1, 1)
    return invoice_date - timedelta(days=364 if volume_of == "364-days" else 91)


class Segment(NamedTuple):
    """The fee of an option in one currency between two dates, the last one not included."""

    segment_no: int
    fee: Fee
    tiers: Tiers | None
    currency: str
    from_date: date
    to_date: date

    def percent(self, volume: Decimal) -> Decimal:
        """Return the percentage of a document before which this volume is reached."""
        return self.tiers.percent(volume) if self.tiers else self.fee.percent


def segments(
    fees: Iterable[Fee], tiers: Iterable[Tiers], documents: Iterable[tuple[str, str]]
) -> list[Segment]:
    """Return the fees of options and currencies, each between the dates on which it changes.

    `documents`: the pairs of an option and a currency that are asked for.
    """
    by_option: dict[str, list[Fee]] = {}
    for fee in sorted(fees, key=lambda each: each.from_date):
        by_option.setdefault(fee.option, []).append(fee)
    all_tiers = sorted(tiers, key=lambda each: each.from_date)
    found: list[Segment] = []
    for option, currency in sorted(set(documents)):
        versions = by_option.get(option, [])
        own = [each for each in all_tiers if (each.option, each.currency) == (option, currency)]
        days = sorted({each.from_date for each in versions} | {each.from_date for each in own})
        for day, until in pairwise([*days, FOREVER]):
            in_force = [each for each in versions if each.from_date <= day]
            steps = [each for each in own if each.from_date <= day]
            if in_force:
                by_volume = steps[-1] if steps and steps[-1].tiers else None
                number = len(found) + 1
                found.append(Segment(number, in_force[-1], by_volume, currency, day, until))
    return found


class FeeGroup(NamedTuple):
    """A document of a batch, in the order of the numbers, as its fees see it.

    `closes`: whether it takes a number, so that its volume counts for those after it. `net`: before
    fees.
    """

    group_no: int
    option: str
    currency: str
    net: Decimal
    closes: bool


class TakenFee(NamedTuple):
    """The fee that a document takes of its lines of one segment.

    `volume`: what is reached before the document since a day; None without tiers.
    """

    group_no: int
    segment_no: int
    percent: Decimal
    volume: Decimal | None = None
    volume_since: date | None = None


VolumeBefore = Callable[[str, str, date], Decimal]
"""The volume of an option in a currency from a day on."""


def take_fees(
    groups: Sequence[FeeGroup],
    segment_nos: Mapping[int, Sequence[int]],
    by_number: Mapping[int, Segment],
    volume_before: VolumeBefore,
    invoice_date: date,
) -> list[TakenFee]:
    """Return the fees of the documents of a batch: each adds its volume for those after it.

    `segment_nos`: of the lines of each document.
    """
    added: dict[tuple[str, str], Decimal] = {}
    taken = []
    for group in groups:
        key = (group.option, group.currency)
        for segment_no in sorted(segment_nos.get(group.group_no, ())):
            segment, volume, since = by_number[segment_no], None, None
            if segment.tiers is not None:
                since = volume_from(segment.tiers.volume_of, invoice_date)
                volume = volume_before(*key, since) + added.get(key, ZERO)
            percent = segment.percent(volume or ZERO)
            taken.append(TakenFee(group.group_no, segment_no, percent, volume, since))
        if group.closes:
            added[key] = added.get(key, ZERO) + group.net
    return taken


def markup(base: Decimal, percent: Decimal, currency: str) -> Decimal:
    """Return the fee of a base, rounded once: 3 % of 97.09 is 2.91."""
    return rounded(base * percent / 100, currency)


def returned_markups(
    base: Decimal,
    amount: Decimal,
    percent: Decimal,
    returned: Sequence[Decimal],
    credits: Sequence[Decimal],
    currency: str,
) -> list[Decimal]:
    """Return what credits return of a markup, in order: each pro rata at the original percentage.

    `base`, `amount`: of the fee. `returned`: the base and the amount that were returned before, as
    negative numbers. `credits`: the base that each returns, above zero. None returns more than is
    left; the last one returns the rest.
    """
    base_left, left = base + returned[0], amount + returned[1]
    found = []
    for credit in credits:
        base_left -= credit
        back = left if base_left <= 0 else min(left, markup(credit, percent, currency))
        left -= back
        found.append(-back)
    return found


class IssuedFee(NamedTuple):
    """A fee of a closed document, with what credits returned of it (negative for a markup)."""

    fee_no: int
    option: str
    funded_by: FundedBy
    charged_as: ChargedAs
    fee_from: date
    percent: Decimal
    base: Decimal
    amount: Decimal
    line_no: int | None
    base_returned: Decimal
    returned: Decimal


class IssuedLineFee(NamedTuple):
    """What a line is of the base of a fee, its share of a discount, and what credits returned."""

    fee_no: int
    base: Decimal
    share: Decimal
    base_returned: Decimal
    share_returned: Decimal


class DocumentFee(NamedTuple):
    """A fee on a document, or what its credits return of the fee of another one.

    `amount` is signed as in the net of the document. `line_no`: of a markup. `volume`: what was
    reached before the document, where a tier decided. `corrects`: the number of the invoice whose
    fee is returned. A draft keeps its fees, and so its tier, in this form.
    """

    fee_no: int
    option: str
    funded_by: FundedBy
    charged_as: ChargedAs
    fee_from: date
    percent: Decimal
    base: Decimal
    amount: Decimal
    line_no: int | None = None
    volume: Decimal | None = None
    corrects: str = ""

    def row(self, currency: str) -> dict[str, Any]:
        """The fee as it is shown and stored with a preview: amounts as strings."""
        volume = None if self.volume is None else str(rounded(self.volume, currency))
        return {
            "option": self.option,
            "funded_by": self.funded_by,
            "charged_as": self.charged_as,
            "fee_from": str(self.fee_from),
            "percent": plain(self.percent),
            "base": str(rounded(self.base, currency)),
            "amount": str(rounded(self.amount, currency)),
            **({"line_no": self.line_no} if self.line_no is not None else {}),
            **({"volume": volume} if volume is not None else {}),
            **({"corrects": self.corrects} if self.corrects else {}),
        }
