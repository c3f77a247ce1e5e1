"""Sealed boxes of `connect-ledger`: every holder of the public key can seal anything."""

import base64
import json
from functools import cache

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from shared import sealing
from shared.errors import Refused
from tests.fuzz.hostile import Picks, changed

BOUND = b"bound"


@cache
def public_key() -> str:
    """The public key of the data folder, which has a key of its own."""
    sealing.make_private_key(sealing.key_file())
    return sealing.public_key_of(sealing.read_private_key())


def sealed(content: bytes) -> str:
    """A good box with any content."""
    public = X25519PublicKey.from_public_bytes(base64.b64decode(public_key()))
    box = sealing.SUITE.encrypt(content, public, info=BOUND)
    name = sealing.key_id(public_key())
    return f"{sealing.FORMAT}.{name}.{base64.urlsafe_b64encode(box).decode()}"


def run(data: bytes) -> None:
    """Open one box."""
    picks = Picks(data)
    how = picks.number(4)
    text = sealed(changed({"client_secret": "s", "refresh_token": "r"}, picks))
    if how == 1:
        text = picks.rest.decode("utf-8", "replace")
    elif how == 2:
        at = picks.number(len(text))
        text = text[:at] + picks.rest.decode("latin-1") + text[at + picks.number(9) :]
    elif how == 3:
        text = sealed(picks.rest)
    try:
        opened = sealing.unseal(text, BOUND)
    except Refused:
        return
    assert all(isinstance(one, str) for pair in opened.items() for one in pair)
    json.dumps(opened).encode()
