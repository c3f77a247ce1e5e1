"""A real Tryton behind a wire that misbehaves: requests are handed on, what was accepted is read
from Tryton's own tables.

Sources: Tryton itself answers (trytond 8 with account_invoice, as tests/ledgers/tryton_server
starts it). Nothing is assumed.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2

from tests.conftest import finish
from tests.ledgers.fake import Asked, Reply, Written
from tests.ledgers.tryton_server import TrytonServer

CREATES = "model.account.invoice.create"


@dataclass
class TrytonBehind:
    """Hands on to a server."""

    server: TrytonServer

    @property
    def journal(self) -> list[Written]:
        """What is in its tables."""
        found: list[tuple[str, str, Decimal]] = finish(self.server.invoices())
        return [
            Written(
                number,
                "credit-note" if total < 0 else "invoice",
                abs(total),
                "USD",
                "",
                "",
                "draft" if state == "draft" else "posted",
            )
            for number, state, total in found
        ]

    def makes_document(self, asked: Asked) -> bool:
        """By its method."""
        return bool(asked.json()["method"] == CREATES)

    def handle(self, asked: Asked) -> Reply:
        """Hands it on, as it is."""
        return self._hand_on(asked, asked.body)

    def _hand_on(self, asked: Asked, body: bytes) -> Reply:
        headers = {
            name: value
            for name, value in asked.headers.items()
            if name in ("authorization", "content-type")
        }
        answer = httpx2.post(
            f"{self.server.url}{asked.path}", content=body, headers=headers, timeout=60
        )
        return Reply(
            answer.status_code,
            answer.content,
            {"content-type": answer.headers.get("content-type", "")},
        )

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """Its errors always come with 200."""
        return Reply.of(200, {"id": 1, "error": ["UserError", ["The account is inactive.", ""]]})

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """A line more."""
        body: dict[str, Any] = json.loads(asked.body)
        (values,) = body["params"][0]
        values["lines"][0][1].append(values["lines"][0][1][0] | {"taxes": []})
        return self._hand_on(asked, json.dumps(body).encode())
