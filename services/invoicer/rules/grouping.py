"""Which lines come on one document, and what that document is (domain rules 5 and 8; design 5).

Split keys that are never optional: billing company, debtor, currency, tax regime, payment terms, PO number. Credits stand apart from
debits unless the debtor nets them. The store groups lines by these keys; here each group becomes a document, or stays open.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.invoicer.rules.companies import DEFAULT_WORDING, Company, Credits, DebtorTerms, Terms
from services.invoicer.rules.cycles import (
    NO_GROUP,
    Span,
    TimeGroup,
    Window,
    beyond_periods,
    time_group_of,
    weeks_asked,
    window,
)
from services.invoicer.rules.expected import NONE_EXPECTED, Arrived, may_wait, waits
from services.invoicer.rules.narrowing import WHOLE, Narrowing
from services.invoicer.rules.totals import TaxPart
from shared.money import ZERO
from shared.terms import DocumentType


class Debtor(NamedTuple):
    """What is decided for a debtor in this batch. `parked` says why none of the debtor's lines goes in; `left_out` is the reason for which
    nobody asked for them; `waiting` says why no timesheet goes in; each empty if it is not so."""

    debtor_no: int
    account_name: str
    terms: Terms
    credits: Credits
    zero_documents: bool
    window: Window
    parked: str = ""
    time_group: str = ""
    left_out: str = ""
    missing_timesheets: str = "bill"
    asked: Span | None = None
    waiting: str = ""

    @property
    def batch_group(self) -> str:
        """The batch group of the debtor."""
        return self.time_group or NO_GROUP

    @property
    def is_in(self) -> bool:
        """Whether something of the debtor may go in."""
        return not self.parked and not self.left_out


class Group(NamedTuple):
    """Lines with the same split keys, added up. `newest_corrected` is the newest invoice that a credit among them corrects."""

    group_no: int
    account_name: str
    currency: str
    terms: Terms
    po_number: str
    apart: int
    line_count: int
    credit_count: int
    service_from: date
    service_to: date
    tax_parts: tuple[TaxPart, ...]
    newest_corrected: int | None = None

    def joined(
        self,
        part: TaxPart,
        line_count: int,
        credit_count: int,
        service_from: date,
        service_to: date,
        newest_corrected: int | None,
    ) -> "Group":
        """The group with the lines of one more tax code and rate."""
        return self._replace(
            tax_parts=(*self.tax_parts, part),
            line_count=self.line_count + line_count,
            credit_count=self.credit_count + credit_count,
            service_from=min(self.service_from, service_from),
            service_to=max(self.service_to, service_to),
            newest_corrected=max(
                (each for each in (self.newest_corrected, newest_corrected) if each is not None),
                default=None,
            ),
        )

    def taxed(self, taxes: Mapping[tuple[str, Decimal], Decimal]) -> "Group":
        """The group with other tax for its codes and rates."""
        return self._replace(
            tax_parts=tuple(
                part._replace(tax=taxes[(part.code, part.rate)]) for part in self.tax_parts
            )
        )

    @property
    def net(self) -> Decimal:
        """Sum of the lines; credits count negative."""
        return sum([part.net for part in self.tax_parts], ZERO)

    @property
    def tax(self) -> Decimal:
        """Sum of the tax."""
        return sum([part.tax for part in self.tax_parts], ZERO)

    @property
    def split_keys(self) -> tuple[object, ...]:
        """The order of documents in a batch: Account Name, then the split keys."""
        return (self.account_name, self.currency, self.terms, self.po_number)


class Document(NamedTuple):
    """A group that will be closed, and what it is. `tax_basis`: how its tax was computed, of each line or of the document."""

    group: Group
    document_type: DocumentType
    tax_basis: str = "line"


def debtors(
    names: Iterable[str],
    company: Company,
    own_terms: Mapping[str, DebtorTerms],
    cut_off: date,
    *,
    on_cut_off: Mapping[str, DebtorTerms] | None = None,
    time_groups: Mapping[str, TimeGroup] | None = None,
    narrowing: Narrowing = WHOLE,
    today: date | None = None,
) -> list[Debtor]:
    """Decides each debtor's terms, window and way with credits, in the order of Account Names. What the debtor's terms leave open is the
    billing company's. Terms hold by the date of the documents, the time group by the cut-off date."""
    on_cut_off = own_terms if on_cut_off is None else on_cut_off
    groups = time_groups or {}
    cycles: dict[str, tuple[str, Window, Span | None]] = {}
    usual = DebtorTerms("", company.payment_terms)
    usual_terms = _terms(usual, company)
    found = []
    for at, name in enumerate(sorted(set(names)), start=1):
        own = own_terms.get(name, usual)
        terms = usual_terms if own is usual else _terms(own, company)
        then = on_cut_off.get(name)
        time_group = time_group_of(then.time_group if then else "", company.default_time_group)
        if time_group not in cycles:
            cycles[time_group] = _cycle(
                time_group, groups.get(time_group), cut_off, today or cut_off
            )
        parked, cycle, asked = cycles[time_group]
        rule = narrowing.missing_timesheets or own.missing_timesheets
        left_out = narrowing.left_out(name, time_group)
        found.append(
            Debtor(
                at,
                name,
                terms,
                own.credits,
                own.zero_documents,
                cycle,
                parked,
                time_group,
                left_out,
                rule,
                asked,
            )
        )
    return found


def _terms(own: DebtorTerms, company: Company) -> Terms:
    """The split keys of a debtor's terms."""
    wording = (
        "" if own.tax_regime == "standard" else own.tax_wording or DEFAULT_WORDING[own.tax_regime]
    )
    return Terms(own.tax_regime, wording, own.payment_terms or company.payment_terms)


def _cycle(
    name: str, group: TimeGroup | None, cut_off: date, today: date
) -> tuple[str, Window, Span | None]:
    """What all debtors of a time group have in common: why they are parked, their window, the days whose weeks are asked for."""
    parked = (
        beyond_periods(group, cut_off)
        if group
        else f"the debtor's time group {name!r} does not exist"
        if name
        else ""
    )
    if parked:
        return parked, Window(weeks_to=cut_off, products_to=cut_off), None
    cycle = window(group, cut_off)
    return "", cycle, weeks_asked(cycle, cut_off, today)


def may_be_waiting(decided: Iterable[Debtor], today: date) -> list[Debtor]:
    """The debtors who wait if a timesheet is missing: only of them need anybody ask what is expected."""
    return [
        each
        for each in decided
        if each.is_in
        and each.asked is not None
        and may_wait(each.missing_timesheets, each.asked.last_day, today)
    ]


def with_waiting(
    decided: Iterable[Debtor], arrived: Mapping[str, Arrived], today: date
) -> list[Debtor]:
    """The debtors, and why some of them wait: with the timesheets of all cycles, not with products."""
    if not arrived:
        return list(decided)
    found = []
    for each in decided:
        why = ""
        if each.is_in and each.asked is not None:
            why = waits(
                each.missing_timesheets,
                arrived.get(each.account_name, NONE_EXPECTED),
                each.asked,
                today,
            )
        found.append(each._replace(waiting=why) if why else each)
    return found


def document_type(group: Group) -> DocumentType | None:
    """An invoice when the group raises the debt, a credit note (with all its lines) when it lowers it; None when it comes to exactly
    zero in net and tax. The debt is the total: net and tax may have different signs where a credit is taxed and a debit is not."""
    weight = group.net + group.tax or group.net
    if weight == 0:
        return None
    return "invoice" if weight > 0 else "credit-note"


def per_document(closed: Sequence[Document], basis: str) -> list[Document]:
    """The documents whose tax is computed over their sums: invoices of a company with that basis; a credit note never."""
    if basis != "document":
        return []
    return [
        each
        for each in closed
        if each.document_type == "invoice" and each.group.credit_count < each.group.line_count
    ]


def weighed_again(
    taxed: Sequence[Document], zero_wanted: frozenset[str] = frozenset()
) -> tuple[list[Document], list[Group]]:
    """Where credits take what debits come to, tax over the sum of the debits may leave nothing to pay, or less, of an invoice that tax line
    by line had made: then its lines stay open, as those of any sum of zero."""
    closed: list[Document] = []
    zero: list[Group] = []
    for each in taxed:
        kind = document_type(each.group) if each.tax_basis == "document" else each.document_type
        good = kind == each.document_type or (
            kind is None and each.group.account_name in zero_wanted
        )
        closed.append(each) if good else zero.append(each.group)
    return closed, zero


def documents(
    groups: Sequence[Group], zero_wanted: frozenset[str] = frozenset()
) -> tuple[list[Document], list[Group]]:
    """The documents of a batch in the order of their numbers, and the groups that stay open with a total of zero.

    `zero_wanted`: Account Names of debtors who ask for documents of zero, too.
    """
    closed: list[Document] = []
    zero: list[Group] = []
    for group in groups:
        kind = document_type(group)
        if kind is None and group.account_name in zero_wanted:
            kind = "credit-note" if group.credit_count == group.line_count else "invoice"
        if kind is None:
            zero.append(group)
        else:
            closed.append(Document(group, kind))
    # Invoices before credit notes; one debtor's documents with the same keys follow the invoices that they correct.
    closed.sort(
        key=lambda document: (
            document.group.split_keys,
            document.document_type == "credit-note",
            document.group.apart,
        )
    )
    return closed, zero
