"""No secret is shown: in logs, metrics, environments, process lists, results, dead letters."""

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from shared import sealing
from shared.broker.acls import PRINCIPALS, SERVICES
from shared.broker.topics import COMMAND_RESULTS, OPERATOR_COMMANDS, all_topics
from shared.logins import LOGINS, OWNER
from shared.signing import read_signer
from shared.stack.choice import Broker
from shared.stack.logins import passfile
from tests.builders import COMPANY
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.ledgers.delivering import LEDGER, Delivering, with_private_key
from tests.ledgers.fake import Asked, Reply, playing
from tests.ledgers.vendors.webhook import WebhookVendor
from tests.running import ROOT, Running, Sent, publish, records_of, running, until

SECRET = "canary-webhook-41d7"
BAD_COMMAND = f'{{"command": "connect-ledger", "settings": {{"secret": "{SECRET}"}}, "x": '.encode()


@dataclass
class QuotingVendor(WebhookVendor):
    """A receiver that refuses every call and quotes our secret and headers in its answer."""

    secret: str = SECRET

    def handle(self, asked: Asked) -> Reply:
        """As a careless program does that prints what it was given."""
        self.asked.append(asked)
        return Reply.of(422, {"error": f"not {self.secret}; {json.dumps(dict(asked.headers))}"})


async def test_no_secret_is_shown_anywhere(
    signed_stack: dict[str, str],
    engine_of: EngineOf,
    unit_of_work_for: UnitOfWorkFor,
    configure: Configure,
    kafka: Broker,
    server_folder: Path,
    tmp_path: Path,
) -> None:
    """All workers carry out signed commands, one of which brings a ledger's secret; the ledger
    quotes it in what it refuses, and someone sends it in a command that cannot be read.
    """
    data = Path(signed_stack["BACKOFFICE_DATA"])
    with_private_key(configure, data)
    environment = signed_stack | {"BACKOFFICE_KEY_FILE": str(tmp_path / "tests.jwk")}
    delivering = Delivering(engine_of, unit_of_work_for)
    async with (
        playing(QuotingVendor()) as server,
        running(signed_stack, tmp_path, *SERVICES) as workers,
    ):
        given = {"base_url": server.url, "secret": SECRET, "look_up": "yes"}
        file = tmp_path / "webhook.json"
        file.write_text(json.dumps(given))
        for worker in workers:
            await until(f"{worker.service} is ready", partial(ready, worker))
        connect = ["ledger", "connect", LEDGER, "--kind", "webhook", "--settings", str(file)]
        connect += ["--billing-company", COMPANY, "--actor", "pat", "--auto-sync"]
        shown = [await backoffice(environment, *connect)]
        unsigned = (("x", b""),)
        await publish([Sent(OPERATOR_COMMANDS.name, b"k", BAD_COMMAND, headers=unsigned)])
        await delivering.close("INV-1")
        await delivering.queue()

        async def refused() -> bool:
            return set((await delivering.states()).values()) == {"refused"}

        await until(f"the document is refused: {shown}", refused, 45)
        shown += [
            await backoffice(environment, *command, "--json")
            for command in (
                ("status",),
                ("ledger", "status"),
                ("deliveries", "show", "INV-1", "--raw"),
                ("dead-letters", "list"),
                ("history", LEDGER),
                ("keys", "list"),
            )
        ]
        shown += processes(workers)
    assert "the receiver refuses" in "".join(shown) or "HTTP 422" in "".join(shown)
    shown += [worker.log.read_text() for worker in workers]
    dead_letters = [each.name for each in all_topics() if each.name.endswith(".dead-letter")]
    for topic in (COMMAND_RESULTS.name, *dead_letters):
        records = await records_of(topic)
        shown += [f"{each.key} {each.value} {each.headers}" for each in records]
    assert any("bad_json" in each for each in shown), "the unreadable command is a dead letter"
    leaked = [
        f"{name}: {each[max(0, each.index(secret) - 300) :][:400]}"
        for name, secret in secrets(kafka, server_folder, tmp_path)
        for each in shown
        if secret in each
    ]
    assert not leaked, "\n".join(leaked)


async def ready(worker: Running) -> bool:
    """Whether it consumes."""
    return worker.page("/readyz")[0] == 200


def secrets(kafka: Broker, server_folder: Path, folder: Path) -> list[tuple[str, str]]:
    """What must not be shown, by name."""
    found = [("the webhook's secret", SECRET)]
    found += [(f"Kafka's password of {user}", kafka.access(user).secret()) for user in PRINCIPALS]
    for login in (OWNER, *LOGINS):
        password = passfile(server_folder, login).read_text().strip().rpartition(":")[2]
        found.append((f"PostgreSQL's password of {login}", password))
    signing_key = read_signer(folder / "tests.jwk").key.as_dict(private=True)["d"]
    found.append(("the signing key", str(signing_key)))
    lines = sealing.key_file().read_text().strip().splitlines()[1:-1]
    found += [("the ledger key", line) for line in lines]
    assert all(len(secret) > 10 for _, secret in found)
    return found


def processes(workers: list[Running]) -> list[str]:
    """Metrics and environments of the workers, and the command lines of all processes."""
    shown = []
    for worker in workers:
        status, text = worker.page("/metrics")
        assert status == 200
        shown += [text, "\n".join(psutil.Process(worker.process.pid).environ().values())]
    listed = psutil.process_iter(["cmdline"])
    return [*shown, *(" ".join(each.info["cmdline"] or []) for each in listed)]


async def backoffice(environment: dict[str, str], *words: str) -> str:
    """All that `backoffice` prints, whether it succeeds or not."""
    program = str(Path(sys.executable).with_name("backoffice"))
    run = await asyncio.to_thread(
        subprocess.run, [program, *words], env=environment, cwd=ROOT, capture_output=True
    )
    return (run.stdout + run.stderr).decode()
