"""Discounts and surcharges on the way to a ledger: lines of their own, or shares of each line."""

from decimal import Decimal

import pytest

from services.arg_sync.deliveries.rules.mapping import to_ar_document
from services.arg_sync.ledgers.documents import ArDocument
from services.arg_sync.ledgers.webhook_payload import webhook_document
from shared.terms import ClosedDocument, ClosedLine
from tests.rules.test_render_allowances import a_credit_of_allowances, with_allowances

MAPPED = {("account", ""): "4000", ("tax", "MA"): "TAX"}
OWN = MAPPED | {("account", "discount"): "4090", ("account", "surcharge"): "4080"}


def delivered(
    closed: tuple[ClosedDocument, list[ClosedLine]],
    codes: dict[tuple[str, str], str],
    *,
    maps_codes: bool = True,
) -> ArDocument:
    document, lines = closed
    return to_ar_document(document, lines, codes, (), maps_codes=maps_codes)


def figures(document: ArDocument) -> list[tuple[str, str, str]]:
    """Account, amount and tax of the lines."""
    return [(line.account, str(line.amount), str(line.tax_amount)) for line in document.lines]


def test_they_are_lines_of_their_own_where_they_are_mapped() -> None:
    """A line is taxed in full, each allowance by its rate, the last one takes the rest."""
    document = delivered(with_allowances(), OWN)
    assert figures(document) == [
        ("4000", "1333.20", "266.64"),
        ("4000", "258.31", "51.66"),
        ("4090", "-39.79", "-7.96"),
        ("4080", "15.00", "3.01"),
    ]
    assert [line.description for line in document.lines[2:]] == [
        "Volume 2.5 % of 1591.51",
        "Administration of 1551.72",
    ]
    assert all(line.multiplies("USD") for line in document.lines)
    assert figures(delivered(a_credit_of_allowances(), OWN)) == [
        ("4000", "258.31", "51.66"),
        ("4090", "-6.46", "-1.29"),
    ]


def test_each_line_has_its_share_where_one_is_not_mapped() -> None:
    """The default account of lines is none for discounts; the text keeps hours and price."""
    for missing in ("discount", "surcharge"):
        codes = {key: code for key, code in OWN.items() if key != ("account", missing)}
        document = delivered(with_allowances(), codes)
        assert figures(document) == [
            ("4000", "1312.44", "262.49"),
            ("4000", "254.28", "50.86"),
        ]
    assert document.lines[0].description.endswith("40 × 33.33 = 1333.2 before allowances")
    assert document.lines[0].quantity_and_price("USD") == (Decimal(1), Decimal("1312.44"))
    assert figures(delivered(a_credit_of_allowances(), MAPPED)) == [("4000", "251.85", "50.37")]


@pytest.mark.parametrize("codes", [MAPPED, OWN, {}])
@pytest.mark.parametrize("closed", [with_allowances(), a_credit_of_allowances()])
def test_the_total_is_never_another(
    closed: tuple[ClosedDocument, list[ClosedLine]], codes: dict[tuple[str, str], str]
) -> None:
    """Whatever is mapped, lines and tax sum to what was closed."""
    document = delivered(closed, codes, maps_codes=bool(codes))
    net = sum(line.amount for line in document.lines)
    assert (net, sum(line.tax_amount for line in document.lines)) == (
        closed[0].sign * closed[0].net,
        document.tax,
    )
    assert net + document.tax == document.total


def test_a_webhook_gets_lines_as_they_were_closed_and_the_allowances() -> None:
    """Amounts before allowances, the share of each line, and a row for each allowance."""
    document = delivered(with_allowances(), {}, maps_codes=False)
    sent = webhook_document(document, "C-1", "key")
    assert [(line.amount, line.allowance_amount) for line in sent.lines] == [
        (Decimal("1333.20"), Decimal("-20.76")),
        (Decimal("258.31"), Decimal("-4.03")),
    ]
    assert [(each.name, each.amount) for each in sent.allowances] == [
        ("Volume", Decimal("-39.79")),
        ("Administration", Decimal("15.00")),
    ]
    amounts = [line.amount for line in sent.lines] + [each.amount for each in sent.allowances]
    assert sum(amounts) == sent.net
