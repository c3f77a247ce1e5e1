"""What every adapter must show, whatever the system: subclass `LedgerSuite`, give it the fixture
`stage`, and add the vendor's own tests.

class TestXero(LedgerSuite):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]: ...
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    Capabilities,
    FrozenRequest,
    LedgerAdapter,
    Secrets,
    Setting,
)
from services.arg_sync.ledgers.documents import (
    ArDocument,
    CreditedInvoice,
    Customer,
    Line,
    RemoteDocument,
)
from services.arg_sync.ledgers.failures import Failure
from shared.terms import ClosedDocument, ClosedLine, CorrectedInvoice, Party, TaxTotal
from tests.ledgers.fake import FakeServer, Fault, FaultName

CENT = Decimal("0.01")
IN_DOUBT: tuple[FaultName, ...] = ("silence", "reset", "cut", "slow", "page-after")
DID_NOT_HAPPEN: tuple[FaultName, ...] = (
    "page-503",
    "429",
    "expired",
    "error-200",
    "refuse",
    "redirect",
)


@dataclass
class OpenVault:
    """A vault in memory, for tests of adapters alone."""

    values: dict[str, str]
    version: int = 1
    saved: list[dict[str, str]] = field(default_factory=list)
    _renewing: int = 0
    _refused: tuple[int, Failure] | None = None

    async def read(self) -> Secrets:
        """The newest."""
        return Secrets(self.version, dict(self.values))

    @contextlib.asynccontextmanager
    async def login(self, version: int) -> AsyncIterator[None]:
        """At once, but for a login that was refused."""
        if self._refused is not None and self._refused[0] == version:
            raise self._refused[1]
        try:
            yield
        except Failure as failed:
            if failed.failure == "auth":
                self._refused = version, failed
            raise

    async def may_renew(self, version: int) -> bool:
        """The first who asks about a version."""
        if version != self.version or self._renewing >= version:
            return False
        self._renewing = version
        return True

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        """The next version."""
        assert version == self.version, "saved over a newer version"
        self.version, self.values = version + 1, dict(values)
        self.saved.append(self.values)
        return await self.read()


async def at_once() -> None:
    """A turn that comes at once."""


def host(
    capabilities: Capabilities,
    settings: Mapping[str, str],
    secrets: Mapping[str, str],
    explained: Sequence[Setting] = (),
) -> AdapterContext:
    """What a port is made with in tests of adapters alone."""
    defaults = {
        each.name: each.default
        for each in explained
        if each.default is not None and not each.secret
    }
    return AdapterContext(
        "gl-us", {**defaults, **settings}, OpenVault(dict(secrets)), at_once, capabilities
    )


@dataclass
class Stage:
    """An adapter and the server that plays its vendor.

    `codes`: account, item and tax that exist there; the customer is made by the tests.

    `impatient`: a second port on the same server whose `request_seconds` are `patience`, for
    answers that do not come.

    `lacks`: faults that this kind of server cannot have, as a file server has no HTTP 429; its own
    tests show what it has in their place. `balances`: it tells what is open on a document.
    """

    port: LedgerAdapter
    impatient: LedgerAdapter
    server: FakeServer
    secrets: tuple[str, ...]
    codes: Mapping[str, str]
    currency: str = "USD"
    patience: float = 0.5
    lacks: frozenset[str] = frozenset()
    balances: bool = True

    @property
    def accepted(self) -> list[tuple[str, str, Decimal]]:
        """Number, kind and total of every document that the server ever accepted."""
        return [(one.number, one.kind, one.total) for one in self.server.vendor.journal]


def document(
    stage: Stage, number: str = "INV-000001", kind: str = "invoice", **changes: Any
) -> ArDocument:
    """40 h at 50.00 and a fee of 100.01, taxed with 10 % if the system has a tax code: a total
    to the cent.
    """
    tax = stage.codes.get("tax", "")
    worth = [
        (Decimal(40), Decimal("50.0000"), Decimal("2000.00")),
        (Decimal("1"), Decimal("100.0100"), Decimal("100.01")),
    ]
    taxes = [(amount / 10).quantize(CENT) if tax else Decimal(0) for *_, amount in worth]
    lines = tuple(
        Line(
            at,
            f"Nurse · W-{at} · week ending 2026-03-08",
            quantity,
            price,
            amount,
            stage.codes["account"],
            stage.codes.get("item", ""),
            tax,
            "VAT",
            due,
            Decimal(10) if tax else Decimal(0),
        )
        for at, ((quantity, price, amount), due) in enumerate(zip(worth, taxes, strict=True), 1)
    )
    net, due = Decimal("2100.01"), sum(taxes, Decimal(0))
    values: dict[str, Any] = {
        "number": number,
        "kind": kind,
        "billing_company": "acme-us",
        "customer": Customer(
            "Mercy Hospital", "Mercy Hospital Inc.", "2 Care Rd\nSpringfield", "M-1"
        ),
        "invoice_date": date(2026, 3, 31),
        "due_date": date(2026, 4, 30),
        "currency": stage.currency,
        "po_number": "PO-9",
        "terms": "",
        "tax": due,
        "total": net + due,
        "lines": lines,
        "corrects": (),
    }
    return as_closed(ArDocument(**(values | changes)))


def as_closed(made: ArDocument) -> ArDocument:
    """The document with its closed form, in which what lowers the debt is negative."""
    sign = -1 if made.kind == "credit-note" else 1
    day = made.invoice_date
    lines = tuple(
        replace(
            line,
            closed=ClosedLine(
                invoice_id=7,
                line_no=line.line_no,
                description=line.description,
                document_kind="timesheet",
                document_id=f"ts-{line.line_no}",
                pay_line_id=line.line_no,
                worker_id="W-1",
                requirement_id="REQ-1",
                week_ending=date(2026, 3, 8),
                service_from=date(2026, 3, 2),
                service_to=date(2026, 3, 8),
                time_type="REG",
                quantity=sign * line.quantity,
                unit="HUR",
                unit_price=line.unit_price,
                amount=sign * line.amount,
                tax_code=line.tax_code,
                tax_rate=Decimal(10 if line.tax_amount else 0),
                tax_amount=sign * line.tax_amount,
                po_number=made.po_number,
                project="",
                cost_center="",
                corrects_invoice=made.corrects[0].number if made.corrects else "",
                corrects_line=line.line_no if made.corrects else None,
            ),
        )
        for line in made.lines
    )
    net = made.total - made.tax
    who = made.customer
    closed = ClosedDocument(
        invoice_id=7,
        invoice_number=made.number,
        document_type=made.kind,
        batch_id="B-1",
        billing_company=made.billing_company,
        account_name=who.account_name,
        seller=Party("Acme Staffing Inc.", "1 Main St\nSpringfield\nUnited States", "12-3456789"),
        buyer=Party(who.name, f"{who.address}\nUnited States", who.tax_id),
        invoice_date=day,
        due_date=made.due_date,
        cut_off_date=day,
        currency=made.currency,
        payment_terms="net:30",
        po_number=made.po_number,
        tax_wording="",
        net=sign * net,
        tax=sign * made.tax,
        total=sign * made.total,
        line_count=len(made.lines),
        service_from=date(2026, 3, 2),
        service_to=date(2026, 3, 8),
        tax_totals=(TaxTotal("VAT", Decimal(10 if made.tax else 0), sign * net, sign * made.tax),),
        corrects=tuple(CorrectedInvoice(each.number, day) for each in made.corrects),
        content_hash="c0ffee",
    )
    return replace(made, lines=lines, closed=closed)


def key(number: str) -> str:
    """A request key as the engine makes it: 36 characters."""
    return f"00000000-0000-5000-8000-{abs(hash(number)) % 10**12:012d}"


async def customer_of(port: LedgerAdapter, customer: Customer) -> str:
    """The customer's id, made if it is not there."""
    return await port.customer_for(customer) or await port.add_customer(customer)


async def create(port: LedgerAdapter, made: ArDocument) -> RemoteDocument:
    """Asks for a document once; raises what went wrong."""
    request = port.render(made, await customer_of(port, made.customer))
    (outcome,) = await port.create(
        [FrozenRequest(key(made.number), request, made.kind, made.number)]
    )
    if isinstance(outcome, Failure):
        raise outcome
    return outcome


async def deliver(port: LedgerAdapter, made: ArDocument) -> RemoteDocument:
    """Creates and posts."""
    found = await create(port, made)
    return await port.post(found.remote_id, made.kind) if port.capabilities.steps == 2 else found


class LedgerSuite:
    """The behaviour of an adapter."""

    async def test_the_check_names_the_connected_company(self, stage: Stage) -> None:
        """A person must see which company the documents will go to."""
        assert len(await stage.port.check()) > 10

    async def test_a_customer_is_found_or_made_once(self, stage: Stage) -> None:
        """Customers are found by Account Name; looking never makes one."""
        mercy = Customer("Mercy & Sons 'Hospital'", "Mercy", "2 Care Rd", "")
        if not stage.port.capabilities.keeps_customers:
            assert await stage.port.customer_for(mercy) == mercy.account_name
            assert await stage.port.customer_for(replace(mercy, mapped="C-7")) == "C-7"
            return  # this system has no records of customers: the other side finds them
        assert await stage.port.customer_for(mercy) is None
        assert await stage.port.customer_for(mercy) is None
        made = await stage.port.add_customer(mercy)
        assert await stage.port.customer_for(mercy) == made

    async def test_a_mapped_customer_that_does_not_exist_is_refused(self, stage: Stage) -> None:
        """An operator's mapping that leads nowhere is parked with a message, and no customer is
        made in its place.
        """
        if not stage.port.capabilities.keeps_customers:
            return  # a code is passed on as it is mapped
        with pytest.raises(Failure) as failed:
            await stage.port.customer_for(Customer("Mercy", mapped="no-such-customer-1"))
        assert failed.value.failure == "permanent" and "no-such-customer-1" in failed.value.message

    async def test_rendering_is_pure(self, stage: Stage) -> None:
        """The same document gives the same request, byte for byte: what is sent again is what
        was sent.
        """
        assert stage.port.render(document(stage), "7") == stage.port.render(document(stage), "7")

    @pytest.mark.parametrize("kind", ["invoice", "credit-note"])
    async def test_a_document_is_there_once_with_our_total(self, stage: Stage, kind: Any) -> None:
        """Number, kind, currency, customer and total are ours, to the cent; of a credit note the
        total is positive.
        """
        made = document(stage, "D-000042", kind)
        there = await deliver(stage.port, made)
        assert there.state in ("posted", "paid")
        found = await stage.port.find(kind, ["D-000042", "D-000043"])
        assert found["D-000043"] == []
        (one,) = found["D-000042"]
        assert (one.number, one.kind, one.total, one.currency, one.remote_id) == (
            "D-000042",
            kind,
            made.total,
            made.currency,
            there.remote_id,
        )
        assert one.customer == await stage.port.customer_for(made.customer)
        assert stage.accepted == [("D-000042", kind, made.total)]

    async def test_a_credit_note_is_not_found_as_an_invoice(self, stage: Stage) -> None:
        """Numbers of both kinds are looked up apart."""
        await deliver(stage.port, document(stage, "D-000044", "credit-note"))
        assert (await stage.port.find("invoice", ["D-000044"]))["D-000044"] == []

    async def test_a_credit_note_is_applied_once(self, stage: Stage) -> None:
        """What a credit note gives back lowers what the invoice still asks; applying it again
        changes nothing.
        """
        if not stage.port.capabilities.allocates:
            return  # this system has no way to apply a credit note to an invoice
        invoice = await deliver(stage.port, document(stage, "D-000050"))
        whole = document(stage, "D-000051", "credit-note")
        credit = document(
            stage,
            "D-000051",
            "credit-note",
            corrects=(CreditedInvoice("D-000050", whole.total, invoice.remote_id),),
        )
        posted = await deliver(stage.port, credit)
        for _ in range(2):
            await stage.port.allocate(posted, credit)
        now = (await stage.port.status("invoice", [invoice.remote_id]))[invoice.remote_id]
        assert now is not None and now.balance == (0 if stage.balances else None)

    async def test_an_amount_that_is_no_product_is_kept(self, stage: Stage) -> None:
        """What was invoiced is the amount, even where quantity × price rounds to another cent."""
        made = document(stage, "D-000060")
        first = Line(
            1,
            "edited",
            Decimal("3"),
            Decimal("33.3333"),
            Decimal("99.99"),
            made.lines[0].account,
            made.lines[0].item,
            "",
            "",
            Decimal(0),
        )
        odd = document(
            stage,
            "D-000060",
            lines=(first,),
            tax=Decimal(0),
            total=Decimal("99.99"),
        )
        assert not first.multiplies("USD")
        assert (await deliver(stage.port, odd)).total == Decimal("99.99")

    async def test_what_is_not_there_is_none_and_what_cannot_be_read_raises(
        self, stage: Stage
    ) -> None:
        """A server that is away never means that a document was deleted."""
        one = await deliver(stage.port, document(stage, "D-000070"))
        assert (await stage.port.status("invoice", [one.remote_id]))[one.remote_id] is not None
        await stage.server.stop()
        with pytest.raises(Failure) as failed:
            await stage.port.status("invoice", [one.remote_id])
        assert failed.value.failure == "transient"
        with pytest.raises(Failure):
            await stage.port.find("invoice", ["D-000070"])

    async def test_a_server_that_is_away_is_transient(self, stage: Stage) -> None:
        """Nothing left this machine: it did not happen, and may be tried again."""
        request = stage.port.render(
            document(stage), await customer_of(stage.port, document(stage).customer)
        )
        await stage.server.stop()
        failed = await outcome_of(stage.port, request)
        assert (failed.failure, failed.everywhere) == ("transient", True)

    @pytest.mark.parametrize("fault", IN_DOUBT)
    async def test_in_doubt_is_unknown_and_found_by_number(
        self, stage: Stage, fault: FaultName
    ) -> None:
        """Accepted, and the answer is lost: unknown, never a refusal; a look-up finds the one
        document.
        """
        if fault in stage.lacks:
            return
        request = stage.port.render(
            document(stage), await customer_of(stage.port, document(stage).customer)
        )
        stage.server.plan(Fault(fault))
        failed = await outcome_of(stage.impatient, request)
        assert failed.failure == "unknown", failed.message
        assert len((await stage.port.find("invoice", ["INV-000001"]))["INV-000001"]) == 1
        assert len(stage.accepted) == 1

    @pytest.mark.parametrize("fault", DID_NOT_HAPPEN)
    async def test_a_failed_write_is_told_from_an_unknown_outcome(
        self, stage: Stage, fault: FaultName
    ) -> None:
        """Each answer has its class; no document is there, and no other host was asked."""
        if fault in stage.lacks:
            return
        expected = {
            "429": {"transient"},
            "expired": {"auth"},
            "page-503": {"transient", "unknown"},
        }.get(fault, {"permanent"})
        request = stage.port.render(
            document(stage), await customer_of(stage.port, document(stage).customer)
        )
        stage.server.plan(Fault(fault, 17))
        failed = await outcome_of(stage.port, request)
        assert failed.failure in expected, failed.message
        if fault == "429":
            assert failed.retry_after == 17
        assert stage.accepted == []
        assert not any(secret in f"{failed} {failed.message}" for secret in stage.secrets)

    async def test_a_document_that_came_late_is_found(self, stage: Stage) -> None:
        """The server carries it out after we gave up: that is what waiting before the look-up is
        for.
        """
        if "late" in stage.lacks:
            return
        request = stage.port.render(
            document(stage), await customer_of(stage.port, document(stage).customer)
        )
        stage.server.plan(Fault("late", stage.patience * 2))
        assert (await outcome_of(stage.impatient, request)).failure == "unknown"
        assert (await stage.port.find("invoice", ["INV-000001"]))["INV-000001"] == []
        await asyncio.sleep(stage.patience * 2)
        assert len((await stage.port.find("invoice", ["INV-000001"]))["INV-000001"]) == 1

    async def test_another_amount_is_reported(self, stage: Stage) -> None:
        """The adapter returns what the ledger has, not what was asked: the engine sees the
        difference and parks it.
        """
        if "wrong-amount" in stage.lacks:
            return
        stage.server.plan(Fault("wrong-amount"))
        made = document(stage)
        assert (await create(stage.port, made)).total != made.total

    async def test_the_same_key_makes_one_document(self, stage: Stage) -> None:
        """Where the system knows request keys, a repeat is answered like the first time."""
        if not stage.port.capabilities.request_key:
            return  # nothing is promised
        first, again = (
            await create(stage.port, document(stage)),
            await create(stage.port, document(stage)),
        )
        assert first.remote_id == again.remote_id and len(stage.accepted) == 1

    async def test_a_number_that_is_taken_is_a_duplicate(self, stage: Stage) -> None:
        """Where numbers are unique, a second document under another key is refused as a
        duplicate, to be looked up.
        """
        if not stage.port.capabilities.unique_number:
            return  # nothing is promised
        await create(stage.port, document(stage))
        request = stage.port.render(
            document(stage), await customer_of(stage.port, document(stage).customer)
        )
        assert (await outcome_of(stage.port, request, a_key=key("another"))).failure == "duplicate"
        assert len(stage.accepted) == 1

    async def test_two_documents_of_one_number_are_both_reported(self, stage: Stage) -> None:
        """Where numbers are not unique, a look-up tells of both: the engine parks it."""
        if stage.port.capabilities.unique_number or stage.port.capabilities.request_key:
            return  # there cannot be two
        await create(stage.port, document(stage))
        await create(stage.port, document(stage))
        assert len((await stage.port.find("invoice", ["INV-000001"]))["INV-000001"]) == 2


async def outcome_of(
    port: LedgerAdapter, request: str, number: str = "INV-000001", a_key: str = ""
) -> Failure:
    """The failure of one create, raised or given."""
    try:
        (outcome,) = await port.create(
            [FrozenRequest(a_key or key(number), request, "invoice", number)]
        )
    except Failure as failed:
        return failed
    assert isinstance(outcome, Failure), f"it was to fail, and gave {outcome}"
    return outcome
