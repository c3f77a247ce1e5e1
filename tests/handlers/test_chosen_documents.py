"""A batch of chosen timesheets: the others stay open for a later batch.

Source: FastTrack360 automatic invoicing ("the timesheets you choose to include").
"""

from typing import Any

import pytest

from tests.builders import realization, realization_line
from tests.handlers.billed import Biller, biller
from tests.handlers.test_parked import Parking, parking, sheet

__all__ = ["biller", "parking"]
WORKERS = {"T-1": "W-1", "T-2": "W-1", "T-3": "W-2", "T-4": "W-3"}
CUT_OFF = "2026-10-31"


async def four_timesheets(biller: Biller) -> None:
    """T-1 and T-2 of worker W-1, T-3 of W-2, T-4 of W-3: 40 h each."""
    await biller.consume(
        *(
            realization(document_id, 1, realization_line("40", worker_id=worker))
            for document_id, worker in WORKERS.items()
        )
    )


async def billed(biller: Biller) -> set[str]:
    """Return the documents on closed documents."""
    rows = await biller.rows("SELECT DISTINCT document_id FROM invoicer.closed_invoice_line")
    return {row.document_id for row in rows}


@pytest.mark.parametrize(
    ("chosen", "billed_ids"),
    [
        ({"documents": ["T-1"]}, {"T-1"}),
        ({"documents": ["T-2", "T-4"]}, {"T-2", "T-4"}),
        ({"workers": ["W-1"]}, {"T-1", "T-2"}),
        ({"documents": ["T-4"], "workers": ["W-2"]}, {"T-3", "T-4"}),
    ],
)
async def test_only_what_is_chosen_is_billed(
    biller: Biller, chosen: dict[str, Any], billed_ids: set[str]
) -> None:
    """Preview and batch agree to the line; the next batch bills the rest, and nothing twice."""
    await four_timesheets(biller)
    preview = await biller.tell("preview-batch", cut_off_date=CUT_OFF, **chosen)
    out = {"document_not_chosen": len(WORKERS) - len(billed_ids)}
    assert preview["details"]["left_out"] == out
    assert preview["details"]["narrowed_to"] == chosen
    previewed = await biller.rows(
        "SELECT p.document_id, v.reason FROM invoicer.preview_line v"
        " JOIN invoicer.pay_line p USING (pay_line_id)"
    )
    assert {row.document_id: row.reason for row in previewed} == {
        one: None if one in billed_ids else "document_not_chosen" for one in WORKERS
    }
    answer = await biller.generate(digest=preview["details"]["digest"], **chosen)
    assert (answer["outcome"], answer["details"]["totals"]) == (
        "accepted",
        preview["details"]["totals"],
    )
    assert await billed(biller) == billed_ids
    rest = await biller.generate()
    assert rest["details"]["lines"] == len(WORKERS) - len(billed_ids)
    assert await billed(biller) == set(WORKERS)
    await biller.check_seals()


async def test_the_digest_covers_the_choice(biller: Biller) -> None:
    """The digest of a preview holds for the same choice only; the refusal names what differs."""
    await four_timesheets(biller)
    digest = (await biller.tell("preview-batch", cut_off_date=CUT_OFF, documents=["T-1"]))[
        "details"
    ]["digest"]
    for other in ({}, {"documents": ["T-1"], "workers": ["W-1"]}, {"documents": ["T-2"]}):
        refused = await biller.generate(digest=digest, **other)
        assert refused["code"] == "digest_differs"
        assert {"documents", "workers"} & set(refused["details"]["settings"])
    assert (await biller.generate(digest=digest, documents=["T-1"]))["outcome"] == "accepted"


async def test_unknown_ids_are_refused_and_named(biller: Biller) -> None:
    """A misspelt id would leave its timesheet out without a word; nothing is closed."""
    await four_timesheets(biller)
    for chosen, code, named in (
        ({"documents": ["T-1", "T-9"]}, "unknown_document", "document 'T-9' is unknown"),
        ({"documents": ["T-8", "T-9"]}, "unknown_document", "documents 'T-8', 'T-9' are unknown"),
        ({"workers": ["W-1", "W-9"]}, "unknown_worker", "worker 'W-9' is unknown"),
    ):
        for kind in ("preview-batch", "generate-batch"):
            answer = await biller.tell(kind, cut_off_date=CUT_OFF, **chosen)
            assert (answer["outcome"], answer["code"]) == ("refused", code)
            assert named in answer["message"]
    await biller.company("other")
    answer = await biller.generate(billing_company="other", documents=["T-1"])
    assert answer["code"] == "unknown_document"
    assert await biller.documents() == []


async def test_a_document_without_open_lines_is_named(biller: Biller) -> None:
    """The same batch again bills nothing, is accepted, and says what it found nothing of."""
    await four_timesheets(biller)
    chosen = {"documents": ["T-1", "T-3"], "workers": ["W-1"]}
    await biller.generate(**chosen)
    again = await biller.generate(**chosen)
    assert (again["outcome"], again["details"]["documents"]) == ("accepted", 0)
    assert again["details"]["nothing_open_of"] == ["T-1", "T-3"]


async def test_why_not_says_that_a_document_was_not_chosen(biller: Biller) -> None:
    """The reason is the choice of the last batch, until another batch takes the rest."""
    await four_timesheets(biller)
    ready = await biller.tell("explain", document_id="T-3")
    assert ready["details"]["reason"] == "nothing"
    await biller.generate(workers=["W-1"])
    out = await biller.tell("explain", document_id="T-3")
    assert out["details"]["reason"] == "document_not_chosen"
    assert "was limited to other documents than T-3" in out["message"]
    await biller.tell(
        "credit-invoice", invoice_number="INV-000001", lines=[{"line_no": 1}], to="write-off"
    )
    assert (await biller.tell("explain", document_id="T-3"))["details"] == out["details"]
    await biller.generate(documents=["T-3"])
    assert (await biller.tell("explain", document_id="T-3"))["details"]["reason"] == "invoiced"


async def test_credits_follow_their_document(biller: Biller) -> None:
    """The corrections of a chosen timesheet are in, with their tax; those of others wait."""
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "20")
    await four_timesheets(biller)
    await biller.generate()
    await biller.consume(
        *(
            realization(one, 2, realization_line("38", worker_id=WORKERS[one]))
            for one in ("T-1", "T-3")
        )
    )
    answer = await biller.generate(documents=["T-3"])
    assert answer["details"]["left_out"] == {"document_not_chosen": 1}
    assert (await biller.documents())[-1][3:5] == ("-100", "-20")
    assert (await biller.generate())["details"]["lines"] == 1
    await biller.check_seals()


async def test_a_retry_keeps_the_choice_of_its_batch(parking: Parking) -> None:
    """A debtor that a batch of chosen timesheets parked is billed for those, and no others."""
    await parking.consume(sheet("T-1", "W-1", hours="8"), sheet("T-2", "W-2"))
    await parking.consume(sheet("T-3", "W-3", "REQ-2", hours="9"))
    await parking.ask("set-billing-company", max_day_hours=8)
    batch = await parking.ask("generate-batch", cut_off_date="2026-03-31", documents=["T-1", "T-3"])
    assert [code for _, code, _ in await parking.parked()] == ["hours_over_bound"]
    assert batch["details"]["narrowed_to"] == {"documents": ["T-1", "T-3"]}
    await parking.consume(sheet("T-4", "W-4", "REQ-2"))
    await parking.ask("set-billing-company", max_day_hours=24)
    retried = await parking.ask("retry-parked", batch_id=batch["details"]["batch_id"])
    assert retried["outcome"] == "accepted", retried
    assert await parking.billed() == [("Grace", "T-3"), ("Mercy", "T-1")]
    kept = await parking.select(
        "SELECT after FROM invoicer.command WHERE command_id = :id",
        id=batch["command_id"],
    )
    assert "T-3" in str(kept)
