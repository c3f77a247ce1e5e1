"""Signed commands through a real Kafka and a real worker, and the CLI that manages keys."""

import asyncio
import json
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from services.console.cli import application
from shared.consumer.records import Record
from shared.events.commands import AnyCommand
from shared.migrations.first_admin import add_admin
from shared.settings import settings
from shared.signing import read_signer
from tests import builders
from tests.conftest import Configure, EngineOf
from tests.docs.examples import ROOT
from tests.running import Sent, answers, publish, running, until
from tests.signed import Senders, signed

BRIEFLY = 6.0


def time_group(command_id: str, actor: str, name: str) -> AnyCommand:
    """A command that a manager of all billing companies may send."""
    return builders.command(
        "set-time-group", command_id=command_id, actor=actor, time_group=name, cycle="monthly"
    )


def sent(record: Record) -> Sent:
    """A signed record, as it is put on the topic."""
    return Sent(record.topic, b"invoicer", record.value, headers=record.headers)


async def answers_to(*records: Record) -> dict[str, dict[str, Any]]:
    """Put commands on the topic; return the newest answer to each, by command id."""
    ids = {json.loads(one.value or b"")["command_id"] for one in records}
    before = {an_id: len(found) for an_id, found in (await answers(*ids)).items()}
    await publish(map(sent, records))

    async def all_there() -> dict[str, list[dict[str, Any]]] | None:
        found = await answers(*ids)
        new = all(len(found.get(an_id, ())) > before.get(an_id, 0) for an_id in ids)
        return found if new else None

    found = await until("every command is answered", all_there)
    return {an_id: of_one[-1] for an_id, of_one in found.items()}


async def cli(*words: str, code: int = 0) -> Any:
    """Run a command of the CLI in this process; return its JSON document."""
    run = await asyncio.to_thread(CliRunner().invoke, application(), [*words, "--json"])
    assert run.exit_code == code, run.output
    return json.loads(run.stdout)


def header_by_the_docs(key_file: Path, value: bytes) -> bytes:
    """The header that the program of `docs/signing.md` makes."""
    page = (ROOT / "docs/signing.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", program, str(key_file)], input=value, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_signed_commands_over_kafka(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path, configure: Configure
) -> None:
    """What was sent while no worker ran is judged by the time at which Kafka received it.

    A recorded command gets its first answer; the CLI adds, rotates and disables keys with the key
    of the first admin, and the program of the documentation signs with one of them.
    """
    senders = Senders(engine_of("owner"))
    pricing = await senders.add_program("pricing", ("manager", ""))
    now = time.time()
    late = signed(pricing, time_group("late", "pricing", "G-2"), at=now - 600)
    unsigned = signed(pricing, time_group("unsigned", "pricing", "G-3"))._replace(headers=())
    in_time = signed(pricing, time_group("in-time", "pricing", "G-1"), seconds=BRIEFLY)
    await publish(map(sent, (in_time, late, unsigned)))
    await asyncio.sleep(BRIEFLY)
    async with running(stack | {"BACKOFFICE_COMMANDS": "signed"}, tmp_path, "invoicer"):

        async def three() -> Any:
            found = await answers()
            return found if len(found) == 3 else None

        codes = {an_id: of[0]["code"] for an_id, of in (await until("answers", three)).items()}
        assert codes == {"in-time": "ok", "late": "signature_expired", "unsigned": "not_signed"}
        again = await answers_to(in_time, late)
        assert [again[an_id]["code"] for an_id in ("in-time", "late")] == [
            "ok",
            "signature_expired",
        ]
        await _keys(tmp_path, configure)
    groups = await senders.select("SELECT time_group FROM invoicer.time_group ORDER BY 1")
    assert [row.time_group for row in groups] == ["G-1", "G-4", "G-5"]


async def _keys(folder: Path, configure: Configure) -> None:
    """The life of a key: added, used, rotated, disabled."""
    admin, first, second = (folder / f"{name}.jwk" for name in ("admin", "first", "second"))
    await add_admin(settings().database_url, "office-admin", admin)
    configure(key_file=admin)
    granted = ("--role", "manager", "--role", "clerk:acme-us")
    added = await cli("keys", "add", "payroll", *granted, "--file", str(first))
    (result,) = added["results"]
    assert result["message"].endswith("and clerk of acme-us, manager"), result
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    refused = await cli("keys", "add", "payroll", "--file", str(second), code=1)
    assert refused["results"][0]["code"] == "program_known" and not second.exists()
    await cli("people", "set", "pat", "--role", "admin:acme-us", "--name", "Pat")
    (person,) = (await cli("people", "list"))["people"]
    assert (person["person"], person["roles"]) == ("pat", "admin:acme-us")

    by_docs = signed(read_signer(first), time_group("by-docs", "payroll", "G-4"))
    header = header_by_the_docs(first, by_docs.value or b"")
    found = await answers_to(by_docs._replace(headers=(("bo_signature", header),)))
    assert found["by-docs"]["outcome"] == "accepted", found
    configure(key_file=first)
    not_admin = await cli("people", "set", "kim", code=1)
    assert (not_admin["code"], not_admin["details"]["roles"]) == ("not_permitted", ["admin"])
    await cli("time-groups", "set", "G-5", "--cycle", "monthly")
    entries = (await cli("history", "payroll"))["entries"]
    assert [(one["what"], one["actor"], one["code"]) for one in entries] == [
        ("add-key", "office-admin", "ok"),
        ("add-key", "office-admin", "program_known"),
        ("set-person", "payroll", "not_permitted"),
    ]
    assert entries[-1]["key_id"] == read_signer(first).key_id and entries[-1]["client"]

    configure(key_file=admin)
    await cli("keys", "rotate", "payroll", "--file", str(second))
    old = signed(read_signer(first), time_group("old", "payroll", "G-6"))
    assert (await answers_to(old))["old"]["code"] == "key_disabled"
    await cli("keys", "disable", "payroll", "--reason", "no longer used")
    new = signed(read_signer(second), time_group("new", "payroll", "G-7"))
    assert (await answers_to(new))["new"]["code"] == "key_disabled"
    again = await answers_to(by_docs._replace(headers=(("bo_signature", header),)))
    assert again["by-docs"]["outcome"] == "accepted", "its first answer"
    last = await cli("keys", "disable", "office-admin", "--reason", "leaves", code=1)
    assert last["code"] == "last_admin"
    states = {(row["program"], row["state"]) for row in (await cli("keys", "list"))["keys"]}
    assert states == {("office-admin", "valid"), ("payroll", "disabled"), ("pricing", "valid")}
