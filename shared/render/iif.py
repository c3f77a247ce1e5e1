"""IIF of closed documents for import into QuickBooks Desktop: tab-separated, CRLF, Windows-1252.

Rules of the format:
- A transaction sums to zero. An invoice debits receivables (TRNS, positive) and credits income and
  tax (SPL, negative, quantities too); a credit memo is the mirror. TRNS is our total unchanged, SPL
  is its opposite.
- A tab or line end has no escape, and a double quote opens a quoted field: in free text they become
  spaces and apostrophes. A customer name is a key, so a name that would change is refused by
  `problems`, as is a number that QuickBooks would cut.
- QuickBooks multiplies quantity and price again: see `line_figures`.
- A discount or surcharge is a line of its own on the income account.
- Tax is written as it was closed, as lines with one item per code. `AUTOSTAX` would let QuickBooks
  compute it again and differ.
- A file has no currency: one file holds documents in the currency of the company file.

QuickBooks creates unknown accounts as bank accounts, so the file lists accounts and items first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

from shared.errors import Refused
from shared.money import plain
from shared.render.line_figures import line_figures
from shared.render.text import LOOKALIKES, one_line
from shared.terms import ClosedDocument, ClosedLine

ENCODING = "cp1252"
NUMBER_LENGTH = 11
NAME_LENGTH = 41
MEMO_LENGTH = 4_000
ITEM_LENGTH = 31
"""The most characters of an account or item, of each part where its name is a path."""
PATH_PARTS = 5
TAX_ITEM = "Tax "
ADDRESS_LINES = 5
TRNS = (
    "TRNSTYPE",
    "DATE",
    "ACCNT",
    "NAME",
    "AMOUNT",
    "DOCNUM",
    "MEMO",
    "TOPRINT",
    "ADDR1",
    "ADDR2",
    "ADDR3",
    "ADDR4",
    "ADDR5",
    "DUEDATE",
    "PONUM",
)
SPL = (
    "TRNSTYPE",
    "DATE",
    "ACCNT",
    "NAME",
    "AMOUNT",
    "DOCNUM",
    "MEMO",
    "QNTY",
    "PRICE",
    "INVITEM",
    "TAXABLE",
    "SERVICEDATE",
)
_QUOTES = str.maketrans({'"': "'"})


@dataclass(frozen=True, slots=True)
class Accounts:
    """Names in the company file: accounts of receivables, income and tax, and the item for our
    work. A sub-account or sub-item has its full path, as in `Income:Staffing`.
    """

    receivable: str = "Accounts Receivable"
    income: str = "Staffing Income"
    tax: str = "Tax on Sales"
    item: str = "Staffing"

    @classmethod
    def named(cls, names: Iterable[str]) -> "Accounts":
        """Build from `key=name` texts.

        Refused for an unknown key, a name QuickBooks cannot take, or a parent of two account types.
        """
        known = [each.name for each in fields(cls)]
        given: dict[str, str] = {}
        for text in names:
            key, equals, name = text.partition("=")
            if key not in known or not equals or not name.strip():
                raise Refused(
                    "bad_account",
                    f"{text!r} does not say key=name with one of the keys {', '.join(known)}",
                    "as in: receivable=Debtors",
                )
            parts = [part.strip() for part in name.split(":")]
            if len(parts) > PATH_PARTS or not all(
                part and _kept(part) and len(part) <= ITEM_LENGTH for part in parts
            ):
                raise Refused(
                    "bad_account",
                    f"{name!r} is no name that an IIF file can carry",
                    f"at most {ITEM_LENGTH} characters of Windows-1252, no quotes; a path has at"
                    f" most {PATH_PARTS} such parts with a colon between",
                )
            given[key] = ":".join(parts)
        accounts = cls(**given)
        kinds = (accounts.receivable, accounts.income, accounts.tax)
        if len({name.partition(":")[0] for name in kinds}) < len(kinds):
            raise Refused(
                "bad_account",
                f"receivable, income and tax are {', '.join(kinds)}: two of them are one account"
                " or have one parent, and a sub-account has the type of its parent",
                "name accounts of three different parents",
            )
        return accounts


def _cell(text: str, most: int = MEMO_LENGTH) -> str:
    """Return free text for a cell; characters that the encoding lacks become question marks."""
    line = one_line(text.translate(_QUOTES).translate(LOOKALIKES))
    return line[:most].encode(ENCODING, "replace").decode(ENCODING)


def _kept(name: str) -> bool:
    """Whether a name is written unchanged."""
    return _cell(name, len(name)) == name.strip()


def _with_parents(path: str) -> list[str]:
    """Return a path with all its parents, the highest first: QuickBooks reads them in order."""
    parts = path.split(":")
    return [":".join(parts[:at]) for at in range(1, len(parts) + 1)]


def _row(*cells: str) -> str:
    return "\t".join(cells) + "\r\n"


def _day(day: date) -> str:
    return f"{day:%m/%d/%Y}"


def _money(amount: Decimal) -> str:
    return format(amount or abs(amount), "f")


def problems(document: ClosedDocument) -> list[str]:
    """Return why this document cannot go into an IIF file, one message each; empty if it can."""
    number, name = document.invoice_number, document.account_name
    found = []
    if len(number) > NUMBER_LENGTH or not _kept(number):
        found.append(
            f"{number}: QuickBooks keeps {NUMBER_LENGTH} characters of a number, and would give two"
            " documents one number"
        )
    if any(len(part) > NAME_LENGTH for part in name.split(":")):
        found.append(
            f"{number}: the Account Name {name!r} has more than {NAME_LENGTH} characters, the most"
            " that QuickBooks takes in a customer's name"
        )
    found += [
        f"{number}: the tax code {each.code} has more than {ITEM_LENGTH - len(TAX_ITEM)}"
        " characters, and QuickBooks would cut its item to that of another code"
        for each in document.tax_totals
        if each.tax and len(TAX_ITEM + each.code) > ITEM_LENGTH
    ]
    if not _kept(name):
        found.append(
            f"{number}: the Account Name {name!r} has characters that an IIF file cannot carry, so"
            " that it would name another customer"
        )
    return found


class IifRows:
    """The rows of one file: `opening`, then for each document `begin`, its lines and `end`."""

    def __init__(self, accounts: Accounts | None = None) -> None:
        self.accounts = accounts or Accounts()
        self.tax_items: set[str] = set()

    def opening(self) -> Iterator[str]:
        """Yield the lists of accounts and items, and the column heads."""
        accounts = self.accounts
        yield _row("!ACCNT", "NAME", "ACCNTTYPE")
        for name, kind in (
            (accounts.receivable, "AR"),
            (accounts.income, "INC"),
            (accounts.tax, "OCLIAB"),
        ):
            for path in _with_parents(name):
                yield _row("ACCNT", path, kind)
        yield _row("!INVITEM", "NAME", "INVITEMTYPE", "ACCNT", "TAXABLE")
        for path in _with_parents(accounts.item):
            yield _row("INVITEM", path, "SERV", accounts.income, "N")
        yield _row("!TRNS", *TRNS)
        yield _row("!SPL", *SPL)
        yield _row("!ENDTRNS")

    def _tax_item(self, code: str) -> str:
        return (TAX_ITEM + code).strip()

    def begin(self, document: ClosedDocument) -> Iterator[str]:
        """Yield the customer's side of a document, after tax items that are new in the file."""
        for name in sorted(
            {self._tax_item(each.code) for each in document.tax_totals if each.tax} - self.tax_items
        ):
            self.tax_items.add(name)
            yield _row("INVITEM", name, "OTHC", self.accounts.tax, "N")
        address = [document.buyer.name, *document.buyer.address.splitlines()]
        lines = [_cell(line) for line in address if line.strip()][:ADDRESS_LINES]
        yield _row(
            "TRNS",
            _kind(document),
            _day(document.invoice_date),
            self.accounts.receivable,
            document.account_name.strip(),
            _money(document.total),
            document.invoice_number,
            _cell(
                "; ".join(
                    f"corrects {each.number} of {each.invoice_date.isoformat()}"
                    for each in document.corrects
                )
            ),
            "N",
            *lines,
            *([""] * (ADDRESS_LINES - len(lines))),
            _day(document.due_date),
            _cell(document.po_number, 25),
        )

    def line(self, document: ClosedDocument, line: ClosedLine) -> str:
        """Return our side of one line."""
        figures = line_figures(line, document.currency)
        corrects = (
            f"corrects {line.corrects_invoice} line {line.corrects_line}"
            if line.corrects_invoice
            else ""
        )
        week = f"w/e {line.week_ending.isoformat()}" if line.week_ending else ""
        memo = " · ".join(
            part
            for part in (line.description, line.worker_id, week, figures.note, corrects)
            if part
        )
        return self._split(
            document,
            self.accounts.income,
            -line.amount,
            memo,
            -figures.quantity,
            figures.unit_price,
            self.accounts.item,
            line.service_to,
        )

    def end(self, document: ClosedDocument) -> Iterator[str]:
        """Yield our side of allowances and tax, and the end of the document."""
        for allowance in document.allowances:
            percent = "" if allowance.percent is None else f" {plain(allowance.percent)} %"
            yield self._split(
                document,
                self.accounts.income,
                -allowance.amount,
                f"{allowance.name}{percent} of {_money(allowance.base)}",
                Decimal(1) if allowance.amount < 0 else Decimal(-1),
                abs(allowance.amount),
                self.accounts.item,
                document.invoice_date,
            )
        for each in document.tax_totals:
            if each.tax:
                memo = f"Tax {each.code} {plain(each.rate)} % on {_money(each.net)}"
                sign = Decimal(1) if each.tax > 0 else Decimal(-1)
                yield self._split(
                    document,
                    self.accounts.tax,
                    -each.tax,
                    memo,
                    -sign,
                    abs(each.tax),
                    self._tax_item(each.code),
                    document.invoice_date,
                )
        yield _row("ENDTRNS")

    def _split(
        self,
        document: ClosedDocument,
        account: str,
        amount: Decimal,
        memo: str,
        quantity: Decimal,
        price: Decimal,
        item: str,
        served: date,
    ) -> str:
        return _row(
            "SPL",
            _kind(document),
            _day(document.invoice_date),
            account,
            "",
            _money(amount),
            document.invoice_number,
            _cell(memo),
            plain(quantity),
            plain(price),
            item,
            "N",
            _day(served),
        )


def _kind(document: ClosedDocument) -> str:
    return "CREDIT MEMO" if document.document_type == "credit-note" else "INVOICE"
