"""Facts of the adapters that need no server: tables of settings, external ids."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
import typer

from services.arg_sync.connections.handlers.commands import described
from services.arg_sync.ledgers import netsuite as ns
from services.arg_sync.ledgers.registry import adapter_specs
from services.console.cli.ledgers import sealed_settings
from tests.ledgers import pages, vendors


@pytest.mark.parametrize("name", sorted({*adapter_specs()} - {"tryton"}))
def test_the_pages_are_up_to_date(name: str) -> None:
    """`python -m tests.ledgers.pages` writes their tables."""
    text = (pages.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert pages.BEGIN in text and pages.page_with(text, adapter_specs()[name]) == text


@pytest.mark.parametrize("number", ["INV-1", "A/2026|7", "Ä_9", "x" * 50])
def test_an_external_id_is_our_number_and_back(number: str) -> None:
    """Only a-z, A-Z, 0-9, _ and -; an invoice and a credit note have different ids."""
    ids = {ns.external_id("invoice", number), ns.external_id("credit-note", number)}
    assert len(ids) == 2 and all(
        part.isascii() and part.replace("_", "").replace("-", "").isalnum() for part in ids
    )
    assert {ns.number_in(each) for each in ids} == {number}


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(vendors.__path__)])
def test_each_server_that_plays_a_vendor_cites_its_sources(name: str) -> None:
    """What a page says has its address; what no page says is marked as assumed."""
    text = importlib.import_module(f"tests.ledgers.vendors.{name}").__doc__ or ""
    _, found, sources = text.partition("Sources")
    assert found and re.search(r"assumed|Assumed", sources)
    assert re.search(r"\.(com|org)[/)\]]|RFC \d+|trytond", sources)


@pytest.mark.parametrize(
    "name", ["xero", "quickbooks", "business-central", "netsuite", "sage-intacct"]
)
def test_each_page_says_what_happens_if_an_assumption_is_wrong(name: str) -> None:
    """A table of two columns, both of them filled in."""
    text = (pages.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    _, found, table = text.partition("| we assume | if it is wrong |\n|---|---|\n")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert found and len(rows) >= 5
    assert all(len(row) == 2 and all(len(cell) > 10 for cell in row) for row in rows)


def test_a_setting_may_name_a_file_beside_the_settings(tmp_path: Path) -> None:
    """Layouts and keys stay files; a text with a space or a line end is the value itself."""
    about = json.loads(described(adapter_specs()["file-drop"])["settings"])
    layout = '[[column]]\nfield = "invoice_number"\n'
    (tmp_path / "layout.toml").write_text(layout)
    settings = tmp_path / "drop.json"
    given = {"base_url": "in", "layout": "layout.toml", "host_key": "ssh-ed25519 AAAA"}
    settings.write_text(json.dumps(given))
    read = sealed_settings(settings, "drop", "file-drop", about, "")["settings"]
    assert read == given | {"layout": layout}
    settings.write_text(json.dumps({"base_url": "in", "layout": "missing.toml"}))
    with pytest.raises(typer.BadParameter, match=r"missing\.toml cannot be read"):
        sealed_settings(settings, "drop", "file-drop", about, "")
