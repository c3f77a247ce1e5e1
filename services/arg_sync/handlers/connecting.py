"""Commands about connections: connect, test, disconnect, map. Nothing is asked of a ledger here: workers do that, outside of transactions."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.ledgers.kinds import all_kinds, capabilities_of, settings_of
from services.arg_sync.ledgers.port import Capabilities, Failure, Host, Kind, Secrets
from services.arg_sync.store import connections, customers, documents
from services.arg_sync.store.connections import Connection
from shared import sealing
from shared.consumer.commands import Answer, Handle
from shared.errors import Refused
from shared.events.commands import CheckLedger, ConnectLedger, DisconnectLedger, ImportMapping


async def on_connect(connection: AsyncConnection, command: ConnectLedger) -> Answer:
    """Makes a connection or changes it; secrets that are not given stay as they are."""
    kind = all_kinds().get(command.kind)
    if kind is None:
        raise Refused(
            "unknown_kind",
            f"this version knows no ledger of kind {command.kind}",
            f"say one of {', '.join(sorted(all_kinds()))}",
        )
    known = await connections.connection_for(connection, command.ledger, lock=True)
    if known is not None and (known.kind, known.billing_company) != (
        command.kind,
        command.billing_company,
    ):
        raise Refused(
            "other_ledger",
            f"{command.ledger} is a {known.kind} ledger of {known.billing_company}: neither can change",
            "connect the other one under a name of its own, and `backoffice ledger disconnect` this one",
        )
    _check_settings(kind, command, known)
    await _try(kind, command.settings)
    values = {
        name: getattr(command, name)
        for name in ("ledger", "kind", "billing_company", "auto_sync", "actor")
    }
    defaults = {
        each.name: each.default
        for each in kind.settings
        if each.default is not None and not each.secret
    }
    await connections.put_connection(
        connection,
        values | {"settings": json.dumps(defaults | command.settings)},
        command.sealed_secrets,
    )
    await connections.ask_for_check(connection, command.ledger)
    verb = "connected" if known is None else "connected anew"
    return Answer(
        f"{command.ledger} is {verb}: a {kind.title} ledger of {command.billing_company}; whether it works says `backoffice ledger test {command.ledger}`",
        details={"ledger": command.ledger, "auto_sync": command.auto_sync},
        before=None
        if known is None
        else {"settings": dict(known.settings), "auto_sync": known.auto_sync, "state": known.state},
        after={"settings": command.settings, "auto_sync": command.auto_sync, "state": "connected"},
        subjects=[command.ledger],
    )


def _check_settings(kind: Kind, command: ConnectLedger, known: Connection | None) -> None:
    explained = {each.name: each for each in settings_of(kind)}
    unknown = sorted(set(command.settings) - set(explained))
    if unknown:
        raise Refused(
            "unknown_setting",
            f"{kind.title} has no setting {', '.join(unknown)}",
            f"see `backoffice ledger template {kind.name}`",
        )
    open_secrets = sorted(
        name for name in command.settings if name in explained and explained[name].secret
    )
    if open_secrets:
        raise Refused(
            "secret_in_the_open",
            f"{', '.join(open_secrets)} must be sealed",
            "connect with `backoffice ledger connect`, which seals it",
        )
    given = set(command.settings) | (
        set(sealing.unseal(command.sealed_secrets)) if command.sealed_secrets else set()
    )
    missing = [
        each.name
        for each in kind.settings
        if each.required and each.name not in given and not (each.secret and known is not None)
    ]
    if missing:
        raise Refused(
            "setting_missing",
            f"{kind.title} needs {', '.join(missing)}",
            f"see `backoffice ledger template {kind.name}`",
        )


async def _try(kind: Kind, settings: Mapping[str, str]) -> None:
    """Makes a port and closes it, so that a bad address or number is told now."""
    try:
        capabilities = capabilities_of(kind, dict(settings))
        port = kind.make(
            Host("", _with_defaults(kind, settings), _NoVault(), _no_turn, capabilities)
        )
    except (ValueError, KeyError) as error:
        raise Refused(
            "bad_setting",
            f"a setting is no good: {error}",
            f"see `backoffice ledger template {kind.name}`",
        ) from error
    except Failure as failed:
        raise Refused(
            failed.code, failed.message, f"see `backoffice ledger template {kind.name}`"
        ) from failed
    await port.close()


def _with_defaults(kind: Kind, settings: Mapping[str, str]) -> dict[str, str]:
    return {each.name: each.default for each in kind.settings if each.default is not None} | dict(
        settings
    )


class _NoVault:
    """Stands where a vault stands while settings are tried: nobody asks it."""

    async def read(self) -> Secrets:
        return Secrets(0, {})

    async def may_renew(self, version: int) -> bool:
        return False

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        return Secrets(version, values)


async def _no_turn() -> None:
    return None


async def on_check(connection: AsyncConnection, command: CheckLedger) -> Answer:
    """Asks a worker to look; what it finds stands with the connection."""
    await _known(connection, command.ledger)
    await connections.ask_for_check(connection, command.ledger)
    return Answer(
        f"{command.ledger} is being looked at",
        details={"ledger": command.ledger},
        subjects=[command.ledger],
    )


async def on_disconnect(connection: AsyncConnection, command: DisconnectLedger) -> Answer:
    """Nothing more is sent; what was delivered stays known, secrets are forgotten."""
    known = await _known(connection, command.ledger)
    await connections.set_state(connection, command.ledger, "disconnected")
    await connections.drop_secret(connection, command.ledger)
    return Answer(
        f"{command.ledger} is disconnected",
        before={"state": known.state},
        after={"state": "disconnected"},
        subjects=[command.ledger],
    )


async def on_mapping(connection: AsyncConnection, command: ImportMapping) -> Answer:
    """Sets rows of the mapping. A customer that is mapped anew is looked for again."""
    await _known(connection, command.ledger)
    seen: dict[tuple[str, str], str] = {}
    for row in command.rows:
        if seen.setdefault((row.what, row.code), row.remote) != row.remote:
            raise Refused(
                "mapped_twice",
                f"{row.what} {row.code!r} is mapped to {seen[row.what, row.code]} and to {row.remote}",
                "keep one of the rows",
            )
    await documents.put_mapping(
        connection,
        command.ledger,
        [(row.what, row.code, row.remote) for row in command.rows],
        command.actor,
    )
    for row in command.rows:
        if row.what == "customer":
            await customers.forget_customer(connection, command.ledger, row.code)
    counts: dict[str, Any] = {}
    for row in command.rows:
        counts[row.what] = counts.get(row.what, 0) + 1
    return Answer(
        f"{len(seen)} codes of {command.ledger} are mapped",
        details=counts,
        subjects=[command.ledger],
    )


async def _known(connection: AsyncConnection, ledger: str) -> Connection:
    known = await connections.connection_for(connection, ledger, lock=True)
    if known is None or known.state == "disconnected":
        raise Refused(
            "unknown_ledger", f"there is no connection {ledger}", "see `backoffice ledger status`"
        )
    return known


def described(kind: Kind) -> dict[str, str]:
    """A kind as the console shows it."""
    return {
        "kind": kind.name,
        "title": kind.title,
        "needs": kind.needs,
        "settings": json.dumps([asdict(each) for each in settings_of(kind)]),
        "capabilities": json.dumps(
            {name: getattr(kind.capabilities, name) for name in Capabilities.__slots__}
        ),
    }


HANDLERS: Mapping[type[Any], Handle] = {
    ConnectLedger: on_connect,
    CheckLedger: on_check,
    DisconnectLedger: on_disconnect,
    ImportMapping: on_mapping,
}
