"""Passwords and keys of connections, sealed before they leave this process: only arg_sync opens
them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.events.commands.mail import with_defaults


def seal_settings(
    texts: Mapping[str, str],
    ledger: str,
    kind: str,
    described: Sequence[Mapping[str, Any]],
    public_key: str,
) -> dict[str, Any]:
    """The settings of a connection as its command carries them: the secrets among them sealed.

    They are sealed for this connection, its kind, and the address and account in `texts`.
    `described`: the settings of the kind.
    """
    from shared.sealing import binding, seal  # slow to import

    secrets = {each["name"] for each in described if each["secret"]}
    secret = {name: value for name, value in texts.items() if name in secrets and value}
    plain = {name: value for name, value in texts.items() if name not in secrets}
    defaults = {each["name"]: each["default"] or "" for each in described if not each["secret"]}
    bound = [each["name"] for each in described if each["binds"]]
    bound_to = binding(ledger, kind, defaults | plain, bound)
    return {
        "settings": plain,
        "sealed_secrets": seal(secret, public_key, bound_to) if secret else "",
    }


def seal_password(
    password: str,
    billing_company: str,
    before: Mapping[str, str],
    given: Mapping[str, Any],
    public_key: str,
) -> str:
    """The password of a mail account, sealed for the account as it will be.

    `before`: its settings; `given`: those that the command changes, None for what stays.
    """
    from shared.sealing import mail_binding, seal  # slow to import

    changed = {name: str(value) for name, value in given.items() if value is not None}
    settings = with_defaults(before, changed)
    return seal({"password": password}, public_key, mail_binding(billing_company, settings))
