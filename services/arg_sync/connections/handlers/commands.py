"""Commands about connections: connect, check, disconnect, import a code mapping.

No command calls a ledger: the loops of the workers do that, outside of transactions.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.adapters import binding_of
from services.arg_sync.connections.handlers.keys import on_rotate_ledger_key
from services.arg_sync.connections.rules import changed_binding
from services.arg_sync.connections.store import connections, customers, mappings, secrets
from services.arg_sync.connections.store.connections import LedgerConnection
from services.arg_sync.ledgers.adapter import AdapterContext, AdapterSpec, Secrets
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.registry import adapter_specs, capabilities_of, settings_of
from shared import sealing
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import (
    CheckLedger,
    ConnectLedger,
    DisconnectLedger,
    ImportMapping,
    RotateLedgerKey,
)
from shared.terms import is_agreement


async def on_connect(connection: AsyncConnection, command: ConnectLedger) -> Answer:
    """Add or change a connection. Secrets that are not given stay as they are.

    A change of a setting to which they are bound (address, account) requires all of them again:
    no stored secret may be sent to an address that was not given together with it.
    """
    spec = adapter_specs().get(command.kind)
    if spec is None:
        raise Refused(
            "unknown_kind",
            f"this version does not support {command.kind}",
            f"give one of {', '.join(sorted(adapter_specs()))}",
        )
    if is_agreement(command.billing_company):
        raise Refused(
            "not_available_yet",
            f"{command.billing_company} is a self-billing agreement: its documents are payables,"
            " and no adapter enters vendor bills yet",
            "download or send them instead: `backoffice batch download`, `backoffice send batch`",
        )
    known = await connections.connection_for(connection, command.ledger, lock=True)
    if known is not None and (known.kind, known.billing_company) != (
        command.kind,
        command.billing_company,
    ):
        raise Refused(
            "other_ledger",
            f"{command.ledger} is a {known.kind} ledger of {known.billing_company}:"
            " neither can change",
            "connect the other ledger under another name,"
            " and `backoffice ledger disconnect` this one",
        )
    public_key = sealing.public_key_of(sealing.read_private_key())
    _require_known_settings(spec, command)
    settings = _with_defaults(spec, command.settings, include_secrets=False)
    stored, renewing = await _stored_secrets(connection, spec, known)
    given = _given_secrets(spec, command, settings)
    changed = changed_binding(spec.bound, known.settings, settings) if stored and known else []
    _require_complete(spec, command, stored, given, changed)
    held = given if changed else stored | given
    if given and renewing and held != given:
        raise Refused(
            "renewing",
            f"a worker is renewing the tokens of {command.ledger} now",
            "connect again in a minute",
        )
    await _try_to_open(spec, command.settings)
    names = ("ledger", "kind", "billing_company", "auto_sync", "actor")
    values = {name: getattr(command, name) for name in names} | {"settings": json.dumps(settings)}
    await connections.put_connection(connection, values)
    if given:
        bound_to = binding_of(spec, command.ledger, settings)
        sealed = sealing.seal(held, public_key, bound_to)
        await secrets.put_sealed(connection, command.ledger, sealed)
    await secrets.allow_login(connection, command.ledger)
    await connections.request_check(connection, command.ledger)
    verb = "connected" if known is None else "connected again"
    basis = await _tax_basis_note(connection, spec, command.billing_company)
    return Answer(
        f"{command.ledger} is {verb} to {spec.title} for {command.billing_company};"
        f" `backoffice ledger test {command.ledger}` shows whether it works{basis}",
        details={"ledger": command.ledger, "auto_sync": command.auto_sync},
        before=None
        if known is None
        else {"settings": dict(known.settings), "auto_sync": known.auto_sync, "state": known.state},
        after={"settings": command.settings, "auto_sync": command.auto_sync, "state": "connected"},
        subjects=[command.ledger],
    )


async def _tax_basis_note(
    connection: AsyncConnection, spec: AdapterSpec, billing_company: str
) -> str:
    """Say which tax basis the ledger needs, if the billing company has another one."""
    needed = spec.capabilities.tax_basis
    ours = await connections.company_setting(connection, billing_company, "tax_basis")
    if needed in ("any", ours):
        return ""
    return (
        f"; {spec.title} computes the tax itself, per {needed}: set the same for {billing_company}"
        f" with `backoffice billing-company set {billing_company} --tax-basis {needed}`,"
        " otherwise totals may differ by a cent and documents are refused"
    )


def _require_known_settings(spec: AdapterSpec, command: ConnectLedger) -> None:
    """Refuse unknown settings, and secrets that are not sealed."""
    described = {each.name: each for each in settings_of(spec)}
    if unknown := sorted(set(command.settings) - set(described)):
        raise Refused(
            "unknown_setting", f"{spec.title} has no setting {', '.join(unknown)}", _template(spec)
        )
    if unsealed := sorted(name for name in command.settings if described[name].secret):
        raise Refused(
            "secret_in_the_open",
            f"{', '.join(unsealed)} must be sealed",
            "connect with `backoffice ledger connect`, which seals secrets",
        )


async def companies_of(connection: AsyncConnection, command: Any) -> set[str]:
    """Return the billing company of the connection that a command names; none if unknown."""
    known = await connections.connection_for(connection, command.ledger)
    return set() if known is None else {known.billing_company}


def _template(spec: AdapterSpec) -> str:
    return f"see `backoffice ledger template {spec.name}`"


def _secret_names(spec: AdapterSpec) -> list[str]:
    return [each.name for each in spec.settings if each.secret]


def _given_secrets(
    spec: AdapterSpec, command: ConnectLedger, settings: Mapping[str, str]
) -> dict[str, str]:
    """Open the secrets of a command. Refused if they were sealed for another address."""
    if not command.sealed_secrets:
        return {}
    given = sealing.unseal(command.sealed_secrets, binding_of(spec, command.ledger, settings))
    if unknown := sorted(set(given) - set(_secret_names(spec))):
        raise Refused(
            "unknown_setting", f"{spec.title} has no secret {', '.join(unknown)}", _template(spec)
        )
    return {name: value for name, value in given.items() if value}


async def _stored_secrets(
    connection: AsyncConnection, spec: AdapterSpec, known: LedgerConnection | None
) -> tuple[dict[str, str], bool]:
    """Open and lock what an operator gave before, and whether a worker renews tokens now.

    Secrets that cannot be opened, as those for a private key that was lost, count as none: all must
    be given again. Tokens that workers got are left out.
    """
    found = await secrets.lock_sealed(connection, known.name) if known else None
    if known is None or found is None:
        return {}, False
    try:
        opened = sealing.unseal(found[0], binding_of(spec, known.name, known.settings))
    except Refused:
        return {}, False
    return {name: opened[name] for name in _secret_names(spec) if opened.get(name)}, found[1]


def _require_complete(
    spec: AdapterSpec,
    command: ConnectLedger,
    stored: Mapping[str, str],
    given: Mapping[str, str],
    changed: Sequence[str],
) -> None:
    """Refuse a connection that lacks a required setting, or a secret for a changed address."""
    held = {*command.settings, *given} | (set() if changed else set(stored))
    missing = [each.name for each in spec.settings if each.required and each.name not in held]
    again = sorted({*missing, *stored} & set(_secret_names(spec)) - set(given))
    if changed and again:
        raise Refused(
            "secrets_needed",
            f"{command.ledger} gets another {', '.join(changed)}; the stored secrets were given"
            f" for the old one, so {', '.join(again)} must be given again",
            "add them to the file of `backoffice ledger connect`",
        )
    if missing:
        raise Refused(
            "setting_missing", f"{spec.title} needs {', '.join(missing)}", _template(spec)
        )


async def _try_to_open(spec: AdapterSpec, settings: Mapping[str, str]) -> None:
    """Open and close an adapter, so that an invalid address or number is refused now."""
    fix = _template(spec)
    try:
        given = _with_defaults(spec, settings)
        capabilities = capabilities_of(spec, settings)
        adapter = spec.make(AdapterContext("", given, _NoSecrets(), _no_rate_limit, capabilities))
    except (ValueError, KeyError) as error:
        raise Refused("bad_setting", f"a setting is invalid: {error}", fix) from error
    except Failure as failed:
        raise Refused(failed.code, failed.message, fix) from failed
    await adapter.close()


def _with_defaults(
    spec: AdapterSpec, settings: Mapping[str, str], *, include_secrets: bool = True
) -> dict[str, str]:
    defaults = {
        each.name: each.default
        for each in spec.settings
        if each.default is not None and (include_secrets or not each.secret)
    }
    return defaults | dict(settings)


class _NoSecrets:
    """The secret store of an adapter that only tries its settings and makes no call."""

    def login(self, version: int) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def read(self) -> Secrets:
        return Secrets(0, {})

    async def may_renew(self, version: int) -> bool:
        return False

    async def save(self, version: int, values: Mapping[str, str]) -> Secrets:
        return Secrets(version, values)


async def _no_rate_limit() -> None:
    return None


async def on_check(connection: AsyncConnection, command: CheckLedger) -> Answer:
    """Ask a worker to check the connection; the result is stored with the connection."""
    await require_connection(connection, command.ledger)
    await secrets.allow_login(connection, command.ledger)
    await connections.request_check(connection, command.ledger)
    return Answer(
        f"{command.ledger} is being checked",
        details={"ledger": command.ledger},
        subjects=[command.ledger],
    )


async def on_disconnect(connection: AsyncConnection, command: DisconnectLedger) -> Answer:
    """Stop sending and delete the secrets; deliveries stay recorded."""
    known = await require_connection(connection, command.ledger)
    await connections.STATES.set_state(connection, command.ledger, "disconnected")
    await secrets.drop_sealed(connection, command.ledger)
    return Answer(
        f"{command.ledger} is disconnected",
        before={"state": known.state},
        after={"state": "disconnected"},
        subjects=[command.ledger],
    )


async def on_mapping(connection: AsyncConnection, command: ImportMapping) -> Answer:
    """Add or replace mapped codes. A customer with a new code is looked up again."""
    known = await require_connection(connection, command.ledger)
    seen: dict[tuple[str, str], str] = {}
    for row in command.rows:
        if seen.setdefault((row.what, row.code), row.remote) != row.remote:
            raise Refused(
                "mapped_twice",
                f"{row.what} {row.code!r} is mapped to {seen[row.what, row.code]}"
                f" and to {row.remote}",
                "keep one of the rows",
            )
    mapped = [(row.what, row.code, row.remote) for row in command.rows]
    await mappings.put_mapping(connection, command.ledger, mapped, command.actor)
    await mappings.forget_problems(connection, command.ledger, [row[:2] for row in mapped])
    if known.state == "connected":  # a refused login is not tried again for a mapping
        await connections.request_check(connection, command.ledger)
    for row in command.rows:
        if row.what == "customer":
            await customers.forget_customer(connection, command.ledger, row.code)
    return Answer(
        f"{len(seen)} codes of {command.ledger} are mapped",
        details=dict(Counter(row.what for row in command.rows)),
        subjects=[command.ledger],
    )


async def require_connection(connection: AsyncConnection, ledger: str) -> LedgerConnection:
    """Lock and return a connection that is not disconnected; refuse if there is none."""
    known = await connections.connection_for(connection, ledger, lock=True)
    if known is None or known.state == "disconnected":
        raise Refused(
            "unknown_ledger", f"there is no connection {ledger}", "see `backoffice ledger status`"
        )
    return known


def described(spec: AdapterSpec) -> dict[str, str]:
    """Return a ledger system as the console shows it."""
    return {
        "kind": spec.name,
        "title": spec.title,
        "needs": spec.needs,
        "settings": json.dumps([asdict(each) for each in settings_of(spec)]),
        "capabilities": json.dumps(asdict(spec.capabilities) | {"line_code": spec.line_code}),
    }


HANDLERS: Mapping[type[Any], CommandHandler] = {
    ConnectLedger: on_connect,
    CheckLedger: on_check,
    DisconnectLedger: on_disconnect,
    ImportMapping: on_mapping,
    RotateLedgerKey: on_rotate_ledger_key,
}
