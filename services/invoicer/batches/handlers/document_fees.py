"""The MSP fees and the tax of the documents of a batch.

The tier of a document follows from the documents before it, in the order of their numbers; whether
a document closes, and as what, follows from its total with the fee. Both are computed again until
they agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.batches.store import fees as store
from services.invoicer.batches.store import selection
from services.invoicer.batches.store.fees import Bases, TaxedFee
from services.invoicer.debtors.rules.companies import BillingCompany, TaxRate
from services.invoicer.fees import rules
from services.invoicer.fees import store as fee_store
from services.invoicer.fees.rules import CLIENT, Fee, FeeGroup, Segment, Tiers
from services.invoicer.invoices.rules.documents import (
    Document,
    Group,
    build_documents,
    document_order,
    recheck_totals,
    taxed_per_document,
)
from services.invoicer.invoices.rules.totals import TaxSpan, tax_spans
from shared.money import ZERO

ROUNDS = 5
"""After so many rounds a document whose type its own fee keeps changing stays open."""


@dataclass(frozen=True, slots=True)
class FeesInForce:
    """The fees of a company that ever had one, their tiers, and the day of the documents."""

    fees: Sequence[Fee]
    tiers: Sequence[Tiers]
    on: date

    @property
    def settings(self) -> dict[str, Any]:
        """The definitions by name, as settings of a batch."""
        return {
            f"fee of {each.option} from {each.from_date}": each.values for each in self.fees
        } | {
            f"fee tiers of {each.option} in {each.currency} from {each.from_date}": each.values
            for each in self.tiers
        }


class WithFees(NamedTuple):
    """Documents with their fees, groups that stay open, and groups whose fee has no tax rate."""

    documents: list[Document]
    zero: list[Group]
    untaxed: list[Group]


async def fees_in_force(
    connection: AsyncConnection, billing_company: str, on: date
) -> FeesInForce | None:
    """Return the fees of a company for documents of a day; None if it never had one."""
    if not await fee_store.has_fees(connection, billing_company):
        return None
    return FeesInForce(
        await fee_store.fees_for(connection, billing_company, CLIENT),
        await fee_store.tiers_for(connection, billing_company, CLIENT),
        on,
    )


async def with_fees_and_tax(
    connection: AsyncConnection,
    company: BillingCompany,
    fees: FeesInForce | None,
    rates: Sequence[TaxRate],
    documents: list[Document],
    zero: list[Group],
    zero_document_debtors: frozenset[str],
) -> tuple[list[Document], list[Group]]:
    """Compute the fees of documents, and their tax where it is per document.

    Returns what closes and what stays open; lines that do not close are out.
    """
    untaxed: list[Group] = []
    if fees is None:
        documents, zero_after_tax = recheck_totals(
            await with_document_tax(connection, documents, company), zero_document_debtors
        )
        zero = zero + zero_after_tax
    else:
        groups = [*(each.group for each in documents), *zero]
        documents, zero, untaxed = await _with_fees(
            connection, company, fees, tax_spans(rates), groups, zero_document_debtors
        )
    for reason, out in ((reasons.ZERO_TOTAL, zero), (reasons.NO_TAX_RATE, untaxed)):
        await selection.exclude_groups(connection, [group.group_no for group in out], reason)
    return documents, zero


async def with_document_tax(
    connection: AsyncConnection, documents: list[Document], company: BillingCompany
) -> list[Document]:
    """Compute tax per document where the company is set to that."""
    group_nos = {each.group.group_no for each in taxed_per_document(documents, company.tax_basis)}
    if not group_nos:
        return documents
    with_allowances = any(each.group.allowances for each in documents)
    taxes = await selection.spread_tax(
        connection, sorted(group_nos), with_allowances=with_allowances
    )
    return [
        each._replace(group=each.group.taxed(taxes[each.group.group_no]), tax_basis="document")
        if each.group.group_no in group_nos
        else each
        for each in documents
    ]


async def _with_fees(
    connection: AsyncConnection,
    company: BillingCompany,
    in_force: FeesInForce,
    spans: Sequence[TaxSpan],
    groups: Sequence[Group],
    zero_document_debtors: frozenset[str],
) -> WithFees:
    """Build the documents of a batch with their fees.

    `groups`: those of the selection without unsafe debtors, with their options and allowances.
    """
    pairs = [(each.option.name, each.currency) for each in groups if each.option is not None]
    segments = {
        each.segment_no: each for each in rules.segments(in_force.fees, in_force.tiers, pairs)
    }
    bases = await store.find_bases(connection, list(segments.values()))
    taxes = _Taxes(company.default_tax, spans)
    untaxed = [each for each in groups if not _all_taxed(each, segments, bases, taxes)]
    out = {each.group_no for each in untaxed}
    groups = [each for each in groups if each.group_no not in out]
    by_number = {each.group_no: each for each in groups}
    volumes = await _volumes(connection, company, in_force, segments)
    documents, zero = build_documents(groups, zero_document_debtors)
    unsteady: set[int] = set()
    for number in range(2 * ROUNDS):
        before = _types(documents)
        taken = rules.take_fees(
            _in_order(groups, documents, bases),
            {group_no: list(dates) for group_no, dates in bases.dates.items()},
            segments,
            lambda option, currency, since: volumes[option, currency, since],
            in_force.on,
        )
        taxed = [_taxed(each, by_number, segments, bases, taxes) for each in taken]
        found = await store.take_fees(connection, groups, taxed)
        steady = [each for each in found if each.group_no not in unsteady]
        documents, zero = build_documents(steady, zero_document_debtors)
        documents, zero_after_tax = recheck_totals(
            await with_document_tax(connection, documents, company), zero_document_debtors
        )
        zero += zero_after_tax + [each for each in found if each.group_no in unsteady]
        now = _types(documents)
        if now == before:
            break
        if number >= ROUNDS:
            unsteady |= {group_no for group_no, _ in set(now) ^ set(before)}
    else:
        raise AssertionError("the fees of a batch do not come to an end")
    await store.drop_lines(connection, [each.group_no for each in (*zero, *untaxed)])
    return WithFees(documents, zero, untaxed)


def _types(documents: Sequence[Document]) -> list[tuple[int, str]]:
    return [(each.group.group_no, each.document_type) for each in documents]


def _in_order(
    groups: Sequence[Group], documents: Sequence[Document], bases: Bases
) -> list[FeeGroup]:
    """Return the documents with options in the order of their numbers; others where they would be.

    The net is that before fees: what credits return of discounts is not a part of it.
    """
    types = {each.group.group_no: each.document_type for each in documents}
    ordered = sorted(
        groups, key=lambda each: document_order(each, types.get(each.group_no, "invoice"))
    )
    return [
        FeeGroup(
            each.group_no,
            each.option.name,
            each.currency,
            each.net - bases.returned.get(each.group_no, ZERO),
            each.group_no in types,
        )
        for each in ordered
        if each.option is not None
    ]


async def _volumes(
    connection: AsyncConnection,
    company: BillingCompany,
    in_force: FeesInForce,
    segments: Mapping[int, Segment],
) -> dict[tuple[str, str, date], Decimal]:
    """Return the volumes that the tiers ask for."""
    asked = {
        (each.fee.option, each.currency, rules.volume_from(each.tiers.volume_of, in_force.on))
        for each in segments.values()
        if each.tiers is not None
    }
    return await fee_store.volumes(connection, company.billing_company, sorted(asked), in_force.on)


class _Taxes(NamedTuple):
    """The tax rates of a company, by which the lines of markups are taxed."""

    default_tax: str
    spans: Sequence[TaxSpan]

    def code(self, fee: Fee) -> str:
        """Return the tax code of the line of a markup."""
        return fee.tax_code or self.default_tax

    def rate(self, fee: Fee, group: Group, on: date) -> Decimal | None:
        """Return its rate on a day; None if the code has none."""
        code = self.code(fee)
        if fee.charged_as == "discount" or not code or group.terms.tax_regime != "standard":
            return ZERO
        rates = (
            each.percent
            for each in self.spans
            if each.tax_code == code and each.from_date <= on < each.to_date
        )
        return next(rates, None)


def _all_taxed(group: Group, segments: Mapping[int, Segment], bases: Bases, taxes: _Taxes) -> bool:
    return all(
        taxes.rate(segments[number].fee, group, on) is not None
        for number, on in bases.dates.get(group.group_no, {}).items()
    )


def _taxed(
    taken: rules.TakenFee,
    by_number: Mapping[int, Group],
    segments: Mapping[int, Segment],
    bases: Bases,
    taxes: _Taxes,
) -> TaxedFee:
    fee = segments[taken.segment_no].fee
    on = bases.dates[taken.group_no][taken.segment_no]
    rate = taxes.rate(fee, by_number[taken.group_no], on)
    return TaxedFee(taken, taxes.code(fee), rate or ZERO)
