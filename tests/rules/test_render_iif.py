"""IIF read back as QuickBooks Desktop reads it: column heads, balanced transactions, name keys."""

import tracemalloc
from dataclasses import replace
from decimal import Decimal

import pytest

from shared.errors import Refused
from shared.money import rounded
from shared.render.iif import IifRows, problems
from shared.render.iif_names import ENCODING, Accounts
from shared.terms import ClosedDocument, ClosedLine, Party
from tests.rules.test_render import a_credit_note, a_document, a_line

Row = dict[str, str]
ZERO_TAX = {"tax_code": "", "tax_rate": Decimal(0), "tax_amount": Decimal(0)}


def text_of(
    *documents: tuple[ClosedDocument, list[ClosedLine]], accounts: Accounts | None = None
) -> str:
    """The file, through its encoding."""
    rows = IifRows(accounts)
    parts = list(rows.opening())
    for document, lines in documents:
        parts += [
            *rows.begin(document),
            *(rows.line(document, line) for line in lines),
            *rows.end(document),
        ]
    return "".join(parts).encode(ENCODING).decode(ENCODING)


def read(text: str) -> tuple[list[Row], list[list[Row]]]:
    """The list entries, and each transaction as its rows (TRNS first), strictly."""
    assert text.endswith("\r\n") and '"' not in text
    heads: dict[str, list[str]] = {}
    entries: list[Row] = []
    transactions: list[list[Row]] = []
    open_: list[Row] | None = None
    for line in text.removesuffix("\r\n").split("\r\n"):
        assert "\n" not in line and "\r" not in line
        keyword, *cells = line.split("\t")
        if keyword.startswith("!"):
            heads[keyword[1:]] = cells
            continue
        assert len(cells) == len(heads[keyword]), line
        row = {"": keyword, **dict(zip(heads[keyword], cells, strict=True))}
        if keyword == "TRNS":
            assert open_ is None
            open_ = [row]
        elif keyword == "SPL":
            assert open_ is not None
            open_.append(row)
        elif keyword == "ENDTRNS":
            assert open_ is not None
            transactions.append(open_)
            open_ = None
        else:
            assert open_ is None, "a list entry inside a transaction"
            entries.append(row)
    assert open_ is None
    return entries, transactions


def test_an_invoice_debits_receivables_and_credits_income_and_tax() -> None:
    """TRNS positive, SPL negative, sum zero.

    Quantity times price is the amount.
    """
    lines = [
        a_line(1),
        a_line(2, "1", "10000", unit="C62", description="Placement fee", **ZERO_TAX),
    ]
    entries, (transaction,) = read(text_of((a_document(lines), lines)))
    head, *splits = transaction
    assert head == {
        "": "TRNS",
        "TRNSTYPE": "INVOICE",
        "DATE": "04/02/2026",
        "ACCNT": "Accounts Receivable",
        "NAME": "Magnolia #3862",
        "AMOUNT": "13498.00",
        "DOCNUM": "HAR-000042",
        "MEMO": "",
        "TOPRINT": "N",
        "ADDR1": "Magnolia Health",
        "ADDR2": "88 Meridian Way",
        "ADDR3": "Raleigh, NC 27601",
        "ADDR4": "",
        "ADDR5": "",
        "DUEDATE": "05/02/2026",
        "PONUM": "PO-117",
    }
    assert [
        (row["ACCNT"], row["AMOUNT"], row["QNTY"], row["PRICE"], row["INVITEM"]) for row in splits
    ] == [
        ("Staffing Income", "-3180.00", "-40", "79.5", "Staffing"),
        ("Staffing Income", "-10000.00", "-1", "10000", "Staffing"),
        ("Tax on Sales", "-318.00", "-1", "318", "Tax MA"),
    ]
    assert [
        (entry[""], entry["NAME"], entry.get("ACCNTTYPE", entry.get("INVITEMTYPE")))
        for entry in entries
    ] == [
        ("ACCNT", "Accounts Receivable", "AR"),
        ("ACCNT", "Staffing Income", "INC"),
        ("ACCNT", "Tax on Sales", "OCLIAB"),
        ("INVITEM", "Staffing", "SERV"),
        ("INVITEM", "Tax MA", "OTHC"),
    ]


def test_a_credit_memo_is_the_mirror() -> None:
    """TRNS negative, SPL positive; each line names what it corrects.

    A line that quantity × price would miss by a cent is 1 × amount.
    """
    _, (transaction,) = read(text_of(a_credit_note()))
    head, *splits = transaction
    assert (head["TRNSTYPE"], head["AMOUNT"], head["MEMO"]) == (
        "CREDIT MEMO",
        "-213.43",
        "corrects HAR-000041 of 2026-03-03",
    )
    assert [(row["AMOUNT"], row["QNTY"], row["PRICE"]) for row in splits] == [
        ("35.03", "1", "35.03"),
        ("159.00", "2", "79.5"),
        ("19.40", "1", "19.4"),
    ]
    assert (
        "-1 hours at 35.035" in splits[0]["MEMO"]
        and "corrects HAR-000041 line 3" in splits[0]["MEMO"]
    )


def test_every_transaction_sums_to_zero_and_multiplies() -> None:
    """Netted credits, several taxes, zero, rounding."""
    netted = [
        a_line(1),
        a_line(2, "-3", corrects_invoice="HAR-000041", corrects_line=1),
        a_line(3, "7.5", "33.33", tax_code="B", tax_rate=Decimal(5)),
    ]
    netted[2] = replace(netted[2], tax_amount=rounded(netted[2].amount * 5 / 100, "USD"))
    nothing = [a_line(1), a_line(2, "-40", corrects_invoice="HAR-000041", corrects_line=1)]
    batch = [
        (a_document(netted), netted),
        (a_document(nothing, invoice_number="HAR-44"), nothing),
        a_credit_note(),
        (a_document([]), []),
    ]
    _, transactions = read(text_of(*batch))
    for (document, lines), (head, *splits) in zip(batch, transactions, strict=True):
        assert Decimal(head["AMOUNT"]) == document.total
        assert Decimal(head["AMOUNT"]) + sum(Decimal(row["AMOUNT"]) for row in splits) == 0
        for row in splits:
            assert rounded(Decimal(row["QNTY"]) * Decimal(row["PRICE"]), "USD") == Decimal(
                row["AMOUNT"]
            )
        ours = [row for row in splits if row["ACCNT"] == "Staffing Income"]
        assert [-Decimal(row["AMOUNT"]) for row in ours] == [line.amount for line in lines]
        assert (
            not any(row["AMOUNT"].startswith("-0.00") for row in splits)
            and head["AMOUNT"] != "-0.00"
        )


def test_free_text_cannot_break_a_row() -> None:
    """IIF has no escape for tabs, line ends, quotes or other characters."""
    line = a_line(
        1, description='tab\there, "quoted"\r\nENDTRNS\nTRNS\t看護師 – Zoë €5', worker_id="\t"
    )
    document = a_document(
        [line], po_number='PO "9"', buyer=Party('Say "hi"', "a\tb\n\nc\nd\ne\nf\ng")
    )
    _, (transaction,) = read(text_of((document, [line])))
    assert len(transaction) == 3
    assert transaction[1]["MEMO"].startswith("tab here, 'quoted' ENDTRNS TRNS ??? – Zoë €5")
    assert (transaction[0]["ADDR1"], transaction[0]["ADDR2"], transaction[0]["PONUM"]) == (
        "Say 'hi'",
        "a b",
        "PO '9'",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"invoice_number": "HARBOR-000042"}, "11 characters of a number"),
        ({"account_name": "M" * 42}, "more than 41 characters"),
        ({"account_name": 'The "Inn"'}, "cannot carry"),
        ({"account_name": "聖路加"}, "cannot carry"),
        ({"account_name": "Two  blanks"}, "cannot carry"),
    ],
)
def test_a_key_that_would_change_is_refused(changes: dict[str, str], said: str) -> None:
    """A cut number is a duplicate, a changed name another customer."""
    (problem,) = problems(a_document([], **changes))
    assert said in problem


def test_what_fits_is_not_refused() -> None:
    """A customer's job has its name after a colon, each of 41 characters."""
    assert problems(a_document([], account_name="Zoë & Söhne:Nachtdienst – Süd")) == []
    assert problems(a_document([], account_name="Z" * 42)) != []


def test_accounts_are_named_by_the_operator() -> None:
    """The names are those of the company file."""
    accounts = Accounts.named(["receivable=Debtors", "item=Nurse hours"])
    entries, (transaction,) = read(text_of(a_credit_note(), accounts=accounts))
    assert (transaction[0]["ACCNT"], transaction[1]["INVITEM"], entries[0]["NAME"]) == (
        "Debtors",
        "Nurse hours",
        "Debtors",
    )
    wrong = ["debtors=x", "item", "item= ", 'item="x"', "item=" + "n" * 32, "item=a::b", "item=:b"]
    wrong += ["income=Sales:" + "n" * 32, "income=1:2:3:4:5:6", "tax=Debtors:Tax"]
    for each in wrong:
        with pytest.raises(Refused, match="bad_account"):
            Accounts.named(["receivable=Debtors", each])


def test_accounts_are_named_by_their_full_path() -> None:
    """Each part may have 31 characters; parents are listed first, with the type of the account."""
    long = "Income of staffing, all regions"
    names = [f"income={long}: {long}", "tax=Taxes:VAT", "item=Staffing:Nurse hours"]
    entries, (transaction,) = read(
        text_of(a_credit_note(), accounts=Accounts.named(["receivable=Debtors", *names]))
    )
    assert len(long) == 31 and transaction[1]["ACCNT"] == f"{long}:{long}"
    listed = [(each["NAME"], each.get("ACCNTTYPE") or each.get("INVITEMTYPE")) for each in entries]
    assert listed[:7] == [
        ("Debtors", "AR"),
        (long, "INC"),
        (f"{long}:{long}", "INC"),
        ("Taxes", "OCLIAB"),
        ("Taxes:VAT", "OCLIAB"),
        ("Staffing", "SERV"),
        ("Staffing:Nurse hours", "SERV"),
    ]


def test_a_tax_code_that_would_be_cut_is_refused() -> None:
    """Two codes that are alike in their first 27 characters would share one item."""
    code = "VAT-standard-rate-of-region-1"
    document = a_document([a_line(1)])
    total = document.tax_totals[0] if document.tax_totals else None
    assert total is not None
    long = replace(document, tax_totals=(replace(total, code=code, tax=Decimal(1)),))
    (problem,) = problems(long)
    assert code in problem and "27 characters" in problem


def test_memory_is_flat() -> None:
    """Rows are made one by one."""

    def peak(count: int) -> int:
        document, line, rows = a_document([]), a_line(1), IifRows()
        tracemalloc.start()
        for _ in range(count):
            assert rows.line(document, line)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(10)
    assert peak(20_000) < peak(2_000) + 20_000
