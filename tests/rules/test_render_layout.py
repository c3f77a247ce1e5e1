"""CSV files by layouts: what a layout may say, and files that add up when they are read back."""

import csv
import io
import re
import tracemalloc
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from shared.errors import Refused
from shared.money import ZERO, rounded
from shared.render.layout import MOST_BYTES, MOST_COLUMNS, Layout, read_layout
from shared.render.layout_csv import LayoutRows
from shared.render.layout_fields import FIELDS
from shared.terms import Allowance, ClosedDocument, ClosedLine
from tests.rules.test_render import a_credit_note, a_document, a_line

EXAMPLES = Path(__file__).parents[2] / "examples" / "layouts"
File = list[tuple[ClosedDocument, list[ClosedLine]]]


def of(text: str) -> Layout:
    """A layout, as a file says it."""
    return read_layout(text.encode(), "my.toml")


def columns(*fields: str, **settings: str) -> Layout:
    """A layout of some fields, each under its own name."""
    said = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    return of(said + "".join(f'[[column]]\nfield = "{field}"\n' for field in fields))


def written(layout: Layout, documents: File) -> str:
    """The file, made twice: the bytes depend on nothing else. It goes through its encoding."""

    def once() -> bytes:
        rows = LayoutRows(layout)
        parts = list(rows.opening())
        for document, lines in documents:
            parts += rows.begin(document)
            parts += (rows.line(document, line) for line in lines)
            parts += rows.end(document)
        rows.require_no_problem()
        return "".join(parts).encode(layout.encoding)

    made = once()
    assert once() == made
    return made.decode(layout.encoding)


def read(layout: Layout, documents: File) -> list[dict[str, str]]:
    """The records, as another program reads them."""
    text = io.StringIO(written(layout, documents), newline="")
    return list(csv.DictReader(text, delimiter=layout.separator, strict=True))


def mixed(currency: str = "USD") -> tuple[ClosedDocument, list[ClosedLine]]:
    """An invoice of two tax codes and an untaxed line, a discount, and a credit that it nets."""
    lines = [
        a_line(1, "37.5", "33.3333", currency, tax_code="VAT"),
        a_line(2, "1", "10000", currency, tax_code="ZERO", tax_rate=ZERO, tax_amount=ZERO),
        a_line(3, "7.25", "81.77", currency, tax_code="", tax_rate=ZERO, tax_amount=ZERO),
        a_line(4, "-2", "33.3333", currency, tax_code="VAT", corrects_invoice="HAR-000041"),
    ]
    allowances = []
    for at, line in enumerate(lines):
        share = rounded(-line.amount * 5 / 100, currency)
        tax = rounded((line.amount + share) * line.tax_rate / 100, currency)
        lines[at] = replace(line, allowance_amount=share, tax_amount=tax)
        allowances.append(
            Allowance("Volume", line.tax_code, line.tax_rate, line.amount, Decimal(5), share)
        )
    head = a_document(lines, currency=currency, allowances=tuple(allowances))
    return replace(head, account_name="MAGNOLIA"), lines


def all_kinds(currency: str) -> File:
    """That invoice, and a credit note after its discount."""
    credit, lines = a_credit_note()
    lines = [
        replace(
            line,
            tax_code="VAT",
            amount=rounded(line.amount, currency),
            tax_amount=rounded(line.tax_amount, currency),
            allowance_amount=rounded(-line.amount / 20, currency),
        )
        for line in lines
    ]
    head = a_document(lines, document_type="credit-note", invoice_number="HAR-000043")
    corrects = credit.corrects
    head = replace(head, currency=currency, account_name="MAGNOLIA", corrects=corrects)
    return [mixed(currency), (head, lines)]


# -- the examples


@pytest.mark.parametrize("currency", ["USD", "EUR", "JPY"])
def test_the_sage_50_example_adds_up_to_the_documents(currency: str) -> None:
    """SI less SC is net, tax and total of each document, to the cent, with discounts and credits.

    The order of the columns is that of Sage's audit trail import, and no amount is negative.
    """
    layout = read_layout((EXAMPLES / "sage-50-audit-trail.toml").read_bytes(), "sage")
    documents = all_kinds(currency)
    rows = read(layout, documents)
    assert list(rows[0])[:10] == [
        *("Type", "Account Reference", "Nominal A/C Ref", "Department Code", "Date", "Reference"),
        *("Details", "Net Amount", "Tax Code", "Tax Amount"),
    ]
    for document, lines in documents:
        mine = [row for row in rows if row["Reference"] == document.invoice_number]
        sign = {"SI": 1, "SC": -1}
        sums = [
            sum(sign[row["Type"]] * Decimal(row[name]) for row in mine)
            for name in ("Net Amount", "Tax Amount")
        ]
        assert (sums, len(mine)) == ([document.net, document.tax], len(lines))
        assert sum(sums) == document.total
    assert not any(row[name].startswith("-") for row in rows for name in ("Net Amount",))
    assert [row["Type"] for row in rows] == ["SI", "SI", "SI", "SC", "SC", "SC"]
    assert [row["Tax Code"] for row in rows] == ["T1", "T0", "T9", "T1", "T1", "T1"]
    assert {row["Date"] for row in rows} == {"02/04/2026"}


@pytest.mark.parametrize("currency", ["USD", "EUR", "JPY"])
def test_the_sage_200_example_adds_up_to_the_documents(currency: str) -> None:
    """A row for each document: the analyses of its tax codes add up to its net and its tax, and
    the two to its value.
    """
    layout = read_layout((EXAMPLES / "sage-200-sales-transactions.toml").read_bytes(), "sage")
    documents = all_kinds(currency)
    rows = read(layout, documents)
    assert [row["SYSTraderTranType"] for row in rows] == ["4", "5"]
    for (document, _), row in zip(documents, rows, strict=True):
        taxes = [
            {
                name: Decimal(row[f"{name}/{part}"])
                for name in (
                    "NominalAnalysisTransactionValue",
                    "TaxAnalysisGoodsValueBeforeDiscount",
                    "TaxAnalysisTaxOnGoodsValue",
                )
            }
            for part in (1, 2, 3)
            if row[f"TaxAnalysisTaxRate/{part}"]
        ]
        nominal, goods, tax = (sum(each[name] for each in taxes) for name in taxes[0])
        assert nominal == goods == document.sign * document.net
        assert tax == Decimal(row["TaxValue"]) == document.sign * document.tax
        assert nominal + tax == Decimal(row["GoodsValueInAccountCurrency"])
        assert Decimal(row["GoodsValueInAccountCurrency"]) == document.sign * document.total
        assert len(taxes) == len(document.tax_totals)
        empty = [row[f"NominalAnalysisNominalAccountNumber/{part}"] for part in (1, 2, 3)]
        assert empty == ["4000"] * len(taxes) + [""] * (3 - len(taxes))


def test_more_tax_codes_than_columns_are_refused() -> None:
    """Sums would be missing, so the document is named, with both numbers."""
    layout = of('rows = "document"\n[[column]]\nfield = "row_net"\npart = 2\n')
    with pytest.raises(Refused, match=r"HAR-000042: it has 3 tax codes, .* columns for 2"):
        written(layout, [mixed()])


# -- rows, signs, forms


@pytest.mark.parametrize("rows", ["line", "tax", "document"])
@pytest.mark.parametrize("signs", ["signed", "document", "row"])
def test_every_kind_of_row_adds_up(rows: str, signs: str) -> None:
    """Whatever a row is and whichever signs are turned: with the type, the sum is the total."""
    layout = columns(
        *("invoice_number", "row_type", "document_type", "row_net", "row_tax", "row_total"),
        rows=rows,
        signs=signs,
    )
    documents = all_kinds("EUR")
    found = read(layout, documents)
    for document, _ in documents:
        total = ZERO
        for row in found:
            if row["invoice_number"] != document.invoice_number:
                continue
            assert Decimal(row["row_net"]) + Decimal(row["row_tax"]) == Decimal(row["row_total"])
            turned = {
                "signed": False,
                "document": row["document_type"] == "credit-note",
                "row": row["row_type"] == "credit-note",
            }
            total += (-1 if turned[signs] else 1) * Decimal(row["row_total"])
        assert total == document.total
    assert len(found) == {"line": 6, "tax": 4, "document": 2}[rows]
    if signs == "row":
        assert all(Decimal(row["row_total"]) >= 0 for row in found)


def test_a_layout_says_how_everything_is_written() -> None:
    """Order, headings, fixed texts, separator, decimal sign, dates, words, line end, no header."""
    layout = of(
        'separator = ";"\ndecimal = ","\ndates = "%d.%m.%Y"\nline_end = "lf"\nheader = false\n'
        '[[column]]\nheading = "Betrag"\nfield = "row_net"\n'
        '[[column]]\nheading = "Art"\nfield = "document_type"\n'
        'values = {invoice = "RE", credit-note = "GS"}\n'
        '[[column]]\nheading = "Mandant"\ntext = "0815"\n'
        '[[column]]\nheading = "Fällig"\nfield = "due_date"\ndates = "%y%m%d"\n'
        '[[column]]\nfield = "invoice_date"\n'
        '[[column]]\nfield = "quantity"\n[[column]]\nfield = "description"\ncut = 4\n'
    )
    lines = [a_line(1, "7.5", "33.33")]
    assert written(layout, [(a_document(lines), lines)]) == (
        "249,98;RE;0815;260502;02.04.2026;7,5;Regi\n"
    )


def test_the_encodings_are_written() -> None:
    """Windows-1252 has what it can; free text gets question marks. A mark begins utf-8-sig."""
    lines = [a_line(1, description="Café ≥ 5\u202f%\nnext")]
    batch = [(a_document(lines), lines)]
    assert written(columns("description", encoding="cp1252"), batch) == (
        "description\r\nCafé ? 5 % next\r\n"
    )
    assert written(columns("description"), batch) == "description\r\nCafé ≥ 5 % next\r\n"
    rows = LayoutRows(columns("description", encoding="utf-8-sig"))
    assert "".join(rows.opening()).encode(rows.layout.encoding).startswith(b"\xef\xbb\xbf")


def test_formulas_stay_text() -> None:
    """In keys and in free text, also after a separator of the layout; numbers are unchanged."""
    lines = [a_line(1, "-1", description="=1+1", worker_id="@x", project="a;=2")]
    layout = columns(*("description", "worker_id", "project", "quantity"), separator=";")
    (row,) = read(layout, [(a_document(lines), lines)])
    assert list(row.values()) == ["'=1+1", "'@x", "a;'=2", "-1"]


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ('field = "account_name"\nmost = 5', {}, "'Magnolia #3862' has more than 5 characters"),
        ('field = "tax_code"\nvalues = {VAT = "T1"}', {}, "tax_code is 'MA', and values has no"),
        ('field = "worker_id"', {"worker_id": "Ł1"}, "'Ł1' has a character that cp1252 cannot"),
    ],
)
def test_what_does_not_fit_is_named(column: str, change: dict[str, str], words: str) -> None:
    """By document, line and column: a key is never cut or changed, and no value is guessed."""
    layout = of(f'encoding = "cp1252"\n[[column]]\nheading = "H"\n{column}\n')
    lines = [a_line(1, **change), a_line(2, **change)]
    with pytest.raises(Refused, match="not_in_this_layout") as refused:
        written(layout, [(a_document(lines), lines)])
    assert refused.value.message.startswith("HAR-000042 line 1, column 1 (H): ")
    assert refused.value.message.count(words) == 1, "a problem is named where it is met first"


def test_taxes_that_do_not_add_up_make_no_file() -> None:
    """A file by tax codes or documents is written from the taxes, so they must be the document."""
    document, lines = mixed()
    wrong = replace(document, tax=document.tax + Decimal("0.01"))
    with pytest.raises(Refused, match="control_totals_differ"):
        written(columns("row_net", rows="tax"), [(wrong, lines)])


def test_every_field_is_written() -> None:
    """Each field that is no ledger's has a value that a file can hold."""
    for rows in ("line", "tax", "document"):
        names = [
            name
            for name, field in FIELDS.items()
            if rows in field.rows
            and not field.delivered
            and not (rows == "document" and name in ("tax_code", "tax_rate"))
        ]
        found = read(columns(*names, rows=rows), [mixed()])
        assert list(found[0]) == names and found[0]["total"] == str(mixed()[0].total)


def test_a_long_document_keeps_no_row() -> None:
    """Memory does not grow with the lines."""
    lines = [a_line(1)]
    document = a_document(lines)
    rows = LayoutRows(columns("description", "row_net"))
    list(rows.begin(document))
    rows.line(document, lines[0])
    tracemalloc.start()
    for _ in range(20_000):
        rows.line(document, lines[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000


# -- what is wrong with a layout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rows = \n", "no TOML file in UTF-8: .*line 1"),
        ('rows = "line"\n', "it has no column"),
        ('rows = "week"\n', 'line 1: rows is \'week\': write one of "line", "document", "tax"'),
        ('\nencoding = "latin"\n', 'line 2: encoding is .* "utf-8", "utf-8-sig", "cp1252"'),
        ('separator = "||"\n', "line 1: separator is "),
        ('decimal = ","\n', "line 1: separator and decimal are both ','"),
        ('dates = "%d %B"\n', "line 1: dates is '%d %B': write a form of %d, %m"),
        ('dates = "%d%"\n', "line 1: dates is '%d%': write a form of"),
        ('header = "no"\n', "line 1: header is 'no': write true or false"),
        ('signs = "plus"\n', 'line 1: signs is .* "signed", "document", "row"'),
        ('seperator = ";"\n', "line 1: 'seperator' is no setting: did you mean separator?"),
        (
            '[[column]]\nheading = "Net"\nfield = "row_nett"\n',
            r"line 3, column 1 \(Net\): 'row_nett' is no field: did you mean row_net",
        ),
        ('[[column]]\nfield = "net"\ntext = "1"\n', "line 1, column 1 .* a field or a text"),
        ('[[column]]\nheading = "A"\n', r"column 1 \(A\): it needs a field or a text"),
        ('[[column]]\ntext = "=1+1"\n', "'=1\\+1' is no text that utf-8 can carry"),
        ('[[column]]\nfield = "net"\nwidth = 3\n', "line 3, column 1 .* 'width' is no key"),
        ('[[column]]\nfield = "net"\ncut = 3\n', "line 3, .* net must not be cut"),
        ('[[column]]\nfield = "net"\nmost = "3"\n', "line 3, .* write a whole number from 1"),
        ('[[column]]\nfield = "net"\nvalues = {a = "b"}\n', "only texts have values"),
        ('[[column]]\nfield = "net"\ndates = "%Y"\n', "line 3, .* net is no date"),
        ('[[column]]\nfield = "row_net"\npart = 1\n', "a row of line has one tax"),
        ('[[column]]\nfield = "customer"\n', "known in the files of a file drop only"),
        (
            '[[column]]\nfield = "row_type"\nvalues = {invoice = "SI"}\n',
            "line 3, .* values has no word for credit-note",
        ),
        (
            '[[column]]\nfield = "row_type"\nvalues = {invoice = "SI", credit = "SC"}\n',
            "row_type is never 'credit': it is invoice or credit-note",
        ),
        (
            'rows = "tax"\n[[column]]\nfield = "net"\n[[column]]\nfield = "worker_id"\n',
            'line 5, column 2 .* worker_id is a field of a line: write rows = "line"',
        ),
        ('rows = "document"\n[[column]]\nfield = "tax_code"\n', "add part = 1, part = 2"),
        ('rows = "document"\n[[column]]\nfield = "net"\npart = 1\n', "net has no parts"),
    ],
)
def test_a_wrong_layout_says_where_and_what_is_allowed(text: str, problem: str) -> None:
    """The line of the file, the column, and what to write in its place."""
    with pytest.raises(Refused, match="bad_layout") as refused:
        of(text)
    assert re.search(problem, refused.value.message), refused.value.message


def test_all_problems_of_a_layout_are_named_at_once() -> None:
    """One reading is enough to correct the file."""
    with pytest.raises(Refused) as refused:
        of('rows = "week"\n[[column]]\nfield = "x"\n[[column]]\nfield = "y"\n')
    assert len(refused.value.details["problems"]) == 3


def test_columns_in_another_form_of_toml_are_read() -> None:
    """Their problems have no line then, but the column."""
    with pytest.raises(Refused, match=r": column 2: 'x' is no field"):
        of('column = [{field = "net"}, {heading = "", field = "x"}]\n')
    assert len(of('column = [{field = "net"}]\n').columns) == 1


def test_a_layout_has_limits() -> None:
    """Bytes, columns and depth are bounded, and a message is short however long a value is."""
    column = '[[column]]\nfield = "net"\n'
    assert len(of(column * MOST_COLUMNS).columns) == MOST_COLUMNS
    long = "x" * 50_000
    for text, problem in (
        (column * (MOST_COLUMNS + 1), f"more than {MOST_COLUMNS} columns"),
        ("#" * (MOST_BYTES + 1), "more than 200,000 bytes"),
        ("rows = " + "[" * 100_000, "no TOML file"),
        (f'rows = "{long}"\n[[column]]\nheading = "{long}"\nfield = "{long}"\n', "is no field"),
    ):
        with pytest.raises(Refused, match="bad_layout") as refused:
            of(text)
        assert problem in refused.value.message and len(refused.value.message) < 3_000


def test_a_file_without_currency_holds_one() -> None:
    """Amounts of two currencies in one column would be added up."""
    assert columns("row_net").one_currency and not columns("row_net", "currency").one_currency
