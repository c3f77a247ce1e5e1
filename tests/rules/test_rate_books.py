"""How a rate book changes, and terms with dates of validity."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.fee_realizer.requirements.rules import RateVersion, set_operator_rate
from services.fee_realizer.sources.rules.facts import Held, Realized
from services.fee_realizer.sources.rules.transitions import (
    KEY_BYTES,
    body_too_large,
    key_too_long,
)
from services.invoicer.debtors.rules.companies import (
    DebtorTerms,
    TaxRate,
    TermsVersion,
    change_terms,
)
from services.invoicer.invoices.rules.totals import TaxSpan, tax_spans, totals
from services.invoicer.settlement.rules.realizations import has_ended_citation
from shared.events.field_types import MESSAGE_BYTES
from shared.events.realizations import PriceBasis
from shared.terms import similar_names
from tests.builders import realization, realization_line

JAN, MAR, MAY = date(2026, 1, 1), date(2026, 3, 1), date(2026, 5, 1)


def version(
    price: str, since: date = JAN, source: str = "ats", unit: str = "HUR", kind: str = "REG"
) -> RateVersion:
    return RateVersion(kind, since, source, Decimal(price), unit, 1)


def test_a_rate_of_an_operator_ends_only_his_own_of_that_date() -> None:
    """The versions of the ATS stay beside it, and so do his versions of other dates and kinds."""
    kept = [version("50"), version("60", MAR, "command"), version("70", MAY, kind="OT")]
    old = version("55", JAN, "command")
    change = set_operator_rate([*kept, old], "REG", JAN, Decimal(57), 4)
    assert (change.book, list(change.ended)) == (5, [old])
    after = change.apply([*kept, old])
    assert list(after[:3]) == kept
    assert (after[3].until_book, after[3].unit_price) == (5, Decimal(55))
    assert [(one.unit_price, one.since_book, one.source) for one in after[4:]] == [
        (Decimal(57), 5, "command")
    ]
    assert set_operator_rate([*kept, old], "REG", JAN, Decimal(55), 4).book == 4


@pytest.mark.parametrize(
    ("since", "unit"),
    [(date(2025, 1, 1), "DAY"), (JAN, "DAY"), (date(2026, 2, 1), "DAY"), (MAY, "HUR")],
)
def test_a_rate_has_the_unit_of_its_time_type_on_that_date(since: date, unit: str) -> None:
    """The unit that is in force on the date, before all versions that of the first."""
    versions = [version("9", MAR, unit="HUR"), version("80", JAN, unit="DAY")]
    (begun,) = set_operator_rate(versions, "REG", since, Decimal(1), 4).begun
    assert begun.unit == unit
    (begun,) = set_operator_rate(versions, "OT", since, Decimal(1), 4).begun
    assert begun.unit == "HUR"


def terms(**changes: Any) -> DebtorTerms:
    return DebtorTerms("Mercy", "net:30")._replace(**changes)


def test_terms_are_copied_from_the_version_that_applies() -> None:
    """The newest version up to the date is changed, until the day of the next one."""
    versions = [
        TermsVersion(MAY, terms(payment_terms="net:5")),
        TermsVersion(JAN, terms(payment_terms="net:1")),
        TermsVersion(MAR, terms(payment_terms="net:3")),
    ]
    change = change_terms("Mercy", versions, {"credits": "net"}, MAR, JAN)
    assert change.before == versions[2]
    assert (change.after.from_date, change.after.terms.payment_terms) == (MAR, "net:3")
    assert (change.after.terms.credits, change.until) == ("net", MAY)
    assert change_terms("Mercy", versions, {}, date(2026, 4, 1), JAN).before == versions[2]
    assert change_terms("Mercy", versions, {}, None, JAN).after.from_date == JAN
    first = change_terms("Mercy", [], {}, None, JAN)
    assert (first.before, first.after.from_date, first.until) == (None, date(1970, 1, 1), None)
    assert first.after.terms == DebtorTerms("Mercy", "")


def test_names_that_resemble_one() -> None:
    """At most three, whatever their case; of names equal but for case the first is named."""
    known = ["Mercy Hospital", "Mercy Hospitals", "MERCY HOSPITAL", "Mercy Hospice", "Alpha"]
    assert similar_names("mercy hospital", known) == [
        "MERCY HOSPITAL",
        "Mercy Hospitals",
        "Mercy Hospice",
    ]
    assert similar_names("mercy hospital", [*known, "Mercy Hospitale", "Mercy Hospitaly"]) != []
    assert len(similar_names("mercy hospital", [*known, "Mercy Hospitale"])) == 3
    assert similar_names("abcd", ["abxy"]) == []


def test_tax_rates_of_one_code_follow_each_other() -> None:
    """The order in which they are given does not matter."""
    rates = [TaxRate("VAT", MAR, Decimal(2)), TaxRate("LOW", MAY, Decimal(3))]
    rates.append(TaxRate("VAT", JAN, Decimal(9)))
    forever = date(9999, 12, 31)
    assert tax_spans(rates) == [
        TaxSpan("LOW", MAY, forever, Decimal(3)),
        TaxSpan("VAT", JAN, MAR, Decimal(9)),
        TaxSpan("VAT", MAR, forever, Decimal(2)),
    ]


def test_totals_name_their_currency() -> None:
    """The sums of a currency are those of its documents, sorted by currency."""
    found = totals([("USD", 2, Decimal(5), Decimal(1)), ("EUR", 1, Decimal(7), Decimal(0))])
    assert [(each.currency, each.documents, each.lines, each.net, each.tax) for each in found] == [
        ("EUR", 1, 1, Decimal(7), Decimal(0)),
        ("USD", 1, 2, Decimal(5), Decimal(1)),
    ]


def test_a_realization_that_is_too_large_is_held() -> None:
    """What fits in a message is not held; a character may have several bytes."""
    assert body_too_large("x" * MESSAGE_BYTES) is None
    assert body_too_large("é" * (MESSAGE_BYTES // 2)) is None
    for body in ("x" * (MESSAGE_BYTES + 1), "é" * (MESSAGE_BYTES // 2 + 1)):
        held = body_too_large(body)
        assert held is not None
        assert held.code == "realization_too_large"


@pytest.mark.parametrize(("kind", "names"), [("timesheet", "requirement"), ("product", "fee")])
def test_a_key_that_is_too_long_is_held(kind: str, names: str) -> None:
    """Document id and line key together must fit an index row."""
    fits = {"line_key": "k" * (KEY_BYTES - 3), "line_kind": kind}
    long = {"line_key": "é" * (KEY_BYTES // 2), "line_kind": kind}
    assert key_too_long("T-1", Realized([fits])) is None
    assert key_too_long("T-1", Held("code", "message")) is None
    held = key_too_long("T-1", Realized([fits, long]))
    assert held is not None
    assert held.code == "line_key_too_long"
    assert held.message.startswith(names)


@pytest.mark.parametrize(
    ("cited_then", "cited_now", "ended"),
    [(True, {}, True), (False, {}, False), (True, {("REQ-1", "REG"): 1}, False)],
)
def test_a_citation_that_ended(
    cited_then: bool, cited_now: dict[tuple[str, str], int], ended: bool
) -> None:
    """A realization that was priced for invoiced lines which credits have taken away since."""
    basis = PriceBasis(requirement_id="REQ-1", time_type="REG", rate_book=1, cited=cited_then)
    newer = realization("T-1", 2, realization_line("38")).model_copy(update={"basis": (basis,)})
    assert has_ended_citation(newer, cited_now) is ended
