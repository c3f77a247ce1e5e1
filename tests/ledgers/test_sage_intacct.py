"""The Sage Intacct adapter: the suite of all adapters, and what is Intacct's own."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from services.arg_sync.ledgers.adapter import AdapterContext
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import Response
from services.arg_sync.ledgers.intacct_xml import parsed, result_of
from services.arg_sync.ledgers.sage_intacct import LEDGER
from tests.ledgers.fake import Fault, playing
from tests.ledgers.suite import (
    LedgerSuite,
    OpenVault,
    Stage,
    at_once,
    create,
    deliver,
    document,
    outcome_of,
)
from tests.ledgers.vendors.sage_intacct import COMPANY, PATH, SECRETS, SENDER, USER, IntacctVendor


@contextlib.asynccontextmanager
async def intacct_stage(**settings: str) -> AsyncIterator[Stage]:
    """A company, with a patient and an impatient adapter."""
    async with playing(IntacctVendor()) as server:
        given = {
            each.name: each.default
            for each in LEDGER.settings
            if each.default is not None and not each.secret
        }
        given |= {"sender_id": SENDER, "company_id": COMPANY, "user_id": USER}
        given |= {
            "base_currency": "USD",
            "payment_account": "BOA",
            "base_url": server.url + PATH,
        }
        secret_store = OpenVault(dict(SECRETS))
        ports = [
            LEDGER.make(AdapterContext("gl-us", given | settings, secret_store, at_once, can))
            for can in (LEDGER.capabilities, replace(LEDGER.capabilities, request_seconds=0.5))
        ]
        codes = {"account": "4000", "tax": "2200"}
        yield Stage(ports[0], ports[1], server, tuple(SECRETS.values()), codes)
        for port in ports:
            await port.close()


class TestSageIntacct(LedgerSuite):
    """Sage Intacct."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        """A server that plays it."""
        async with intacct_stage() as made:
            yield made


def vendor_of(stage: Stage) -> IntacctVendor:
    """Its company."""
    assert isinstance(stage.server.vendor, IntacctVendor)
    return stage.server.vendor


async def test_tax_goes_as_a_line_of_its_account() -> None:
    """Outside of the three countries an AR invoice has no tax of its own."""
    async with intacct_stage() as stage:
        await create(stage.port, document(stage))
        made = next(one for one in vendor_of(stage).sent if one.tag == "create_invoice")
        lines = [
            (each.findtext("glaccountno"), each.findtext("amount"))
            for each in made.iter("lineitem")
        ]
        assert lines == [("4000", "2000.00"), ("4000", "100.01"), ("2200", "210.00")]


async def test_tax_goes_as_entries_where_there_is_a_tax_solution() -> None:
    """In Australia, the United Kingdom and South Africa our tax overrides the computed one."""
    async with intacct_stage(tax_as="entries", tax_solution="Australia - GST") as stage:
        note = await create(stage.port, document(stage, "CN-1", "credit-note"))
        assert note.total == document(stage).total
        made = next(one for one in vendor_of(stage).sent if one.tag == "create_aradjustment")
        assert made.findtext("taxsolutionid") == "Australia - GST"
        entries = [
            (each.findtext("detailid"), each.findtext("trx_tax")) for each in made.iter("taxentry")
        ]
        assert entries == [("2200", "-200.00"), ("2200", "-10.00")]


async def test_another_currency_names_the_rate_type() -> None:
    """`currency` is sent only where it is not the company's own."""
    async with intacct_stage() as stage:
        made = await create(stage.port, document(stage, currency="EUR"))
        sent = next(one for one in vendor_of(stage).sent if one.tag == "create_invoice")
        assert (made.currency, sent.findtext("basecurr"), sent.findtext("exchratetype")) == (
            "EUR",
            "USD",
            "",
        )
        home = await create(stage.port, document(stage, "INV-2"))
        assert home.currency == "USD"


async def test_a_repeat_of_the_same_function_is_refused_and_found() -> None:
    """The control id is the key of the request: what was executed is not executed again."""
    async with intacct_stage() as stage:
        request = stage.port.render(document(stage), "C-1")
        stage.server.plan(Fault("reset"))
        assert (await outcome_of(stage.port, request)).failure == "unknown"
        assert (await outcome_of(stage.port, request)).failure == "duplicate"
        assert len(stage.accepted) == 1
        assert len((await stage.port.find("invoice", ["INV-000001"]))["INV-000001"]) == 1


@pytest.mark.parametrize("name", sorted(SECRETS))
async def test_a_refused_login_is_tried_once(name: str) -> None:
    """A wrong password of the sender or of the user: three calls and a renewal make one try."""
    async with intacct_stage() as stage:
        vendor_of(stage).passwords[name] = "another"
        for _ in range(3):
            with pytest.raises(Failure) as failed:
                await stage.port.check()
            assert failed.value.failure == "auth"
        with pytest.raises(Failure):
            await stage.port.renew()
        assert vendor_of(stage).logins == 1


async def test_payments_are_read_by_their_last_change_and_taken_back() -> None:
    """Drafts and applied credits are no payments; a voided one is cancelled."""
    async with intacct_stage() as stage:
        vendor = vendor_of(stage)
        invoice = await deliver(stage.port, document(stage))
        first = await stage.port.payments("")
        assert first.payments == ()
        paid, draft = vendor.pay("INV-000001", "1000.00"), vendor.pay("INV-000001", "5.00")
        draft["STATE"] = "D"
        second = await stage.port.payments(first.cursor)
        (one,) = second.payments
        assert (one.remote_id, one.amount, str(one.paid_on), one.currency) == (
            invoice.remote_id,
            Decimal("1000.00"),
            "2026-04-20",
            "USD",
        )
        vendor.change(paid, STATE="V")
        third = await stage.port.payments(second.cursor)
        assert [(each.payment_id, each.cancelled) for each in third.payments][-1] == (
            one.payment_id,
            True,
        )
        assert third.cursor > second.cursor > first.cursor


async def test_without_a_payment_account_a_credit_memo_stays_unapplied() -> None:
    """The document is posted; what is missing is said."""
    async with intacct_stage(payment_account="") as stage:
        made = document(stage, "CN-1", "credit-note")
        posted = await deliver(stage.port, made)
        with pytest.raises(Failure, match="payment_account"):
            await stage.port.allocate(posted, made)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]><response>&a;</response>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><response/>',
        "<response><control>",
        "no xml",
    ],
)
def test_a_response_with_entities_or_without_form_is_not_read(text: str) -> None:
    """An answer of another program can neither read files nor fill the memory."""
    with pytest.raises(ValueError, match="it "):
        parsed(text)
    with pytest.raises(Failure) as failed:
        result_of(Response(200, {}, text.encode()), writes=True)
    assert failed.value.failure == "unknown"


async def test_a_document_that_waits_for_approval_is_refused_with_the_way_out() -> None:
    """Where AR approval is on, a submitted invoice is not posted."""
    async with intacct_stage() as stage:
        made = await create(stage.port, document(stage))
        vendor_of(stage).records["ARINVOICE"][0]["STATE"] = "Submitted"
        (found,) = (await stage.port.find("invoice", ["INV-000001"]))["INV-000001"]
        assert found.state == "draft"
        with pytest.raises(Failure, match="approve it"):
            await stage.port.post(made.remote_id, "invoice")
