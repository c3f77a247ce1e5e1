"""Approval workflows through the invoicer: versions, what the console shows, findings."""

import json
from typing import Any

import pytest

from services.console.queries.workflows import workflows
from tests.builders import command
from tests.conftest import EngineOf, UnitOfWorkFor
from tests.handlers.test_console_reads import Read, read
from tests.in_process import Pipeline

__all__ = ["read"]

ONE = {"step": "one", "approvers": ["role:controller"]}


class Office:
    """A pipeline that takes commands."""

    def __init__(self, engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor) -> None:
        self.engine_of, self.pipeline = engine_of, Pipeline(unit_of_work_for)

    async def send(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        sent = command(name, **fields)
        self.pipeline.send("operator-commands", sent)
        await self.pipeline.settle()
        return json.loads(self.pipeline.answers()[sent.command_id])  # type: ignore[no-any-return]


@pytest.fixture
async def office(engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor) -> Office:
    """Without data."""
    return Office(engine_of, unit_of_work_for)


async def test_a_change_is_a_version_of_its_own(office: Office, read: Read) -> None:
    """The same steps change nothing; others are the next version, and the first one stays."""
    first = await office.send("set-workflow", name="W", steps=[ONE])
    assert first["message"] == "workflow W has 1 step: version 1"
    again = await office.send("set-workflow", name="W", steps=[ONE])
    assert again["message"] == "workflow W has 1 step: version 1 as it was"
    two = {"step": "two", "order": "with", "approvers": ["person:ann"]}
    forbids = [{"status": "pending_finalization", "action": "edit"}]
    changed = await office.send("set-workflow", name="W", steps=[ONE, two], forbids=forbids)
    assert changed["message"] == (
        "workflow W has 2 steps: version 2; drafts that exist keep version 1"
    )
    shown = await read(lambda connection: workflows(connection, "W"))
    assert [(row["version"], row["newest"], len(row["steps"])) for row in shown] == [
        (2, True, 2), (1, False, 1),
    ]  # fmt: skip
    assert shown[0]["forbids"] == forbids
