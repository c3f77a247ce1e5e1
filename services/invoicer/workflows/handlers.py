"""The command that sets an approval workflow."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.workflows.store import versions as store
from services.invoicer.workflows.store.versions import WorkflowVersion
from shared.consumer.commands import Answer, CommandHandler
from shared.events.commands import SetWorkflow
from shared.terms import counted


async def on_set_workflow(connection: AsyncConnection, command: SetWorkflow) -> Answer:
    """Save a version of a workflow, unless it is as it was."""
    before = await store.workflow_for(connection, command.name)
    number = before.version if before else 0
    after = WorkflowVersion(command.name, number + 1, command.steps, command.forbids)
    unchanged = before is not None and before.values == after.values
    if unchanged:
        after = after._replace(version=number)
    else:
        await store.add_version(connection, after, command.actor, command.reason)
    steps = counted(len(after.steps), "step")
    kept = f"; drafts that exist keep version {number}" if before and not unchanged else ""
    return Answer(
        f"workflow {after.name} has {steps}: version {after.version}"
        f"{' as it was' if unchanged else kept}",
        details={"name": after.name, "version": after.version} | after.values,
        before=before.values if before else None,
        after=after.values,
        subjects=[f"workflow {after.name}"],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {SetWorkflow: on_set_workflow}
