"""File drops under the delivery engine: batches as files, kills, reconciliation, payments."""

import csv
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.arg_sync.ledgers import drop_box, drop_reads
from services.arg_sync.ledgers.file_drop import LEDGER
from tests.ledgers.delivering import Delivering
from tests.ledgers.drop_server import PASSWORD, USER, DropServer, serving
from tests.ledgers.fake import Fault
from tests.ledgers.reads import open_drifts, read_payments, reconcile


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DropServer]:
    """An SFTP server whose owner takes no file away."""
    async with serving(tmp_path / "inbox") as made:
        yield made


async def connect(delivering: Delivering, server: DropServer, **settings: str) -> None:
    """A connection to it, without a mapping."""
    given = {"user": USER, "host_key": server.public_key} | settings
    await delivering.connect(LEDGER, server.url, **given)
    await delivering.seal({"password": PASSWORD})
    await delivering.rows("DELETE FROM arg_sync.mapping")


async def until_settled(delivering: Delivering, rounds: int = 8) -> dict[str, str]:
    """Workers come and go until nothing is open; the states."""
    for at in range(rounds):
        await delivering.deliver(f"w{at}")
        await delivering.hurry()
        states = await delivering.states()
        if set(states.values()) <= {"posted", "refused"}:
            break
    return await delivering.states()


async def test_a_batch_arrives_as_one_file_through_lost_answers(
    delivering: Delivering, server: DropServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents are queued one after the other, answers are lost, the server is killed: one file
    has every document once, a credit note with its invoice; a changed file is a drift.
    """
    invoice = await delivering.close("INV-000001")
    for no in (2, 3):
        await delivering.close(f"INV-{no:06d}", account=f"Client {no}")
    await delivering.close("CN-000004", credits=invoice)
    await connect(delivering, server, per="batch", files_stay="yes")
    await delivering.queue(*delivering.closed[:2])
    await delivering.deliver()
    waiting = await delivering.delivery("INV-000001")
    assert waiting.state == "queued" and "INV-000003 (not queued)" in waiting.message
    assert server.vendor.files == []
    await delivering.queue(*delivering.closed[2:])
    server.plan(Fault("reset"))
    server.cut_at = 25
    await delivering.hurry()
    assert set((await until_settled(delivering)).values()) == {"posted"}
    assert (await delivering.delivery("CN-000004")).code != "unapplied"
    assert server.vendor.files == ["batch-B-1.csv"]
    arrived = {(one.number, one.kind): one.total for one in server.vendor.journal}
    assert arrived == {(one.number, one.kind): one.total for one in delivering.closed}
    assert len(server.vendor.journal) == len(delivering.closed)
    await reconcile(delivering)
    assert await open_drifts(delivering) == set()
    monkeypatch.setattr(drop_box, "BELIEVED_SECONDS", 0.0)
    path = server.vendor.folder / "batch-B-1.csv"
    path.write_bytes(path.read_bytes() + b"x")
    await reconcile(delivering)
    numbers = {one.number for one in delivering.closed}
    assert await open_drifts(delivering) == {("edited", number) for number in numbers}
    path.unlink()
    await reconcile(delivering)
    assert await open_drifts(delivering) == {("deleted", number) for number in numbers}


async def test_acknowledgements_and_payments_come_back(
    delivering: Delivering, server: DropServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document is posted once it is accepted; a rejected one is refused with the reason, and a
    retry sends it again; payments reach the invoices.
    """
    monkeypatch.setattr(drop_reads, "LISTED_SECONDS", 0.0)
    first = await delivering.close("INV-000001")
    await delivering.close("INV-000002")
    settings = {"acknowledgement_folder": "acks", "payment_folder": "paid"}
    await connect(delivering, server, per="document", **settings)
    await delivering.queue()
    await delivering.deliver()
    await delivering.hurry()
    assert set((await delivering.states()).values()) == {"unknown"}
    waiting = await delivering.delivery("INV-000001")
    assert waiting.message == "invoice-INV-000001.csv has no acknowledgement yet"
    put(
        server.vendor.folder / "acks" / "1.csv",
        ["number", "status", "remote_number", "message"],
        ["INV-000001", "accepted", "77", ""],
        ["INV-000002", "rejected", "", "unknown customer"],
    )
    states = await until_settled(delivering)
    assert states == {"INV-000001": "posted", "INV-000002": "refused"}
    refused = await delivering.delivery("INV-000002")
    assert "unknown customer" in refused.message
    assert (await delivering.delivery("INV-000001")).remote_number == "77"
    answer = await delivering.tell("retry-delivery", ledger="gl-us", invoice_number="INV-000002")
    assert answer["outcome"] == "accepted", answer
    await delivering.deliver()
    await delivering.hurry()
    assert server.vendor.files[-1] == "invoice-INV-000002.2.csv"
    put(
        server.vendor.folder / "acks" / "2.csv",
        ["number", "status", "remote_number", "message"],
        ["INV-000002", "accepted", "78", ""],
    )
    assert set((await until_settled(delivering)).values()) == {"posted"}
    put(
        server.vendor.folder / "paid" / "1.csv",
        ["payment_id", "number", "amount", "currency", "paid_on"],
        ["P-1", "INV-000001", "100.00", "USD", "2026-04-20"],
    )
    await read_payments(delivering)
    paid = [one for one in delivering.said("payment-recorded") if b"INV-000001" in one.value]
    assert len(paid) == 1 and b'"amount":"100"' in paid[0].value
    (row,) = await delivering.rows("SELECT invoice_id, amount FROM arg_sync.payment")
    assert (row.invoice_id, row.amount) == (first.invoice_id, Decimal("100.00"))


def put(path: Path, *rows: Any) -> None:
    """The other side puts a file down."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    then = path.stat().st_mtime - 600
    os.utime(path, (then, then))
