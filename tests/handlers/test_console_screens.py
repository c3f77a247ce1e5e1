"""What the screens of the web console read: the way of an amount, the Inbox, what waits."""

from typing import Any

import pytest

from services.console.queries import inbox, monitoring
from services.console.queries.why import DONE, WAITS, why
from shared.errors import Refused
from tests.fault_injection import RowInserter
from tests.handlers.test_console_reads import Insert, Read, insert, read, sample_data

__all__ = ["insert", "read"]


async def test_the_way_of_an_invoiced_amount(read: Read, insert: Insert) -> None:
    """From the amount back to price, realization and document; forward to debtor, batch, invoice,
    the credit of its line, and what is open: each step with who and when.
    """
    ids = await insert(sample_data)
    found = await read(lambda connection: why(connection, ids["invoiced"]))
    assert found.amount.says == "40 hours × 50.00 = 2,000.00 USD"
    assert dict(found.amount.facts)["tax"] == "VAT 8.875 %, 177.50 USD"
    assert [step.title for step in found.before] == ["Price", "Realization"]
    assert found.before[0].link == ("requirement", "REQ-1")
    after = {step.title: step for step in found.after}
    assert list(after) == ["Debtor", "Batch", "Invoice", "Credited", "Delivery", "Balance"]
    assert after["Invoice"].link == ("invoice", "INV-000007") and after["Invoice"].at is not None
    assert after["Credited"].says == "-100.00 USD on INV-000008"
    assert after["Batch"].link == ("batch", "B-1") and after["Batch"].who
    assert (after["Delivery"].state, after["Balance"].state) == (WAITS, WAITS)


async def test_the_way_of_an_amount_that_is_not_invoiced(read: Read, insert: Insert) -> None:
    """An open line ends with its debtor and that it is not invoiced; a hold says who and why."""
    ids = await insert(sample_data)
    for name, titles in (
        ("pending", ["Debtor", "Invoice"]),
        ("snoozed", ["On hold", "Debtor", "Invoice"]),
    ):
        found = await read(lambda connection, line=ids[name]: why(connection, line))
        assert [step.title for step in found.after] == titles
        assert found.after[-1].says == "not invoiced yet" and found.after[-1].state == WAITS
    assert (found.after[0].says, found.after[0].who) == ("dispute", "kim")
    assert found.amount.state == DONE
    with pytest.raises(Refused, match="there is no pay line 999"):
        await read(lambda connection: why(connection, 999))


async def one_of_each(inserter: RowInserter) -> None:
    """A dead letter, a stopped partition, and a document that is held."""
    await inserter.company(name="Acme Inc.")
    await inserter.run(
        "INSERT INTO invoicer.dead_letter (topic, partition_no, record_offset, sha256, headers,"
        " code, message) VALUES ('t', 0, 1, '\\x00', '[]', 'bad_json', 'no JSON')"
    )
    await inserter.run(
        "INSERT INTO scheduler.stopped_partition (topic, partition_no, record_offset,"
        " following_offset, code, message) VALUES ('t', 0, 1, 2, 'undecodable', 'broken')"
    )
    await inserter.run("INSERT INTO arg_sync.outbox VALUES ('k', '1'), ('k', '2')")


async def test_the_counts_of_the_inbox_are_those_of_its_rows(read: Read, insert: Insert) -> None:
    """What belongs to no billing company is shown to those who see all of them."""
    await insert(one_of_each)

    async def both(connection: Any, everywhere: bool) -> tuple[dict[str, int], dict[str, Any]]:
        return (
            await inbox.inbox_counts(connection, ["acme-us"], everywhere=everywhere),
            await inbox.inbox(connection, ["acme-us"], everywhere=everywhere),
        )

    for everywhere, waiting in ((True, {"dead_letters", "stopped"}), (False, set())):
        counts, rows = await read(lambda connection, each=everywhere: both(connection, each))
        assert counts == {kind: len(rows[kind]) for kind in inbox.KINDS}
        assert {kind for kind, number in counts.items() if number} == waiting


async def test_services_watermarks_and_what_is_not_delivered(read: Read, insert: Insert) -> None:
    """Outbox, dead letters and stopped partitions of each service; a company without a watermark
    is not behind.
    """
    await insert(one_of_each)
    services = {row["service"]: row for row in await read(monitoring.services_in_brief)}
    assert services["arg_sync"]["outbox"] == 2
    assert services["invoicer"]["dead_letters"] == services["scheduler"]["stopped"] == 1
    assert await read(monitoring.oldest_undelivered) == []
    (company,) = await read(monitoring.watermarks)
    assert (company["billing_company"], company["behind"]) == ("acme-us", 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, None), (0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (11_100, "3 h 5 min"),
     (187_200, "2 d 4 h")],
)  # fmt: skip
def test_times_are_short(seconds: float | None, words: str | None) -> None:
    """A time has its two largest units."""
    assert monitoring.duration(seconds) == words
