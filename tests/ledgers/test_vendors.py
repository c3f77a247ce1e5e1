"""What is each vendor's own: codes for a taken number, errors in a 200, drafts, external ids,
payments, currencies, codes that are missing.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from services.arg_sync.ledgers import business_central as bc
from services.arg_sync.ledgers import netsuite as ns
from services.arg_sync.ledgers import quickbooks as qb
from services.arg_sync.ledgers import xero
from services.arg_sync.ledgers.adapter import FrozenRequest
from services.arg_sync.ledgers.documents import CreditedInvoice, Customer, Line, RemoteDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.folding import with_lines_summed
from services.arg_sync.ledgers.http_client import Response
from tests.ledgers.fake import Reply
from tests.ledgers.stages import central_stage, netsuite_stage, quickbooks_stage, staged
from tests.ledgers.suite import Stage, create, customer_of, deliver, document, key, outcome_of
from tests.ledgers.vendors import netsuite, quickbooks
from tests.ledgers.vendors import xero as played_xero

STAGES: dict[str, Callable[[], AbstractAsyncContextManager[Stage]]] = {
    "quickbooks": quickbooks_stage,
    "business-central": central_stage,
    "netsuite": netsuite_stage,
}


@pytest.fixture(params=list(STAGES))
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Each of them."""
    async with STAGES[request.param]() as made:
        yield made


async def asked(stage: Stage, number: str = "INV-000001", **changes: Any) -> str:
    """A request."""
    return stage.port.render(
        document(stage, number, **changes), await customer_of(stage.port, document(stage).customer)
    )


async def test_a_closed_period_is_refused_with_the_message_of_the_vendor(stage: Stage) -> None:
    """Permanent, with its message; after the fix the same document goes through."""
    stage.server.vendor.closed_before = "2026-04-01"  # type: ignore[attr-defined]
    with pytest.raises(Failure) as failed:
        await deliver(stage.port, document(stage))
    assert failed.value.failure == "permanent"
    assert any(
        word in failed.value.message
        for word in ("Period Closed", "allowed posting dates", "accounting period")
    ), failed.value.message
    stage.server.vendor.closed_before = ""  # type: ignore[attr-defined]
    if stage.port.capabilities.steps == 2:
        assert (
            await stage.port.post(
                (await stage.port.find("invoice", ["INV-000001"]))["INV-000001"][0].remote_id,
                "invoice",
            )
        ).state == "posted"
    else:
        assert (await create(stage.port, document(stage))).state == "posted"


async def test_payments_are_read_from_a_cursor_and_taken_back(stage: Stage) -> None:
    """What was paid, what came since, and what was taken back; a credit note is no payment."""
    invoice = await deliver(stage.port, document(stage, "INV-1"))
    whole = document(stage, "CN-2", "credit-note")
    credit = document(
        stage,
        "CN-2",
        "credit-note",
        corrects=(CreditedInvoice("INV-1", whole.total, invoice.remote_id),),
    )
    other = await deliver(stage.port, document(stage, "INV-3"))
    posted = await deliver(stage.port, credit)
    await stage.port.allocate(posted, credit)
    first = await stage.port.payments("")
    assert [one for one in first.payments if not one.cancelled] == []
    paid = stage.server.vendor.pay("INV-3", "1000.00")  # type: ignore[attr-defined]
    second = await stage.port.payments(first.cursor)
    (one,) = [one for one in second.payments if not one.cancelled]
    assert (one.remote_id, one.amount, one.currency) == (other.remote_id, Decimal("1000.00"), "USD")
    stage.server.vendor.cancel(paid)  # type: ignore[attr-defined]
    third = await stage.port.payments(second.cursor)
    assert [
        (each.payment_id, each.cancelled)
        for each in third.payments
        if each.payment_id == one.payment_id
    ][-1] == (one.payment_id, True)
    assert third.cursor >= second.cursor


async def test_a_document_of_9727_lines(stage: Stage) -> None:
    """It goes through in one piece, or summed where the vendor is not asked for so many; its
    total is ours to the cent.
    """
    codes = stage.codes
    lines = tuple(
        Line(
            at,
            f"Nurse · line {at}",
            Decimal(8),
            Decimal("31.2500"),
            Decimal("250.00"),
            codes["account"],
            codes.get("item", ""),
            codes["tax"],
            "VAT",
            Decimal("25.00"),
        )
        for at in range(1, 9728)
    )
    net = Decimal("250.00") * 9727
    whole = document(stage, "INV-1", lines=lines, tax=net / 10, total=net * Decimal("1.1"))
    assert (await deliver(stage.port, whole)).total == whole.total


async def test_a_line_without_its_codes_is_refused_before_anything_is_sent(stage: Stage) -> None:
    """No guess: it would be posted to the wrong place."""
    made = document(stage)
    before = len(stage.server.calls)
    for line in (replace(made.lines[0], account="", item=""), replace(made.lines[0], tax="")):
        with pytest.raises(Failure) as failed:
            stage.port.render(replace(made, lines=(line,)), "1")
        assert failed.value.failure == "permanent" and "retry" in failed.value.message
    assert len(stage.server.calls) == before


@pytest.mark.parametrize("code", ["6140", "6210", "6240"])
@pytest.mark.parametrize("in_200", [False, True], ids=["400", "200"])
async def test_quickbooks_has_several_answers_for_a_used_number(code: str, in_200: bool) -> None:
    """By three codes, as an error and inside a 200: all are a duplicate."""
    async with quickbooks_stage() as stage:
        vendor = stage.server.vendor
        assert isinstance(vendor, quickbooks.QuickBooksVendor)
        vendor.taken_code, vendor.taken_in_200 = code, in_200
        await create(stage.port, document(stage))
        assert (
            await outcome_of(stage.port, await asked(stage), a_key=key("another"))
        ).failure == "duplicate"


@pytest.mark.parametrize(
    "words",
    [
        "This record already exists",
        "A record with the same external ID already exists: duplicate externalId",
    ],
)
@pytest.mark.parametrize("code", ["DUP_RCRD", "USER_ERROR", "UNIQUE_CUST_ID_REQD"])
def test_netsuite_has_several_answers_for_a_used_id(code: str, words: str) -> None:
    """The message counts as well as the code."""
    reply = netsuite.NetSuiteVendor().error(400, code, words)
    failed = ns.read_failure(Response(reply.status, reply.headers, reply.body), True)
    assert failed is not None and failed.failure == "duplicate"


@pytest.mark.parametrize(
    ("read_failure", "status", "body", "writes", "failure"),
    [
        (
            qb.read_failure,
            200,
            b'{"Fault":{"Error":[{"Message":"x","code":"6000"}],"type":"ValidationFault"}}',
            True,
            "permanent",
        ),
        (
            qb.read_failure,
            400,
            b'{"fault":{"error":[{"message":"x","code":"003001"}]}}',
            True,
            "transient",
        ),
        (
            qb.read_failure,
            403,
            b'{"Fault":{"Error":[{"Message":"x","code":"3100"}]}}',
            True,
            "auth",
        ),
        (
            qb.read_failure,
            400,
            b'{"Fault":{"Error":[{"Message":"subscription ended","code":"6190"}]}}',
            True,
            "auth",
        ),
        (
            qb.read_failure,
            500,
            b'{"Fault":{"Error":[{"Message":"x","code":"10000"}],"type":"SystemFault"}}',
            True,
            "unknown",
        ),
        (
            qb.read_failure,
            500,
            b'{"Fault":{"Error":[{"Message":"x","code":"10000"}],"type":"SystemFault"}}',
            False,
            "transient",
        ),
        (
            xero.read_failure,
            400,
            b'{"ErrorNumber":10,"Type":"ValidationException","Elements":[{"ValidationErrors":[{"Message":"no"}]}]}',
            True,
            "permanent",
        ),
        (
            xero.read_failure,
            400,
            b'{"ErrorNumber":10,"Elements":[{"ValidationErrors":'
            b'[{"Message":"Invoice # must be unique."}]}]}',
            True,
            "duplicate",
        ),
        (xero.read_failure, 403, b"{}", True, "auth"),
        (xero.read_failure, 504, b"<html>", True, "unknown"),
        (
            bc.read_failure,
            400,
            b'{"error":{"code":"Internal_EntityWithSameKeyExists","message":"x"}}',
            True,
            "duplicate",
        ),
        (
            bc.read_failure,
            401,
            b'{"error":{"code":"Authentication_InvalidCredentials","message":"x"}}',
            True,
            "auth",
        ),
        (
            bc.read_failure,
            400,
            b'{"error":{"code":"Authorization_RequestDenied","message":"x"}}',
            True,
            "auth",
        ),
        (
            bc.read_failure,
            409,
            b'{"error":{"code":"Request_EntityChanged","message":"x"}}',
            True,
            "transient",
        ),
        (bc.read_failure, 408, b"", True, "unknown"),
        (bc.read_failure, 504, b"", False, "transient"),
        (
            bc.read_failure,
            400,
            b'{"error":{"code":"Application_DialogException","message":"x"}}',
            True,
            "permanent",
        ),
        (
            ns.read_failure,
            400,
            b'{"o:errorDetails":[{"detail":"x","o:errorCode":"SSS_REQUEST_LIMIT_EXCEEDED"}]}',
            True,
            "transient",
        ),
        (
            ns.read_failure,
            401,
            b'{"o:errorDetails":[{"detail":"x","o:errorCode":"INVALID_LOGIN"}]}',
            True,
            "auth",
        ),
        (
            ns.read_failure,
            500,
            b'{"o:errorDetails":[{"detail":"x","o:errorCode":"UNEXPECTED_ERROR"}]}',
            True,
            "unknown",
        ),
        (
            ns.read_failure,
            400,
            b'{"o:errorDetails":[{"detail":"x","o:errorCode":"IDEMPOTENCY_ERROR"}]}',
            True,
            "duplicate",
        ),
        (
            ns.read_failure,
            400,
            b'{"o:errorDetails":[{"detail":"x","o:errorCode":"INVALID_CONTENT"}]}',
            True,
            "permanent",
        ),
    ],
)
def test_what_an_answer_means(
    read_failure: Any, status: int, body: bytes, writes: bool, failure: str
) -> None:
    """The class by the body, whatever the status."""
    failed = read_failure(Response(status, {}, body), writes)
    assert failed is not None and failed.failure == failure


async def test_quickbooks_knows_a_customer_by_currency() -> None:
    """A customer has one currency there: billed in another, it is another customer, named so;
    the look-up finds each.
    """
    async with quickbooks_stage() as stage:
        dollars = await stage.port.add_customer(Customer("Mercy", currency="USD"))
        assert await stage.port.customer_for(Customer("Mercy", currency="EUR")) is None
        euros = await stage.port.add_customer(Customer("Mercy", currency="EUR"))
        assert dollars != euros
        for _ in range(2):
            assert await stage.port.customer_for(Customer("Mercy", currency="USD")) == dollars
            assert await stage.port.customer_for(Customer("Mercy", currency="EUR")) == euros
        found = await create(
            stage.port, document(stage, currency="EUR", customer=Customer("Mercy", currency="EUR"))
        )
        assert found.currency == "EUR" and found.customer == euros


async def test_quickbooks_outside_the_us_has_a_tax_code_for_each_line() -> None:
    """In the USA one for the document; more of them are refused in a message."""
    async with quickbooks_stage() as usa, quickbooks_stage(tax_model="global") as abroad:
        made = document(usa)
        two = replace(made, lines=(made.lines[0], replace(made.lines[1], tax="4")))
        with pytest.raises(Failure, match="takes one for a document"):
            usa.port.render(two, "1")
        assert '"TaxCodeRef":{"value":"4"}' in abroad.port.render(
            two, "1"
        ) and '"TotalTax":210.00' in abroad.port.render(two, "1")
        with pytest.raises(Failure, match="21 characters"):
            usa.port.render(document(usa, "INV-" + "0" * 20), "1")


async def test_a_voided_quickbooks_invoice_is_not_found() -> None:
    """It stays there with a total of nothing: by number it is not there, by id it is voided; a
    deleted one is gone by code 610.
    """
    async with quickbooks_stage() as stage:
        made = await create(stage.port, document(stage))
        one = stage.server.vendor.things["Invoice"][made.remote_id]  # type: ignore[attr-defined]
        one |= {"TotalAmt": Decimal(0), "Balance": Decimal(0), "PrivateNote": "Voided"}
        assert (await stage.port.find("invoice", [made.number]))[made.number] == []
        statuses = await stage.port.status("invoice", [made.remote_id, "999"])
        assert statuses[made.remote_id].state == "voided" and statuses["999"] is None  # type: ignore[union-attr]


async def test_business_central_posts_once_and_deletes_drafts_only() -> None:
    """Posting again returns what the ledger has; a draft can be deleted twice, a posted one not
    at all; a draft that is gone is looked for by number.
    """
    async with central_stage() as stage:
        draft = await create(stage.port, document(stage))
        assert draft.state == "draft" and draft.total == document(stage).total
        posted = await stage.port.post(draft.remote_id, "invoice")
        assert await stage.port.post(
            draft.remote_id, "invoice"
        ) == posted and posted.remote_number.startswith("S-")
        with pytest.raises(Failure, match="posted"):
            await stage.port.discard(draft.remote_id, "invoice")
        second = await create(stage.port, document(stage, "INV-2"))
        await stage.port.discard(second.remote_id, "invoice")
        await stage.port.discard(second.remote_id, "invoice")
        with pytest.raises(Failure) as failed:
            await stage.port.post(second.remote_id, "invoice")
        assert failed.value.failure == "unknown"


async def test_a_draft_that_cannot_be_read_again_is_unknown() -> None:
    """It was made: to say that it was not would make a second one."""
    async with central_stage() as stage:
        request = await asked(stage)
        vendor = stage.server.vendor
        handle = vendor.handle
        vendor.handle = lambda each, *more: (
            Reply(503, b"") if each.method == "GET" else handle(each, *more)
        )  # type: ignore[method-assign]
        assert (await outcome_of(stage.port, request)).failure == "unknown"


async def test_a_credit_memo_for_two_invoices_is_refused() -> None:
    """Business Central applies one to one invoice: the rest is for a person, and said."""
    async with central_stage() as stage:
        invoices = [
            await deliver(stage.port, document(stage, number)) for number in ("INV-1", "INV-2")
        ]
        corrects = tuple(
            CreditedInvoice(one.number, Decimal("10.00"), one.remote_id) for one in invoices
        )
        credit = document(stage, "CN-3", "credit-note", corrects=corrects)
        with pytest.raises(Failure, match="INV-1, INV-2"):
            await stage.port.allocate(await deliver(stage.port, credit), credit)


async def test_a_blocked_customer_is_refused() -> None:
    """With its number; no second customer is made."""
    async with central_stage() as stage:
        made = await stage.port.add_customer(Customer("Mercy"))
        stage.server.vendor.customers[made]["blocked"] = "All"  # type: ignore[attr-defined]
        with pytest.raises(Failure, match=r"C10000 \(Mercy\) is inactive, blocked"):
            await stage.port.customer_for(Customer("Mercy"))
        stage.server.vendor.customers[made]["blocked"] = " "  # type: ignore[attr-defined]
        assert await stage.port.customer_for(Customer("x", mapped="C10000")) == made
        assert await stage.port.customer_for(Customer("x", mapped=made)) == made


async def test_netsuite_accepts_an_rsa_key_and_refuses_other_text() -> None:
    """PS256 as well as ES256; what is no key is reported without showing it."""
    pair = RSAKey.generate_key(2048)
    async with netsuite_stage(pair) as stage:
        assert "123456_SB1" in await stage.port.check()
    vendor = netsuite.NetSuiteVendor()
    at = {"account_id": "1", "certificate_id": "c", "currencies": "USD=1"}
    async with staged(
        ns.LEDGER,
        vendor,
        at,
        {"item": "42", "account": ""},
        secrets={"private_key": "canary-no-key"},
    ) as stage:
        with pytest.raises(Failure) as failed:
            await stage.port.check()
        assert (
            failed.value.failure == "auth"
            and "PEM" in failed.value.message
            and "canary" not in failed.value.message
        )


async def test_netsuite_waits_for_nobodys_approval() -> None:
    """A document that waits for approval is not posted: a person is informed."""
    async with netsuite_stage() as stage:
        made = await create(stage.port, document(stage))
        stage.server.vendor.records["invoice"][made.remote_id]["status"] = {"id": "D"}  # type: ignore[attr-defined]
        assert (await stage.port.status("invoice", [made.remote_id]))[
            made.remote_id
        ].state == "draft"  # type: ignore[union-attr]
        with pytest.raises(Failure, match="waits for approval"):
            await stage.port.post(made.remote_id, "invoice")


@pytest.mark.parametrize("text", ["", "USD", "USD=x", "usd=1"])
async def test_unreadable_currencies_are_reported(text: str) -> None:
    """When the connection is made."""
    with pytest.raises(Failure, match="USD=1,EUR=4"):
        async with netsuite_stage(currencies=text):
            pass


def test_lines_are_summed_to_the_cent(xero_stage: Stage) -> None:
    """Lines of one account, item and tax become one; more kinds than the limit are refused;
    without a limit nothing changes.
    """
    made = document(xero_stage)
    many = replace(
        made,
        lines=tuple(
            replace(made.lines[at % 2], line_no=at, account=str(at % 3)) for at in range(1, 100)
        ),
    )
    few = with_lines_summed(many, 3)
    assert len(few.lines) == 3 and sum(one.amount for one in few.lines) == sum(
        one.amount for one in many.lines
    )
    assert (
        sum(one.tax_amount for one in few.lines) == sum(one.tax_amount for one in many.lines)
        and "33 lines of" in few.lines[0].description
    )
    assert with_lines_summed(many, 0) is many and with_lines_summed(many, 99) is many
    with pytest.raises(Failure, match="limit is 2 lines"):
        with_lines_summed(many, 2)


@pytest.fixture
async def xero_stage() -> AsyncIterator[Stage]:
    """Xero."""
    codes = {"account": "200", "tax": "OUTPUT"}
    async with staged(
        xero.LEDGER,
        played_xero.XeroVendor(),
        {"tenant_id": played_xero.TENANT},
        codes,
        played_xero.BASE,
    ) as made:
        yield made


async def test_every_kind_is_described(xero_stage: Stage) -> None:
    """Each setting has words; no default of a required one; what is asked of an operator is
    enough to make a port.
    """
    for ledger in (xero.LEDGER, qb.LEDGER, bc.LEDGER, ns.LEDGER):
        assert ledger.needs and ledger.title and all(each.words for each in ledger.settings)
        assert not any(each.required and each.default for each in ledger.settings)
        assert any(each.secret for each in ledger.settings)
    found = await create(xero_stage.port, document(xero_stage))
    assert isinstance(found, RemoteDocument) and isinstance(
        FrozenRequest(key("x"), "", "invoice", "x").key, str
    )
