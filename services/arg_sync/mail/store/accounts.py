"""Mail accounts of billing companies, and how well their servers answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store.states import CIRCUIT_CLOSED, SendingStates
from shared.database import rows, run
from shared.stored import as_json

STATES = SendingStates("arg_sync.mail_account", "billing_company", "ready")
COLUMNS = "billing_company, settings, state, message, generation, failures"


@dataclass(frozen=True, slots=True)
class MailAccount:
    """How a billing company sends e-mails. `generation` counts changes of the settings."""

    billing_company: str
    settings: Mapping[str, str]
    state: str
    message: str
    generation: int
    failures: int

    @property
    def name(self) -> str:
        """Return the name under which a loop works on it."""
        return self.billing_company


async def _select(connection: AsyncConnection, condition: str, **values: str) -> list[MailAccount]:
    found = await rows(
        connection, f"SELECT {COLUMNS} FROM arg_sync.mail_account a WHERE {condition}", **values
    )
    return [MailAccount(**(row._asdict() | {"settings": as_json(row.settings)})) for row in found]


async def account_for(connection: AsyncConnection, billing_company: str) -> MailAccount | None:
    """Lock and return the account of a billing company; None if it has none."""
    found = await _select(
        connection, "billing_company = :company FOR NO KEY UPDATE", company=billing_company
    )
    return found[0] if found else None


async def accounts_with_work(connection: AsyncConnection) -> list[MailAccount]:
    """Return the accounts that may send and have an e-mail that is due."""
    return await _select(
        connection,
        f"state = 'ready' AND {CIRCUIT_CLOSED}"
        " AND EXISTS (SELECT FROM arg_sync.mail m WHERE m.billing_company = a.billing_company"
        "   AND m.state = 'queued' AND m.next_attempt_at <= clock_timestamp())"
        " ORDER BY billing_company",
    )


async def put_account(
    connection: AsyncConnection, billing_company: str, settings: Mapping[str, str], actor: str
) -> None:
    """Add or change an account; it may send again, whatever stopped it."""
    await run(
        connection,
        "INSERT INTO arg_sync.mail_account AS a"
        " (billing_company, settings, state, actor, changed_at)"
        " VALUES (:company, CAST(:settings AS jsonb), 'ready', :actor, now())"
        " ON CONFLICT (billing_company) DO UPDATE SET settings = excluded.settings,"
        " state = 'ready', message = '', generation = a.generation + 1, failures = 0,"
        " open_until = NULL, circuit_message = '', actor = excluded.actor,"
        " changed_at = excluded.changed_at",
        company=billing_company,
        settings=json.dumps(dict(settings)),
        actor=actor,
    )
