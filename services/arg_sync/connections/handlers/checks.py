"""Checks of connections that an operator requested: the login, the setup, the mapping."""

from collections.abc import Awaitable, Callable, Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from services.arg_sync.connections.handlers.adapters import OpenAdapter
from services.arg_sync.connections.handlers.circuit import lock_unchanged, stop_connection
from services.arg_sync.connections.store import connections, mappings
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.adapter import AdapterSpec
from services.arg_sync.ledgers.codes import (
    CodeKind,
    CodeProblem,
    LedgerCode,
    ListsCodes,
    code_problems,
    wanted_codes,
)
from services.arg_sync.ledgers.failures import Failure
from shared.terms import counted


async def run_check(
    engine: AsyncEngine, ledger: LedgerConnection, open_adapter: OpenAdapter, spec: AdapterSpec
) -> None:
    """Check a connection and store the result.

    One that works is resumed; one whose login is refused, or whose ledger is not set up for us at
    all, stops.
    """
    problems: Sequence[CodeProblem] | None = None
    unfit: Failure | None = None
    stopped_by: Failure | None = None
    try:
        message = await open_adapter.call(open_adapter.adapter.check)
        outcome = "ok"
        problems, note = await _mapping_problems(engine, ledger, open_adapter, spec)
        message += note
    except Failure as failed:
        outcome, message = "failed", f"{failed.code}: {failed.message}"
        unfit = failed if failed.failure == "permanent" and failed.everywhere else None
        stopped_by = failed if failed.failure == "auth" else None
    async with engine.begin() as connection:
        now = await lock_unchanged(connection, ledger)
        if now is None or now.check_requested_at != ledger.check_requested_at:
            return  # what changed meanwhile, the connection or its mapping, has a check of its own
        await connections.add_check(connection, ledger.name, outcome, message)
        if problems is not None:
            await mappings.put_problems(connection, ledger.name, problems)
        if unfit is not None and now.state == "connected":
            await connections.STATES.set_state(connection, ledger.name, "stopped", unfit.message)
        if outcome == "ok":
            await connections.STATES.close_circuit(connection, ledger.name)
            if now.state in connections.STOPPED:
                await connections.STATES.set_state(connection, ledger.name, "connected")
        if stopped_by is not None:
            await stop_connection(connection, ledger, stopped_by)


async def _mapping_problems(
    engine: AsyncEngine, ledger: LedgerConnection, open_adapter: OpenAdapter, spec: AdapterSpec
) -> tuple[Sequence[CodeProblem] | None, str]:
    """Check the mapping against the codes of the ledger; return its problems and a note.

    None if the ledger cannot list its codes or does not let us read them.
    """
    adapter = open_adapter.adapter
    if not isinstance(adapter, ListsCodes):
        if not open_adapter.capabilities.maps_codes:
            return None, ""
        return None, f"; its mapping is not checked: {spec.title} does not list its codes to us"
    async with engine.connect() as connection:
        mapped = await mappings.codes_for(connection, ledger.name)
        company = await mappings.company_codes(connection, ledger.billing_company)
    listed: dict[CodeKind, Sequence[LedgerCode]] = {}
    try:
        for kind, wanted in wanted_codes(mapped, company).items():
            found = await open_adapter.call(_listing(adapter, kind, wanted))
            if found is not None:
                listed[kind] = found
    except Failure as failed:
        return None, f"; its mapping could not be checked: {failed.message}"
    problems = code_problems(spec, mapped, company, listed)
    note = f"; its mapping has {counted(len(problems), 'problem')}" if problems else ""
    return problems, note


def _listing(
    adapter: ListsCodes, kind: CodeKind, wanted: Collection[str]
) -> Callable[[], Awaitable[Sequence[LedgerCode] | None]]:
    return lambda: adapter.codes(kind, wanted)


async def fail_to_open(engine: AsyncEngine, ledger: LedgerConnection, failed: Failure) -> None:
    """Stop a connection whose adapter cannot be opened; that fails a requested check, too."""
    async with engine.begin() as connection:
        if ledger.check_requested_at is not None and await lock_unchanged(connection, ledger):
            message = f"{failed.code}: {failed.message}"
            await connections.add_check(connection, ledger.name, "failed", message)
        await stop_connection(connection, ledger, failed)
