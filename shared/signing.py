"""Sign commands with the key of a program, and verify such signatures.

A signature is a JWT (compact JWS, Ed25519) in the header `bo_signature` of a record. Its claims
bind it to the exact bytes of the record's value (`sha256`), the actor (`sub`), the installation
that is to obey (`aud`) and a time (`iat`, `exp`); `client` may say where the sender sits. Any JWT
library can make one.
"""

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import Refused
from shared.events.field_types import Identifier, Name

HEADER = "bo_signature"
ALGORITHMS = ("Ed25519", "EdDSA")
"""The name of RFC 9864, and the older one that many libraries still write."""
MAX_BYTES = 4_096
VALID_SECONDS = 300
"""How long a signature of ours is valid: the time that a record may take to the broker."""
LONGEST_SECONDS = 86_400
SKEW_SECONDS = 60
"""The clock of a sender may be ahead of the broker's by so much."""
OTHERS = 0o077
_KEY_FIELDS = ("kty", "crv", "x", "d")
_FIX = "sign the exact bytes of the value as docs/signing.md describes, and send it again"

warnings.filterwarnings("ignore", "EdDSA is deprecated")

Client = Annotated[Name, Field(max_length=200)]
Seconds = Annotated[float, Field(ge=0, le=2**40, allow_inf_nan=False)]
_CLIENT: TypeAdapter[str] = TypeAdapter(Client)


class Claims(BaseModel):
    """The content of a signature; times in seconds since 1970."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    sub: Identifier
    aud: Identifier
    iat: Seconds
    exp: Seconds
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    client: Client = ""


def invalid(why: str) -> Refused:
    """The refusal of a signature that proves nothing."""
    return Refused("signature_invalid", f"the signature proves nothing: {why}", _FIX)


def named_key(token: str) -> str:
    """Return the id of the key that a signature names; nothing is verified yet."""
    if len(token) > MAX_BYTES:
        raise invalid(f"it has more than {MAX_BYTES:,} bytes")
    try:
        key_id = jws.extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise invalid("it is no compact JWS") from error
    if not isinstance(key_id, str):
        raise invalid("its header names no key (kid)")
    return key_id


def named_client(token: str) -> str:
    """Return where the sender of a signature says that it sits; "" if it does not say so.

    Nothing is verified: it is for the record of a refusal.
    """
    try:
        claims = json.loads(jws.extract_compact(token.encode()).payload)
        return _CLIENT.validate_python(claims.get("client", ""))
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        return ""


def verify(token: str, public_key: str, audience: str, value: bytes) -> Claims:
    """Return the claims of a signature of `value` by the owner of this key, for this audience.

    Raises `Refused`. Whether it is expired is for the caller to decide: that depends on the record.
    """
    try:
        found = jwt.decode(token, _public(public_key), algorithms=ALGORITHMS)
        claims = Claims.model_validate(found.claims)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        missing = isinstance(error, ValidationError)
        why = "a claim is missing or wrong" if missing else "another key made it, or it was changed"
        raise invalid(why) from error
    if claims.aud != audience:
        raise invalid(f"it is for another installation than {audience}")
    if claims.sha256 != hashlib.sha256(value).hexdigest():
        raise invalid("it is of another value than the record's")
    return claims


@lru_cache(maxsize=1_000)
def _public(public_key: str) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public_key})


def key_id_of(public_key: str) -> str:
    """Return the id of a public key: its JWK thumbprint (RFC 7638). Raises `Refused`."""
    try:
        return str(_public(public_key).thumbprint())
    except (JoseError, ValueError, TypeError) as error:
        raise Refused(
            "bad_public_key",
            "the public key is no Ed25519 key: 32 bytes in base64url without padding",
            "make it with `backoffice keys add`",
        ) from error


@dataclass(frozen=True, slots=True)
class Signer:
    """The private key of a program, and what it needs to sign for an installation."""

    program: str
    audience: str
    asserts_actors: bool
    key: OKPKey

    @classmethod
    def new(cls, program: str, audience: str, *, asserts_actors: bool = False) -> "Signer":
        """Make a key pair."""
        return cls(program, audience, asserts_actors, OKPKey.generate_key("Ed25519"))

    @property
    def public_key(self) -> str:
        """The public key: 32 bytes in base64url."""
        return str(self.key.as_dict(private=False)["x"])

    @property
    def key_id(self) -> str:
        """The name of the key."""
        return key_id_of(self.public_key)

    def sign(
        self, value: bytes, now: float, actor: str = "", *, seconds: float = VALID_SECONDS
    ) -> bytes:
        """Return the header's value for a record value, signed at `now` (seconds since 1970).

        Without an actor the program acts as itself.
        """
        claims = {
            "sub": actor or self.program,
            "aud": self.audience,
            "iat": int(now),
            "exp": int(now + seconds),
            "sha256": hashlib.sha256(value).hexdigest(),
            "client": os.uname().nodename[:200],
        }
        header = {"alg": ALGORITHMS[0], "kid": self.key_id}
        return jwt.encode(header, claims, self.key, algorithms=ALGORITHMS[:1]).encode()

    def file_text(self) -> str:
        """The private key as a JWK with what else a program needs: the content of its file."""
        named = {"kid": self.key_id, "alg": ALGORITHMS[0], "use": "sig"}
        about = {"program": self.program, "audience": self.audience}
        body: dict[str, Any] = {**self.key.as_dict(private=True), **named, **about}
        body["asserts_actors"] = self.asserts_actors
        return json.dumps(body, indent=2) + "\n"

    def save(self, path: Path) -> None:
        """Write the private key to a file of mode 0600.

        Raises `Refused` if the file exists: a key is never overwritten.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise Refused(
                "key_file_exists",
                f"{path} exists already and may hold a key in use",
                "name another file with --file, or move this one away",
            ) from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.file_text())
            file.flush()
            os.fsync(file.fileno())


def read_signer(path: Path) -> Signer:
    """Read the file of a private key. Raises `Refused` if it is none, or others may read it."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Refused(
            "no_key_file",
            f"the key file {path} cannot be read: {why}",
            "correct BACKOFFICE_KEY_FILE, or make a key with `backoffice keys add`",
        ) from error
    if mode & OTHERS:
        raise Refused(
            "open_key_file",
            f"other users may read the private key {path}",
            f"run `chmod 600 {path}`; if others could log in here, rotate the key",
        )
    try:
        body = json.loads(text)
        key = OKPKey.import_key({name: body[name] for name in _KEY_FIELDS})
        if key.curve_name != "Ed25519":
            raise ValueError(key.curve_name)
        return Signer(
            str(body["program"]), str(body["audience"]), body["asserts_actors"] is True, key
        )
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            "bad_key_file",
            f"{path} holds no Ed25519 key that `backoffice keys add` wrote",
            "restore it from its backup, or rotate the key with `backoffice keys rotate`",
        ) from error
