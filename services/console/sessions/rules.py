"""Tokens, passwords, and how long a session and a link last."""

import hashlib
import secrets
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from shared.errors import Refused

if TYPE_CHECKING:
    from pwdlib import PasswordHash

IDLE = timedelta(hours=1)
"""A session that is not used for so long has ended."""
LONGEST = timedelta(hours=12)
"""A session ends so long after its sign-in, however much it is used."""
LINK = timedelta(minutes=10)
"""How long a sign-in link may be used; it serves once."""
WINDOW = timedelta(minutes=15)
PERSON_FAILURES, ADDRESS_FAILURES = 5, 20
"""After so many failures within the window, a person or an address has to wait."""
LEAST_PASSWORD, LONGEST_PASSWORD = 12, 1_000
TOKEN_BYTES = 32


def new_token() -> str:
    """A secret that cannot be guessed: 43 characters of base64url."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> bytes:
    """The SHA-256 of a token: only this is stored, so that a copy of the table signs no one in."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def session_id_of(token: str) -> str:
    """The name of a session for people: a part of the hash of its token."""
    return digest_of(token).hex()[:16]


def hashed(password: str) -> str:
    """The argon2 hash of a password. Raises `Refused` for one that is too short or too long."""
    if not LEAST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Refused(
            "password_length",
            f"the password has {len(password):,} characters; it needs {LEAST_PASSWORD} to"
            f" {LONGEST_PASSWORD:,}",
            "choose a longer one, such as four words",
        )
    return _hashes().hash(password)


def fits(password: str, stored: str | None) -> bool:
    """Whether a password is the one that was hashed.

    Without a stored hash a comparison takes as long, so that no one learns which persons exist.
    """
    known = stored if stored is not None else _hash_of_nothing()
    return _hashes().verify(password[:LONGEST_PASSWORD], known) and stored is not None


@cache
def _hashes() -> "PasswordHash":
    from pwdlib import PasswordHash  # slow to import

    return PasswordHash.recommended()


@cache
def _hash_of_nothing() -> str:
    return _hashes().hash(new_token())
