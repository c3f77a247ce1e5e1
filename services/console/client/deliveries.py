"""Ledgers and deliveries as the console shows them: connections, states, attempts, progress with the time that is left."""

from typing import Any

from services.console.client.books import ReadConnection, Row, found
from services.console.client.figures import with_money
from shared.errors import Refused
from shared.stored import as_json

OPEN = ("queued", "sending", "unknown")
RECENT_SECONDS = 120
DELIVERY = (
    "d.delivery_id, d.ledger, d.invoice_number, d.document_type, d.account_name, d.invoice_date, d.currency, d.total, d.batch_id, d.state, d.code, d.message,"
    " d.fix, d.remote_number, d.remote_id, d.attempts, d.next_attempt_at, d.queued_at, d.settled_at"
)
CONNECTION = (
    "ledger, kind, billing_company, state, message, auto_sync, settings, failures, open_until, circuit_message,"
    " coalesce(open_until > clock_timestamp(), false) AS resting, check_asked_at, checked_at, check_outcome, check_message, actor, connected_at"
)


async def kinds(connection: ReadConnection) -> list[Row]:
    """The kinds of ledgers that the running version of arg_sync knows."""
    rows = await found(
        connection,
        "SELECT kind, title, needs, settings, capabilities FROM arg_sync.ledger_kind ORDER BY kind",
    )
    return [
        row | {"settings": as_json(row["settings"]), "capabilities": as_json(row["capabilities"])}
        for row in rows
    ]


async def kind(connection: ReadConnection, name: str) -> Row:
    """One kind. Refused if it is not known."""
    rows = await kinds(connection)
    for row in rows:
        if row["kind"] == name:
            return row
    if not rows:
        raise Refused(
            "kinds_unknown",
            "arg_sync never ran on these books: it is it that knows the kinds of ledgers",
            "start it with `backoffice up`",
        )
    raise Refused(
        "unknown_kind",
        f"there is no ledger of kind {name}",
        f"say one of {', '.join(row['kind'] for row in rows)}",
    )


async def ledgers(connection: ReadConnection, ledger: str | None = None) -> list[Row]:
    """Connections with how many deliveries of each are in which state. Refused if the named one is not there."""
    rows = await found(
        connection,
        f"SELECT {CONNECTION} FROM arg_sync.connection WHERE CAST(:ledger AS text) IS NULL OR ledger = :ledger ORDER BY ledger",
        ledger=ledger,
    )
    if ledger is not None and not rows:
        raise Refused(
            "unknown_ledger", f"there is no connection {ledger}", "see `backoffice ledger status`"
        )
    counts = await found(
        connection,
        "SELECT ledger, state, count(*) AS n FROM arg_sync.delivery GROUP BY ledger, state",
    )
    by_ledger: dict[str, dict[str, int]] = {}
    for row in counts:
        by_ledger.setdefault(row["ledger"], {})[row["state"]] = row["n"]
    return [
        row | {"settings": as_json(row["settings"]), "deliveries": by_ledger.get(row["ledger"], {})}
        for row in rows
    ]


async def deliveries(
    connection: ReadConnection,
    ledger: str | None = None,
    state: str | None = None,
    batch_id: str | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Deliveries, the newest first, and how many there are in all."""
    which = (
        "FROM arg_sync.delivery d WHERE (CAST(:ledger AS text) IS NULL OR d.ledger = :ledger) AND (CAST(:state AS text) IS NULL OR d.state = :state)"
        " AND (CAST(:batch AS text) IS NULL OR d.batch_id = :batch)"
    )
    values: dict[str, Any] = {"ledger": ledger, "state": state, "batch": batch_id}
    total = (await found(connection, f"SELECT count(*) AS number {which}", **values))[0]["number"]
    rows = await found(
        connection,
        f"SELECT {DELIVERY} {which} ORDER BY d.delivery_id DESC LIMIT :most",
        most=limit,
        **values,
    )
    return [with_money(row, "total") for row in rows], total


async def delivery(
    connection: ReadConnection, invoice_number: str, ledger: str | None = None
) -> Row:
    """One delivery with its attempts. Without `ledger` it must be the only one of that number."""
    rows = await found(
        connection,
        f"SELECT {DELIVERY}, d.revision, d.request_key, d.request, d.doubt, d.leased_by FROM arg_sync.delivery d"
        " WHERE d.invoice_number = :number AND (CAST(:ledger AS text) IS NULL OR d.ledger = :ledger) ORDER BY d.ledger",
        number=invoice_number,
        ledger=ledger,
    )
    if not rows:
        raise Refused(
            "unknown_delivery",
            f"{invoice_number} was never to go to {ledger or 'any ledger'}",
            "queue its batch with `backoffice batch sync ID`",
        )
    if len(rows) > 1:
        raise Refused(
            "several_deliveries",
            f"{invoice_number} goes to {', '.join(row['ledger'] for row in rows)}",
            "name one with --ledger",
        )
    attempts = await found(
        connection,
        "SELECT attempt_no, revision, ended_at, duration_ms, steps, state, code, message, worker FROM arg_sync.attempt"
        " WHERE delivery_id = :id ORDER BY attempt_no",
        id=rows[0]["delivery_id"],
    )
    return with_money(rows[0], "total") | {"attempts_made": attempts}


async def refused_numbers(
    connection: ReadConnection, ledger: str | None, code: str | None
) -> list[tuple[str, str]]:
    """Ledger and number of the deliveries that are refused, of one code if it is named."""
    rows = await found(
        connection,
        "SELECT ledger, invoice_number FROM arg_sync.delivery WHERE state = 'refused' AND (CAST(:ledger AS text) IS NULL OR ledger = :ledger)"
        " AND (CAST(:code AS text) IS NULL OR code = :code) ORDER BY ledger, invoice_date, invoice_id",
        ledger=ledger,
        code=code,
    )
    return [(row["ledger"], row["invoice_number"]) for row in rows]


async def batch_progress(connection: ReadConnection, batch_id: str) -> Row:
    """How far a batch is: deliveries by state, seconds that are left (None if nobody can tell), and what holds it up."""
    counts = await found(
        connection,
        "SELECT state, count(*) AS n FROM arg_sync.delivery WHERE batch_id = :id GROUP BY state",
        id=batch_id,
    )
    states = {row["state"]: row["n"] for row in counts}
    ahead = await found(
        connection,
        "SELECT c.ledger, c.state, c.message, c.circuit_message, coalesce(c.open_until > clock_timestamp(), false) AS resting, k.capabilities, c.settings,"
        " count(*) FILTER (WHERE d.state IN ('queued', 'sending', 'unknown')) AS open,"
        " count(*) FILTER (WHERE d.settled_at > clock_timestamp() - make_interval(secs => :recent)) AS recent"
        " FROM arg_sync.delivery d JOIN arg_sync.connection c USING (ledger) LEFT JOIN arg_sync.ledger_kind k ON k.kind = c.kind"
        " WHERE c.ledger IN (SELECT ledger FROM arg_sync.delivery WHERE batch_id = :id) GROUP BY c.ledger, k.capabilities",
        id=batch_id,
        recent=RECENT_SECONDS,
    )
    stopped = [
        f"{row['ledger']} is stopped: {row['message']}"
        for row in ahead
        if row["state"] == "stopped"
    ]
    resting = [
        f"{row['ledger']} rests: {row['circuit_message']}" for row in ahead if row["resting"]
    ]
    left = [_seconds_left(row) for row in ahead if row["open"]]
    known = [one for one in left if one is not None]
    return {
        "batch_id": batch_id,
        "deliveries": states,
        "open": sum(states.get(state, 0) for state in OPEN),
        "seconds_left": max(known)
        if known and len(known) == len(left)
        else 0
        if not left
        else None,
        "held_up": stopped + resting,
    }


def _seconds_left(row: Row) -> int | None:
    """From the rate budget, and from how fast it went lately: the slower of the two is what will be."""
    settings, able = as_json(row["settings"]), as_json(row["capabilities"]) or {}
    per_minute = int(settings.get("per_minute") or able.get("per_minute") or 0)
    by_budget = row["open"] * int(able.get("steps", 1)) * 60 / per_minute if per_minute else None
    by_pace = row["open"] * RECENT_SECONDS / row["recent"] if row["recent"] else None
    known = [one for one in (by_budget, by_pace) if one is not None]
    return round(max(known)) if known else None
