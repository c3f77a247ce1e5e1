"""IIF of closed documents, what QuickBooks Desktop imports (File > Utilities > Import): tab-separated, CRLF, Windows-1252.

Owns the traps of the format:
- A transaction sums to zero. An invoice debits receivables (TRNS, positive) and credits income and tax (SPL, negative, quantities too);
  a credit memo is the mirror. Signs follow from ours: TRNS is the total as it is, SPL its opposite, on whatever document a line stands.
- There is no escape for a tab or a line end, and a double quote opens a quoted field: in free text they become blanks and apostrophes.
  The name of a customer is a key, so one that would have to be changed is refused by `problems`, as is a number that QuickBooks would cut.
- QuickBooks multiplies quantity and price again: see `line_figures`.
- Tax is written as it was closed, as lines of an item of its own per code. `AUTOSTAX` would let QuickBooks compute it anew and differ.
- A file has no currency: one file holds documents of one currency, that of the company file.
Accounts and items that are named but unknown would be made by QuickBooks as bank accounts, so the file lists them first, with their kinds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

from shared.errors import Refused
from shared.money import plain
from shared.render.line_figures import line_figures
from shared.terms import ClosedDocument, ClosedLine

ENCODING = "cp1252"
NUMBER_LENGTH = 11
NAME_LENGTH = 41
MEMO_LENGTH = 4_000
ITEM_LENGTH = 31
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
_BREAKS = str.maketrans({"\t": " ", "\r": " ", "\n": " ", '"': "'"})
LOOKALIKES = str.maketrans(
    {"\u2010": "-", "\u2011": "-", "\u2212": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " "}
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Names in the company file: where receivables, income and tax are booked, and the item that stands for our work."""

    receivable: str = "Accounts Receivable"
    income: str = "Staffing Income"
    tax: str = "Tax on Sales"
    item: str = "Staffing"

    @classmethod
    def named(cls, names: Iterable[str]) -> "Accounts":
        """From `key=name` texts. Refused if a key is unknown or a name is none that QuickBooks takes."""
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
            if not _kept(name) or len(name) > ITEM_LENGTH:
                raise Refused(
                    "bad_account",
                    f"{name!r} is no name that an IIF file can carry",
                    f"at most {ITEM_LENGTH} letters of Windows-1252, no quotes",
                )
            given[key] = name.strip()
        return cls(**given)


def _cell(text: str, most: int = MEMO_LENGTH) -> str:
    """Free text as it can stand between tabs: what the encoding lacks becomes a question mark."""
    line = " ".join(text.translate(_BREAKS).translate(LOOKALIKES).split())
    return line[:most].encode(ENCODING, "replace").decode(ENCODING)


def _kept(name: str) -> bool:
    """Whether a name comes through unchanged."""
    return _cell(name, len(name)) == name.strip()


def _row(*cells: str) -> str:
    return "\t".join(cells) + "\r\n"


def _day(day: date) -> str:
    return f"{day:%m/%d/%Y}"


def _money(amount: Decimal) -> str:
    return format(amount or abs(amount), "f")


def problems(document: ClosedDocument) -> list[str]:
    """Why this document cannot go into an IIF file, each as a message; empty: it can."""
    number, name = document.invoice_number, document.account_name
    found = []
    if len(number) > NUMBER_LENGTH or not _kept(number):
        found.append(
            f"{number}: QuickBooks keeps {NUMBER_LENGTH} letters of a number, and would give two documents one number"
        )
    if any(len(part) > NAME_LENGTH for part in name.split(":")):
        found.append(
            f"{number}: the Account Name {name!r} has more than {NAME_LENGTH} letters, the most that QuickBooks takes in a customer's name"
        )
    if not _kept(name):
        found.append(
            f"{number}: the Account Name {name!r} has letters that an IIF file cannot carry, so that it would name another customer"
        )
    return found


class IifRows:
    """The rows of one file, document by document: `opening`, then for each document `begin`, its lines, `end`."""

    def __init__(self, accounts: Accounts | None = None) -> None:
        self.accounts = accounts or Accounts()
        self.tax_items: set[str] = set()

    def opening(self) -> Iterator[str]:
        """The lists that transactions need, and the heads of their columns."""
        accounts = self.accounts
        yield _row("!ACCNT", "NAME", "ACCNTTYPE")
        yield _row("ACCNT", accounts.receivable, "AR")
        yield _row("ACCNT", accounts.income, "INC")
        yield _row("ACCNT", accounts.tax, "OCLIAB")
        yield _row("!INVITEM", "NAME", "INVITEMTYPE", "ACCNT", "TAXABLE")
        yield _row("INVITEM", accounts.item, "SERV", accounts.income, "N")
        yield _row("!TRNS", *TRNS)
        yield _row("!SPL", *SPL)
        yield _row("!ENDTRNS")

    def _tax_item(self, code: str) -> str:
        return _cell(f"Tax {code}".strip(), ITEM_LENGTH)

    def begin(self, document: ClosedDocument) -> Iterator[str]:
        """The customer's side of a document: what it owes more, or less. Tax items that are new in the file go before it."""
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
        """Our side of one line."""
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
        """Our side of the tax, and the end of the document."""
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
        self, document: ClosedDocument, account: str, amount: Decimal, memo: str, quantity: Decimal, price: Decimal, item: str, served: date
    ) -> str:  # fmt: skip
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
