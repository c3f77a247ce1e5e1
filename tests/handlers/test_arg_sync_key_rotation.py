"""Rotation of the key with which secrets of ledgers are sealed, and who can open them."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from services.arg_sync.connections.handlers.adapters import StoredSecrets, binding_of
from services.arg_sync.connections.handlers.keys import publish_key
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.registry import adapter_specs
from shared import sealing
from shared.errors import Refused
from tests.conftest import Configure, EngineOf
from tests.handlers.test_arg_sync_commands import SETTINGS, connect, sealed
from tests.ledgers.delivering import Delivering

BOUND = binding_of(adapter_specs()["tryton"], "t", SETTINGS)
PASSWORD = {"password": "canary-pw"}
JOB = """
import asyncio
from services.arg_sync.connections.handlers.keys import publish_key
from shared.database import engine_for

async def main():
    engine = engine_for("arg_sync")
    async with engine.begin() as connection:
        await publish_key()(connection)

asyncio.run(main())
"""


@pytest.fixture
async def rotating(delivering: Delivering) -> Delivering:
    """A connection whose secrets are sealed for a published key, and a request to replace it."""
    await delivering.unit_of_work.transact(publish_key())
    assert (await connect(delivering))["outcome"] == "accepted"
    answer = await delivering.tell("rotate-ledger-key", reason="a backup was lost")
    assert answer["outcome"] == "accepted", answer
    return delivering


def ids() -> list[str]:
    """The ids of the keys in the file."""
    return [sealing.key_id(sealing.public_key_of(key)) for key in sealing.read_private_keys()]


async def stored_box(delivering: Delivering) -> tuple[str, int]:
    """The sealed secrets of the connection, and their version."""
    (row,) = await delivering.rows("SELECT sealed, version FROM arg_sync.secret")
    return row.sealed, row.version


async def test_a_rotation_seals_all_stored_secrets_anew(rotating: Delivering) -> None:
    """A new key comes first in the file (0600) and is published; the secrets and their version
    stay, the box is for the new key. Repeats change nothing.
    """
    (old,) = ids()
    _, version = await stored_box(rotating)
    for _ in range(3):
        await rotating.unit_of_work.transact(publish_key())
    new, kept = ids()
    assert kept == old != new
    assert stat.S_IMODE(sealing.key_file().stat().st_mode) == 0o600
    assert [path.name for path in sealing.key_file().parent.iterdir()] == ["ledger-key.pem"]
    box, same = await stored_box(rotating)
    assert (sealing.sealed_for(box), same) == (new, version)
    assert sealing.unseal(box, BOUND) == PASSWORD
    (shown,) = await rotating.rows("SELECT * FROM arg_sync.console_sealing_key")
    assert (shown.key_id, shown.sealed_for_older, shown.rotation_requested_at) == (new, 0, None)


async def test_a_client_with_the_old_key_works_for_a_week(rotating: Delivering) -> None:
    """Then the old private key is deleted, and what is sealed for it is refused with the fix."""
    box = sealed(SETTINGS)
    await rotating.unit_of_work.transact(publish_key())
    new, old = ids()
    assert sealing.sealed_for(box) == old
    answer = await connect(rotating, "with-old-key", sealed_secrets=box)
    assert answer["outcome"] == "accepted", answer
    assert sealing.sealed_for((await stored_box(rotating))[0]) == new
    for age, keys in (("6 days 23 hours", [new, old]), ("2 hours", [new])):
        await rotating.rows(
            f"UPDATE arg_sync.sealing_key SET published_at = published_at - interval '{age}'"
        )
        await rotating.unit_of_work.transact(publish_key())
        assert ids() == keys
    answer = await connect(rotating, "a-week-later", sealed_secrets=box)
    assert answer["code"] == "wrong_ledger_key" and "`backoffice ledger key`" in answer["fix"]
    assert sealing.unseal((await stored_box(rotating))[0], BOUND) == PASSWORD


async def test_a_running_renewal_saves_over_a_rotation(
    rotating: Delivering, engine_of: EngineOf
) -> None:
    """A worker that got new tokens stores them; a lost refresh token would end the connection."""
    store = StoredSecrets(engine_of("arg_sync"), "t", BOUND)
    version = (await store.read()).version
    assert await store.may_renew(version)
    await rotating.unit_of_work.transact(publish_key())
    saved = await store.save(version, {"password": "canary-new"})
    assert (await store.read()).values == saved.values == {"password": "canary-new"}


@pytest.mark.parametrize("point", ["ledger_key_added", "ledger_secret_sealed"])
async def test_a_killed_rotation_is_carried_on(
    rotating: Delivering, database: str, point: str
) -> None:
    """SIGKILL after the new key is in the file, and between sealing and commit: nothing is lost,
    no third key arises, and the next worker finishes.
    """
    (old,) = ids()
    environment = os.environ | {"BACKOFFICE_CRASH": point}
    command = [sys.executable, "-c", JOB]
    killed = await asyncio.to_thread(subprocess.run, command, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    new, kept = ids()
    assert kept == old
    box, _ = await stored_box(rotating)
    assert sealing.sealed_for(box) == old and sealing.unseal(box, BOUND) == PASSWORD
    await rotating.unit_of_work.transact(publish_key())
    box, _ = await stored_box(rotating)
    assert ids() == [new, old] and sealing.sealed_for(box) == new
    assert sealing.unseal(box, BOUND) == PASSWORD


async def test_a_replica_with_an_old_copy_of_the_file_waits(
    rotating: Delivering, engine_of: EngineOf, configure: Configure, tmp_path: Path
) -> None:
    """It makes no third key and seals nothing back; it says which file it needs."""
    old_file = sealing.key_file().read_bytes()
    await rotating.unit_of_work.transact(publish_key())
    before = await stored_box(rotating)
    configure(data=tmp_path / "replica")
    sealing.make_private_key(sealing.key_file())
    sealing.key_file().write_bytes(old_file)
    for _ in range(2):
        await rotating.unit_of_work.transact(publish_key())
    assert len(ids()) == 1 and await stored_box(rotating) == before
    with pytest.raises(Failure) as failed:
        await StoredSecrets(engine_of("arg_sync"), "t", BOUND).read()
    assert (failed.value.failure, failed.value.code) == ("transient", "wrong_ledger_key")


async def test_a_file_of_too_many_keys_is_refused(delivering: Delivering) -> None:
    """Each box is tried with the key that it names, so many keys would cost nothing; but a file
    of thousands is no key file.
    """
    sealing.key_file().write_bytes(sealing.key_file().read_bytes() * (sealing.MAX_KEYS + 1))
    with pytest.raises(Refused) as refused:
        sealing.read_private_keys()
    assert refused.value.code == "bad_ledger_key"


async def test_a_rotation_without_a_key_is_refused(delivering: Delivering) -> None:
    """Nothing was published yet."""
    assert (await delivering.tell("rotate-ledger-key"))["code"] == "no_sealing_key"


@pytest.mark.parametrize(
    "role", ["fee_realizer", "scheduler", "invoicer", "console", "auditor", "owner"]
)
async def test_no_other_login_reads_or_opens_a_secret(
    rotating: Delivering, engine_of: EngineOf, configure: Configure, tmp_path: Path, role: str
) -> None:
    """Another service's login does not read the box. A box that is read all the same (from Kafka,
    a backup, as the owner of the database) cannot be opened with another service's data folder and
    environment, nor with a key of its own.
    """
    box, _ = await stored_box(rotating)
    async with engine_of(role).connect() as connection:
        if role == "owner":
            await connection.exec_driver_sql("SELECT sealed FROM arg_sync.secret")
        else:
            with pytest.raises(DBAPIError, match="permission denied"):
                await connection.exec_driver_sql("SELECT sealed FROM arg_sync.secret")
    folder = tmp_path / f"of-{role}"
    configure(data=folder)
    with pytest.raises(Refused) as refused:
        sealing.unseal(box, BOUND)
    assert refused.value.code == "no_ledger_key"
    sealing.make_private_key(sealing.key_file())
    with pytest.raises(Refused) as refused:
        sealing.unseal(box, BOUND)
    assert refused.value.code == "wrong_ledger_key"
    forged = box.replace(sealing.sealed_for(box), ids()[0])
    with pytest.raises(Refused) as refused:
        sealing.unseal(forged, BOUND)
    assert refused.value.code == "sealed_for_other"
