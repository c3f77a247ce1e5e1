"""The mapping of a connection, tested by a worker, shown and imported by the console."""

from pathlib import Path
from typing import Any

import pytest

from services.arg_sync.app import store_ledger_kinds
from services.arg_sync.ledgers.registry import adapter_specs
from services.console.importing.mapping import read_mapping
from services.console.queries.ledger_maps import mapping_of, template_rows, unknown_codes
from services.console.queries.snapshot import open_snapshot
from shared.errors import Refused
from tests.builders import COMPANY
from tests.handlers.test_arg_sync_commands import connect
from tests.ledgers.delivering import LEDGER, Delivering, sealed_for
from tests.ledgers.fake import FakeServer, Reply, playing
from tests.ledgers.sample_ledger import SampleVendor, sample_kind
from tests.ledgers.vendors import sage_intacct as intacct

FACTS = (
    "INSERT INTO fee_realizer.billing_company (billing_company, known, currency)"
    " VALUES (:company, true, 'USD')",
    "INSERT INTO fee_realizer.tax_rate VALUES (:company, 'VAT', '2020-01-01', 10),"
    " (:company, 'LOW', '2020-01-01', 5)",
    "INSERT INTO fee_realizer.catalog_item (item_id, known) VALUES ('LAPTOP', true)",
)
CODES = {
    "account": [{"code": "4000", "name": "Sales", "problem": "is archived"}, {"code": "4100"}],
    "tax": [{"code": "T10"}],
    "currency": [{"code": "EUR"}],
}


async def connected(delivering: Delivering, sample: FakeServer) -> SampleVendor:
    """A billing company with a connection, whose mapping is account "" and tax VAT."""
    vendor = sample.vendor
    assert isinstance(vendor, SampleVendor)
    for sql in FACTS:
        await delivering.rows(sql, company=COMPANY)
    vendor.codes = {kind: list(codes) for kind, codes in CODES.items()}
    await delivering.connect(sample_kind(vendor), sample.url)
    return vendor


async def checked(delivering: Delivering, no: int) -> tuple[Any, dict[tuple[str, str], str]]:
    """Test the connection; it, and the problems of its mapping."""
    await delivering.tell("test-ledger", command_id=f"test-{no}", ledger=LEDGER)
    await delivering.deliver()
    (row,) = await delivering.rows("SELECT * FROM arg_sync.connection")
    found = await delivering.rows("SELECT what, code, message FROM arg_sync.mapping_problem")
    return row, {(each.what, each.code): each.message for each in found}


async def test_a_test_of_a_connection_holds_its_mapping_against_the_ledger(
    delivering: Delivering, sample: FakeServer
) -> None:
    """What does not exist, is of no use or is not mapped is stored; a code that is mapped anew is
    tested again without a command.
    """
    vendor = await connected(delivering, sample)
    row, problems = await checked(delivering, 1)
    assert row.check_outcome == "ok" and row.check_message.endswith("its mapping has 3 problems")
    assert problems == {
        ("account", ""): "account 4000 (Sales) is archived in Sample Ledger",
        ("currency", "USD"): "Sample Ledger has no currency USD",
        ("tax", "LOW"): "tax code LOW is not mapped",
    }
    vendor.codes["currency"].append({"code": "USD"})
    mapped = [
        {"what": "account", "code": "", "remote": "4100"},
        {"what": "tax", "code": "LOW", "remote": "T1O"},
    ]
    await delivering.tell("import-mapping", ledger=LEDGER, rows=mapped)
    found = await delivering.rows("SELECT what, code FROM arg_sync.mapping_problem")
    assert [tuple(each) for each in found] == [("currency", "USD")]
    await delivering.deliver()
    found = await delivering.rows("SELECT message FROM arg_sync.mapping_problem")
    assert [each.message for each in found] == [
        "Sample Ledger has no tax code T1O; do you mean T10?"
    ]


async def test_codes_that_cannot_be_read_leave_what_is_known(
    delivering: Delivering, sample: FakeServer
) -> None:
    """A login without the permission to read the chart of accounts still delivers."""
    vendor = await connected(delivering, sample)
    _, before = await checked(delivering, 1)
    handle = vendor.handle
    vendor.handle = lambda asked: (  # type: ignore[method-assign]
        Reply.of(403, {"error": "no right"}) if asked.path.startswith("/codes") else handle(asked)
    )
    row, problems = await checked(delivering, 2)
    assert row.check_outcome == "ok" and "could not be checked" in row.check_message
    assert problems == before and row.state == "connected"


async def test_a_ledger_that_lists_no_codes_says_that_its_mapping_is_not_checked(
    delivering: Delivering,
) -> None:
    """Sage Intacct needs mapped codes, and we cannot list its own: "ok" alone would mislead."""
    async with playing(intacct.IntacctVendor()) as server:
        await delivering.connect(
            adapter_specs()["sage-intacct"], server.url + intacct.PATH, **intacct.SETTINGS
        )
        await delivering.seal(intacct.SECRETS)
        row, problems = await checked(delivering, 1)
    assert (row.check_outcome, problems) == ("ok", {})
    assert row.check_message.endswith(
        "its mapping is not checked: Sage Intacct does not list its codes to us"
    )


async def test_a_ledger_that_cannot_serve_us_is_stopped_by_its_test(
    delivering: Delivering, sample: FakeServer
) -> None:
    """As one without the tax feature that its API needs: no document could be delivered. A stopped
    connection is not tested again for a mapping, but by command.
    """
    vendor = await connected(delivering, sample)
    handle = vendor.handle
    vendor.handle = lambda asked: Reply(302, b"")  # type: ignore[method-assign]
    row, _ = await checked(delivering, 1)
    assert (row.state, row.check_outcome) == ("stopped", "failed")
    assert "redirects" in row.message
    mapped = [{"what": "account", "code": "", "remote": "4100"}]
    await delivering.tell("import-mapping", ledger=LEDGER, rows=mapped)
    calls = len(sample.calls)
    await delivering.deliver()
    assert len(sample.calls) == calls
    vendor.handle = handle  # type: ignore[method-assign]
    row, _ = await checked(delivering, 2)
    assert (row.state, row.check_outcome) == ("connected", "ok")


async def test_connect_says_which_tax_basis_the_ledger_needs(delivering: Delivering) -> None:
    """Business Central computes tax per document; a company that does so as well is told nothing,
    and neither is one whose ledger takes our amounts.
    """
    for sql in FACTS:
        await delivering.rows(sql, company=COMPANY)
    spec = adapter_specs()["business-central"]
    settings = {"tenant": "t", "company_id": "c", "client_id": "i"}
    defaults = {each.name: each.default for each in spec.settings if each.default is not None}
    box = sealed_for(spec, defaults | settings, {"client_secret": "s"}, "bc")
    given = {"ledger": "bc", "kind": "business-central", "settings": settings}
    given |= {"sealed_secrets": box}
    answer = await connect(delivering, "c-1", **given)
    assert f"set {COMPANY} --tax-basis document" in answer["message"], answer
    await delivering.rows("UPDATE fee_realizer.billing_company SET tax_basis = 'document'")
    again = await connect(delivering, "c-2", **given)
    assert again["outcome"] == "accepted" and "tax" not in again["message"]


async def test_the_console_shows_a_mapping_and_what_it_lacks(
    delivering: Delivering, sample: FakeServer, database: str
) -> None:
    """With the problems of the last test; the template has the codes of the billing company; a
    code that it does not have is named with those near it.
    """
    await connected(delivering, sample)
    await delivering.unit_of_work.transact(store_ledger_kinds())
    await checked(delivering, 1)
    async with open_snapshot(database) as connection:
        found = await mapping_of(connection, LEDGER)
        with pytest.raises(Refused, match="unknown_ledger"):
            await mapping_of(connection, "others")
    shown = {(row["what"], row["code"]): row["problem"] for row in found["rows"]}
    assert shown == {
        ("account", ""): "account 4000 (Sales) is archived in Sample Ledger",
        ("tax", "VAT"): "",
    }
    assert [(row["what"], row["code"], row["remote"]) for row in template_rows(found)] == [
        ("account", "", "4000"),
        ("tax", "VAT", "T10"),
        ("account", "time", ""),
        ("account", "product", ""),
        ("account", "LAPTOP", ""),
        ("tax", "LOW", ""),
    ]
    rows = [{"what": "item", "code": "laptops"}, {"what": "tax", "code": "VTA"}]
    rows += [{"what": "account", "code": "time"}, {"what": "customer", "code": "Mercy"}]
    assert unknown_codes(found, rows) == [
        "acme-us has no item code 'laptops'; do you mean LAPTOP?",
        "acme-us has no tax code 'VTA'; do you mean VAT?",
    ]


def test_an_unknown_what_is_refused_with_the_one_that_is_near(tmp_path: Path) -> None:
    """A misspelt word costs no search in the documentation."""
    file = tmp_path / "codes.csv"
    file.write_text("what,code,remote\nacount,,4000\nzebra,,1\n")
    _, wrong = read_mapping(file)
    assert "do you mean account?" in wrong[0] and "do you mean" not in wrong[1]
