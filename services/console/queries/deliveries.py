"""Connections to accounting systems and deliveries: states, attempts, and the progress of a
batch.
"""

from collections.abc import Sequence
from typing import Any

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused
from shared.stored import as_json

OPEN = ("queued", "sending", "unknown")
NOT_SENDING = {
    "stopped": "is stopped",
    "login refused": "cannot log in",
    "disconnected": "is disconnected",
}
"""States of a connection that only a person ends, in words."""
RECENT_SECONDS = 120
WAITING_SHOWN = 20
COLUMNS = (
    "delivery_id, ledger, invoice_number, document_type, account_name, invoice_date, currency,"
    " total, batch_id,"
    " state, code, message, fix, remote_number, remote_id, attempts, next_attempt_at, queued_at,"
    " settled_at"
)


async def kinds(connection: ReadConnection) -> list[Row]:
    """The kinds of accounting systems that the running version of arg_sync supports."""
    rows = await fetch(connection, "SELECT * FROM arg_sync.console_ledger_kind ORDER BY kind")
    return [
        row | {name: as_json(row[name]) for name in ("settings", "capabilities")} for row in rows
    ]


async def kind(connection: ReadConnection, name: str) -> Row:
    """One kind. Refused if it is unknown."""
    rows = {row["kind"]: row for row in await kinds(connection)}
    if name in rows:
        return rows[name]
    if not rows:
        raise Refused(
            "kinds_unknown",
            "arg_sync has not run on this database yet, and it is arg_sync that knows the kinds of"
            " ledgers",
            "start it with `backoffice up`",
        )
    raise Refused(
        "unknown_kind", f"there is no ledger of kind {name}", f"use one of {', '.join(rows)}"
    )


async def has_started(connection: ReadConnection) -> bool:
    """Whether arg_sync has stored what it stores at its first start: its kinds and its key."""
    (row,) = await fetch(
        connection,
        "SELECT EXISTS (SELECT FROM arg_sync.console_ledger_kind)"
        " AND EXISTS (SELECT FROM arg_sync.console_sealing_key) AS started",
    )
    return bool(row["started"])


async def sealing_key(connection: ReadConnection) -> Row:
    """The public key with which secrets are sealed. Refused before arg_sync published one."""
    found = await fetch(connection, "SELECT * FROM arg_sync.console_sealing_key")
    if not found:
        raise Refused(
            "no_sealing_key",
            "arg_sync has not published the key with which secrets are sealed",
            "start arg_sync; if it runs, see its log",
        )
    return found[0]


async def ledgers(connection: ReadConnection, ledger: str | None = None) -> list[Row]:
    """Connections with the number of deliveries in each state.

    Refused if the named one does not exist.
    """
    rows = await fetch(
        connection,
        "SELECT * FROM arg_sync.console_connection"
        " WHERE CAST(:ledger AS text) IS NULL OR ledger = :ledger ORDER BY ledger",
        ledger=ledger,
    )
    if ledger is not None and not rows:
        raise Refused(
            "unknown_ledger", f"there is no connection {ledger}", "see `backoffice ledger status`"
        )
    by_ledger: dict[str, dict[str, int]] = {}
    for row in await fetch(
        connection,
        "SELECT ledger, state, count(*) AS n FROM arg_sync.console_delivery GROUP BY ledger, state",
    ):
        by_ledger.setdefault(row["ledger"], {})[row["state"]] = row["n"]
    return [
        row | {"settings": as_json(row["settings"]), "deliveries": by_ledger.get(row["ledger"], {})}
        for row in rows
    ]


async def payment_poll(connection: ReadConnection, ledger: str) -> Row:
    """The reading of payments of one connection. Refused if it does not exist."""
    await ledgers(connection, ledger)
    (found,) = await fetch(
        connection,
        "SELECT * FROM arg_sync.console_payment_poll WHERE ledger = :ledger",
        ledger=ledger,
    )
    return found


async def deliveries(
    connection: ReadConnection,
    ledger: str | None = None,
    state: str | None = None,
    batch_id: str | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Deliveries, the newest first, and how many there are in all."""
    rows, total = await fetch_page(
        connection,
        COLUMNS,
        "arg_sync.console_delivery WHERE (CAST(:ledger AS text) IS NULL OR ledger = :ledger)"
        " AND (CAST(:state AS text) IS NULL OR state = :state)"
        " AND (CAST(:batch AS text) IS NULL OR batch_id = :batch)",
        "delivery_id DESC",
        limit,
        ledger=ledger,
        state=state,
        batch=batch_id,
    )
    waiting = await _waits(connection, [row["delivery_id"] for row in rows])
    return [with_money(row, "total") | waiting.get(row["delivery_id"], {}) for row in rows], total


async def _waits(
    connection: ReadConnection, delivery_ids: Sequence[int]
) -> dict[int, dict[str, str]]:
    """For which document each of these deliveries waits, if for one, and why."""
    ids = list(delivery_ids)
    found = [
        *await fetch(connection, SQL["waiting_in_order"], ids=ids),
        *await fetch(
            connection,
            "SELECT * FROM arg_sync.console_delivery_wait"
            " WHERE delivery_id = ANY(CAST(:ids AS bigint[]))",
            ids=ids,
        ),
    ]
    return {
        row["delivery_id"]: {"waits_for": row["waits_for"], "waits": wait_words(row)}
        for row in found
    }


def wait_words(row: Row) -> str:
    """Why a delivery waits: for its connection, or for another document."""
    ledger, number, why = row["ledger"], row["waits_for"], row["why"]
    message = f": {row['message']}" if row["message"] else ""
    if not number:
        return f"{ledger} {NOT_SENDING[why]}{message}"
    if why == "missing":
        return f"it waits for {number}, which was never queued for {ledger}"
    return f"it waits for {number}, which is {why}{message}"


async def delivery(
    connection: ReadConnection, invoice_number: str, ledger: str | None = None
) -> Row:
    """One delivery with its attempts. Without `ledger` only one ledger may have that number."""
    rows = await fetch(
        connection,
        f"SELECT {COLUMNS}, revision, request_key, request, outcome_unknown, leased_by FROM"
        " arg_sync.console_delivery"
        " WHERE invoice_number = :number AND (CAST(:ledger AS text) IS NULL OR ledger = :ledger)"
        " ORDER BY ledger",
        number=invoice_number,
        ledger=ledger,
    )
    if not rows:
        raise Refused(
            "unknown_delivery",
            f"{invoice_number} was never queued for {ledger or 'any ledger'}",
            "queue its batch with `backoffice batch sync ID`",
        )
    if len(rows) > 1:
        raise Refused(
            "several_deliveries",
            f"{invoice_number} goes to {', '.join(row['ledger'] for row in rows)}",
            "name one with --ledger",
        )
    attempts = await fetch(
        connection,
        "SELECT attempt_no, revision, ended_at, duration_ms, steps, state, code, message, raw,"
        " worker"
        " FROM arg_sync.console_attempt WHERE delivery_id = :id ORDER BY attempt_no",
        id=rows[0]["delivery_id"],
    )
    (one,) = rows
    waiting = await _waits(connection, [one["delivery_id"]])
    waits = {"waits_for": "", "waits": ""} | waiting.get(one["delivery_id"], {})
    return with_money(one, "total") | waits | {"attempts_made": attempts}


async def deliveries_of(
    connection: ReadConnection, invoice_id: int, invoice_number: str
) -> list[Row]:
    """The deliveries of a document, by ledger."""
    rows = await fetch(
        connection,
        f"SELECT {COLUMNS} FROM arg_sync.console_delivery"
        " WHERE invoice_number = :number AND invoice_id = :id ORDER BY ledger",
        number=invoice_number,
        id=invoice_id,
    )
    waiting = await _waits(connection, [row["delivery_id"] for row in rows])
    return [with_money(row, "total") | waiting.get(row["delivery_id"], {}) for row in rows]


async def refused_numbers(
    connection: ReadConnection, ledger: str | None, code: str | None
) -> list[tuple[str, str]]:
    """Ledger and document number of the refused deliveries, of one code if it is named."""
    rows = await fetch(
        connection,
        "SELECT ledger, invoice_number FROM arg_sync.console_delivery WHERE state = 'refused'"
        " AND (CAST(:ledger AS text) IS NULL OR ledger = :ledger) AND (CAST(:code AS text) IS NULL"
        " OR code = :code)"
        " ORDER BY ledger, invoice_date, invoice_id",
        ledger=ledger,
        code=code,
    )
    return [(row["ledger"], row["invoice_number"]) for row in rows]


async def batch_progress(connection: ReadConnection, batch_id: str) -> Row:
    """How far a batch is: deliveries by state, seconds left (None if unknown), what holds it up,
    and how many of the open ones wait for a person (`waiting`: the first of them, and why).
    """
    counts = await fetch(
        connection,
        "SELECT state, count(*) AS n FROM arg_sync.console_delivery WHERE batch_id = :id GROUP BY"
        " state",
        id=batch_id,
    )
    states = {row["state"]: row["n"] for row in counts}
    ledgers = await fetch(connection, SQL["delivery_rates"], id=batch_id, recent=RECENT_SECONDS)
    stopped = [
        f"{row['ledger']} {NOT_SENDING[row['state']]}: {row['message']}"
        for row in ledgers
        if row["state"] in NOT_SENDING
    ]
    resting = [
        f"{row['ledger']} rests: {row['circuit_message']}" for row in ledgers if row["resting"]
    ]
    waiting = await fetch(
        connection,
        "SELECT *, count(*) OVER () AS n FROM arg_sync.console_delivery_wait"
        " WHERE batch_id = :id AND needs_person"
        f" ORDER BY invoice_date, invoice_number LIMIT {WAITING_SHOWN}",
        id=batch_id,
    )
    estimates = [_seconds_left(row) for row in ledgers if row["open"]]
    known = [seconds for seconds in estimates if seconds is not None]
    return {
        "batch_id": batch_id,
        "deliveries": states,
        "open": sum(states.get(state, 0) for state in OPEN),
        "seconds_left": max(known, default=0) if len(known) == len(estimates) else None,
        "held_up": stopped + resting,
        "need_person": waiting[0]["n"] if waiting else 0,
        "waiting": [
            {name: row[name] for name in ("invoice_number", "ledger", "waits_for")}
            | {"waits": wait_words(row)}
            for row in waiting
        ],
    }


def _seconds_left(row: dict[str, Any]) -> int | None:
    """The longer of two estimates: from the rate budget, and from the rate of the last minutes."""
    settings, capabilities = as_json(row["settings"]), as_json(row["capabilities"]) or {}
    per_minute = int(settings.get("per_minute") or capabilities.get("per_minute") or 0)
    calls = row["open"] * int(capabilities.get("steps", 1))
    by_budget = [calls * 60 / per_minute] if per_minute else []
    by_rate = [row["open"] * RECENT_SECONDS / row["recent"]] if row["recent"] else []
    return round(max(by_budget + by_rate)) if by_budget or by_rate else None
