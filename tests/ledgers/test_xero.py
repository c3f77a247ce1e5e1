"""The Xero adapter: the suite of all adapters with all traffic held against the official
description, and what is Xero's own.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from services.arg_sync.ledgers.adapter import FrozenRequest
from services.arg_sync.ledgers.codes import KINDS
from services.arg_sync.ledgers.documents import Customer, Line, RemoteDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.xero import _parts
from tests.ledgers import xero_description
from tests.ledgers.fake import Asked, Fault, Reply
from tests.ledgers.stages import xero_stage
from tests.ledgers.suite import LedgerSuite, Stage, create, customer_of, deliver, document, key
from tests.ledgers.vendors.xero import BASE, TENANT, XeroVendor

described = pytest.mark.skipif(
    not xero_description.FILE.exists(),
    reason="the official description is not here: set XERO_OPENAPI to its path",
)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A server that plays Xero, and holds all traffic against the description where that is at
    hand.
    """
    check = xero_description.check if xero_description.FILE.exists() else None
    async with xero_stage(check=check) as made:
        yield made


class TestXero(LedgerSuite):
    """Xero."""


def vendor_of(stage: Stage) -> XeroVendor:
    """Its vendor."""
    assert isinstance(stage.server.vendor, XeroVendor)
    return stage.server.vendor


async def frozen_request(stage: Stage, *numbers: str, **changes: Any) -> list[FrozenRequest]:
    """Requests."""
    customer = await customer_of(stage.port, document(stage).customer)
    return [
        FrozenRequest(
            key(number),
            stage.port.render(document(stage, number, **changes), customer),
            "invoice",
            number,
        )
        for number in numbers
    ]


def invoice(**changes: Any) -> dict[str, Any]:
    """A request that is right."""
    line = {
        "Description": "x",
        "Quantity": 1,
        "UnitAmount": 1,
        "LineAmount": 1,
        "AccountCode": "200",
    }
    right = {
        "Type": "ACCREC",
        "Contact": {"ContactID": TENANT},
        "Date": "2026-03-31",
        "DueDate": "2026-04-30",
        "InvoiceNumber": "1",
        "LineItems": [line],
    }
    return (
        right
        | {"CurrencyCode": "USD", "LineAmountTypes": "NoTax", "Status": "AUTHORISED"}
        | changes
    )


def asked(element: Any, path: str = "/Invoices", method: str = "PUT", **headers: str) -> Asked:
    """A request of one element."""
    body = {path.strip("/").partition("/")[0]: [element]} if element is not None else {}
    return Asked(
        method,
        BASE + path,
        {},
        {"accept": "application/json", "xero-tenant-id": TENANT} | headers,
        json.dumps(body).encode(),
    )


@described
class TestDescription:
    """The validator itself."""

    def test_it_takes_what_is_right(self) -> None:
        """Else all refusals prove nothing."""
        xero_description.check(asked(invoice()), "/Invoices", None)

    @pytest.mark.parametrize(
        "element",
        [
            None,
            {},
            invoice(Type="SALE"),
            invoice(Status="POSTED"),
            invoice(CurrencyCode="DOLLAR"),
            invoice(Date="31.03.2026"),
            invoice(LineItems=[{}]),
            invoice(
                LineItems=[{"Description": "x", "Quantity": "1", "UnitAmount": 1, "LineAmount": 1}]
            ),
            invoice(Contact={"ContactID": "C-1"}),
            invoice(Total=1),
            invoice(Amount=1),
            {name: value for name, value in invoice().items() if name != "Contact"},
        ],
        ids=[
            "nothing",
            "empty",
            "type",
            "status",
            "currency",
            "date",
            "line",
            "number",
            "uuid",
            "read-only",
            "unknown",
            "missing",
        ],
    )
    def test_it_refuses_what_is_wrong(self, element: Any) -> None:
        """`{}`, a wrong Type, an unknown, read-only or missing field, a wrong form of a date,
        number or id: none passes.
        """
        with pytest.raises(xero_description.NotDescribed):
            xero_description.check(asked(element), "/Invoices", None)

    def test_it_refuses_wrong_roads(self) -> None:
        """A path, a parameter, a header that the description does not have."""
        for request, path in (
            (asked(invoice(), "/Invoice"), "/Invoice"),
            (replace(asked(invoice()), query={"summarise": "1"}), "/Invoices"),
            (replace(asked(invoice()), headers={"accept": "application/json"}), "/Invoices"),
        ):
            with pytest.raises(xero_description.NotDescribed):
                xero_description.check(request, path, None)

    @pytest.mark.parametrize(
        "said",
        [
            {"Invoices": {}},
            {"Invoices": [{"Type": "SALE"}]},
            {"Invoices": [{"Date": "2026-03-31"}]},
            {"Invoices": [{"Total": "ten"}]},
        ],
    )
    def test_it_refuses_wrong_answers(self, said: Any) -> None:
        """What the played server says is held against the description, too."""
        with pytest.raises(xero_description.NotDescribed):
            xero_description.check(asked(invoice()), "/Invoices", Reply.of(200, said))

    async def test_a_wrong_request_of_ours_would_be_seen(self, stage: Stage) -> None:
        """The server of the suite refuses what the description refuses: the connection breaks."""
        (one,) = await frozen_request(stage, "INV-000001")
        (outcome,) = await stage.port.create(
            [replace(one, request=one.request.replace('"ACCREC"', '"SALE"'))]
        )
        assert (
            isinstance(outcome, Failure) and outcome.failure == "unknown" and stage.accepted == []
        )


async def test_fifty_go_in_one_call_and_one_bad_one_is_refused_alone(stage: Stage) -> None:
    """Each document of a batch has an outcome of its own, in our order."""
    requests = await frozen_request(stage, *(f"INV-{at:06d}" for at in range(1, 51)))
    requests[7] = replace(
        requests[7],
        request=requests[7].request.replace('"AccountCode":"200"', '"AccountCode":"999"'),
    )
    before = len(stage.server.calls)
    outcomes = await stage.port.create(requests)
    assert len(stage.server.calls) == before + 1
    assert (
        isinstance(outcomes[7], Failure)
        and outcomes[7].failure == "permanent"
        and "999" in outcomes[7].message
    )
    assert [one.number for one in outcomes if isinstance(one, RemoteDocument)] == [
        one.number for one in requests if one is not requests[7]
    ]


async def test_a_batch_sent_again_makes_nothing_twice(stage: Stage) -> None:
    """Whole and in parts, under the same keys: what is there is reported as there, or as a
    number that is taken.
    """
    requests = await frozen_request(stage, "INV-1", "INV-2", "INV-3")
    stage.server.plan(Fault("silence"))
    assert all(
        isinstance(one, Failure) and one.failure == "unknown"
        for one in await stage.impatient.create(requests)
    )
    assert all(isinstance(one, RemoteDocument) for one in await stage.port.create(requests))
    for outcome in await stage.port.create(requests[1:]):
        assert isinstance(outcome, Failure) and outcome.failure == "duplicate"
    assert len(stage.accepted) == 3


async def test_a_call_refused_as_a_whole_is_asked_one_by_one(stage: Stage) -> None:
    """A 400 for fifty says nothing about forty-nine of them."""
    requests = await frozen_request(stage, "INV-1", "INV-2")
    stage.server.plan(Fault("refuse"))
    assert [type(one) for one in await stage.port.create(requests)] == [
        RemoteDocument,
        RemoteDocument,
    ]


async def test_a_document_of_9727_lines_goes_with_the_others(stage: Stage) -> None:
    """The total is ours to the cent, and each of the batch has its outcome."""
    lines = tuple(
        Line(
            at,
            f"Nurse · line {at}",
            Decimal(8),
            Decimal("31.2500"),
            Decimal("250.00"),
            "200",
            "",
            "OUTPUT",
            "VAT",
            Decimal("25.00"),
        )
        for at in range(1, 9728)
    )
    net = Decimal("250.00") * 9727
    (large,) = await frozen_request(
        stage, "INV-9", lines=lines, tax=net / 10, total=net * Decimal("1.1")
    )
    small = await frozen_request(stage, "INV-1", "INV-2")
    outcomes = await stage.port.create([small[0], large, small[1]])
    assert [one.total for one in outcomes if isinstance(one, RemoteDocument)][1] == net * Decimal(
        "1.1"
    )
    assert [one.number for one in outcomes if isinstance(one, RemoteDocument)] == [
        "INV-1",
        "INV-9",
        "INV-2",
    ]


def test_bodies_are_kept_small() -> None:
    """What does not fit into one call goes in the next, kinds apart."""
    requests = [FrozenRequest(str(at), "x" * 1_000_000, "invoice", str(at)) for at in range(5)] + [
        FrozenRequest("c", "x", "credit-note", "c")
    ]
    assert [[one.key for one in part] for part in _parts(requests)] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
        ["c"],
    ]


async def test_payments_are_read_from_a_cursor_and_taken_back(stage: Stage) -> None:
    """Each once, and again when it is cancelled; what was read is not read from the beginning
    again.
    """
    await deliver(stage.port, document(stage, "INV-1"))
    paid = vendor_of(stage).pay("INV-1", "1000.00")
    first = await stage.port.payments("")
    assert [
        (one.number, one.amount, one.currency, str(one.paid_on), one.cancelled)
        for one in first.payments
    ] == [("INV-1", Decimal("1000.00"), "USD", "2026-04-10", False)]
    vendor_of(stage).pay("INV-1", "10.00")
    second = await stage.port.payments(first.cursor)
    assert [str(one.amount) for one in second.payments][
        -1
    ] == "10.00" and second.cursor > first.cursor
    vendor_of(stage).cancel(paid)
    (last,) = [one for one in (await stage.port.payments(second.cursor)).payments if one.cancelled]
    assert last.payment_id == paid["PaymentID"]


async def test_what_another_program_made_is_found_and_told_apart(stage: Stage) -> None:
    """The number is taken: a duplicate, and the look-up shows that it is another document."""
    customer = await customer_of(stage.port, document(stage).customer)
    vendor_of(stage).by_another("INV-000001", "5.00", customer)
    request = stage.port.render(document(stage), customer)
    (outcome,) = await stage.port.create(
        [FrozenRequest(key("x"), request, "invoice", "INV-000001")]
    )
    assert isinstance(outcome, Failure) and outcome.failure == "duplicate"
    (one,) = (await stage.port.find("invoice", ["INV-000001"]))["INV-000001"]
    assert one.total == Decimal("5.00")


async def test_voided_is_absent_and_deleted_is_reported(stage: Stage) -> None:
    """A voided invoice is not found by its number; its state is found by its id; None is only
    what Xero itself does not know.
    """
    made = await create(stage.port, document(stage))
    vendor_of(stage).documents[made.remote_id]["Status"] = "VOIDED"
    assert (await stage.port.find("invoice", ["INV-000001"]))["INV-000001"] == []
    gone = TENANT
    statuses = await stage.port.status("invoice", [made.remote_id, gone])
    assert statuses[made.remote_id].state == "voided" and statuses[gone] is None  # type: ignore[union-attr]


async def test_an_archived_contact_is_refused(stage: Stage) -> None:
    """No second contact of the name is made."""
    made = await stage.port.add_customer(Customer("Mercy"))
    vendor_of(stage).contacts[made]["ContactStatus"] = "ARCHIVED"
    with pytest.raises(Failure, match="archived"):
        await stage.port.customer_for(Customer("mercy"))


def test_a_missing_code_is_refused(stage: Stage) -> None:
    """Nothing is guessed: a line without an account, a tax without a code."""
    made = document(stage)
    for line, words in (
        (replace(made.lines[0], account=""), "no account"),
        (replace(made.lines[0], tax=""), "not mapped"),
    ):
        with pytest.raises(Failure, match=words):
            stage.port.render(replace(made, lines=(line,)), TENANT)


async def test_a_draft_under_our_number_is_for_a_person(stage: Stage) -> None:
    """Another program made it, equal to ours: it is not ours to approve, and the worker goes on."""
    made = await create(stage.port, document(stage))
    vendor_of(stage).documents[made.remote_id]["Status"] = "DRAFT"
    (found,) = (await stage.port.find("invoice", [made.number]))[made.number]
    assert found.state == "draft"
    with pytest.raises(Failure, match="approve or delete"):
        await stage.port.post(found.remote_id, "invoice")


@described
async def test_the_lists_of_codes_are_as_described(stage: Stage) -> None:
    """Accounts, items, tax rates and currencies: paths, parameters and answers."""
    for kind in KINDS:
        found = await stage.port.codes(kind, ["200"])  # type: ignore[attr-defined]
        assert found is None if kind == "term" else found
