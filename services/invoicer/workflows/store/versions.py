"""The versions of approval workflows. A version never changes; a draft keeps the one it has."""

import json
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.events.commands.workflows import Forbidden, WorkflowStep
from shared.stored import as_json


class WorkflowVersion(NamedTuple):
    """A version of a workflow: its steps, and what it forbids."""

    name: str
    version: int
    steps: tuple[WorkflowStep, ...]
    forbids: tuple[Forbidden, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """The definition with JSON values, without name and version."""
        return {
            "steps": [each.model_dump(mode="json") for each in self.steps],
            "forbids": [each.model_dump(mode="json") for each in self.forbids],
        }


async def workflow_for(connection: AsyncConnection, name: str) -> WorkflowVersion | None:
    """Return the newest version of a workflow; None if there is none of that name."""
    found = await rows(
        connection,
        "SELECT name, version, steps, forbids FROM invoicer.workflow WHERE name = :name"
        " ORDER BY version DESC LIMIT 1",
        name=name,
    )
    return version_of(found[0]) if found else None


def version_of(row: Any) -> WorkflowVersion:
    """Return the version of a row of `invoicer.workflow`."""
    return WorkflowVersion(
        row.name,
        row.version,
        tuple(WorkflowStep.model_validate(each) for each in as_json(row.steps)),
        tuple(Forbidden.model_validate(each) for each in as_json(row.forbids)),
    )


async def workflow_names(connection: AsyncConnection) -> list[str]:
    """Return the names of all workflows."""
    found = await rows(connection, "SELECT DISTINCT name FROM invoicer.workflow ORDER BY name")
    return [row.name for row in found]


async def add_version(
    connection: AsyncConnection, workflow: WorkflowVersion, actor: str, reason: str
) -> None:
    """Add a version of a workflow."""
    values = {name: json.dumps(value) for name, value in workflow.values.items()}
    await run(
        connection,
        "INSERT INTO invoicer.workflow (name, version, steps, forbids, actor, reason)"
        " VALUES (:name, :version, CAST(:steps AS jsonb), CAST(:forbids AS jsonb), :actor,"
        " :reason)",
        name=workflow.name,
        version=workflow.version,
        actor=actor,
        reason=reason,
        **values,
    )
