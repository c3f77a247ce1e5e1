"""`backoffice publish --wait` and `lag --wait` end when the services have read everything."""

import asyncio
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.testing import CliRunner

from services.console.cli import application
from tests.builders import command, requirement
from tests.running import records_of, running

NOT_LONG = ("--wait", "--timeout", "0.5")


async def typed(*words: object, exit_code: int = 0) -> Any:
    """The JSON document of a command that must end with this exit."""
    line = [*map(str, words), "--json"]
    result = await asyncio.to_thread(CliRunner().invoke, application(), line)
    assert result.exit_code == exit_code, result.stdout + result.stderr
    return json.loads(result.stdout) | {"stderr": result.stderr}


def lines(folder: Path, *records: BaseModel) -> Path:
    """A file of these records."""
    file = folder / "records.jsonl"
    file.write_text("".join(f"{one.model_dump_json()}\n" for one in records))
    return file


async def test_waiting_ends_when_all_is_read(stack: dict[str, str], tmp_path: Path) -> None:
    """Exit 1 with the names of those that are behind while no worker runs, exit 0 once they read.

    Of published commands the results are shown, and a refusal is exit 1. A file with something
    that is no command is refused whole.
    """
    assert (await typed("lag", *NOT_LONG))["behind"] == 0
    facts = lines(tmp_path, requirement())
    seen = await typed("publish", "requirement-changed", facts, *NOT_LONG, exit_code=1)
    assert (seen["published"], seen["behind"]) == (1, 1)
    assert "fee_realizer.requirement-changed did not read all within 0.5 s" in seen["stderr"]
    seen = await typed("lag", *NOT_LONG, exit_code=1)
    assert seen["behind"] == 1
    assert "1 record(s) are still to be read by" in seen["stderr"]
    assert (await typed("lag"))["behind"] == 1, "without --wait it is no failure"
    async with running(stack, tmp_path, "fee_realizer"):
        seen = await typed("publish", "requirement-changed", facts, "--wait")
        assert (seen["published"], seen["behind"]) == (1, 0)
        assert (await typed("lag", "--wait"))["behind"] == 0
        company = command("set-billing-company", billing_company="acme-us", name="Acme")
        discard = command("discard-dead-letter", service="fee_realizer", dead_letter_id=99)
        seen = await typed(
            *("publish", "operator-commands", lines(tmp_path, company, discard), "--wait"),
            exit_code=1,
        )
        assert [(one["command_id"], one["outcome"]) for one in seen["results"]] == [
            (company.command_id, "accepted"),
            (discard.command_id, "refused"),
        ]
    before = len(await records_of("operator-commands"))
    wrong = lines(tmp_path, company, requirement())
    seen = await typed("publish", "operator-commands", wrong, *NOT_LONG, exit_code=1)
    assert (seen["code"], "record 2 of the file" in seen["message"]) == ("unreadable_command", True)
    assert len(await records_of("operator-commands")) == before
