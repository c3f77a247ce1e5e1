"""The commands of `backoffice`: their shared options, wrong use, and a machine on which nothing
runs. Needs no servers.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from services.console.actions.record_keys import record_key
from services.console.cli import application
from tests.conftest import Configure

CHANGING = {
    "workflows set",
    "drafts create",
    "drafts combine",
    "drafts remove-line",
    "drafts cancel",
    "drafts regenerate",
    "drafts approve",
    "drafts reject",
    "drafts reassign",
    "drafts finalize",
    "disputes open",
    "disputes resolve",
    "fees set",
    "fees tiers set",
    "fees opening-volume",
    "billing-company set",
    "catalog set",
    "import",
    "documents retry",
    "republish",
    "pay-lines snooze",
    "pay-lines release",
    "pay-lines edit",
    "health-check",
    "batch preview",
    "batch generate",
    "batch groups",
    "batch what-if",
    "batch retry-parked",
    "batch download",
    "rates set",
    "rates import",
    "tax import",
    "opening import",
    "rates impact",
    "rates confirm",
    "credit",
    "batch sync",
    "ledger connect",
    "ledger test",
    "ledger disconnect",
    "ledger map import",
    "ledger map check",
    "deliveries retry",
    "deliveries resync",
    "deliveries adopt",
    "deliveries mark-posted",
    "reconcile",
    "time-groups set",
    "catalog import",
    "charges add",
    "charges import",
    "assignments set",
    "assignments end",
    "assignments confirm",
    "assignments import",
    "retainers keep",
    "retainers credit",
    "send set-account",
    "send batch",
    "send invoice",
    "send decide",
    "send bounces",
    "people set",
    "keys add",
    "keys rotate",
    "keys disable",
    "forget worker",
    "ledger poll",
    "ledger rotate-key",
    "debtor-terms set",
    "debtor-terms import",
    "why-not",
    "dead-letters replay",
    "dead-letters discard",
    "consumers skip",
    "consumers resume",
    "grouping set",
    "suppliers agreement set",
    "suppliers number",
    "suppliers pay",
    "invoices download",
    "options set",
    "options why",
    "payments apply",
    "payments apply-credit",
    "payments import",
    "payments record",
    "payments refund",
    "payments reverse",
    "payments unapply",
    "reminders hold",
    "reminders release",
    "reminders send",
    "reminders set",
    "reminders template",
}
"""The commands that send an operator command, and so need an actor."""
PROMISED = (
    "up down status verify lag import publish republish health-check why why-not history numbers"
    " demo billing-company.set billing-company.show"
    " assignments.set assignments.list assignments.end assignments.import template"
    " documents.held documents.retry pay-lines.list pay-lines.snooze pay-lines.release"
    " pay-lines.edit batch.preview batch.generate batch.list"
    " batch.show batch.download batch.groups time-groups.set time-groups.list debtor-terms.set"
    " debtor-terms.import debtor-terms.show"
    " batch.sync batch.what-if batch.parked batch.retry-parked rates.set rates.impact"
    " rates.confirm ledger.connect ledger.test ledger.status"
    " ledger.disconnect ledger.template ledger.map.import deliveries.list deliveries.show"
    " deliveries.retry deliveries.resync deliveries.adopt"
    " deliveries.mark-posted reconcile"
    " invoices.search invoices.show invoices.ageing credit dead-letters.list dead-letters.show"
    " dead-letters.replay dead-letters.discard consumers.list consumers.skip consumers.resume"
)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, with its words."""
    for name, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from leaves(below, (*path, name))
        else:
            yield " ".join((*path, name)), below


COMMANDS = dict(leaves(typer.main.get_command(application())))


def options(command: Any) -> set[str]:
    """The options of a command as they are typed."""
    return {
        option
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }


def test_every_promised_command_exists() -> None:
    """Scripts rely on the commands: none may be removed."""
    assert {name.replace(".", " ") for name in PROMISED.split()} <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"demo"}))
def test_every_command_has_the_shared_options(name: str) -> None:
    """--json and --data on every command; --actor and --reason on those that change something;
    options are lower case; each has a help text.
    """
    found = options(COMMANDS[name])
    assert {"--json", "--data"} <= found
    assert ({"--actor", "--reason"} <= found) == (name in CHANGING)
    assert all(option == option.lower() for option in found)
    assert COMMANDS[name].help


WRONG_USE = [
    ["batch", "generate", "--billing-company", "acme-us"],
    ["batch", "generate", "--billing-company", "acme-us", "--cut-off", "31.10.2026"],
    ["batch", "download", "B-1", "--format", "docx", "--out", "x"],
    [
        "batch",
        "preview",
        "--billing-company",
        "acme-us",
        "--cut-off",
        "2026-10-31",
        "--missing-timesheets",
        "bill",
    ],
    [
        "batch",
        "preview",
        "--billing-company",
        "acme-us",
        "--cut-off",
        "2026-10-31",
        "--missing-timesheets",
        "later",
        "--reason",
        "x",
    ],
    ["time-groups", "set", "w", "--cycle", "weekly"],
    ["time-groups", "set", "w", "--cycle", "weekly", "--ends-on", "someday"],
    ["time-groups", "set", "none", "--cycle", "monthly"],
    [
        "debtor-terms",
        "set",
        "--billing-company",
        "acme-us",
        "--account-name",
        "A",
        "--exempt",
        "x",
        "--reverse-charge",
        "y",
    ],
    [
        "debtor-terms",
        "set",
        "--billing-company",
        "acme-us",
        "--account-name",
        "A",
        "--zero-documents",
        "perhaps",
    ],
    [
        "debtor-terms",
        "set",
        "--billing-company",
        "acme-us",
        "--account-name",
        "A",
        "--missing-timesheets",
        "hope",
    ],
    ["batch", "what-if", "--billing-company", "acme-us"],
    ["rates", "set", "REQ-1", "--time-type", "REG", "--effective-from", "2026-03-02"],
    [
        "rates",
        "set",
        "REQ-1",
        "--time-type",
        "REG",
        "--effective-from",
        "2026-03-02",
        "--bill-rate",
        "-1",
        "--reason",
        "x",
    ],
    [
        "rates",
        "set",
        "REQ-1",
        "--time-type",
        "REG",
        "--effective-from",
        "2026-03-02",
        "--bill-rate",
        "50",
    ],
    ["rates", "confirm", "REQ-1", "--time-type", "REG", "--effective-from", "2026-03-02"],
    ["pay-lines", "edit", "1"],
    ["pay-lines", "edit", "1", "--quantity", "many"],
    ["pay-lines", "edit", "1", "--quantity", "1", "--amount", "2"],
    ["pay-lines", "list", "--status", "Lost"],
    ["billing-company", "set", "acme-us", "--series", "INV"],
    ["billing-company", "set", "acme-us", "--tax", "VAT=21"],
    ["billing-company", "set", "acme-us", "--gate", "perhaps"],
    ["billing-company", "set", "acme-us", "--time-zone", "Mars/Base"],
    ["billing-company", "set", "acme-us", "--payment-terms", "later"],
    ["invoices", "search", "--type", "bill"],
    ["invoices", "search", "--state", "lost"],
    ["invoices", "ageing", "--billing-company", "acme-us"],
    ["credit", "INV-1", "--reason", "x"],
    ["credit", "INV-1", "--to", "nowhere", "--reason", "x"],
    ["credit", "INV-1", "--to", "rebill", "--reissue", "--reason", "x"],
    ["credit", "INV-1", "--line", "1", "--reissue", "--reason", "x"],
    [
        "credit",
        "INV-1",
        "--line",
        "1",
        "--line",
        "2",
        "--quantity",
        "1",
        "--to",
        "rebill",
        "--reason",
        "x",
    ],
    ["credit", "INV-1", "--line", "1", "--quantity", "0", "--to", "rebill", "--reason", "x"],
    ["credit", "INV-1", "--line", "0", "--to", "rebill", "--reason", "x"],
    ["credit", "INV-1", "--to", "rebill"],
    ["dead-letters", "list", "--state", "lost"],
    ["publish", "timesheet-approved"],
    ["republish"],
    ["republish", "--since", "2026-10-31", "--service", "no one"],
    ["why", "a-line"],
    ["no-such-command"],
]


@pytest.mark.parametrize("arguments", WRONG_USE, ids=" ".join)
def test_wrong_use_is_exit_2_and_names_what_is_wrong(arguments: list[str], tmp_path: Path) -> None:
    """Wrong use is reported before anything is sent, on stderr, with exit 2; stdout stays empty for
    programs.
    """
    data = [] if arguments == ["no-such-command"] else ["--json", "--data", str(tmp_path)]
    result = CliRunner().invoke(application(), [*arguments, *data])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.strip()


NEEDS_A_STACK = [
    ["batch", "list"],
    ["lag"],
    ["verify"],
    ["why", "1"],
    ["health-check", "--billing-company", "acme-us"],
    ["publish", "billto-changed", "--tombstone", "n-1"],
    ["status"],
]


@pytest.mark.parametrize("arguments", NEEDS_A_STACK, ids=" ".join)
def test_without_a_stack_the_message_names_how_to_start_one(
    arguments: list[str], tmp_path: Path, configure: Configure
) -> None:
    """Exit 1, one JSON document, and the command that starts the stack."""
    configure(kafka="", database_url="")
    result = CliRunner().invoke(application(), [*arguments, "--json", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert isinstance(json.loads(result.stdout), dict)
    assert "backoffice up --detach" in result.stderr


KEYS = [
    ("timesheet-approved", '{"timesheet_id": "T-1A", "adjusts": "T-1"}', "T-1"),
    ("timesheet-approved", '{"timesheet_id": "T-1", "adjusts": null}', "T-1"),
    ("requirement-changed", '{"requirement_id": "R-1"}', "R-1"),
    ("billto-changed", '{"node_id": "N-1"}', "N-1"),
    ("placement-created", '{"placement_id": "P-1"}', "P-1"),
    ("operator-commands", '{"command": "generate-batch", "billing_company": "acme-us"}', "acme-us"),
    ("operator-commands", '{"command": "retry-document"}', "fee_realizer"),
    ("operator-commands", '{"command": "republish", "service": "scheduler"}', "scheduler"),
    ("operator-commands", '{"command": "no such"}', "invoicer"),
    ("timesheet-approved", '{"timesheet_id": 7}', None),
    ("timesheet-approved", '{"timesheet_id": ', None),
    ("timesheet-approved", "[1]", None),
    ("timesheet-approved", "[" * 100_000, None),
]


@pytest.mark.parametrize(("topic", "line", "key"), KEYS)
def test_the_key_is_the_id_in_the_body(topic: str, line: str, key: str | None) -> None:
    """All revisions of an original share a key, so they keep their order; a line that cannot be
    read has none and goes out all the same.
    """
    assert record_key(topic, line.encode()) == key
