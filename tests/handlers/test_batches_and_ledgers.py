"""The health check of a batch covers the ledger connection and mapping of its company."""

from typing import Any

import pytest

from tests.builders import COMPANY, realization, realization_line, record
from tests.handlers.billed import Biller, biller

__all__ = ["biller", "record"]
CONNECT = """
INSERT INTO arg_sync.connection
  (ledger, kind, billing_company, settings, auto_sync, state, message, actor, connected_at)
VALUES ('gl-us', :kind, :company, '{}', true, :state, :message, 'pat', now())"""
MAP = """
INSERT INTO arg_sync.mapping VALUES ('gl-us', 'account', '', '4000', 'pat', now()),
  ('gl-us', 'tax', 'VAT', 'T10', 'pat', now())"""
PROBLEM = "INSERT INTO arg_sync.mapping_problem VALUES ('gl-us', :what, :code, :remote, :message)"
KIND = """
INSERT INTO arg_sync.ledger_kind VALUES ('business-central', 'Business Central', '', '[]',
  '{"tax_basis": "document", "line_code": "either"}')"""


async def ledger_findings(biller: Biller, kind: str = "health-check") -> dict[str, dict[str, Any]]:
    """Return the findings about ledgers."""
    answer = await biller.tell(kind, cut_off_date="2026-10-31")
    return {each["code"]: each for each in answer["findings"] if each["code"].startswith("ledger_")}


async def test_a_company_without_a_ledger_is_not_warned(biller: Biller) -> None:
    """A company that downloads its batches as files needs no connection."""
    await biller.consume(realization("T-1", 1, realization_line("1")))
    assert await ledger_findings(biller) == {}


@pytest.mark.parametrize(
    ("state", "change", "words"),
    [
        ("stopped", "", "the token is dead"),
        ("disconnected", "", "disconnected"),
        (
            "connected",
            "UPDATE arg_sync.connection SET open_until = now() + interval '1 minute',"
            " circuit_message = 'HTTP 503'",
            "HTTP 503",
        ),
        (
            "connected",
            "UPDATE arg_sync.connection SET check_outcome = 'failed', check_message = 'no such"
            " company'",
            "no such company",
        ),
    ],
)
async def test_a_connection_that_does_not_work_is_a_warning(
    biller: Biller, state: str, change: str, words: str
) -> None:
    """A connection that does not work is a warning with the cause; the batch may close.

    The causes: an invalid key, disconnected, no answer, a failed check.
    """
    await biller.consume(realization("T-1", 1, realization_line("1")))
    await biller.rows(
        CONNECT,
        kind="xero",
        company=COMPANY,
        state=state,
        message="the token is dead" if state == "stopped" else "",
    )
    await biller.rows(MAP)
    if change:
        await biller.rows(change)
    found = (await ledger_findings(biller))["ledger_not_well"]
    assert (
        found["severity"] == "warning"
        and words in found["message"]
        and found["ids"] == ["gl-us"]
        and found["fix"]
    )
    assert "ledger_not_well" in await ledger_findings(biller, "preview-batch")
    assert (await biller.generate())["outcome"] == "accepted"


async def test_codes_that_the_mapping_lacks_are_named(biller: Biller) -> None:
    """Codes that a delivery would refuse are named; after the import none is missing."""
    await biller.tax("VAT", "10")
    await biller.consume(realization("T-1", 1, realization_line("1", tax_code="VAT")))
    await biller.rows(CONNECT, kind="xero", company=COMPANY, state="connected", message="")
    found = (await ledger_findings(biller))["ledger_mapping_missing"]
    assert found["ids"] == ["account REG", "tax VAT"] and "gl-us" in found["fix"]
    refused = await biller.generate()
    assert (refused["outcome"], refused["code"]) == ("refused", "ledger_mapping_missing")
    for default in ("default_account", "default_item"):
        await biller.company(**{default: "4000"})
        assert (await ledger_findings(biller))["ledger_mapping_missing"]["ids"] == ["tax VAT"]
        await biller.company(**{default: ""})
    await biller.rows(MAP)
    assert await ledger_findings(biller) == {}


async def test_a_code_that_the_ledger_does_not_take_refuses_the_batch(biller: Biller) -> None:
    """Before any number is taken; a code that the batch does not use is no reason, and a currency
    of its documents is one. After a test that finds all well the batch closes.
    """
    await biller.tax("VAT", "10")
    await biller.consume(realization("T-1", 1, realization_line("1", tax_code="VAT")))
    await biller.rows(CONNECT, kind="xero", company=COMPANY, state="connected", message="")
    await biller.rows(MAP)
    for what, code in (("account", "OT"), ("tax", "LOW"), ("currency", "EUR")):
        await biller.rows(PROBLEM, what=what, code=code, remote="x", message=f"no {code}")
    await biller.rows(PROBLEM, what="item", code="LAPTOP", remote="", message="not mapped")
    assert await ledger_findings(biller) == {}
    problems = {("account", ""): "4000 is archived", ("currency", "USD"): "no currency USD"}
    for (what, code), message in problems.items():
        await biller.rows(PROBLEM, what=what, code=code, remote="4000", message=message)
    for kind in ("preview-batch", "generate-batch"):
        refused = await biller.tell(kind, cut_off_date="2026-10-31")
        assert (refused["outcome"], refused["code"]) == ("refused", "ledger_code_unusable")
        assert "4000 is archived; no currency USD" in refused["message"]
    assert await biller.rows("SELECT FROM invoicer.invoice") == []
    await biller.rows("DELETE FROM arg_sync.mapping_problem")
    assert (await biller.generate())["outcome"] == "accepted"


async def test_the_tax_basis_that_the_ledger_needs_is_a_warning(biller: Biller) -> None:
    """A ledger that computes tax per document may differ by a cent from tax per line."""
    await biller.consume(realization("T-1", 1, realization_line("1")))
    await biller.rows(KIND)
    values = {"company": COMPANY, "state": "connected", "message": ""}
    await biller.rows(CONNECT, kind="business-central", **values)
    await biller.rows(MAP)
    found = (await ledger_findings(biller))["ledger_tax_basis"]
    assert found["severity"] == "warning" and "per document" in found["message"]
    assert found["fix"].endswith(f"set {COMPANY} --tax-basis document`")
    await biller.rows("UPDATE fee_realizer.billing_company SET tax_basis = 'document'")
    assert await ledger_findings(biller) == {}
