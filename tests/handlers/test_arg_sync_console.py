"""What the console shows of ledgers and deliveries, as its role; and what it makes of an
operator's files.
"""

import json
from pathlib import Path

import pytest
from asyncpg import PostgresError

from services.arg_sync.app import store_ledger_kinds
from services.arg_sync.connections.handlers.adapters import binding_of
from services.arg_sync.connections.handlers.commands import described
from services.arg_sync.connections.handlers.keys import publish_key
from services.arg_sync.ledgers.registry import adapter_specs
from services.console.actions.commands import new_command
from services.console.cli.ledgers import sealed_settings
from services.console.importing.mapping import read_mapping
from services.console.queries import deliveries as shown
from services.console.queries.snapshot import fetch, open_snapshot
from shared import sealing
from shared.errors import Refused
from shared.events.commands import ConnectLedger
from tests.conftest import Configure
from tests.ledgers.delivering import LEDGER, Delivering, with_private_key
from tests.ledgers.fake import FakeServer, Fault
from tests.ledgers.sample_ledger import SampleVendor, sample_kind


async def test_deliveries_are_shown_with_their_reasons(
    delivering: Delivering, sample: FakeServer, database: str
) -> None:
    """States, messages, attempts, progress; of secrets not even the sealed form."""
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url)
    for number in ("INV-1", "INV-2"):
        await delivering.close(number)
    await delivering.queue()
    sample.plan(Fault("refuse"))
    await delivering.deliver()
    async with open_snapshot(database) as connection:
        rows, total = await shown.deliveries(connection, state="refused")
        assert (total, rows[0]["code"]) == (1, "http_422") and "inactive" in rows[0]["message"]
        one = await shown.delivery(connection, rows[0]["invoice_number"])
        assert "inactive" in one["attempts_made"][0]["raw"], "the ledger's own answer is kept"
        assert (
            one["attempts_made"][0]["steps"] == "create"
            and json.loads(one["request"])["kind"] == "invoice"
        )
        progress = await shown.batch_progress(connection, "B-1")
        assert (progress["deliveries"], progress["open"], progress["seconds_left"]) == (
            {"posted": 1, "refused": 1},
            0,
            0,
        )
        (ledger,) = await shown.ledgers(connection)
        assert ledger["deliveries"] == {"posted": 1, "refused": 1}
        assert await shown.refused_numbers(connection, LEDGER, None) == [
            (LEDGER, rows[0]["invoice_number"])
        ]
        with pytest.raises(Refused):
            await shown.delivery(connection, "INV-9")
    async with open_snapshot(database) as connection:
        with pytest.raises(PostgresError):
            await fetch(connection, "SELECT sealed FROM arg_sync.secret")


async def test_the_time_left_follows_from_the_rate_budget(
    delivering: Delivering, sample: FakeServer, database: str
) -> None:
    """60 documents at 30 calls a minute are 2 minutes; what holds a batch up is named."""
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    await delivering.connect(sample_kind(vendor), sample.url, per_minute="30")
    for no in range(1, 61):
        await delivering.close(f"INV-{no}")
    await delivering.queue()
    await delivering.rows(
        "UPDATE arg_sync.connection SET state = 'stopped', message = 'the key is dead'"
    )
    async with open_snapshot(database) as connection:
        progress = await shown.batch_progress(connection, "B-1")
    assert (progress["open"], progress["seconds_left"]) == (60, 120)
    assert progress["held_up"] == [f"{LEDGER} is stopped: the key is dead"]


async def test_kinds_are_explained_once_a_worker_ran(delivering: Delivering, database: str) -> None:
    """The console knows no ledger by itself."""
    async with open_snapshot(database) as connection:
        with pytest.raises(Refused) as refused:
            await shown.kind(connection, "tryton")
    assert refused.value.code == "kinds_unknown"
    await delivering.unit_of_work.transact(store_ledger_kinds())
    async with open_snapshot(database) as connection:
        tryton = await shown.kind(connection, "tryton")
        assert {each["name"] for each in tryton["settings"] if each["secret"]} == {"password"}
        with pytest.raises(Refused):
            await shown.kind(connection, "abacus")
        with pytest.raises(Refused, match="no_sealing_key"):
            await shown.sealing_key(connection)
    await delivering.unit_of_work.transact(publish_key())
    async with open_snapshot(database) as connection:
        public_key = (await shown.sealing_key(connection))["public_key"]
    assert public_key == sealing.public_key_of(sealing.read_private_key())


def test_secrets_of_a_settings_file_are_sealed(configure: Configure, tmp_path: Path) -> None:
    """What leaves the console holds the password in no form that others can read: the console has
    the public key only, and the box is for this connection, its kind, address and account.
    """
    with_private_key(configure, tmp_path / "data")
    public_key = sealing.public_key_of(sealing.read_private_key())
    spec = adapter_specs()["tryton"]
    file = tmp_path / "tryton.json"
    file.write_text(
        json.dumps(
            {
                "base_url": "https://t.example",
                "database": "tryton",
                "password": "canary-9",
                "per_minute": 30,
                "company": None,
            }
        )
    )
    made = new_command(
        "connect-ledger",
        actor="pat",
        ledger="t",
        kind="tryton",
        billing_company="acme",
        **sealed_settings(file, "t", "tryton", json.loads(described(spec)["settings"]), public_key),
    )
    assert isinstance(made, ConnectLedger)
    assert made.settings == {
        "base_url": "https://t.example",
        "database": "tryton",
        "per_minute": "30",
        "company": "",
    }
    bound_to = binding_of(spec, "t", {"base_url": "https://t.example", "database": "tryton"})
    assert sealing.unseal(made.sealed_secrets, bound_to) == {"password": "canary-9"}
    assert "canary-9" not in made.model_dump_json()
    with pytest.raises(Refused, match="sealed_for_other"):
        sealing.unseal(made.sealed_secrets, binding_of(spec, "t", {"database": "tryton"}))


@pytest.mark.parametrize(
    ("text", "rows", "wrong"),
    [
        ("what,code,remote\naccount,,4000\ntax,VAT,T10\n", 2, []),
        ("\ufeffWhat , Code,Remote\ncustomer,Mercy,C-1\n", 1, []),
        ("what,remote\naccount,4000\n", 0, ["line 1"]),
        ("what,code,remote\n", 0, ["holds no row"]),
        (
            "what,code,remote\ncolour,,x\naccount,,\naccount,,1\naccount,,2\n",
            1,
            ["line 2", "line 3", "line 5: account '' is on line 4"],
        ),
        ("what,code,remote\naccount\n", 0, ["line 2"]),
    ],
)
def test_a_mapping_file_is_checked_line_by_line(
    tmp_path: Path, text: str, rows: int, wrong: list[str]
) -> None:
    """Every wrong line with its number and what is wrong."""
    file = tmp_path / "map.csv"
    file.write_text(text, encoding="utf-8")
    made, refused = read_mapping(file)
    assert len(made) == rows and len(refused) == len(wrong)
    assert all(part in message for part, message in zip(wrong, refused, strict=True)), refused
