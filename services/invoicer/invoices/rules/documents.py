"""A document: lines with the same split keys added up, and what such a group becomes.

A group becomes an invoice or a credit note, or stays open when it comes to zero.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.invoices.rules.totals import TaxPart
from shared.money import ZERO
from shared.terms import DocumentType


class Group(NamedTuple):
    """Lines with the same split keys, added up. `newest_corrected` is the newest invoice that a credit among them corrects."""

    group_no: int
    account_name: str
    currency: str
    terms: DocumentTerms
    po_number: str
    credit_split: int
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


def document_type(group: Group) -> DocumentType | None:
    """An invoice when the group raises the debt, a credit note (with all its lines) when it lowers it; None when it comes to exactly
    zero in net and tax. The debt is the total: net and tax may have different signs where a credit is taxed and a debit is not."""
    weight = group.net + group.tax or group.net
    if weight == 0:
        return None
    return "invoice" if weight > 0 else "credit-note"


def taxed_per_document(closed: Sequence[Document], basis: str) -> list[Document]:
    """The documents whose tax is computed over their sums: invoices of a company with that basis; a credit note never."""
    if basis != "document":
        return []
    return [
        each
        for each in closed
        if each.document_type == "invoice" and each.group.credit_count < each.group.line_count
    ]


def recheck_totals(
    taxed: Sequence[Document], zero_document_debtors: frozenset[str] = frozenset()
) -> tuple[list[Document], list[Group]]:
    """Where credits take what debits come to, tax over the sum of the debits may leave nothing to pay, or less, of an invoice that tax line
    by line had made: then its lines stay open, as those of any sum of zero."""
    closed: list[Document] = []
    zero: list[Group] = []
    for each in taxed:
        kind = document_type(each.group) if each.tax_basis == "document" else each.document_type
        good = kind == each.document_type or (
            kind is None and each.group.account_name in zero_document_debtors
        )
        closed.append(each) if good else zero.append(each.group)
    return closed, zero


def build_documents(
    groups: Sequence[Group], zero_document_debtors: frozenset[str] = frozenset()
) -> tuple[list[Document], list[Group]]:
    """The documents of a batch in the order of their numbers, and the groups that stay open with a total of zero.

    `zero_document_debtors`: Account Names of debtors who ask for documents of zero, too.
    """
    closed: list[Document] = []
    zero: list[Group] = []
    for group in groups:
        kind = document_type(group)
        if kind is None and group.account_name in zero_document_debtors:
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
            document.group.credit_split,
        )
    )
    return closed, zero
