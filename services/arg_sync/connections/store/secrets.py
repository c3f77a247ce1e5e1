"""Sealed secrets of connections, and the claim to renew them.

Each function runs in a short transaction of its own, because a renewal takes network calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.store import FROM_NOW
from shared.database import lock_key, rows, run
from shared.stored import as_json

RENEWING_SECONDS = 60
LOGIN_SECONDS = 120
KEYS_LOCK = "arg_sync.sealing_key"


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A published key: whether another is asked for in its place, and its age in seconds."""

    key_id: str
    rotate: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class StoredBox:
    """A sealed box with the connection, kind and settings to which it is bound.

    The box of a mail account has its billing company in place of a kind.
    """

    ledger: str
    kind: str
    billing_company: str
    settings: Mapping[str, str]
    sealed: str


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """Version and sealed text; `login_refused` tells why no login with them is tried again."""

    version: int
    sealed: str
    login_refused: str


@dataclass(frozen=True, slots=True)
class LoginPermit:
    """Whether a login may begin: refused before, too early by these seconds, or not our turn."""

    refused: str = ""
    wait_seconds: float = 0.0
    busy: bool = False
    failed_before: int = 0


async def sealed_for(connection: AsyncConnection, ledger: str) -> SealedSecrets | None:
    """Return the secrets, or None if the connection has none."""
    found = await rows(
        connection,
        "SELECT version, sealed, login_refused FROM arg_sync.secret WHERE ledger = :ledger",
        ledger=ledger,
    )
    return SealedSecrets(*found[0]) if found else None


async def claim_login(connection: AsyncConnection, ledger: str) -> LoginPermit:
    """Claim the one login at a time, if it is free and not too early."""
    found = await rows(
        connection,
        "SELECT login_refused AS refused, greatest(coalesce(CAST(extract(epoch"
        "   FROM login_after - clock_timestamp()) AS float8), 0), 0) AS wait_seconds,"
        " coalesce(login_until > clock_timestamp(), false) AS busy, logins_failed"
        " FROM arg_sync.secret WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    permit = LoginPermit(*found[0]) if found else LoginPermit()
    if not (permit.refused or permit.wait_seconds or permit.busy):
        await run(
            connection,
            f"UPDATE arg_sync.secret SET login_until = {FROM_NOW} WHERE ledger = :ledger",
            ledger=ledger,
            seconds=LOGIN_SECONDS,
        )
    return permit


async def end_login(connection: AsyncConnection, ledger: str, *, worked: bool) -> None:
    """End the claim of a login; one that worked ends the count of failed ones."""
    reset = ", login_after = NULL, logins_failed = 0, login_refused = ''" if worked else ""
    await run(
        connection,
        f"UPDATE arg_sync.secret SET login_until = NULL{reset} WHERE ledger = :ledger",
        ledger=ledger,
    )


async def fail_login(
    connection: AsyncConnection, ledger: str, version: int, refused: str, pause_seconds: float
) -> None:
    """End a login that failed. `refused`: the vendor's answer, or "" where it only wants a pause.

    Says nothing about secrets that an operator gave meanwhile.
    """
    await run(
        connection,
        "UPDATE arg_sync.secret SET login_until = NULL, logins_failed = logins_failed + 1,"
        " login_refused = CASE WHEN version = :version THEN :refused ELSE login_refused END,"
        f" login_after = CASE WHEN CAST(:seconds AS float8) > 0 THEN {FROM_NOW} END"
        " WHERE ledger = :ledger",
        ledger=ledger,
        version=version,
        refused=refused,
        seconds=pause_seconds,
    )


async def refuse_login(connection: AsyncConnection, ledger: str, message: str) -> None:
    """Let no worker log in until an operator changes the connection or tests it."""
    await run(
        connection,
        "UPDATE arg_sync.secret SET login_refused = :message WHERE ledger = :ledger",
        ledger=ledger,
        message=message,
    )


async def allow_login(connection: AsyncConnection, ledger: str) -> None:
    """Let one login through, because an operator asks for it; a pause stays."""
    await refuse_login(connection, ledger, "")


async def lock_sealed(connection: AsyncConnection, ledger: str) -> tuple[str, bool] | None:
    """Lock the secrets; return the sealed text and whether a renewal is claimed, or None."""
    found = await rows(
        connection,
        "SELECT sealed, coalesce(renewing_until > clock_timestamp(), false) AS renewing"
        " FROM arg_sync.secret WHERE ledger = :ledger FOR UPDATE",
        ledger=ledger,
    )
    return (found[0].sealed, found[0].renewing) if found else None


async def claim_renewal(connection: AsyncConnection, ledger: str, version: int) -> bool:
    """Claim the renewal of this version for a minute; False if another process has the claim."""
    return bool(
        await run(
            connection,
            f"UPDATE arg_sync.secret SET renewing_until = {FROM_NOW}"
            " WHERE ledger = :ledger AND version = :version"
            " AND coalesce(renewing_until < clock_timestamp(), true)",
            ledger=ledger,
            version=version,
            seconds=RENEWING_SECONDS,
        )
    )


async def save_sealed(connection: AsyncConnection, ledger: str, version: int, sealed: str) -> bool:
    """Replace this version by the next one; False if another process already did."""
    return bool(
        await run(
            connection,
            "UPDATE arg_sync.secret SET version = version + 1, sealed = :sealed,"
            " renewing_until = NULL WHERE ledger = :ledger AND version = :version",
            ledger=ledger,
            version=version,
            sealed=sealed,
        )
    )


async def put_sealed(connection: AsyncConnection, ledger: str, sealed: str) -> None:
    """Store the secrets that an operator gave, whatever is stored."""
    await run(
        connection,
        "INSERT INTO arg_sync.secret (ledger, version, sealed) VALUES (:ledger, 1, :sealed)"
        " ON CONFLICT (ledger) DO UPDATE"
        " SET version = secret.version + 1, sealed = excluded.sealed, renewing_until = NULL,"
        "   login_until = NULL, login_refused = ''",
        ledger=ledger,
        sealed=sealed,
    )


async def lock_sealing_keys(connection: AsyncConnection) -> None:
    """Lock out other replicas that change the keys until the end of the transaction."""
    await rows(connection, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(KEYS_LOCK))


async def sealing_keys(connection: AsyncConnection) -> list[SealingKey]:
    """Return the published keys, the newest first."""
    found = await rows(
        connection,
        "SELECT key_id, rotation_requested_at IS NOT NULL AS rotate,"
        " extract(epoch FROM clock_timestamp() - published_at) AS seconds"
        " FROM arg_sync.sealing_key ORDER BY published_at DESC",
    )
    return [SealingKey(row.key_id, row.rotate, float(row.seconds)) for row in found]


async def request_rotation(connection: AsyncConnection) -> str | None:
    """Ask for another key in place of the newest one; return its id, None if there is none."""
    found = await rows(
        connection,
        "UPDATE arg_sync.sealing_key SET rotation_requested_at = coalesce("
        " rotation_requested_at, clock_timestamp()) WHERE key_id = ("
        " SELECT key_id FROM arg_sync.sealing_key ORDER BY published_at DESC LIMIT 1)"
        " RETURNING key_id",
    )
    return found[0].key_id if found else None


async def sealed_for_older(connection: AsyncConnection, key_id: str) -> list[StoredBox]:
    """Return the boxes that are sealed for another key, with what they are bound to."""
    found = await rows(
        connection,
        "SELECT s.ledger, coalesce(c.kind, '') AS kind, coalesce(m.billing_company, '') AS company,"
        " coalesce(c.settings, m.settings) AS settings, s.sealed FROM arg_sync.secret s"
        " LEFT JOIN arg_sync.connection c USING (ledger)"
        " LEFT JOIN arg_sync.mail_account m ON s.ledger = ' mail ' || m.billing_company"
        " WHERE split_part(s.sealed, '.', 2) <> :key_id AND coalesce(c.kind, m.state) IS NOT NULL"
        " ORDER BY s.ledger",
        key_id=key_id,
    )
    return [
        StoredBox(row.ledger, row.kind, row.company, as_json(row.settings), row.sealed)
        for row in found
    ]


async def replace_box(connection: AsyncConnection, ledger: str, old: str, new: str) -> None:
    """Store the same secrets sealed anew, unless they were changed meanwhile.

    The version stays: the secrets are the same, and a running renewal must be able to save.
    """
    await run(
        connection,
        "UPDATE arg_sync.secret SET sealed = :new WHERE ledger = :ledger AND sealed = :old",
        ledger=ledger,
        old=old,
        new=new,
    )


async def publish_sealing_key(connection: AsyncConnection, key_id: str, public_key: str) -> None:
    """Publish a public key; one that was published before keeps its time."""
    await run(
        connection,
        "INSERT INTO arg_sync.sealing_key (key_id, public_key) VALUES (:key_id, :public_key)"
        " ON CONFLICT DO NOTHING",
        key_id=key_id,
        public_key=public_key,
    )


async def drop_sealed(connection: AsyncConnection, ledger: str) -> None:
    """Delete the secrets of a disconnected ledger."""
    await run(connection, "DELETE FROM arg_sync.secret WHERE ledger = :ledger", ledger=ledger)
