"""Seal secrets of ledgers for arg_sync: who has the public key can seal, only arg_sync can open.

A sealed box is HPKE (RFC 9180, base mode) with X25519, HKDF-SHA256 and ChaCha20-Poly1305. It is
bound to the connection, the kind and the settings that say where the secrets are sent and whose
they are (`Setting.binds`): it cannot be opened for any other address or account. The same box is
sent in a command and stored.

The file of the private key may hold several keys: the first seals and opens, the others only open
what was sealed before a rotation.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from shared.errors import Refused
from shared.json_text import read_json_text
from shared.settings import LEDGER_KEY_FILE, settings

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
FORMAT = "x25519"
PURPOSE = "staffing back office, secrets of a ledger"
KEY_ID_LENGTH = 16
OTHERS = 0o077
MAX_KEYS = 20
PEM = re.compile(b"-----BEGIN .*?-----END [A-Z ]*-----", re.DOTALL)


def key_file() -> Path:
    """Return the path of the private key: `ledger-key.pem` in the data folder."""
    return settings().data.expanduser() / LEDGER_KEY_FILE


def binding(
    ledger: str, kind: str, settings_given: Mapping[str, str], bound: Iterable[str]
) -> bytes:
    """Return what a box is bound to: the connection, its kind, and its settings named `bound`.

    An empty setting counts as absent.
    """
    values = {name: settings_given[name] for name in bound if settings_given.get(name)}
    return json.dumps([PURPOSE, ledger, kind, values], sort_keys=True).encode()


MAIL_BOUND = ("host", "port", "tls", "user")
"""The settings of a mail account that say where its password is sent, and whose it is."""


def mail_name(billing_company: str) -> str:
    """Return the name under which the password of a mail account is kept among the secrets.

    No connection to a ledger can have it, because an id begins with no space.
    """
    return f" mail {billing_company}"


def mail_binding(billing_company: str, settings_given: Mapping[str, str]) -> bytes:
    """Return what the password of a mail account is bound to."""
    return binding(mail_name(billing_company), "smtp", settings_given, MAIL_BOUND)


def seal(values: Mapping[str, str], public_key: str, bound_to: bytes) -> str:
    """Seal the values for the owner of the private key, bound to `bound_to`."""
    public = X25519PublicKey.from_public_bytes(base64.b64decode(public_key))
    text = json.dumps(dict(values), sort_keys=True).encode()
    box = SUITE.encrypt(text, public, info=bound_to)
    return f"{FORMAT}.{key_id(public_key)}.{base64.urlsafe_b64encode(box).decode()}"


def unseal(sealed: str, bound_to: bytes) -> dict[str, str]:
    """Open a box with the private key of this machine. Refused if it is not for `bound_to`."""
    keys = {key_id(public_key_of(key)): key for key in read_private_keys()}
    form, _, rest = sealed.partition(".")
    wanted, _, box = rest.partition(".")
    if form != FORMAT:
        raise Refused(
            "not_a_sealed_box",
            f"the secrets are in no sealed box of the format {FORMAT}",
            "connect with `backoffice ledger connect`, which seals them",
        )
    if wanted not in keys:
        raise Refused(
            "wrong_ledger_key",
            f"the secrets are sealed for the key {wanted[:KEY_ID_LENGTH]},"
            f" and {key_file()} holds the key {' and '.join(keys)}",
            "read the key again with `backoffice ledger key` and connect with all secrets,"
            " or give all replicas of arg_sync the same file",
        )
    try:
        opened = SUITE.decrypt(base64.urlsafe_b64decode(box), keys[wanted], info=bound_to)
    except (InvalidTag, ValueError) as error:
        raise Refused(
            "sealed_for_other",
            "the secrets were sealed for another connection, kind, address or account,"
            " or the box was changed",
            "connect with `backoffice ledger connect`, which seals them with the settings",
        ) from error
    return _values_in(opened)


def _values_in(opened: bytes) -> dict[str, str]:
    """Return the values of an opened box. Every holder of the public key can seal anything."""
    try:
        values = read_json_text(opened.decode())
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise Refused(
            "not_a_sealed_box",
            "the sealed box holds no JSON object of texts",
            "connect with `backoffice ledger connect`, which seals them",
        )
    return values


def public_key_of(private: X25519PrivateKey) -> str:
    """Return the public key in base64: 32 bytes."""
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def key_id(public_key: str) -> str:
    """Return the name of a key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()[:KEY_ID_LENGTH]


def sealed_for(sealed: str) -> str:
    """Return the id of the key for which a box is sealed; "" if it is no box."""
    form, _, rest = sealed.partition(".")
    return rest.partition(".")[0] if form == FORMAT else ""


def read_private_key() -> X25519PrivateKey:
    """Read the private key that seals: the first of the file."""
    return read_private_keys()[0]


def read_private_keys() -> list[X25519PrivateKey]:
    """Read all keys; each call reads the file, so no restart is needed when it changes."""
    path = key_file()
    try:
        mode, text = path.stat().st_mode, path.read_bytes()
    except FileNotFoundError as error:
        raise Refused(
            "no_ledger_key",
            f"the private key that opens secrets of ledgers is missing: {path}",
            "restore this file from its backup, or make a new key with"
            " `backoffice ledger key --new FILE` and connect every ledger again",
        ) from error
    except OSError as error:
        raise Refused(
            "no_ledger_key",
            f"the private key {path} cannot be read: {error.strerror}",
            "make the file belong to the user of arg_sync",
        ) from error
    if mode & OTHERS:
        raise Refused(
            "open_ledger_key",
            f"other users may read the private key {path}",
            f"run `chmod 600 {path}`",
        )
    keys = [_key_in(pem) for pem in PEM.findall(text)]
    found = [key for key in keys if isinstance(key, X25519PrivateKey)]
    if not found or len(found) < len(keys) or len(found) > MAX_KEYS:
        raise Refused(
            "bad_ledger_key",
            f"{path} holds no X25519 private key in PEM, or other keys, or more than {MAX_KEYS}",
            "restore it from its backup",
        )
    return found


def _key_in(pem: bytes) -> object:
    try:
        return load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        return None


def make_private_key(path: Path) -> None:
    """Make the file of a new private key, readable by its owner only; keep one that exists."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written whole under another name, then linked: two processes keep the first one.
    draft = _draft(path, [X25519PrivateKey.generate()])
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def add_private_key() -> None:
    """Put a new key before those of the file. The caller keeps other processes from doing it."""
    write_private_keys([X25519PrivateKey.generate(), *read_private_keys()])


def write_private_keys(keys: Sequence[X25519PrivateKey]) -> None:
    """Replace the file whole: a process that is killed leaves the old one or the new one."""
    path = key_file()
    draft = _draft(path, keys)
    try:
        os.replace(draft, path)
    except OSError:
        os.unlink(draft)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _draft(path: Path, keys: Sequence[X25519PrivateKey]) -> str:
    """Write keys to a new file (mode 0600) in the folder of `path` and return its name."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        for key in keys:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    return draft
