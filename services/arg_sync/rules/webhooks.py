"""Whether a webhook is what it says: the signature of its body under the connection's secret. Its content is not believed in any case."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

HEADERS: Mapping[str, str] = {"xero": "x-xero-signature", "quickbooks": "intuit-signature"}
"""Kinds of ledgers that send webhooks → the header with the signature: base64 of the HMAC-SHA256 of the body."""
KEY = "webhook_key"


def is_signed(key: str, body: bytes, signature: str) -> bool:
    """Whether the signature is that of this body under this key, in a time that tells nothing. No key: nothing is signed."""
    expected = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest())
    return hmac.compare_digest(expected, signature.strip().encode("utf-8", "replace")) and bool(key)
