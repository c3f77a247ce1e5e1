"""A receiver of webhooks as the fault server plays it: the contract of docs/ledgers/webhook.md.

What is received is held against the committed schema, and so is what is answered.

Sources: the signature is that of https://www.standardwebhooks.com/ (specification, "Signature
scheme"); everything else is our own contract. That receivers keep it is assumed.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema

from tests.ledgers.fake import Asked, Reply, Written

SECRET = "webhook-secret-5b1f"
SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
REQUEST, ANSWER = (
    json.loads((SCHEMAS / f"{name}.json").read_text())
    for name in ("webhook-document", "webhook-answer")
)


@dataclass
class WebhookVendor:
    """Documents in memory, by key. `echoes`: answers repeat the document, else give its id only."""

    secret: str = SECRET
    echoes: bool = True
    journal: list[Written] = field(default_factory=list)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def makes_document(self, asked: Asked) -> bool:
        """Each POST."""
        return asked.method == "POST"

    def handle(self, asked: Asked) -> Reply:
        """Check the signature, then keep or look up."""
        self.asked.append(asked)
        key, stamp = asked.headers["webhook-id"], asked.headers["webhook-timestamp"]
        signed = f"{key}.{stamp}.".encode() + asked.body
        digest = hmac.digest(self.secret.encode(), signed, hashlib.sha256)
        if "v1," + base64.b64encode(digest).decode() not in asked.headers["webhook-signature"]:
            return Reply.of(401, {"error": "bad signature"})
        if asked.method == "POST":
            return self._keep(asked)
        return self._shown(key)

    def _keep(self, asked: Asked, more: Decimal = Decimal(0)) -> Reply:
        body = json.loads(asked.body)
        jsonschema.validate(body, REQUEST)
        key = asked.headers["idempotency-key"]
        assert key == body["idempotency_key"] == asked.headers["webhook-id"]
        if key not in self.documents:
            sign = -1 if body["document_type"] == "credit-note" else 1
            total, remote_id = Decimal(body["total"]) + more, f"W{len(self.documents) + 1}"
            answer = {"remote_id": remote_id, "remote_number": f"R-{remote_id}"}
            names = ("invoice_number", "document_type", "currency", "customer")
            echo = {name: body[name] for name in names}
            echo |= {"total": str(total), "balance": str(total)}
            for each in body["corrects"]:
                self._lower(each["remote_id"], Decimal(each["amount"]))
            self.documents[key] = answer | (echo if self.echoes else {})
            self.journal.append(
                Written(
                    body["invoice_number"],
                    body["document_type"],
                    sign * total,
                    body["currency"],
                    body["customer"],
                    remote_id,
                    "posted",
                    key,
                )
            )
        return self._shown(key)

    def _lower(self, remote_id: str, amount: Decimal) -> None:
        for one in self.documents.values():
            if one["remote_id"] == remote_id:
                one["balance"] = str(Decimal(one["balance"]) - amount)

    def _shown(self, key: str) -> Reply:
        for a_key, one in self.documents.items():
            if key in (a_key, one["remote_id"]):
                jsonschema.validate(one, ANSWER)
                return Reply.of(200, one)
        return Reply.of(404, {"error": f"there is no document {key}"})

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """An error, the status of which may be 200."""
        return Reply.of(200 if in_200 else 422, {"error": "the period is closed"})

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A cent too much."""
        return self._keep(asked, Decimal("0.01"))
