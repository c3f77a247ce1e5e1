"""Connections to ledgers: their settings, state, circuit and checks; and which kinds of ledgers there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.rules.backoff import Circuit
from shared.database import rows, run
from shared.stored import as_json

COLUMNS = (
    "ledger, kind, billing_company, settings, auto_sync, state, message, generation, failures, open_until, circuit_message, check_asked_at,"
    " coalesce(open_until > clock_timestamp(), false) AS open"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection. `open`: the circuit is open, nothing is sent now."""

    ledger: str
    kind: str
    billing_company: str
    settings: Mapping[str, str]
    auto_sync: bool
    state: str
    message: str
    generation: int
    failures: int
    open_until: datetime | None
    circuit_message: str
    check_asked_at: datetime | None
    open: bool


async def connection_for(
    connection: AsyncConnection, ledger: str, *, lock: bool = False
) -> Connection | None:
    """A connection by name; None if there never was one."""
    found = await rows(
        connection,
        f"SELECT {COLUMNS} FROM arg_sync.connection WHERE ledger = :ledger{' FOR NO KEY UPDATE' if lock else ''}",
        ledger=ledger,
    )
    return _connection(found[0]) if found else None


async def connections_of(connection: AsyncConnection, billing_company: str) -> list[Connection]:
    """The connections of a billing company that were not ended."""
    found = await rows(
        connection,
        f"SELECT {COLUMNS} FROM arg_sync.connection WHERE billing_company = :company AND state <> 'disconnected' ORDER BY ledger",
        company=billing_company,
    )
    return [_connection(row) for row in found]


async def ledgers_with_work(connection: AsyncConnection) -> list[Connection]:
    """Connections that work and have a delivery whose time has come, or a check that was asked for; also of stopped ones."""
    found = await rows(
        connection,
        f"SELECT {COLUMNS} FROM arg_sync.connection c WHERE state <> 'disconnected' AND (check_asked_at IS NOT NULL"
        " OR (state = 'connected' AND coalesce(open_until <= clock_timestamp(), true) AND EXISTS (SELECT FROM arg_sync.delivery d"
        "     WHERE d.ledger = c.ledger AND d.state IN ('queued', 'sending', 'unknown') AND d.next_attempt_at <= clock_timestamp()))) ORDER BY ledger",
    )
    return [_connection(row) for row in found]


async def may_send(connection: AsyncConnection, ledger: str, generation: int) -> bool:
    """Whether the connection still is what a run began with: connected, not changed since, its circuit closed."""
    return bool(
        await rows(
            connection,
            "SELECT ledger FROM arg_sync.connection WHERE ledger = :ledger AND generation = :generation AND state = 'connected'"
            " AND coalesce(open_until <= clock_timestamp(), true)",
            ledger=ledger,
            generation=generation,
        )
    )


def _connection(row: Any) -> Connection:
    return Connection(**(row._asdict() | {"settings": as_json(row.settings)}))


async def put_connection(
    connection: AsyncConnection, values: Mapping[str, Any], sealed: str
) -> None:
    """Makes a connection or changes it; its circuit is closed, its customers are asked for again."""
    await run(
        connection,
        "INSERT INTO arg_sync.connection (ledger, kind, billing_company, settings, auto_sync, state, actor, connected_at)"
        " VALUES (:ledger, :kind, :billing_company, CAST(:settings AS jsonb), :auto_sync, 'connected', :actor, now())"
        " ON CONFLICT (ledger) DO UPDATE SET settings = excluded.settings, auto_sync = excluded.auto_sync, state = 'connected', message = '',"
        " generation = connection.generation + 1, failures = 0, open_until = NULL, circuit_message = '', check_asked_at = NULL, checked_at = NULL,"
        " check_outcome = '', check_message = '', actor = excluded.actor, connected_at = excluded.connected_at",
        **values,
    )
    await run(
        connection,
        "INSERT INTO arg_sync.call_pacing (ledger, next_at) VALUES (:ledger, now()) ON CONFLICT DO NOTHING",
        ledger=values["ledger"],
    )
    if sealed:
        await run(
            connection,
            "INSERT INTO arg_sync.secret (ledger, version, sealed) VALUES (:ledger, 1, :sealed)"
            " ON CONFLICT (ledger) DO UPDATE SET version = secret.version + 1, sealed = excluded.sealed, renewing_until = NULL",
            ledger=values["ledger"],
            sealed=sealed,
        )


async def set_state(
    connection: AsyncConnection, ledger: str, state: str, message: str = ""
) -> None:
    """Connected, stopped with a message, or disconnected."""
    await run(
        connection,
        "UPDATE arg_sync.connection SET state = :state, message = :message WHERE ledger = :ledger",
        ledger=ledger,
        state=state,
        message=message,
    )


async def drop_secret(connection: AsyncConnection, ledger: str) -> None:
    """A connection that was ended needs no secrets."""
    await run(connection, "DELETE FROM arg_sync.secret WHERE ledger = :ledger", ledger=ledger)


async def set_circuit(
    connection: AsyncConnection, ledger: str, circuit: Circuit, message: str
) -> None:
    """Keeps failures in a row, and how long the connection rests; a rest is never made shorter."""
    await run(
        connection,
        "UPDATE arg_sync.connection SET failures = :failures, circuit_message = :message,"
        " open_until = CASE WHEN CAST(:open AS float8) > 0"
        "   THEN greatest(open_until, clock_timestamp() + make_interval(secs => CAST(:open AS float8))) ELSE open_until END"
        " WHERE ledger = :ledger",
        ledger=ledger,
        failures=circuit.failures,
        open=circuit.open_seconds,
        message=message,
    )


async def close_circuit(connection: AsyncConnection, ledger: str) -> None:
    """The connection works again."""
    await run(
        connection,
        "UPDATE arg_sync.connection SET failures = 0, open_until = NULL, circuit_message = '' WHERE ledger = :ledger AND failures > 0",
        ledger=ledger,
    )


async def ask_for_check(connection: AsyncConnection, ledger: str) -> None:
    """A worker is to look whether the connection works."""
    await run(
        connection,
        "UPDATE arg_sync.connection SET check_asked_at = now(), check_outcome = '', check_message = '', checked_at = NULL WHERE ledger = :ledger",
        ledger=ledger,
    )


async def add_check(connection: AsyncConnection, ledger: str, outcome: str, message: str) -> None:
    """What the look said."""
    await run(
        connection,
        "UPDATE arg_sync.connection SET check_asked_at = NULL, checked_at = now(), check_outcome = :outcome, check_message = :message WHERE ledger = :ledger",
        ledger=ledger,
        outcome=outcome,
        message=message,
    )


async def put_kinds(connection: AsyncConnection, kinds: Sequence[Mapping[str, Any]]) -> None:
    """Which kinds of ledgers this version knows, with the settings of each."""
    for kind in kinds:
        await run(
            connection,
            "INSERT INTO arg_sync.ledger_kind (kind, title, needs, settings, capabilities)"
            " VALUES (:kind, :title, :needs, CAST(:settings AS jsonb), CAST(:capabilities AS jsonb))"
            " ON CONFLICT (kind) DO UPDATE SET title = excluded.title, needs = excluded.needs, settings = excluded.settings,"
            " capabilities = excluded.capabilities",
            **kind,
        )
