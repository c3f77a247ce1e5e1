"""Documents: lines with the same split keys form a group, and a group becomes a document.

A group becomes an invoice or a credit note, or stays open when its total is zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from services.invoicer.debtors.rules.companies import DocumentTerms
from services.invoicer.invoices.rules.totals import AllowancePart, TaxPart
from shared.errors import Refused
from shared.money import ZERO, plain, rounded
from shared.terms import DocumentType

MOST_TAX_PARTS = 5_000
"""Tax codes and rates of one document: so many fit into its message, however long they are."""


class GroupOption(NamedTuple):
    """The invoice option of a document: its name, its party, the grouping fields with their values.

    `origin_no`: the group before the maximum of lines cut it, and `part`, which part of it this is.
    """

    name: str
    bill_to: str
    group: tuple[tuple[str, str], ...]
    origin_no: int = 0
    part: int = 0

    @classmethod
    def of(cls, stored: Mapping[str, Any], origin_no: int = 0, part: int = 0) -> "GroupOption":
        """Return the option of a document as it is stored."""
        group = tuple((field, value) for field, value in stored["group"])
        return cls(stored["name"], stored["bill_to"], group, origin_no, part)

    @property
    def row(self) -> dict[str, Any]:
        """The option as it is stored and published."""
        return {
            "name": self.name,
            "bill_to": self.bill_to,
            "group": [list(each) for each in self.group],
        }


class Group(NamedTuple):
    """Lines with the same split keys, added up.

    `newest_corrected` is the newest invoice that a credit among them corrects. `hours` are those of
    lines in hours, of credits negative.
    """

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
    hours: Decimal = ZERO
    allowances: tuple[AllowancePart, ...] = ()
    option: GroupOption | None = None

    def joined(
        self,
        part: TaxPart,
        line_count: int,
        credit_count: int,
        service_from: date,
        service_to: date,
        newest_corrected: int | None,
        hours: Decimal,
    ) -> "Group":
        """Return the group with the lines of one more tax code and rate."""
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
            hours=self.hours + hours,
        )

    def taxed(self, taxes: Mapping[tuple[str, Decimal], Decimal]) -> "Group":
        """Return the group with other tax amounts for its codes and rates."""
        return self._replace(
            tax_parts=tuple(
                part._replace(tax=taxes[(part.code, part.rate)]) for part in self.tax_parts
            )
        )

    @property
    def net(self) -> Decimal:
        """The sum of the lines after allowances; credits count negative."""
        return sum([part.net for part in self.tax_parts], ZERO)

    @property
    def tax(self) -> Decimal:
        """The sum of the tax."""
        return sum([part.tax for part in self.tax_parts], ZERO)

    @property
    def tax_rows(self) -> list[dict[str, str]]:
        """Net and tax by code and rate as they are stored and published."""
        return [
            {
                "code": part.code,
                "rate": plain(part.rate),
                "net": str(rounded(part.net, self.currency)),
                "tax": str(rounded(part.tax, self.currency)),
            }
            for part in self.tax_parts
        ]

    @property
    def allowance_rows(self) -> list[dict[str, str | None]]:
        """The discounts and surcharges as they are stored and published."""
        return [part.row(self.currency) for part in self.allowances]

    @property
    def split_keys(self) -> tuple[object, ...]:
        """The sort key of documents in a batch: Account Name, split keys, option and its group."""
        option = ("", ()) if self.option is None else (self.option.name, self.option.group)
        return (self.account_name, self.currency, self.terms, self.po_number, *option)

    @property
    def position(self) -> tuple[int, int]:
        """The sort key of documents with the same split keys: the group and its part."""
        option = self.option
        return (self.group_no, 0) if option is None else (option.origin_no, option.part)


class Document(NamedTuple):
    """A group to close, its type, and how its tax is computed: per line or per document."""

    group: Group
    document_type: DocumentType
    tax_basis: str = "line"


def document_type(group: Group) -> DocumentType | None:
    """Return the type of a group's document.

    An invoice if the total raises the debt, a credit note with all its lines if it lowers it, None
    if net and tax are zero. The total decides, because net and tax can have different signs where a
    credit is taxed and a debit is not.
    """
    weight = group.net + group.tax or group.net
    if weight == 0:
        return None
    return "invoice" if weight > 0 else "credit-note"


def taxed_per_document(closed: Sequence[Document], basis: str) -> list[Document]:
    """Return the documents whose tax is computed on their sums.

    These are the invoices of a company with that tax basis; never credit notes.
    """
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
    """Separate the documents that keep their type from the groups that stay open.

    Where credits nearly cancel the debits, tax on the sum of the debits can change the sign of a
    total, or make it zero, compared with tax per line. The lines of such a document stay open, as
    those of any total of zero.
    """
    closed: list[Document] = []
    zero: list[Group] = []
    for each in taxed:
        kind = document_type(each.group) if each.tax_basis == "document" else each.document_type
        good = kind == each.document_type or (
            kind is None and each.group.account_name in zero_document_debtors
        )
        closed.append(each) if good else zero.append(each.group)
    return closed, zero


def check_tax_parts(groups: Sequence[Group]) -> None:
    """Refuse a document with more tax codes and rates than the message about it can have."""
    for group in groups:
        count = len(group.tax_parts) + len(group.allowances)
        if count > MOST_TAX_PARTS:
            raise Refused(
                "too_many_tax_rates",
                f"a document of {group.account_name} would have {count:,} tax codes and rates"
                f"{', allowances included' if group.allowances else ''}; the limit is"
                f" {MOST_TAX_PARTS:,}",
                "exclude the debtor, or bill fewer weeks at once with an earlier cut-off",
            )


def build_documents(
    groups: Sequence[Group], zero_document_debtors: frozenset[str] = frozenset()
) -> tuple[list[Document], list[Group]]:
    """Return the documents of a batch in the order of their numbers, and the open groups.

    A group with a total of zero stays open. `zero_document_debtors`: Account Names of the debtors
    who want documents with a total of zero too.
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
    return in_number_order(closed), zero


def in_number_order(documents: Iterable[Document]) -> list[Document]:
    """Return documents in the order of their numbers.

    Invoices come before credit notes; one debtor's documents with the same keys follow the invoices
    that they correct.
    """
    return sorted(
        documents,
        key=lambda document: (
            document.group.split_keys,
            document.document_type == "credit-note",
            document.group.credit_split,
            document.group.position,
        ),
    )
