"""The rate versions of a requirement: who set each, in which rate books it stands, and who let it take its place on documents."""

from services.console.client.books import ReadConnection, Row, found


async def rates(connection: ReadConnection, requirement_id: str, limit: int) -> list[Row]:
    """The versions of a requirement, by time type and from-date, those in force first."""
    rows = await found(
        connection,
        "SELECT requirement_id, time_type, effective_from, source, trim_scale(unit_price) AS unit_price, unit, since_book, until_book, actor"
        " FROM fee_realizer.bill_rate WHERE requirement_id = :id"
        " ORDER BY until_book IS NOT NULL, time_type, effective_from, source, since_book LIMIT :most",
        id=requirement_id,
        most=limit,
    )
    confirmed = await found(
        connection,
        "SELECT time_type, effective_from, rate_book, actor, reason, confirmed_at FROM fee_realizer.confirmed_rate WHERE requirement_id = :id"
        " ORDER BY confirmed_at",
        id=requirement_id,
    )
    return [row | {"confirmed": [one for one in confirmed if _about(one, row)]} for row in rows]


def _about(confirmed: Row, row: Row) -> bool:
    """Whether what was confirmed is this version: of one source, a command's before the ATS's, in that rate book."""
    same = (confirmed["time_type"], confirmed["effective_from"]) == (
        row["time_type"],
        row["effective_from"],
    )
    return bool(
        same
        and row["since_book"] <= confirmed["rate_book"]
        and (row["until_book"] is None or confirmed["rate_book"] < row["until_book"])
    )
