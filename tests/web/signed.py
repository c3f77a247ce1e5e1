"""A stack whose services carry out signed commands only, with people of several roles and an OpenID
provider.

`ada` is an admin, `mia` a manager of all billing companies, `lea` a clerk of acme; the provider
knows `olga` (a clerk of acme by its claim `groups`), `otto` (of no group) and `xia` (whose address
it has not verified).
"""

import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oidc_provider_mock import User, run_server_in_thread

from services.console.queries.access import audience
from services.console.queries.snapshot import open_snapshot
from shared.events.billing import CommandResult
from shared.settings import CONSOLE_KEY_FILE, SIGNING_KEY_FILE
from shared.signing import Signer, read_signer
from shared.stack import status
from shared.stack.workers import WEB_CONSOLE
from tests.conftest import finish
from tests.web.conftest import Office, running_office, set_up

PEOPLE = {"ada": ("admin", ""), "mia": ("manager", ""), "lea": ("clerk", "acme")}
OLGA, OTTO, XIA = (f"{name}@acme.example" for name in ("olga", "otto", "xia"))


@dataclass
class SignedOffice:
    """The stack; `office` acts as its first admin, `pauses` is the folder of pause points."""

    office: Office
    console: Signer
    pauses: Path
    provider: str

    def as_person(self, person: str, name: str, /, **fields: Any) -> CommandResult:
        """Send a command on the topic in the name of a person, as the console does."""
        return replace(self.office, signer=self.console).send(name, actor=person, **fields)

    def process(self, service: str) -> int:
        """The id of the process of a worker."""
        workers = status(self.office.data)["workers"]
        return next(int(each["pid"] or 0) for each in workers if each["service"] == service)

    def restart(self, service: str) -> None:
        """Kill a worker, and wait until the stack has started it again and it is ready."""
        before = self.process(service)
        os.kill(before, signal.SIGKILL)
        self.office.until(lambda: self.process(service) not in (0, before) and answers(self.office))


@contextmanager
def running_signed_office(folder: Path) -> Iterator[SignedOffice]:
    """Start the provider and the stack, and give the console its key as docs/console.md says."""
    known = [
        User(sub="olga", claims=_claims(OLGA, groups=["us-desk", "cyclists"])),
        User(sub="otto", claims=_claims(OTTO, groups=["cyclists"])),
        User(sub="xia", claims=_claims(XIA) | {"email_verified": False}),
    ]
    pauses = folder.parent / "pauses"
    pauses.mkdir()
    with run_server_in_thread(user_claims=known, require_nonce=True) as server:
        issuer = f"http://localhost:{server.server_port}"
        with running_office(
            folder,
            COMMANDS="signed",
            PAUSE=str(pauses),
            OPENID_ISSUER=issuer,
            OPENID_CLIENT_ID="console",
            OPENID_CLIENT_SECRET="a secret",
            OPENID_ROLES_CLAIM="groups",
            OPENID_ROLES="us-desk=clerk:acme,controllers=controller",
        ) as office:
            office.signer = read_signer(office.data / SIGNING_KEY_FILE)
            made = SignedOffice(office, _console_key(office), pauses, issuer)
            set_up(office, "acme", "Client of acme")
            set_up(office, "beta", "Client of beta")
            office.add_week("acme")
            office.add_week("beta")
            for person, (role, company) in PEOPLE.items():
                grant = {"role": role, "billing_companies": [company] if company else []}
                office.send("set-person", person=person, name=person.title(), roles=[grant])
            made.restart(WEB_CONSOLE)  # it reads its key at its start
            yield made


def answers(office: Office) -> bool:
    """Whether the console has its key and serves pages."""
    with suppress(OSError):
        return urllib.request.urlopen(f"{office.address}/readyz", timeout=2).status == 200
    return False


def _console_key(office: Office) -> Signer:
    async def named() -> str:
        async with open_snapshot(office.database_url) as connection:
            return await audience(connection)

    signer = Signer.new("console", finish(named()), asserts_actors=True)
    signer.save(office.data / CONSOLE_KEY_FILE)
    result = office.send(
        "add-key",
        program="console",
        public_key=signer.public_key,
        asserts_actors=True,
        roles=[{"role": "admin"}],
    )
    assert result.outcome == "accepted", result
    return signer


def _claims(address: str, **more: object) -> dict[str, object]:
    return {"email": address, "email_verified": True, "name": address.split("@")[0], **more}
