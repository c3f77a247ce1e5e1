"""Connections to ledgers with state, circuit and checks; and the ledger systems that exist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store.states import CIRCUIT_CLOSED, SendingStates
from shared.database import rows, run
from shared.stored import as_json

STOPPED = {"stopped": "is stopped", "login refused": "cannot log in"}
"""States in which nothing is sent until an operator changes or tests the connection, in words."""
STATES = SendingStates("arg_sync.connection", "ledger", "connected")
COLUMNS = (
    "ledger AS name, kind, billing_company, settings, auto_sync, state, message, generation,"
    " failures, circuit_message, check_requested_at,"
    " coalesce(open_until > clock_timestamp(), false) AS circuit_open"
)


@dataclass(frozen=True, slots=True)
class LedgerConnection:
    """A connection to a ledger. While `circuit_open` is true, nothing is sent."""

    name: str
    kind: str
    billing_company: str
    settings: Mapping[str, str]
    auto_sync: bool
    state: str
    message: str
    generation: int
    failures: int
    circuit_message: str
    check_requested_at: datetime | None
    circuit_open: bool


async def _select(
    connection: AsyncConnection, condition: str, **values: Any
) -> list[LedgerConnection]:
    found = await rows(
        connection, f"SELECT {COLUMNS} FROM arg_sync.connection c WHERE {condition}", **values
    )
    return [
        LedgerConnection(**(row._asdict() | {"settings": as_json(row.settings)})) for row in found
    ]


async def connection_for(
    connection: AsyncConnection, ledger: str, *, lock: bool = False
) -> LedgerConnection | None:
    """Return a connection by name, or None if it never existed."""
    locking = " FOR NO KEY UPDATE" if lock else ""
    found = await _select(connection, f"ledger = :ledger{locking}", ledger=ledger)
    return found[0] if found else None


async def company_setting(
    connection: AsyncConnection, billing_company: str, name: Literal["tax_basis", "time_zone"]
) -> str:
    """Return a setting of a billing company; "" if the company is not known."""
    found = await rows(
        connection,
        f"SELECT {name} AS value FROM fee_realizer.billing_company_settings"
        " WHERE billing_company = :company",
        company=billing_company,
    )
    return str(found[0].value) if found else ""


async def connections_named(
    connection: AsyncConnection, ledgers: Sequence[str]
) -> list[LedgerConnection]:
    """Return the connections of these names."""
    if not ledgers:
        return []
    return await _select(
        connection, "ledger = ANY(CAST(:ledgers AS text[])) ORDER BY ledger", ledgers=list(ledgers)
    )


async def connections_of(
    connection: AsyncConnection, billing_company: str
) -> list[LedgerConnection]:
    """Return the connections of a billing company, except disconnected ones."""
    return await _select(
        connection,
        "billing_company = :company AND state <> 'disconnected' ORDER BY ledger",
        company=billing_company,
    )


async def connections_with_work(connection: AsyncConnection) -> list[LedgerConnection]:
    """Return the connections with a requested check or, if they are connected, a due delivery."""
    return await _select(
        connection,
        "state <> 'disconnected' AND (check_requested_at IS NOT NULL"
        f" OR (state = 'connected' AND {CIRCUIT_CLOSED}"
        "   AND EXISTS (SELECT FROM arg_sync.delivery d WHERE d.ledger = c.ledger"
        "     AND d.state IN ('queued', 'sending', 'unknown')"
        "     AND d.next_attempt_at <= clock_timestamp()"
        "     AND NOT EXISTS (SELECT FROM arg_sync.waiting_credit_note w"
        "       WHERE w.delivery_id = d.delivery_id))))"
        " ORDER BY ledger",
    )


async def put_connection(connection: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Add or change a connection. The new generation closes the circuit and drops cached ids."""
    await run(
        connection,
        "INSERT INTO arg_sync.connection AS c"
        " (ledger, kind, billing_company, settings, auto_sync, state, actor, connected_at)"
        " VALUES (:ledger, :kind, :billing_company, CAST(:settings AS jsonb), :auto_sync,"
        "   'connected', :actor, now())"
        " ON CONFLICT (ledger) DO UPDATE SET settings = excluded.settings,"
        " auto_sync = excluded.auto_sync, state = 'connected', message = '',"
        " generation = c.generation + 1, failures = 0, open_until = NULL,"
        " circuit_message = '', check_requested_at = NULL, checked_at = NULL, check_outcome = '',"
        " check_message = '', actor = excluded.actor, connected_at = excluded.connected_at",
        **values,
    )
    await run(
        connection,
        "INSERT INTO arg_sync.call_pacing (ledger, next_at) VALUES (:ledger, now())"
        " ON CONFLICT DO NOTHING",
        ledger=values["ledger"],
    )


async def request_check(connection: AsyncConnection, ledger: str) -> None:
    """Ask a worker to check whether the connection works."""
    await run(
        connection,
        "UPDATE arg_sync.connection SET check_requested_at = now(), check_outcome = '',"
        " check_message = '', checked_at = NULL WHERE ledger = :ledger",
        ledger=ledger,
    )


async def add_check(connection: AsyncConnection, ledger: str, outcome: str, message: str) -> None:
    """Store the result of a check."""
    await run(
        connection,
        "UPDATE arg_sync.connection SET check_requested_at = NULL, checked_at = now(),"
        " check_outcome = :outcome, check_message = :message WHERE ledger = :ledger",
        ledger=ledger,
        outcome=outcome,
        message=message,
    )


async def put_ledger_kinds(connection: AsyncConnection, kinds: Sequence[Mapping[str, Any]]) -> None:
    """Store the ledger systems that this version supports, with the settings of each."""
    for kind in kinds:
        await run(
            connection,
            "INSERT INTO arg_sync.ledger_kind (kind, title, needs, settings, capabilities)"
            " VALUES (:kind, :title, :needs, CAST(:settings AS jsonb),"
            "   CAST(:capabilities AS jsonb))"
            " ON CONFLICT (kind) DO UPDATE SET title = excluded.title, needs = excluded.needs,"
            " settings = excluded.settings, capabilities = excluded.capabilities",
            **kind,
        )
