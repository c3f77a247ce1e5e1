"""What a look at the ledger or a failed call makes of a delivery; waits, circuits, orders,
leases; and the document in the ledger's words.
"""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.arg_sync.connections.rules import (
    MAX_RETRY_AFTER_SECONDS,
    MAX_SECONDS,
    after_connection_failure,
    backoff,
    capped,
    changed_binding,
    pause_seconds,
)
from services.arg_sync.deliveries.rules.claiming import (
    OpenDelivery,
    hold_seconds,
    lease_for,
    next_in_order,
)
from services.arg_sync.deliveries.rules.mapping import to_ar_document
from services.arg_sync.deliveries.rules.transitions import (
    PATIENCE_SECONDS,
    AttemptContext,
    ExpectedDocument,
    after_failure,
    after_lookup,
)
from services.arg_sync.ledgers.documents import CreditedInvoice, RemoteDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import (
    HttpClient,
    Response,
    exact_json,
    failure_of,
    retry_after,
)
from shared.errors import Refused
from shared.terms import ClosedDocument, ClosedLine, Party, TaxTotal

EXPECTED = ExpectedDocument("INV-1", "invoice", "USD", Decimal("110.00"), "C1")
THERE = RemoteDocument("R1", "INV-1", "invoice", "posted", "USD", Decimal("110.00"), "C1")
DRAFT = replace(THERE, remote_id="R2", state="draft")


def middle() -> float:
    """Neither the least nor the most jitter."""
    return 0.5


@pytest.mark.parametrize(
    ("there", "ours", "verdict", "code"),
    [
        ([], None, "send", ""),
        ([THERE], None, "adopt", ""),
        ([replace(THERE, state="paid")], None, "adopt", ""),
        ([DRAFT], None, "post", ""),
        ([replace(THERE, total=Decimal("110.01"))], None, "refuse", "different"),
        ([replace(THERE, currency="EUR")], None, "refuse", "different"),
        ([replace(THERE, customer="C2")], None, "refuse", "different"),
        ([THERE, replace(THERE, remote_id="R3")], None, "refuse", "several"),
        ([THERE, DRAFT], None, "adopt", ""),
        ([DRAFT, replace(DRAFT, remote_id="R4")], "R4", "post", ""),
        ([DRAFT, replace(DRAFT, remote_id="R4")], None, "post", ""),
        ([DRAFT, replace(DRAFT, remote_id="R4", total=Decimal(1))], None, "refuse", "several"),
        ([THERE, replace(THERE, remote_id="R3")], "R1", "refuse", "several"),
        ([THERE, DRAFT, replace(THERE, remote_id="R3")], "R1", "refuse", "several"),
        ([replace(DRAFT, total=Decimal(1))], None, "refuse", "different"),
    ],
)
def test_what_a_look_means(
    there: list[RemoteDocument], ours: str | None, verdict: str, code: str
) -> None:
    """None: send; equal: take it, or post the draft; different or several: a person decides.

    Of equal drafts one is posted.
    """
    look = after_lookup(EXPECTED, there, ours)
    assert (look.verdict, look.code) == (verdict, code)
    if verdict == "refuse":
        assert "deliveries" in look.fix
    if verdict == "post" and ours:
        assert look.found is not None and look.found.remote_id == ours


def test_of_equal_drafts_the_oldest_is_posted() -> None:
    """Ledgers count up: the shorter id, then the lower one."""
    drafts = [replace(DRAFT, remote_id=name) for name in ("R10", "R9", "R8")]
    found = after_lookup(EXPECTED, drafts, None).found
    assert found is not None
    assert found.remote_id == "R8"


def test_a_difference_names_both_sides() -> None:
    """An operator reads the ledger's values and ours."""
    look = after_lookup(EXPECTED, [replace(THERE, total=Decimal("99.5"), customer="C9")], None)
    assert "99.5" in look.message and "110" in look.message and "C9" in look.message


def standing(**changes: Any) -> AttemptContext:
    """Neither key nor doubt."""
    return replace(
        AttemptContext(
            tries=0,
            outcome_unknown=False,
            failing_seconds=0.0,
            safe_repeat=False,
            settle_seconds=62.0,
        ),
        **changes,
    )


@pytest.mark.parametrize(
    ("failed", "changes", "state", "outcome_unknown", "at_least"),
    [
        (Failure("transient", "http_503", "x"), {}, "queued", False, 1.0),
        (Failure("transient", "http_503", "x"), {"outcome_unknown": True}, "unknown", True, 1.0),
        (Failure("transient", "429", "x", retry_after=40), {}, "queued", False, 40.0),
        (Failure("unknown", "timeout", "x"), {}, "unknown", True, 62.0),
        (Failure("unknown", "timeout", "x"), {"safe_repeat": True}, "unknown", True, 1.0),
        (Failure("duplicate", "taken", "x"), {}, "unknown", True, 0.0),
        (Failure("duplicate", "taken", "x"), {"outcome_unknown": True}, "refused", True, 0.0),
        (Failure("permanent", "http_422", "x"), {}, "refused", True, 0.0),
        (Failure("auth", "http_401", "x"), {}, "queued", False, 0.0),
        (Failure("auth", "http_401", "x"), {"outcome_unknown": True}, "unknown", True, 0.0),
        (
            Failure("transient", "http_503", "x"),
            {"failing_seconds": PATIENCE_SECONDS + 1},
            "refused",
            True,
            0.0,
        ),
        (
            Failure("transient", "cut", "x", everywhere=True),
            {"failing_seconds": PATIENCE_SECONDS + 1},
            "queued",
            False,
            1.0,
        ),
    ],
)
def test_what_a_failure_means(
    failed: Failure, changes: dict[str, Any], state: str, outcome_unknown: bool, at_least: float
) -> None:
    """Of five classes each has its consequence; doubt never goes away by a failure, and what may
    have happened is looked up after the ledger's limit.
    """
    after = after_failure(failed, standing(**changes), middle)
    assert (after.state, after.outcome_unknown) == (state, outcome_unknown)
    assert after.wait_seconds >= at_least
    assert after.state != "refused" or (after.message and after.fix)


TRANSIENT, LOST = Failure("transient", "http_503", "x"), Failure("unknown", "timeout", "x")
TAKEN, LATE = Failure("duplicate", "taken", "x"), Failure("transient", "late", "x")


@pytest.mark.parametrize(
    ("failed", "changes", "expected"),
    [
        (TRANSIENT, {}, ("queued", 1.5, 1)),
        (TRANSIENT, {"tries": 3}, ("queued", 12.0, 4)),
        (TRANSIENT, {"failing_seconds": PATIENCE_SECONDS}, ("queued", 1.5, 1)),
        (LOST, {}, ("unknown", 62.0, 1)),
        (LOST, {"tries": 9}, ("unknown", 675.0, 10)),
        (LOST, {"safe_repeat": True}, ("unknown", 1.5, 1)),
        (TAKEN, {}, ("unknown", 0.0, 1)),
        (TAKEN, {"tries": 1}, ("unknown", 3.0, 2)),
        (LATE, {"tries": 3}, ("queued", 1.0, 3)),
    ],
)
def test_how_long_a_delivery_waits(
    failed: Failure, changes: dict[str, Any], expected: tuple[str, float, int]
) -> None:
    """Doubled at each try; a lost call waits for the server's limit, a number that is taken is
    looked up at once, and only the first time. What came too late was no try.
    """
    after = after_failure(failed, standing(**changes), middle)
    assert (after.state, after.wait_seconds, after.tries) == expected


def test_a_document_that_failed_too_long_is_refused_with_the_time() -> None:
    """An operator reads for how long."""
    given_up = after_failure(TRANSIENT, standing(failing_seconds=PATIENCE_SECONDS + 1), middle)
    assert "72 hours" in given_up.message


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_waits_grow_and_have_an_end(tries: int, chance: float) -> None:
    """Between half of it and all of it, never more than the longest, never 0."""
    wait = backoff(tries, lambda: chance)
    assert 1.0 <= wait <= MAX_SECONDS
    assert wait <= backoff(tries + 1, lambda: 1.0)


NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("30", 30.0),
        ("1.5", 1.5),
        ("Tue, 31 Mar 2026 12:01:00 GMT", 60.0),
        ("Tue, 31 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 12, 999999999999.0),
        ("nan", None),
        ("1e9", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(
    header: str | None, seconds: float | None
) -> None:
    """Seconds or a date; nonsense counts as none; an absurd value counts as an hour."""
    assert retry_after(header, NOW) == seconds
    assert 0 <= capped(seconds) <= MAX_RETRY_AFTER_SECONDS


def test_the_circuit_opens_at_the_third_failure_and_grows() -> None:
    """One or two cuts do not stop a connection; a wish to wait is obeyed at once."""
    pauses = [after_connection_failure(each, None, middle) for each in (0, 1, 2, 3, 4, 99)]
    assert [each.open_seconds for each in pauses] == [0.0, 0.0, 0.75, 1.5, 3.0, 225.0]
    assert [each.failures for each in pauses] == [1, 2, 3, 4, 5, 100]
    assert after_connection_failure(0, 30.0, middle).open_seconds == 30.0
    assert [capped(seconds) for seconds in (None, -5.0, 0.5, 9e9)] == [0.0, 0.0, 0.5, 3600.0]


def test_another_address_or_account_is_another_binding() -> None:
    """A setting that is empty is absent; others do not count."""
    before = {"host": "a", "account": "1", "colour": "red"}
    bound = ("account", "host", "port")
    assert changed_binding(bound, before, {"host": "b", "account": "1", "port": ""}) == ["host"]
    assert changed_binding(bound, before, {"host": "a"}) == ["account"]


def waiting(*spec: tuple[int, str, bool, int]) -> list[OpenDelivery]:
    """id, customer, due, tries."""
    return [
        OpenDelivery(an_id, name, date(2026, 3, 1), due, tries) for an_id, name, due, tries in spec
    ]


@pytest.mark.parametrize(
    ("order", "spec", "taken"),
    [
        ("none", [(1, "A", True, 0), (2, "A", False, 0), (3, "A", True, 0)], [1, 3]),
        (
            "connection",
            [(1, "A", True, 0), (2, "B", True, 0), (3, "C", False, 0), (4, "D", True, 0)],
            [1, 2],
        ),
        ("connection", [(1, "A", False, 0), (2, "B", True, 0)], []),
        ("connection", [(1, "A", False, 3), (2, "B", True, 0)], [2]),
        ("customer", [(1, "A", True, 0), (2, "A", True, 0), (3, "B", True, 0)], [1, 3]),
        ("customer", [(1, "A", False, 0), (2, "A", True, 0), (3, "B", True, 0)], [3]),
        ("customer", [(1, "A", False, 3), (2, "A", True, 0)], [2]),
    ],
)
def test_order_is_kept_and_one_that_fails_steps_aside(
    order: Any, spec: list[tuple[int, str, bool, int]], taken: list[int]
) -> None:
    """By date within the connection or the customer; a document that failed three times delays
    no other.
    """
    assert next_in_order(waiting(*spec), order, 10) == taken
    assert next_in_order(waiting(*spec), order, 1) == taken[:1]


def test_a_lease_outlives_what_its_last_write_can_do() -> None:
    """A successor looks when our patience and the server's are over, counted from the last
    moment at which we may write.
    """
    lease = lease_for(30.0, 60.0, 15.0)
    assert lease.whole_seconds > lease.write_seconds + 30.0 + 60.0
    assert (lease.write_seconds, lease.whole_seconds) == (15.0, 107.0)


@pytest.mark.parametrize(
    ("per_minute", "concurrency", "seconds"), [(None, 4, 45.0), (30, 2, 61.0), (60, 2, 53.0)]
)
def test_a_write_may_begin_while_the_budget_lasts(
    per_minute: int | None, concurrency: int, seconds: float
) -> None:
    """15 s, one slow call of 30 s, and four calls of every parallel document."""
    assert hold_seconds(per_minute, concurrency, 30.0) == seconds


def test_the_pace_stays_within_the_budget() -> None:
    """60 a minute: at least 95 % of it, and never a call too many in any minute."""
    assert 57 <= 60 / pause_seconds(60) < 60
    assert pause_seconds(98) == pytest.approx(60 / 96.04)


async def no_turn() -> None:
    """At once."""


@pytest.mark.parametrize(
    ("url", "hosts", "code"),
    [
        ("http://books.example.com", (), "bad_address"),
        ("https://user:pw@books.example.com", (), "bad_address"),
        ("https://evil.example", (".xero.com",), "bad_address"),
        ("https://xero.com.evil.example", (".xero.com",), "bad_address"),
        ("ftp://127.0.0.1", (), "bad_address"),
        ("https://api.xero.com/?a=b", (".xero.com",), "bad_address"),
        ("https://api.xero.com/api.xro/2.0", (".xero.com",), ""),
        ("http://127.0.0.1:1", (".xero.com",), ""),
    ],
)
async def test_base_urls_come_from_the_list_and_use_https(
    url: str, hosts: tuple[str, ...], code: str
) -> None:
    """A look-alike, a password in the URL, or http to another machine is refused when the
    connection is made.
    """
    try:
        await HttpClient(url, no_turn, request_seconds=1, allowed_hosts=hosts).close()
        found = ""
    except Failure as failed:
        found = failed.code
    assert found == code


@pytest.mark.parametrize(
    ("status", "writes", "failure"),
    [
        (200, True, None),
        (204, True, None),
        (308, True, "permanent"),
        (400, True, "permanent"),
        (401, True, "auth"),
        (403, False, "auth"),
        (404, False, "permanent"),
        (408, True, "unknown"),
        (408, False, "transient"),
        (429, True, "transient"),
        (500, True, "unknown"),
        (500, False, "transient"),
        (502, True, "unknown"),
        (503, False, "transient"),
        (504, True, "unknown"),
    ],
)
def test_what_a_status_means(status: int, writes: bool, failure: str | None) -> None:
    """A 5xx after a write may have happened; the same after a read did nothing."""
    found = failure_of(Response(status, {}, b"<html><body>Away</body></html>"), writes=writes)
    assert (found.failure if found else None) == failure
    assert found is None or "Away" in found.message or status == 308


def test_decimals_travel_exactly() -> None:
    """A JSON number with all its digits, and read back the same."""
    value = {"a": Decimal("1234567890123456.12"), "b": [Decimal("0.10")]}
    assert exact_json(value) == '{"a":1234567890123456.12,"b":[0.10]}'
    assert Response(200, {}, exact_json(value).encode()).json(writes=False) == value


def closed(
    kind: str = "invoice", sign: int = 1, **changes: Any
) -> tuple[ClosedDocument, list[ClosedLine]]:
    """40 h at 50 with 10 % and 1 untaxed fee of 5."""
    day = date(2026, 3, 31)
    d = Decimal
    one = ClosedLine(
        *(1, 1, "Nurse", "timesheet", "T-1", 1, "W-1", "R-1", day, day, day, "REG"),
        *(d(40) * sign, "HUR", d(50), d(2000) * sign, "VAT", d(10), d(200) * sign),
        *("", "", "", "", None),
    )
    two = ClosedLine(
        *(1, 2, "Fee", "placement", "P-1", 2, "W-1", "R-1", None, day, day, ""),
        *(d(1) * sign, "C62", d(5), d(5) * sign, "", d(0), d(0), "", "", "", "", None),
    )
    head = ClosedDocument(
        1,
        "INV-1",
        kind,
        "B-1",
        "acme-us",
        "Mercy",
        Party("Acme"),
        Party("Mercy Inc."),
        day,
        day,
        day,
        "USD",
        "net:30",
        "PO",
        "",
        d(2005) * sign,  # type: ignore[arg-type]
        d(200) * sign,
        d(2205) * sign,
        2,
        day,
        day,
        (TaxTotal("VAT", d(10), d(2000) * sign, d(200) * sign),),
        (),
        "",
    )
    return replace(head, **changes), [one, replace(two, item_id="DIRECT-HIRE")]


CODES = {
    ("account", ""): "4000",
    ("account", "DIRECT-HIRE"): "4100",
    ("tax", "VAT"): "T10",
    ("term", "net:30"): "30 days",
    ("customer", "Mercy"): "C-77",
}


@pytest.mark.parametrize(("kind", "sign"), [("invoice", 1), ("credit-note", -1)])
def test_a_document_in_the_ledgers_words(kind: str, sign: int) -> None:
    """Codes are the ledger's, the most special one wins; of a credit note every sign is turned,
    and sums stay sums.
    """
    head, lines = closed(kind, sign)
    made = to_ar_document(head, lines, CODES, [CreditedInvoice("INV-0", Decimal(5), "R9")])
    assert (made.total, made.tax) == (Decimal(2205), Decimal(200))
    assert [(line.account, line.tax, line.quantity, line.amount) for line in made.lines] == [
        ("4000", "T10", Decimal(40), Decimal(2000)),
        ("4100", "", Decimal(1), Decimal(5)),
    ]
    assert (made.terms, made.customer.mapped, made.customer.currency) == ("30 days", "C-77", "USD")
    assert [line.tax_amount for line in made.lines] == [Decimal(200), Decimal(0)]
    assert made.closed.corrects == ()


def test_a_credit_note_names_the_invoices_that_we_hold() -> None:
    """With their dates; one of another system has no date here."""
    head, lines = closed("credit-note", -1)
    day = head.invoice_date
    credited = [
        CreditedInvoice("INV-0", Decimal(5), "R9", day),
        CreditedInvoice("OLD-1", Decimal(5), ""),
    ]
    made = to_ar_document(head, lines, CODES, credited)
    assert [(one.number, one.invoice_date) for one in made.closed.corrects] == [("INV-0", day)]


def test_everything_unmapped_is_reported_at_once() -> None:
    """One import fixes it."""
    head, lines = closed()
    with pytest.raises(Refused) as refused:
        to_ar_document(head, lines, {}, [])
    assert refused.value.code == "mapping_missing"
    assert all(
        word in refused.value.message for word in ("account DIRECT-HIRE", "account REG", "tax VAT")
    )


def test_a_document_that_does_not_add_up_is_not_sent() -> None:
    """Whatever the cause, a wrong sum stays here."""
    head, lines = closed(net=Decimal(2006), total=Decimal(2206))
    with pytest.raises(Refused) as refused:
        to_ar_document(head, lines, CODES, [])
    assert refused.value.code == "sums_differ"
