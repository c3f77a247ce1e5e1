"""A connection's secret store: one process alone renews it, and none is given older secrets than
those saved.
"""

import asyncio

import pytest

from services.arg_sync.connections.handlers.adapters import StoredSecrets, binding_of
from services.arg_sync.ledgers.failures import Failure
from tests.conftest import EngineOf
from tests.ledgers.delivering import LEDGER, Delivering
from tests.ledgers.sample_ledger import SampleVendor, sample_kind


@pytest.fixture
async def vaults(
    delivering: Delivering, engine_of: EngineOf
) -> tuple[StoredSecrets, StoredSecrets]:
    """Those of two workers on one connection."""
    await delivering.connect(sample_kind(SampleVendor()), "http://127.0.0.1:9")
    engine, spec = engine_of("arg_sync"), sample_kind(SampleVendor())
    bound_to = binding_of(spec, LEDGER, {"base_url": "http://127.0.0.1:9"})
    return StoredSecrets(engine, LEDGER, bound_to), StoredSecrets(engine, LEDGER, bound_to)


async def test_one_alone_may_renew_a_version(vaults: tuple[StoredSecrets, StoredSecrets]) -> None:
    """The second is refused while the first renews, and no one can renew the version that was
    replaced.
    """
    one, other = vaults
    version = (await one.read()).version
    assert await one.may_renew(version) and not await other.may_renew(version)
    assert (await one.save(version, {"token": "new"})).version == version + 1
    assert not await one.may_renew(version) and await other.may_renew(version + 1)
    with pytest.raises(Failure, match="another process"):
        await other.save(version, {"token": "old"})


async def test_what_was_read_while_new_tokens_were_saved_is_not_remembered(
    vaults: tuple[StoredSecrets, StoredSecrets], delivering: Delivering
) -> None:
    """A reading in the middle of a saving sees what was there before.

    The next one sees what was saved, and not what that one saw.
    """
    secret_store, _ = vaults
    version = (await secret_store.read()).version
    assert await secret_store.may_renew(version)
    async with delivering.engine_of("owner").begin() as connection:
        await connection.exec_driver_sql("SELECT FROM arg_sync.secret FOR UPDATE")
        saving = asyncio.create_task(secret_store.save(version, {"token": "new"}))
        await asyncio.sleep(0.2)
        assert (await secret_store.read()).version == version and not saving.done()
    await saving
    assert (await secret_store.read()).values == {"token": "new"}
