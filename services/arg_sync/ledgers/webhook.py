"""Webhook: each closed document as signed JSON to an address, for those who write their own bridge.

The contract (`docs/ledgers/webhook.md` has it in full):
- POST <base_url>: the document; `idempotency-key` and `webhook-id` are the same key for a document
  always, whatever happened before. The answer is 2xx with `remote_id`; a known key gets the first
  answer again.
- GET <base_url>/<key or remote id>, if the receiver offers look-ups: 200 with the document, or
  404 with a JSON object.
- Both are signed as https://www.standardwebhooks.com (specification, "Signature scheme") says:
  `webhook-signature: v1,<base64 of HMAC-SHA256 over id.timestamp.body>`.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    AdapterSpec,
    Capabilities,
    FrozenRequest,
    Setting,
)
from services.arg_sync.ledgers.documents import ArDocument, Customer, PaymentPage, RemoteDocument
from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.http_client import HttpClient, Response, failure_of
from services.arg_sync.ledgers.session import key_of
from services.arg_sync.ledgers.webhook_payload import WebhookAnswer, webhook_document
from shared import clock
from shared.terms import DocumentType

STANDARD_PREFIX = "whsec_"
CHECK = "connection-test"


class Webhook:
    """One receiver. It keeps no customers and needs no codes: what is mapped goes along."""

    def __init__(self, context: AdapterContext) -> None:
        self.capabilities = can = context.capabilities
        self._ledger = context.ledger
        self._secret_store = context.secret_store
        self._looks_up = yes_or_no(context.settings, "look_up")
        self._http_client = HttpClient(
            context.settings["base_url"],
            context.rate_limiter,
            request_seconds=can.request_seconds,
            concurrency=can.concurrency,
        )

    async def check(self) -> str:
        """Look up a document that cannot exist; without look-ups, show that something answers."""
        host = self._http_client.base.host
        if self._looks_up:
            await self._look_up(CHECK)
            return f"{host} answers, and takes our signature"
        response = await self._call("GET", "", CHECK)
        if response.status in (401, 403) or 300 <= response.status < 400 or response.status >= 500:
            failed = failure_of(response, writes=False)
            assert failed is not None
            raise failed
        return (
            f"{host} answers (HTTP {response.status}); it offers no look-up, so whether it takes"
            " our signature shows with the first document"
        )

    async def renew(self) -> None:
        """Refuse: a signing secret is not renewed, so a refused one is not tried again."""
        raise Failure(
            "auth", "signature_refused", "the receiver refuses our signature (HTTP 401 or 403)"
        )

    async def customer_for(self, customer: Customer) -> str | None:
        """Return the mapped code, else the Account Name: the receiver finds the customer."""
        return customer.mapped or customer.account_name

    async def add_customer(self, customer: Customer) -> str:
        """Return the same: nothing is created here."""
        return customer.mapped or customer.account_name

    def render(self, document: ArDocument, customer: str) -> str:
        """Return the body."""
        key = self._key(document.kind, document.number)
        return webhook_document(document, customer, key).model_dump_json()

    def _key(self, kind: DocumentType, number: str) -> str:
        """Return the idempotency key: the same for a document, whatever happened before."""
        return key_of(self._ledger, kind, number)

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Send one document."""
        (one,) = requests
        response = await self._call(
            "POST", "", self._key(one.kind, one.number), one.request, writes=True
        )
        if response.status == 409:
            raise Failure("duplicate", "key_taken", f"HTTP 409: {response.words}")
        self._require_success(response, writes=True)
        return [_remote(response, _sent(one.request), writes=True)]

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Refuse: there are no drafts."""
        raise Failure("permanent", "no_drafts", f"{remote_id} is no draft")

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Refuse: there are no drafts."""
        raise Failure("permanent", "no_drafts", f"{remote_id} is no draft")

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Do nothing: the credit note names its invoices, and the receiver applies it."""

    async def find(
        self, kind: DocumentType, numbers: Sequence[str]
    ) -> dict[str, list[RemoteDocument]]:
        """Look up by idempotency key. Without look-ups nothing is found, and the key protects."""
        if not self._looks_up:
            return {number: [] for number in numbers}
        found = {number: await self._look_up(self._key(kind, number)) for number in numbers}
        return {
            number: [one] if one is not None and one.state != "voided" else []
            for number, one in found.items()
        }

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Look up by remote id. Without look-ups no document can be read."""
        if not self._looks_up:
            raise Failure(
                "permanent",
                "no_look_up",
                "this receiver offers no look-up, so what it holds cannot be compared:"
                " offer GET by key and set look_up to yes",
            )
        return {an_id: await self._look_up(an_id) for an_id in remote_ids}

    async def payments(self, cursor: str) -> PaymentPage:
        """Return none: a webhook has no way back for payments."""
        return PaymentPage(cursor)

    async def close(self) -> None:
        """Close the connections."""
        await self._http_client.close()

    async def _look_up(self, key: str) -> RemoteDocument | None:
        """Return the document of a key or remote id; None only if the receiver itself says so."""
        response = await self._call("GET", f"/{quote(key, safe='')}", key)
        if response.status == 404:
            if isinstance(response.json(writes=False), dict):
                return None
            raise unreadable("HTTP 404 without a JSON object", writes=False)
        self._require_success(response, writes=False)
        return _remote(response, None, writes=False)

    async def _call(
        self, method: str, path: str, key: str, body: str = "", *, writes: bool = False
    ) -> Response:
        secrets = (await self._secret_store.read()).values
        signing = secrets["secret"].split()
        self._http_client.hide = set(signing)
        stamp = str(int(clock.now().timestamp()))
        headers = {
            "webhook-id": key,
            "webhook-timestamp": stamp,
            "webhook-signature": signatures(signing, key, stamp, body),
            "idempotency-key": key,
        }
        if body:
            headers["content-type"] = "application/json"
        return await self._http_client.call(
            method, path, writes=writes, content=body or None, headers=headers
        )

    def _require_success(self, response: Response, *, writes: bool) -> None:
        """Raise the failure of a response; `error` in its JSON is the receiver's own explanation.

        What it quotes of our secrets is hidden.
        """
        words = ""
        if response.body.startswith(b"{"):
            try:
                found = response.json(writes=writes)
                words = str(found.get("error") or "") if isinstance(found, dict) else ""
            except Failure:
                words = ""
        words = self._http_client.clean(words)[:1000]
        if failed := failure_of(response, writes=writes, words=words):
            raise failed
        if words:
            raise Failure("permanent", "refused", f"the receiver refuses it: {words}")


def signatures(secrets: Sequence[str], key: str, stamp: str, body: str) -> str:
    """Return one signature for each secret, so that a secret can be replaced without a gap.

    A secret with the prefix `whsec_` is base64, any other one is its own bytes.
    """
    signed = f"{key}.{stamp}.{body}".encode()
    return " ".join(
        "v1,"
        + base64.b64encode(hmac.new(_bytes_of(each), signed, hashlib.sha256).digest()).decode()
        for each in secrets
    )


def _bytes_of(secret: str) -> bytes:
    if not secret.startswith(STANDARD_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
    except binascii.Error as error:
        raise Failure(
            "auth", "bad_secret", f"`secret` has the prefix {STANDARD_PREFIX} and is no base64"
        ) from error


def yes_or_no(settings: Mapping[str, str], name: str) -> bool:
    """Return a setting that is yes or no. Raises ValueError for anything else."""
    text = settings.get(name) or "no"
    if text not in ("yes", "no"):
        raise ValueError(f"{name} is {text!r}: write yes or no")
    return text == "yes"


def _sent(request: str) -> WebhookAnswer:
    """Return the answer of a receiver that took everything as we sent it."""
    body: dict[str, Any] = json.loads(request)
    names = ("invoice_number", "document_type", "currency", "total", "customer")
    sent = json.dumps({name: body[name] for name in names} | {"remote_id": "sent"})
    return WebhookAnswer.model_validate_json(sent)


def _remote(response: Response, sent: WebhookAnswer | None, *, writes: bool) -> RemoteDocument:
    """Return the document of an answer; what the answer to a POST leaves out is as it was sent."""
    try:
        answer = WebhookAnswer.model_validate(response.json(writes=writes))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        message = f"the answer is not as agreed: {where}: {first['msg']}"
        raise unreadable(f"{message}: {response.words}", writes=writes) from error
    given = answer.model_dump(exclude_none=True)
    whole = WebhookAnswer(**((sent.model_dump() if sent else {}) | given))
    kind, total = whole.document_type, whole.total
    if kind is None or total is None or not whole.invoice_number or not whole.currency:
        raise unreadable(
            "the answer to a look-up needs invoice_number, document_type, currency and total:"
            f" {response.words}",
            writes=writes,
        )
    sign = -1 if kind == "credit-note" else 1
    return RemoteDocument(
        remote_id=whole.remote_id,
        number=whole.invoice_number,
        kind=kind,
        state=whole.state,
        currency=whole.currency,
        total=sign * total,
        customer=whole.customer or "",
        remote_number=whole.remote_number,
        balance=None if whole.balance is None else sign * whole.balance,
    )


LEDGER = AdapterSpec(
    name="webhook",
    title="a webhook",
    settings=(
        Setting("base_url", "where documents are sent, https", required=True, binds=True),
        Setting(
            "secret",
            "signs each call (HMAC-SHA256); two with a space between while you replace one",
            secret=True,
            required=True,
        ),
        Setting(
            "look_up", "yes if the receiver answers GET <base_url>/<key>, else no", default="no"
        ),
    ),
    capabilities=Capabilities(
        request_key=True,
        unique_number=False,
        steps=1,
        concurrency=4,
        maps_codes=False,
        keeps_customers=False,
    ),
    make=Webhook,
    needs="a program of yours that takes the documents: docs/ledgers/webhook.md has the contract,"
    " examples/webhook_receiver.py a receiver to begin with",
)
