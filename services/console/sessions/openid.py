"""Sign-in at an OpenID provider: the authorization code flow with PKCE, by Authlib.

`Core` is OpenID Connect Core 1.0, `Discovery` OpenID Connect Discovery 1.0, `Logout` OpenID Connect
RP-Initiated Logout 1.0. State, nonce and code verifier of a sign-in lie in the database until the
provider sends the person back (`SessionStore`); of the provider's tokens only the ID token is kept,
to sign out there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.console.sessions.openid_claims import Grant, grants_of, person_of, read_mapping
from shared.errors import Refused
from shared.settings import Settings

if TYPE_CHECKING:
    from services.console.sessions.openid_client import ProviderClient

SKEW_SECONDS = 60
"""The clocks of provider and console may differ by so much."""
AGAIN = "sign in again"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in on its way: where the browser goes, and what its answer must fit."""

    address: str
    state: str
    nonce: str
    code_verifier: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in. `grants`: the roles of the claim; None if roles are set here."""

    person: str
    name: str
    grants: frozenset[Grant] | None
    id_token: str


class OpenId:
    """One OpenID provider. Everything raises `Refused` with what to do."""

    def __init__(self, given: Settings) -> None:
        self.issuer = given.openid_issuer
        self.host = urlsplit(self.issuer).hostname or ""
        self._person_claim, self._roles_claim = given.openid_person_claim, given.openid_roles_claim
        self._mapping = read_mapping(given.openid_roles)
        self._given = given
        self._client: ProviderClient | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port of the issuer: forms may lead there."""
        parts = urlsplit(self.issuer)
        return f"{parts.scheme}://{parts.netloc}"

    async def begin(self, redirect_uri: str) -> Begun:
        """The request for a sign-in (Core 3.1.2.1), with state, nonce and an S256 challenge."""
        begun = await self._provider().authorization(redirect_uri)
        return Begun(begun["url"], begun["state"], begun["nonce"], begun["code_verifier"])

    async def finish(
        self, answer: Mapping[str, str], redirect_uri: str, nonce: str, code_verifier: str
    ) -> Person:
        """Who signed in, from the provider's answer to the browser (Core 3.1.2.5).

        The code is exchanged (3.1.3.1), the ID token checked (3.1.3.7), and UserInfo asked (5.3) if
        a claim that is needed is not in the token.
        """
        if answer.get("error"):
            raise Refused(
                "openid_refused",
                f"{self.host} refused: {answer['error'][:100]}"
                f" {answer.get('error_description', '')[:300]}".strip(),
                f"{AGAIN}, or ask who runs the provider",
            )
        if answer.get("iss", self.issuer) != self.issuer:  # RFC 9207: another provider answered
            raise Refused("openid_mixed_up", f"the answer is not of {self.issuer}", AGAIN)
        needed = [each for each in (self._person_claim, self._roles_claim) if each]
        claims, id_token = await self._provider().claims(
            answer.get("code", ""), redirect_uri, nonce, code_verifier, needed
        )
        grants = None
        if self._roles_claim:
            grants = frozenset(grants_of(claims, self._roles_claim, self._mapping))
        name = claims.get("name")
        person = person_of(claims, self._person_claim)
        return Person(person, name[:200] if isinstance(name, str) else "", grants, id_token)

    async def sign_out_address(self, id_token: str, back: str) -> str | None:
        """Where the browser signs out at the provider (Logout 2); None if it offers none, or at
        another address than the issuer's.
        """
        try:
            address = await self._provider().sign_out(id_token, back)
        except Refused:
            return None
        return address if address and address.startswith(f"{self.origin}/") else None

    def _provider(self) -> "ProviderClient":
        if self._client is None:
            from services.console.sessions.openid_client import ProviderClient  # slow to import

            self._client = ProviderClient(self._given, SKEW_SECONDS)
        return self._client


def find_openid(given: Settings) -> OpenId | None:
    """The provider of the settings; None if none is named. Raises `Refused` for a wrong setting."""
    if not given.openid_issuer:
        return None
    parts = urlsplit(given.openid_issuer)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise Refused(
            "setting-unreadable",
            f"BACKOFFICE_OPENID_ISSUER is {given.openid_issuer!r}, which is no https address",
            "write the issuer as the provider's discovery document has it",
        )
    if not given.openid_client_id:
        raise Refused(
            "setting-unreadable",
            "BACKOFFICE_OPENID_CLIENT_ID is missing",
            "register the console at the provider and set the id that it gave",
        )
    return OpenId(given)
