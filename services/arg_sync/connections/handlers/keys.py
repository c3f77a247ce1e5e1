"""The keys of arg_sync: it makes the private key once, publishes the public one, and replaces it
when an operator asks for that.

Replicas share the file. Only the first start on a database makes a key: a second one would not open
what is stored, so a lost file is reported and not replaced.

A rotation has steps that each can be repeated, so a worker that is killed is followed by one that
goes on: the new key is put before the old one in the file; it is published; stored secrets are
sealed anew; a week later, the old key is taken out of the file.
"""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.adapters import binding_of
from services.arg_sync.connections.store import secrets
from services.arg_sync.connections.store.secrets import SealingKey
from services.arg_sync.ledgers.registry import adapter_specs
from shared import faults, sealing, telemetry
from shared.consumer.commands import Answer
from shared.consumer.records import Applied
from shared.consumer.unit_of_work import BackgroundJob
from shared.errors import Refused
from shared.events.commands import RotateLedgerKey

OLD_KEY_DAYS = 7
"""How long a box that was sealed for the key before is accepted. A command waits in Kafka while
arg_sync is off, and a client may have read the key before the rotation."""
DAY_SECONDS = 86_400


def publish_key() -> BackgroundJob:
    """Return a background job that publishes the public key, also of a file that appears later, and
    carries rotations on.
    """
    reported = ""

    async def job(connection: AsyncConnection) -> Applied:
        nonlocal reported
        try:
            await _keep_keys(connection)
        except (Refused, OSError) as error:
            message = f"{error.message}; {error.fix}" if isinstance(error, Refused) else str(error)
            if message != reported:
                telemetry.log().error(f"no secret of a ledger can be opened: {message}")
            reported = message
        return Applied()

    return job


async def _keep_keys(connection: AsyncConnection) -> None:
    path, published = sealing.key_file(), await secrets.sealing_keys(connection)
    if not path.exists() and not published:
        await secrets.lock_sealing_keys(connection)
        if not await secrets.sealing_keys(connection):
            sealing.make_private_key(path)
            telemetry.log().info("private key for secrets of ledgers made", file=str(path))
    if published and published[0].rotate:
        await secrets.lock_sealing_keys(connection)
        published = await secrets.sealing_keys(connection)
        if published[0].rotate and published[0].key_id == _ids()[0]:
            sealing.add_private_key()
            telemetry.log().info("new private key for secrets of ledgers made", file=str(path))
            await faults.point("ledger_key_added")
    public_key = sealing.public_key_of(sealing.read_private_key())
    current = sealing.key_id(public_key)
    await secrets.publish_sealing_key(connection, current, public_key)
    published = await secrets.sealing_keys(connection)
    if published[0].key_id == current and len(_ids()) > 1:
        await secrets.lock_sealing_keys(connection)
        await _seal_anew(connection, public_key)
        _drop_old_keys({each.key_id: each for each in published})


def _ids() -> list[str]:
    """Return the ids of the keys in the file; the first is the one that seals."""
    return [sealing.key_id(sealing.public_key_of(key)) for key in sealing.read_private_keys()]


async def _seal_anew(connection: AsyncConnection, public_key: str) -> None:
    """Seal what is sealed for an older key. What cannot be opened stays, and is of no use."""
    specs = adapter_specs()
    for box in await secrets.sealed_for_older(connection, sealing.key_id(public_key)):
        if box.billing_company:
            bound_to = sealing.mail_binding(box.billing_company, box.settings)
        elif box.kind in specs:
            bound_to = binding_of(specs[box.kind], box.ledger, box.settings)
        else:
            continue
        try:
            opened = sealing.unseal(box.sealed, bound_to)
        except Refused:
            continue
        anew = sealing.seal(opened, public_key, bound_to)
        await secrets.replace_box(connection, box.ledger, box.sealed, anew)
        await faults.point("ledger_secret_sealed")


def _drop_old_keys(published: Mapping[str, SealingKey]) -> None:
    """Take keys out of the file whose successor is older than a week."""
    keys, ids = sealing.read_private_keys(), _ids()
    kept = [keys[0]]
    for newer, key in zip(ids, keys[1:], strict=False):
        replaced = published.get(newer)
        if replaced is None or replaced.seconds < OLD_KEY_DAYS * DAY_SECONDS:
            kept.append(key)
    if len(kept) < len(keys):
        sealing.write_private_keys(kept)
        telemetry.log().info("old private key for secrets of ledgers deleted")


async def on_rotate_ledger_key(connection: AsyncConnection, command: RotateLedgerKey) -> Answer:
    """Ask for another key. The background job makes it, because a file is no part of a
    transaction.
    """
    old = await secrets.request_rotation(connection)
    if old is None:
        raise Refused(
            "no_sealing_key",
            "arg_sync has not published the key with which secrets are sealed",
            "see the log of arg_sync",
        )
    return Answer(
        f"the key {old} is being replaced; `backoffice ledger key` shows the new one",
        details={"key_id": old},
        subjects=[f"ledger-key {old}"],
        jobs_due=True,
    )
