"""The rate versions of a requirement: who set each, in which rate books it is in force, and who
confirmed it.
"""

from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.errors import Refused


async def rates(connection: ReadConnection, requirement_id: str, limit: int) -> list[Row]:
    """The versions of a requirement, by time type and from-date, those in force first."""
    rows = await fetch(
        connection,
        "SELECT r.requirement_id, r.time_type, r.effective_from, r.source,"
        " trim_scale(r.unit_price) AS unit_price, q.currency, r.unit, r.since_book, r.until_book,"
        " r.actor FROM fee_realizer.console_bill_rate r"
        " LEFT JOIN fee_realizer.console_requirement q USING (requirement_id)"
        " WHERE requirement_id = :id"
        " ORDER BY until_book IS NOT NULL, time_type, effective_from, source, since_book LIMIT"
        " :most",
        id=requirement_id,
        most=limit,
    )
    confirmations = await fetch(
        connection,
        "SELECT time_type, effective_from, rate_book, actor, reason, confirmed_at"
        " FROM fee_realizer.console_rate_confirmation WHERE requirement_id = :id ORDER BY"
        " confirmed_at",
        id=requirement_id,
    )
    return [
        row | {"confirmed": [one for one in confirmations if _confirms(one, row)]} for row in rows
    ]


async def company_of_requirement(connection: ReadConnection, requirement_id: str) -> str:
    """The billing company of a requirement. Refused if it is unknown."""
    found = await fetch(
        connection,
        "SELECT billing_company FROM fee_realizer.console_requirement WHERE requirement_id = :id",
        id=requirement_id,
    )
    if not found:
        raise Refused(
            "unknown_requirement", f"no requirement {requirement_id} is known", "check its id"
        )
    return str(found[0]["billing_company"])


def _confirms(confirmation: Row, version: Row) -> bool:
    """Whether a confirmation is of this version: same time type and from-date, and a rate book
    in which it holds.
    """
    same = all(confirmation[name] == version[name] for name in ("time_type", "effective_from"))
    book, until = confirmation["rate_book"], version["until_book"]
    return bool(same and version["since_book"] <= book and (until is None or book < until))
