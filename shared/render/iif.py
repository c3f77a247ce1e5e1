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
- With classes each line of income has one; receivables and tax have none. The discounts and
  surcharges of a document are then one line for each class, the sum of its lines' shares.

QuickBooks creates unknown accounts as bank accounts, so the file lists accounts, items and classes
first.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from shared.errors import Refused
from shared.money import ZERO, plain
from shared.render.iif_names import (
    ITEM_LENGTH,
    PATH_RULE,
    Accounts,
    Classes,
    fits_path,
    iif_cell,
    kept,
)
from shared.render.line_figures import line_figures
from shared.terms import ClosedDocument, ClosedLine

NUMBER_LENGTH = 11
NAME_LENGTH = 41
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
CLASS_AT = SPL.index("NAME") + 1
"""The place of the column CLASS in both heads, if there are classes."""
MOST_PROBLEMS = 20


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
    if len(number) > NUMBER_LENGTH or not kept(number):
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
    if not kept(name):
        found.append(
            f"{number}: the Account Name {name!r} has characters that an IIF file cannot carry, so"
            " that it would name another customer"
        )
    return found


class IifRows:
    """The rows of one file: `opening`, then for each document `begin`, its lines and `end`."""

    def __init__(self, accounts: Accounts | None = None, classes: Classes | None = None) -> None:
        self.accounts, self.classes = accounts or Accounts(), classes
        self.tax_items: set[str] = set()
        self.problems: list[str] = []
        self._used: set[str] = set()
        self._shares: dict[str, Decimal] = {}

    def opening(self) -> Iterator[str]:
        """Yield the lists of accounts, items and used classes, and the column heads."""
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
        if self.classes is not None:
            yield _row("!CLASS", "NAME")
            for path in sorted({each for used in self._used for each in _with_parents(used)}):
                yield _row("CLASS", path)
        yield self._row("!TRNS", "CLASS", *TRNS)
        yield self._row("!SPL", "CLASS", *SPL)
        yield _row("!ENDTRNS")

    def _row(self, keyword: str, class_name: str, *cells: str) -> str:
        """Return a row of a transaction, with its class where there are classes."""
        if self.classes is None:
            return _row(keyword, *cells)
        return _row(keyword, *cells[:CLASS_AT], class_name, *cells[CLASS_AT:])

    def require_no_problem(self) -> None:
        """Refuse the file if a class of a line is none that QuickBooks takes as it is."""
        if self.problems:
            shown = self.problems[:MOST_PROBLEMS]
            raise Refused(
                "not_in_this_format",
                "; ".join(shown),
                f"give its value another class with --class-name; {PATH_RULE}",
                problems=shown,
            )

    def _class_of(self, document: ClosedDocument, line: ClosedLine) -> str:
        if self.classes is None:
            return ""
        name = self.classes.of(document, line)
        if name and name not in self._used:
            self._used.add(name)
            if not fits_path(name):
                self.problems.append(
                    f"{document.invoice_number} line {line.line_no}: {self.classes.field} is"
                    f" {name!r}, which is no name of a class"
                )
        self._shares[name] = self._shares.get(name, ZERO) + line.allowance_amount
        return name

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
        lines = [iif_cell(line) for line in address if line.strip()][:ADDRESS_LINES]
        self._shares = {}
        yield self._row(
            "TRNS",
            "",
            _kind(document),
            _day(document.invoice_date),
            self.accounts.receivable,
            document.account_name.strip(),
            _money(document.total),
            document.invoice_number,
            iif_cell(
                "; ".join(
                    f"corrects {each.number} of {each.invoice_date.isoformat()}"
                    for each in document.corrects
                )
            ),
            "N",
            *lines,
            *([""] * (ADDRESS_LINES - len(lines))),
            _day(document.due_date),
            iif_cell(document.po_number, 25),
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
            self._class_of(document, line),
        )

    def end(self, document: ClosedDocument) -> Iterator[str]:
        """Yield our side of allowances and tax, and the end of the document."""
        for class_name, memo, amount in self._allowances(document):
            yield self._split(
                document,
                self.accounts.income,
                -amount,
                memo,
                Decimal(1) if amount < 0 else Decimal(-1),
                abs(amount),
                self.accounts.item,
                document.invoice_date,
                class_name,
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

    def _allowances(self, document: ClosedDocument) -> Iterator[tuple[str, str, Decimal]]:
        """Yield class, text and amount of the lines of discounts and surcharges."""
        texts = []
        for each in document.allowances:
            percent = "" if each.percent is None else f" {plain(each.percent)} %"
            texts.append(f"{each.name}{percent}")
            if self.classes is None:
                yield "", f"{texts[-1]} of {_money(each.base)}", each.amount
        for class_name, amount in sorted(self._shares.items()):
            if amount:
                yield class_name, ", ".join(dict.fromkeys(texts)), amount

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
        class_name: str = "",
    ) -> str:
        return self._row(
            "SPL",
            class_name,
            _kind(document),
            _day(document.invoice_date),
            account,
            "",
            _money(amount),
            document.invoice_number,
            iif_cell(memo),
            plain(quantity),
            plain(price),
            item,
            "N",
            _day(served),
        )


def _kind(document: ClosedDocument) -> str:
    return "CREDIT MEMO" if document.document_type == "credit-note" else "INVOICE"
