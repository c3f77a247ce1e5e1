"""The routing of drafts: the steps of each version, who approves them, and who approved.

A version of a draft is routed once, when it begins to wait for approval; its steps then stay as
they are. Only who approves may change, when a place is given to another person.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.workflows.rules import (
    Approval,
    Approver,
    DraftFacts,
    RoutedStep,
    Routing,
    route,
    with_reassigned,
)
from services.invoicer.workflows.store.versions import WorkflowVersion, version_of
from shared.database import insert_rows, rows, run
from shared.events.commands.workflows import FIELD
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_DEPARTMENT, _LOCATION = ".department", ".location"
"""Fields of the engagement besides the custom ones, whose names begin with no point."""


async def start_routing(connection: AsyncConnection, draft_ids: Iterable[int]) -> list[int]:
    """Route the present versions of drafts that wait for approval, unless they are routed.

    Returns the drafts that no step applies to: they need no approval. The caller holds the locks of
    the drafts, and their lines and figures are stored.
    """
    ids = sorted(set(draft_ids))
    found = await rows(connection, _QUERIES["drafts_to_route"], ids=ids) if ids else []
    if not found:
        return []
    workflows = {row.draft_id: version_of(row) for row in found}
    values = await _engagement_values(connection, workflows)
    replaced: dict[int, dict[tuple[str, str], str]] = {}
    for row in await rows(connection, _QUERIES["reassigned"], ids=list(workflows)):
        replaced.setdefault(row.draft_id, {})[row.step, row.planned] = row.who
    versions = {row.draft_id: row.draft_version for row in found}
    routed: dict[int, list[RoutedStep]] = {}
    for row in found:
        custom = values.get(row.draft_id, {})
        facts = DraftFacts(
            row.currency,
            row.net,
            custom.get(_DEPARTMENT, frozenset()),
            custom.get(_LOCATION, frozenset()),
            custom,
        )
        routed[row.draft_id] = route(workflows[row.draft_id].steps, facts)
    await _add_routing(connection, versions, routed, replaced)
    return [draft_id for draft_id, steps in routed.items() if not steps]


async def _engagement_values(
    connection: AsyncConnection, workflows: Mapping[int, WorkflowVersion]
) -> dict[int, dict[str, frozenset[str]]]:
    """Return what the lines of drafts have in the fields that steps ask for, by draft and field."""
    fields = {_DEPARTMENT, _LOCATION} | {
        each.partition(":")[2]
        for workflow in set(workflows.values())
        for step in workflow.steps
        for each in step.approvers
        if each.startswith(f"{FIELD}:")
    }
    found: dict[int, dict[str, frozenset[str]]] = {}
    for row in await rows(
        connection, _QUERIES["engagement_values"], ids=list(workflows), fields=sorted(fields)
    ):
        of_draft = found.setdefault(row.draft_id, {})
        of_draft[row.field] = of_draft.get(row.field, frozenset()) | {row.value}
    return found


async def _add_routing(
    connection: AsyncConnection,
    versions: Mapping[int, int],
    routed: Mapping[int, Sequence[RoutedStep]],
    replaced: Mapping[int, Mapping[tuple[str, str], str]],
) -> None:
    await insert_rows(
        connection, "invoicer.draft_routing", "draft_id bigint, version integer", versions.items()
    )
    steps, approvers = [], []
    for draft_id, of_draft in routed.items():
        for step_no, planned in enumerate(of_draft, start=1):
            place = (draft_id, versions[draft_id], step_no)
            step = with_reassigned(planned, replaced.get(draft_id, {}))
            steps.append((*place, step.name, step.stage, step.mandatory))
            approvers += [
                (*place, number, each.given, each.planned, each.who)
                for number, each in enumerate(step.approvers, start=1)
            ]
    key = "draft_id bigint, version integer, step_no smallint, "
    await insert_rows(
        connection,
        "invoicer.draft_step",
        key + "step text, stage smallint, mandatory smallint",
        steps,
    )
    await insert_rows(
        connection,
        "invoicer.draft_approver",
        key + "place_no smallint, given text, planned text, who text",
        approvers,
    )


async def routing_of(connection: AsyncConnection, draft_id: int, version: int) -> Routing:
    """Return the steps of a version of a draft with their approvers and approvals."""
    found = await rows(connection, _QUERIES["routed_steps"], id=draft_id, version=version)
    steps = []
    for _, group in groupby(found, key=attrgetter("step_no")):
        of_step: list[Any] = list(group)
        first = of_step[0]
        places = tuple(Approver(row.given, row.planned, row.who) for row in of_step)
        steps.append(RoutedStep(first.step, first.stage, first.mandatory, places))
    approvals = await rows(connection, _QUERIES["approvals"], id=draft_id, version=version)
    return Routing(steps, [Approval(*row) for row in approvals])


async def add_approvals(
    connection: AsyncConnection,
    draft_id: int,
    version: int,
    approvals: Collection[Approval],
    *,
    reason: str,
    command_id: str,
    at: datetime,
) -> None:
    """Store the approvals of one person: at most one in each step."""
    first = next(iter(approvals))
    await run(
        connection,
        _QUERIES["add_approvals"],
        id=draft_id,
        version=version,
        steps=[each.step for each in approvals],
        who=[each.who for each in approvals],
        person=first.person,
        actor=first.actor,
        reason=reason,
        command_id=command_id,
        at=at,
    )


async def reassign(
    connection: AsyncConnection, draft_id: int, version: int, step: str, who: str, to: str
) -> None:
    """Give a place in a step to another approver."""
    await run(
        connection,
        _QUERIES["reassign"],
        id=draft_id,
        version=version,
        step=step,
        who=who,
        to=to,
    )
