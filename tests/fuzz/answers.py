"""Answers of accounting systems: adapters return a value or a `Failure`, whatever is answered.

A played vendor answers in memory; some of its answers, which the fuzzed bytes choose, are changed:
their JSON or XML, their status, or all of it. If the vendor made a document and said so by the
status of its answer, a failure to read that answer must not be one after which the document is sent
again.
"""

import gzip
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import httpx2
from httpx2._transports import default
from joserfc.jwk import ECKey

from services.arg_sync.ledgers import business_central as bc
from services.arg_sync.ledgers import netsuite as ns
from services.arg_sync.ledgers import quickbooks as qb
from services.arg_sync.ledgers import sage_intacct, tryton, webhook, xero
from services.arg_sync.ledgers.adapter import AdapterSpec, FrozenRequest
from services.arg_sync.ledgers.documents import (
    CreditedInvoice,
    Customer,
    PaymentPage,
    RemoteDocument,
)
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import HttpClient
from tests.fuzz.hostile import Picks, changed, changed_xml, loop
from tests.ledgers.fake import Asked, Reply
from tests.ledgers.suite import Stage, document, host
from tests.ledgers.vendors import business_central, netsuite, quickbooks
from tests.ledgers.vendors import sage_intacct as played_intacct
from tests.ledgers.vendors import webhook as played_webhook
from tests.ledgers.vendors import xero as played_xero
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET, REFRESH

STATUSES = (200, 200, 200, 200, 201, 204, 301, 400, 401, 404, 409, 429, 500, 503, 200, 200)
PAIR = ECKey.generate_key("P-256")
ANSWERS_CHANGED = 24
MOST_ANSWERS = 400
ENDLESS = "the adapter asks without end"
HIDDEN = ("canary", played_webhook.SECRET, *played_intacct.SECRETS.values())
SENT_AGAIN = ("transient", "auth")
"""Failures after which arg_sync makes the same call again."""

TRYTON_VALUES: Mapping[str, Any] = {
    "id": 7,
    "name": "x",
    "code": "USD",
    "active": True,
    "state": "posted",
    "reference": "INV-000001",
    "number": "2026/1",
    "party": 3,
    "currency.": {"id": 1, "code": "USD"},
    "party.": {"id": 1, "name": "x"},
    "total_amount": {"__class__": "Decimal", "decimal": "2100.01"},
    "amount_to_pay": {"__class__": "Decimal", "decimal": "2100.01"},
    "invoice_date": {"__class__": "date", "year": 2026, "month": 3, "day": 31},
    "date": {"__class__": "date", "year": 2026, "month": 3, "day": 31},
    "debit": {"__class__": "Decimal", "decimal": "0"},
    "credit": {"__class__": "Decimal", "decimal": "5"},
    "invoice_payment": 7,
    "invoice_payment.": {"id": 7, "reference": "INV-000001", "currency.": {"code": "USD"}},
    "move": 4,
    "account": 5,
    "payment_lines": [],
    "addresses": [1],
    "account_receivable": 2,
    "invoice_account": 8,
    "credit_note_account": 8,
    "description": "x",
    "default_account_receivable": 2,
    "write_date": {
        "__class__": "datetime",
        "year": 2026,
        "month": 3,
        "day": 31,
        "hour": 1,
        "minute": 2,
        "second": 3,
        "microsecond": 4,
    },
    "company": 1,
    "move_origin": None,
    "amount_second_currency": None,
}


class TrytonPlayed:
    """Answers as Tryton does, with one row that has every field that is asked for."""

    def makes_document(self, asked: Asked) -> bool:
        """Whether the call creates an invoice."""
        return asked.json()["method"] == "model.account.invoice.create"

    def handle(self, asked: Asked) -> Reply:
        """Answer a call by its name."""
        method = str(asked.json()["method"]).rpartition(".")[2]
        result: Any = [TRYTON_VALUES]
        if method == "login":
            result = [1, "token-canary", None]
        elif method in ("create", "search"):
            result = [7]
        elif method in ("search_count",):
            result = 3
        elif method in ("post", "write", "delete", "skip"):
            result = None
        elif method in ("get_preferences",):
            result = {"company": 1, "companies": [1], "language": "en"}
        return Reply.of(200, {"id": 1, "result": result})


Kind = tuple[AdapterSpec, Callable[[], Any], Mapping[str, str], Mapping[str, str]]
"""A system: how it is described, what plays it, its settings, its codes."""
KINDS: tuple[Kind, ...] = (
    (
        xero.LEDGER,
        played_xero.XeroVendor,
        {"tenant_id": played_xero.TENANT},
        {"account": "200", "tax": "OUTPUT"},
    ),
    (
        qb.LEDGER,
        quickbooks.QuickBooksVendor,
        {"realm_id": quickbooks.REALM},
        {"account": "4000", "item": "11", "tax": "3"},
    ),
    (
        bc.LEDGER,
        business_central.BusinessCentralVendor,
        {"tenant": business_central.TENANT, "company_id": business_central.COMPANY},
        {"account": "6110", "tax": "T10"},
    ),
    (
        ns.LEDGER,
        netsuite.NetSuiteVendor,
        {"account_id": "123456", "certificate_id": "cert-1", "currencies": "USD=1,EUR=4"},
        {"account": "4000", "item": "42", "tax": "5"},
    ),
    (
        tryton.LEDGER,
        TrytonPlayed,
        {
            "base_url": "https://tryton.example.com",
            "database": "db",
            "user": "u",
        },
        {"account": "1", "tax": "t"},
    ),
    (
        sage_intacct.LEDGER,
        played_intacct.IntacctVendor,
        {
            "sender_id": played_intacct.SENDER,
            "company_id": played_intacct.COMPANY,
            "user_id": played_intacct.USER,
            "base_currency": "USD",
            "payment_account": "BOA",
        },
        {"account": "4000", "tax": "2200"},
    ),
    (
        webhook.LEDGER,
        played_webhook.WebhookVendor,
        {"base_url": "https://bridge.example.com/hook", "look_up": "yes"},
        {"account": "4000", "tax": "T10"},
    ),
)


# Made once: to read all certificates for each adapter would take most of the time.
ssl_context = cache(httpx2.create_ssl_context)


class Wire:
    """The network: hands requests to the vendor and changes one of its answers."""

    def __init__(self, vendor: Any, base: str, picks: Picks) -> None:
        self._vendor, self._base, self._picks = vendor, base, picks
        self._change = picks.number(ANSWERS_CHANGED)
        self.asked = 0
        self.made = False

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        assert self.asked < MOST_ANSWERS, ENDLESS
        path = request.url.path
        if path.startswith(self._base) and not path.endswith("/token"):
            path = path[len(self._base) :]
        query = dict(parse_qsl(request.url.query.decode()))
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(
            request.method, "/token" if "token" in path else path, query, headers, request.content
        )
        makes = self._vendor.makes_document(asked)
        try:
            reply = self._vendor.handle(asked)
        except Exception:  # it was asked about an id that a changed answer made up
            reply = Reply.of(404, {"error": "no such record"})
        status, body = reply.status, reply.body
        if self.asked >= self._change:
            status, body = self._changed(status, body)
        self.asked += 1
        self.made |= makes and reply.status < 300 and status < 300
        return httpx2.Response(status, headers=dict(reply.headers), stream=httpx2.ByteStream(body))

    def _changed(self, status: int, body: bytes) -> tuple[int, bytes]:
        picks = self._picks
        self._change = self.asked + 1 + picks.number(ANSWERS_CHANGED)
        how = picks.number(10)
        if how == 1:
            status = STATUSES[picks.number(len(STATUSES))]
        if how == 2:
            return status, picks.rest
        if how == 3:
            return status, gzip.compress(b"[" * (picks.number(64) << 12))
        if not body:
            return status, body
        if body.startswith(b"<"):
            return status, changed_xml(body, picks, 2)
        try:
            value = json.loads(body, parse_float=str)
        except ValueError:
            return status, changed({}, picks, 2)
        return status, changed(value, picks, 2)


def opened(kind: Kind, vendor: Any, picks: Picks) -> tuple[Any, Stage, Wire]:
    """An adapter whose requests are answered by the vendor, changed as the bytes choose."""
    spec, _, given, codes = kind
    if spec.name == "netsuite":
        vendor.login.certificate = PAIR
    values = {
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH,
        "password": "canary-password",
        "private_key": PAIR.as_pem(private=True).decode(),
        "secret": played_webhook.SECRET,
        **played_intacct.SECRETS,
    }
    given = {"client_id": CLIENT_ID, **given}
    with (
        patch.object(httpx2, "create_ssl_context", ssl_context),
        patch.object(default, "create_ssl_context", ssl_context),
    ):
        adapter: Any = spec.make(host(spec.capabilities, given, values, spec.settings))
    clients = [adapter._http_client]
    if hasattr(adapter, "_tokens"):
        clients.append(adapter._tokens._http_client)
    wire = Wire(vendor, played_base(spec, clients[0]), picks)
    for client in clients:
        client._client = httpx2.AsyncClient(transport=httpx2.MockTransport(wire))
    return adapter, Stage(adapter, adapter, None, (), codes), wire  # type: ignore[arg-type]


async def scenario(kind: Kind, vendor: Any, picks: Picks, first: int) -> Failure | None:
    """Deliver an invoice and a credit note, look them up, read payments: until the first failure.

    Raises what an adapter raises but for failures.
    """
    adapter, stage, wire = opened(kind, vendor, picks)
    try:
        await calls(adapter, stage, wire, first)
    except Failure as failed:
        return failed
    finally:
        await adapter.close()
    return None


def played_base(spec: AdapterSpec, client: HttpClient) -> str:
    """The part of the path that the played vendor does not know."""
    path = str(client.base.path).rstrip("/")
    kept = {"xero": path.removesuffix(played_xero.BASE), "sage-intacct": "", "webhook": ""}
    return kept.get(spec.name, path)


async def create(adapter: Any, wire: Wire, request: FrozenRequest) -> RemoteDocument:
    """Create one document. A failure may not lead to a second one of the same number."""
    wire.made = False
    try:
        (found,) = await adapter.create([request])
    except Failure as failed:
        found = failed
    if isinstance(found, Failure):
        assert not (wire.made and found.failure in SENT_AGAIN), found
        raise found
    made: RemoteDocument = found
    return made


async def calls(adapter: Any, stage: Stage, wire: Wire, first: int) -> None:
    """Every call of the protocol, as the engine makes them."""
    if first == 0:
        await adapter.check()
    customer = Customer("Mercy Hospital", "Mercy", "2 Care Rd", "", currency="USD")
    if first == 1:
        await adapter.customer_for(Customer("Mercy Hospital", mapped="12", currency="USD"))
    an_id = await adapter.customer_for(customer) or await adapter.add_customer(customer)
    if first == 2:
        await adapter.renew()
    invoice = document(stage, "INV-000001", customer=customer)
    request = adapter.render(invoice, an_id)
    frozen = FrozenRequest("k" * 36, request, "invoice", invoice.number)
    posted = await create(adapter, wire, frozen)
    if adapter.capabilities.steps == 2:
        posted = await adapter.post(posted.remote_id, "invoice")
    assert isinstance(posted.total, Decimal) and posted.total.is_finite(), posted
    await adapter.find("invoice", ["INV-000001", "INV-9"])
    await adapter.status("invoice", [posted.remote_id, "99"])
    page = await adapter.payments("")
    await adapter.payments(page.cursor)
    check_page(page)
    credited = CreditedInvoice("INV-000001", invoice.total, posted.remote_id)
    note = document(stage, "CN-1", "credit-note", customer=customer, corrects=(credited,))
    frozen = FrozenRequest("n" * 36, adapter.render(note, an_id), "credit-note", "CN-1")
    made = await create(adapter, wire, frozen)
    if adapter.capabilities.allocates:
        await adapter.allocate(made, note)
    if adapter.capabilities.discards:
        await adapter.discard(made.remote_id, "credit-note")


def check_page(page: PaymentPage) -> None:
    """Payments that can be stored."""
    for one in page.payments:
        assert one.amount.is_finite() and abs(one.amount) < Decimal(10) ** 16, one


def run(data: bytes) -> None:
    """One scenario. A failure shows no secret, and can be stored."""
    picks = Picks(data)
    kind = KINDS[picks.number(len(KINDS))]
    first = picks.number(8)
    failed = loop().run_until_complete(scenario(kind, kind[1](), picks, first))
    if failed is not None:
        failed.message.encode()
        assert not any(each in failed.message for each in HIDDEN), failed
