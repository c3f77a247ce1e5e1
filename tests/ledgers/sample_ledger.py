"""The smallest accounting system there can be, with the adapter for it: what the engine is
tested with, and a model for a new adapter.

`SampleVendor(request_key, unique_number, steps)` has what the engine's promises depend on as
switches.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    AdapterSpec,
    Capabilities,
    FrozenRequest,
    Setting,
)
from services.arg_sync.ledgers.codes import CodeKind, LedgerCode
from services.arg_sync.ledgers.documents import (
    ArDocument,
    Customer,
    Payment,
    PaymentPage,
    RemoteDocument,
)
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import HttpClient, Response, exact_json, failure_of
from shared.terms import DocumentType
from tests.ledgers.fake import Asked, Reply, Written

TOKEN = "sample-secret-7f3a"


@dataclass
class SampleVendor:
    """Documents, customers and payments in memory."""

    request_key: bool = False
    unique_number: bool = False
    steps: int = 1
    journal: list[Written] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    payments: list[dict[str, Any]] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    closed_before: str = ""
    token: str = TOKEN
    codes: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    _by_key: dict[str, str] = field(default_factory=dict)
    _acquire_lock: set[tuple[str, str]] = field(default_factory=set)

    def makes_document(self, asked: Asked) -> bool:
        """POST /documents."""
        return asked.method == "POST" and asked.path == "/documents"

    def handle(self, asked: Asked) -> Reply:
        """Carries it out."""
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            return Reply.of(401, {"error": f"bad token {asked.headers.get('authorization', '')}"})
        parts = [part for part in asked.path.split("/") if part]
        if parts == ["company"]:
            return Reply.of(200, {"name": "Sample Ledger"})
        if parts[0] == "codes":
            return Reply.of(200, {"codes": self.codes.get(parts[1])})
        if parts[0] == "customers":
            return self._customer(asked)
        if parts == ["payments"]:
            since = int(asked.query.get("since") or 0)
            return Reply.of(
                200, {"payments": self.payments[since:], "next": str(len(self.payments))}
            )
        if parts == ["documents"]:
            return self._add(asked) if asked.method == "POST" else self._search(asked)
        return self._one(asked, parts[1], parts[2] if len(parts) > 2 else "")

    def _customer(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            name = asked.json()["name"]
            self.customers[name] = f"C{len(self.customers) + 1}"
            return Reply.of(201, {"id": self.customers[name]})
        name = asked.query["name"]
        if name in self.blocked:
            return Reply.of(200, {"error": f"customer {name} is blocked"})
        if "id" in asked.query:
            return Reply.of(
                200,
                {"ids": [each for each in self.customers.values() if each == asked.query["id"]]},
            )
        return Reply.of(200, {"ids": [self.customers[name]] if name in self.customers else []})

    def _add(self, asked: Asked, more: Decimal = Decimal(0)) -> Reply:
        body, key = asked.json(), asked.headers.get("x-key", "")
        if self.request_key and key in self._by_key:
            return self._shown(201, self._by_key[key])
        if self.unique_number and (body["kind"], body["number"]) in self._acquire_lock:
            return Reply.of(409, {"error": f"number {body['number']} is taken"})
        if body["date"] < self.closed_before:
            return Reply.of(422, {"error": f"the period of {body['date']} is closed"})
        an_id = f"R{len(self.journal) + 1}"
        total = Decimal(body["total"]) + more
        self.documents[an_id] = body | {
            "id": an_id,
            "total": total,
            "balance": total,
            "state": "posted" if self.steps == 1 else "draft",
            "applied": {},
        }
        self.journal.append(
            Written(
                body["number"],
                body["kind"],
                total,
                body["currency"],
                body["customer"],
                an_id,
                self.documents[an_id]["state"],
                key,
            )
        )
        self._by_key[key] = an_id
        self._acquire_lock.add((body["kind"], body["number"]))
        return self._shown(201, an_id)

    def _search(self, asked: Asked) -> Reply:
        numbers = asked.query["numbers"].split(",")
        found = [
            one
            for one in self.documents.values()
            if one["number"] in numbers
            and one["kind"] == asked.query["kind"]
            and one["state"] != "voided"
        ]
        return Reply.of(200, {"documents": found})

    def _one(self, asked: Asked, an_id: str, verb: str) -> Reply:
        if an_id not in self.documents:
            return Reply.of(404, {"error": f"no document {an_id}"})
        one = self.documents[an_id]
        if verb == "post":
            if one["date"] < self.closed_before:
                return Reply.of(422, {"error": f"the period of {one['date']} is closed"})
            one["state"] = "posted"
            next(each for each in self.journal if each.remote_id == an_id).state = "posted"
        if verb == "apply":
            for to, amount in asked.json().items():
                if to not in one["applied"]:
                    one["applied"][to] = amount
                    self.documents[to]["balance"] -= Decimal(amount)
        if asked.method == "DELETE":
            del self.documents[an_id]
            self._acquire_lock.discard((one["kind"], one["number"]))
            self.journal[:] = [each for each in self.journal if each.remote_id != an_id]
            return Reply.of(200, {})
        return self._shown(200, an_id)

    def _shown(self, status: int, an_id: str) -> Reply:
        return Reply.of(status, self.documents[an_id])

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """An error, the status of which may be 200."""
        return Reply.of(200 if in_200 else 422, {"error": "the account is inactive"})

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A cent too much."""
        return self._add(asked, Decimal("0.01"))


class SampleLedger:
    """The adapter."""

    def __init__(self, host: AdapterContext) -> None:
        self.capabilities = host.capabilities
        self._secret_store = host.secret_store
        self._client = HttpClient(
            host.settings["base_url"],
            host.rate_limiter,
            request_seconds=host.capabilities.request_seconds,
            concurrency=host.capabilities.concurrency,
        )

    async def check(self) -> str:
        """Whom we talk to."""
        return f"connected to {(await self._call('GET', '/company'))['name']}"

    async def codes(self, kind: CodeKind, wanted: Collection[str]) -> Sequence[LedgerCode] | None:
        """All of a kind, if it has any."""
        found = (await self._call("GET", f"/codes/{kind}"))["codes"]
        return None if found is None else [LedgerCode(**each) for each in found]

    async def renew(self) -> None:
        """A fixed token: read again."""
        await self.check()

    async def customer_for(self, customer: Customer) -> str | None:
        """By id or by name."""
        asked = {"name": customer.account_name} | (
            {"id": customer.mapped} if customer.mapped else {}
        )
        ids = (await self._call("GET", "/customers", params=asked))["ids"]
        if not ids and customer.mapped:
            raise Failure(
                "permanent", "no_such_customer", f"there is no customer {customer.mapped}"
            )
        return ids[0] if ids else None

    async def add_customer(self, customer: Customer) -> str:
        """Makes one."""
        return str(
            (await self._call("POST", "/customers", {"name": customer.account_name}, writes=True))[
                "id"
            ]
        )

    def render(self, document: ArDocument, customer: str) -> str:
        """The body of POST /documents."""
        return exact_json(
            {
                "number": document.number,
                "kind": document.kind,
                "customer": customer,
                "date": str(document.invoice_date),
                "currency": document.currency,
                "total": str(document.total),
                "lines": [
                    {"text": line.description, "amount": line.amount, "account": line.account}
                    for line in document.lines
                ],
            }
        )

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """One at a time."""
        (one,) = requests
        return [
            _found(await self._call("POST", "/documents", one.request, writes=True, key=one.key))
        ]

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """POST .../post; a repeat is harmless there."""
        return _found(await self._call("POST", f"/documents/{remote_id}/post", writes=True))

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """POST .../apply; the vendor applies once."""
        parts = {each.remote_id: str(each.amount) for each in document.corrects if each.remote_id}
        await self._call("POST", f"/documents/{credit.remote_id}/apply", parts, writes=True)

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """DELETE; gone is fine."""
        try:
            await self._call("DELETE", f"/documents/{remote_id}", writes=True)
        except Failure as failed:
            if failed.code != "http_404":
                raise

    async def find(
        self, kind: DocumentType, numbers: Sequence[str]
    ) -> dict[str, list[RemoteDocument]]:
        """By number."""
        there = [
            _found(one)
            for one in (
                await self._call(
                    "GET", "/documents", params={"kind": kind, "numbers": ",".join(numbers)}
                )
            )["documents"]
        ]
        return {number: [one for one in there if one.number == number] for number in numbers}

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """One by one."""
        found: dict[str, RemoteDocument | None] = {}
        for remote_id in remote_ids:
            try:
                found[remote_id] = _found(await self._call("GET", f"/documents/{remote_id}"))
            except Failure as failed:
                if failed.code != "http_404":
                    raise
                found[remote_id] = None
        return found

    async def payments(self, cursor: str) -> PaymentPage:
        """Since a number."""
        answer = await self._call("GET", "/payments", params={"since": cursor})
        made = [
            Payment(
                p["id"],
                p["document"],
                p["number"],
                Decimal(p["amount"]),
                p["currency"],
                date.fromisoformat(p["on"]),
                bool(p.get("cancelled")),
            )
            for p in answer["payments"]
        ]
        return PaymentPage(answer["next"], tuple(made))

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.close()

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        writes: bool = False,
        params: Mapping[str, str] | None = None,
        key: str = "",
    ) -> dict[str, Any]:
        token = (await self._secret_store.read()).values["token"]
        self._client.hide = {token}
        content = body if isinstance(body, str) or body is None else json.dumps(body)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"} | (
            {"x-key": key} if key else {}
        )
        answer = await self._client.call(
            method, path, writes=writes, content=content, params=params, headers=headers
        )
        return self._read(answer, writes)

    def _read(self, answer: Response, writes: bool) -> dict[str, Any]:
        if answer.status == 409:
            raise Failure("duplicate", "number_taken", str(answer.json(writes=writes)["error"]))
        said = (
            self._client.clean(str(answer.json(writes=writes).get("error", "")))
            if answer.body.startswith(b"{") and answer.status < 500
            else ""
        )
        failed = failure_of(answer, writes=writes, words=said)
        if failed is not None:
            raise failed
        if said:
            raise Failure("permanent", "error", said)
        read: dict[str, Any] = answer.json(writes=writes)
        return read


def _found(one: Mapping[str, Any]) -> RemoteDocument:
    return RemoteDocument(
        remote_id=one["id"],
        number=one["number"],
        kind=one["kind"],
        state=one["state"],
        currency=one["currency"],
        total=Decimal(one["total"]),
        customer=one["customer"],
        remote_number=f"T-{one['id']}",
        balance=Decimal(one["balance"]),
        invoice_date=date.fromisoformat(one["date"]),
    )


CAPABILITIES = Capabilities(
    request_key=False,
    unique_number=False,
    steps=1,
    discards=True,
    request_seconds=5.0,
    server_seconds=2.0,
)
SAMPLE = AdapterSpec(
    name="sample",
    title="Sample Ledger",
    settings=(
        Setting("base_url", "where it is", required=True, binds=True),
        Setting("token", "its token", secret=True, required=True),
    ),
    capabilities=CAPABILITIES,
    make=SampleLedger,
)


def sample_kind(vendor: SampleVendor, **changes: Any) -> AdapterSpec:
    """The kind of a vendor with these switches."""
    steps = 2 if vendor.steps == 2 else 1
    return replace(
        SAMPLE,
        capabilities=replace(
            CAPABILITIES,
            request_key=vendor.request_key,
            unique_number=vendor.unique_number,
            steps=steps,
            **changes,
        ),
    )
