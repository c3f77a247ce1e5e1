"""The answers of a vendor with one field left out, or null: for tests of what an adapter needs."""

import json
from decimal import Decimal
from typing import Any

from tests.ledgers.fake import Asked, Reply
from tests.ledgers.suite import Stage

ECHO = {"LineItems", "Addresses", "SalesItemLineDetail", "TxnTaxDetail", "BillAddr", "item"}
"""Parts of answers that repeat what we sent and that no adapter reads."""
OTHERS = ("/token", "/Organisation", "/preferences", "/companyInformation")
"""What is asked about the company itself, and tokens."""


def field_names(value: Any) -> set[str]:
    """All names of fields in an answer, at any depth, but for what it repeats."""
    if isinstance(value, list):
        return set().union(*map(field_names, value))
    if isinstance(value, dict):
        return set(value).union(*(field_names(value[name]) for name in set(value) - ECHO)) - ECHO
    return set()


def without(value: Any, name: str, *, null: bool) -> Any:
    """The answer without a field, at any depth, or with null in its place."""
    if isinstance(value, list):
        return [without(one, name, null=null) for one in value]
    if isinstance(value, dict):
        kept = {key: without(one, name, null=null) for key, one in value.items() if key != name}
        return kept | ({name: None} if null and name in value else {})
    return value


class Answers:
    """The answers of a stage's vendor: which fields they had, and which one is left out."""

    def __init__(self, stage: Stage, *, null: bool) -> None:
        self.null = null
        self.names: set[str] = set()
        self.left_out = ""
        self._handle = stage.server.vendor.handle
        stage.server.vendor.handle = self.handle  # type: ignore[method-assign]

    def handle(self, asked: Asked) -> Reply:
        """Answer without that field where the answer is about documents or customers."""
        reply = self._handle(asked)
        if asked.path.endswith(OTHERS) or not reply.body.startswith(b"{"):
            return reply
        body = json.loads(reply.body, parse_float=str, parse_int=str)
        self.names |= field_names(body)
        shown = json.loads(reply.body, parse_float=Decimal)
        reply.body = json.dumps(without(shown, self.left_out, null=self.null), default=str).encode()
        return reply
