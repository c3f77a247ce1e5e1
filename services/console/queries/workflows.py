"""Approval workflows with their versions, and the options that route by them."""

from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.stored import as_json


async def workflows(connection: ReadConnection, name: str | None = None) -> list[Row]:
    """Every version of the workflows, or of one, newest first; `options` that name it now."""
    rows = await fetch(
        connection,
        "SELECT * FROM invoicer.console_workflow"
        " WHERE CAST(:name AS text) IS NULL OR name = :name ORDER BY name, version DESC",
        name=name,
    )
    for row in rows:
        row["steps"], row["forbids"] = as_json(row["steps"]), as_json(row["forbids"])
    return rows
