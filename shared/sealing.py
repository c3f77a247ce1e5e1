"""Seals secrets on their way to arg_sync and where they lie: the key is in the settings of whoever seals or opens, and nowhere else.

Fernet: AES-128-CBC with HMAC-SHA256, and the time of sealing. Without the key nothing can be connected; with another one nothing be opened.
"""

import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken

from shared.errors import Refused
from shared.settings import settings

SETTING = "BACKOFFICE_LEDGER_KEY"


def new_key() -> str:
    """A key that was never used."""
    return Fernet.generate_key().decode()


def seal(values: Mapping[str, str]) -> str:
    """The values, readable by nobody without the key."""
    return _fernet().encrypt(json.dumps(dict(values), sort_keys=True).encode()).decode()


def unseal(sealed: str) -> dict[str, str]:
    """The values that were sealed. Refused if they were sealed with another key."""
    try:
        return dict(json.loads(_fernet().decrypt(sealed.encode())))
    except InvalidToken as error:
        raise Refused(
            "wrong_ledger_key",
            f"what was sealed cannot be opened: it was sealed with another {SETTING}",
            "give all processes the same key, or connect anew",
        ) from error


def _fernet() -> Fernet:
    key = settings().ledger_key
    if not key:
        raise Refused(
            "no_ledger_key",
            f"{SETTING} is not set: passwords and tokens of ledgers are sealed with it",
            "make one with `backoffice ledger key`",
        )
    try:
        return Fernet(key.encode())
    except ValueError as error:
        raise Refused(
            "bad_ledger_key",
            f"{SETTING} is not 32 bytes in URL-safe base64",
            "make one with `backoffice ledger key`",
        ) from error
