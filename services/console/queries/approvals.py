"""Who approves a draft, and who is next."""

from itertools import groupby
from typing import Any

from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.errors import Refused


async def _draft(connection: ReadConnection, draft: str) -> Row:
    name = draft.partition("@")[0].strip().upper()
    rows = await fetch(
        connection,
        "SELECT draft_id, draft, version, status, workflow, workflow_version"
        " FROM invoicer.console_draft WHERE draft = :name",
        name=name,
    )
    if not rows:
        raise Refused("unknown_draft", f"there is no draft {draft}", "give its id, as D-000001")
    return rows[0]


async def draft_version(connection: ReadConnection, draft: str) -> int:
    """The present version of a draft. Raises `Refused` if there is none of that name."""
    return int((await _draft(connection, draft))["version"])


async def draft_routing(connection: ReadConnection, draft: str) -> dict[str, Any]:
    """A draft with its approvers by version, newest first; `next`: who must approve now.

    Raises `Refused` if there is no draft of that name.
    """
    head = await _draft(connection, draft)
    rows = await fetch(
        connection,
        "SELECT version, step_no, step, stage, mandatory, given, who, person, actor, reason,"
        " approved_at FROM invoicer.console_draft_approver WHERE draft_id = :id"
        " ORDER BY version DESC, step_no, place_no",
        id=head["draft_id"],
    )
    for row in rows:
        kind, _, value = row["who"].partition(":")
        row["approver"] = f"role {value}" if kind == "role" else value or f"no one ({row['given']})"
    versions = [
        {"version": version, "approvers": list(of_version)}
        for version, of_version in groupby(rows, key=lambda row: row["version"])
    ]
    present = [row for row in rows if row["version"] == head["version"]]
    waits = head["status"] == "pending_approval_routing"
    return head | {"next": _next(present) if waits else [], "versions": versions}


def _next(rows: list[Row]) -> list[str]:
    """The approvers of the first stage in which mandatory approvals are missing, by step."""
    steps = [list(of_step) for _, of_step in groupby(rows, key=lambda row: row["step_no"])]
    missing = [
        step for step in steps if sum(bool(row["person"]) for row in step) < step[0]["mandatory"]
    ]
    return [
        f"{step[0]['step']}: {', '.join(row['approver'] for row in step if not row['person'])}"
        for step in missing
        if step[0]["stage"] == missing[0][0]["stage"]
    ]
