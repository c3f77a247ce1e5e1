"""Drafts through all services (msp.md 2): made, changed, finalized; numbers only at the end."""

from typing import Any

import pytest

from shared.verify import verify
from tests.builders import entry, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.test_options import Programme, start_programme

CUT_OFF = "2026-03-31"


class Drafting(Programme):
    """A programme whose items are drafted."""

    async def drafts(self, **fields: Any) -> list[dict[str, Any]]:
        """Make drafts of all that is due and return what the answer lists."""
        answer = await self.tell("create-drafts", cut_off_date=CUT_OFF, **fields)
        assert answer["outcome"] == "accepted", answer
        return list(answer["details"]["drafts"])

    async def finalize(self, *drafts: str, version: int = 1, **fields: Any) -> dict[str, Any]:
        """Send the command for drafts in one version."""
        cited = [{"draft": draft, "version": version} for draft in drafts]
        return await self.tell("finalize-drafts", drafts=cited, **fields)

    async def verified(self) -> None:
        """Check that verify finds nothing."""
        async with self.engine_of("auditor").connect() as connection:
            assert (await verify(connection)).faults == ()

    async def draft(self, draft: str) -> tuple[Any, ...]:
        """Return status, version, total and lines of a draft."""
        (found,) = await self.rows(
            "SELECT status, version, trim_scale(total)::text, line_count"
            f" FROM invoicer.console_draft WHERE draft = '{draft}'"
        )
        return found


@pytest.fixture
async def drafting(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> Drafting:
    return await start_programme(Drafting(engine_of, unit_of_work_for), configure)


FAULTS = [
    ("UPDATE invoicer.draft SET net = net + 1 WHERE draft_id = 2", "draft_totals"),
    ("UPDATE invoicer.draft_line SET tax_amount = 0.01", "draft_totals"),
    ("UPDATE invoicer.draft SET status = 'cancelled' WHERE draft_id = 2", "draft_ended"),
    ("UPDATE invoicer.draft SET total = total + 1 WHERE draft_id = 1", "draft_document"),
    ("UPDATE invoicer.draft SET account_name = 'x' WHERE draft_id = 1", "draft_document"),
    ("INSERT INTO invoicer.replaced_draft_line VALUES (1, 1, 1, 'n', 1)", "draft_places"),
]
"""What breaks a processed draft and one that waits, and the check of `verify` that finds it."""
ITEMS = (("E1", "2", "PO-1"), ("E2", "4", "PO-1"), ("E3", "1", "PO-2"))


async def test_only_finalization_takes_a_number(drafting: Drafting) -> None:
    """Drafts have ids and amounts; finalization gives them numbers in order, and nothing else."""
    await drafting.items(*ITEMS)
    made = await drafting.drafts()
    assert [(each["draft"], each["total"], each["status"]) for each in made] == [
        ("D-000001", "300.00", "Pending Finalization"),
        ("D-000002", "50.00", "Pending Finalization"),
    ]
    assert await drafting.rows("SELECT count(*) FROM invoicer.invoice") == [(0,)]
    why = await drafting.tell("explain", document_id="T-E3")
    assert why["message"].endswith("is on draft D-000002, version 1, which is Pending Finalization")
    await drafting.verified()
    again = await drafting.drafts()
    assert again == []
    answer = await drafting.finalize("D-000002", "D-000001")
    assert answer["outcome"] == "accepted", answer
    assert [(each["draft"], each["invoice_number"]) for each in answer["details"]["listed"]] == [
        ("D-000001", "INV-000001"),
        ("D-000002", "INV-000002"),
    ]
    assert await drafting.draft("D-000001") == ("processed", 1, "300", 2)
    await drafting.verified()


async def tax(drafting: Drafting, percent: str, from_date: str = "1970-01-01") -> None:
    """Set the rate of the tax code of the company's lines without one."""
    await drafting.tell(
        "set-billing-company",
        default_tax="vat",
        taxes=[{"tax_code": "vat", "percent": percent, "from_date": from_date}],
    )


async def test_cancelled_lines_are_open_again(drafting: Drafting) -> None:
    """A cancelled draft allows nothing more; its lines can be drafted and billed again."""
    await drafting.items(*ITEMS)
    await drafting.drafts()
    answer = await drafting.tell("cancel-draft", draft="D-000001")
    assert answer["message"] == "draft D-000001 is cancelled: 2 lines open again"
    await drafting.verified()
    refused = await drafting.tell("cancel-draft", draft="D-000001")
    assert (refused["code"], refused["message"]) == (
        "status_forbids",
        "draft D-000001 is Cancelled: Cancelled allows nothing more",
    )
    (again,) = await drafting.drafts()
    assert (again["draft"], again["total"]) == ("D-000003", "300.00")
    unknown = await drafting.tell("cancel-draft", draft="D-000009")
    assert unknown["code"] == "unknown_draft"


async def test_lines_are_removed_and_drafts_combined(drafting: Drafting) -> None:
    """A removed line is open again; combining joins drafts with the same keys only."""
    await tax(drafting, "20")
    await drafting.option(group_by=["engagement.id"], needs_transfer=False)
    await drafting.items(*ITEMS)
    made = await drafting.drafts()
    assert [each["total"] for each in made] == ["120.00", "240.00", "60.00"]
    refused = await drafting.tell("combine-drafts", drafts=["D-000001", "D-000002"])
    assert refused["code"] == "status_forbids"
    answer = await drafting.tell("remove-draft-line", draft="D-000002", line_no=1)
    assert answer["message"].endswith("D-000002 has no line left and has ended")
    assert (await drafting.draft("D-000002"))[:2] == ("cancelled", 2)
    await drafting.verified()
    missing = await drafting.tell("remove-draft-line", draft="D-000001", line_no=7)
    assert missing["code"] == "unknown_draft_line"


async def test_a_revision_replaces_a_drafted_item(drafting: Drafting) -> None:
    """The item is replaced, the draft grows by a version, and the version seen before is refused.

    A draft whose only item is withdrawn ends.
    """
    await tax(drafting, "20")
    await drafting.items(*ITEMS)
    await drafting.drafts()
    worked = [entry("3", "2026-03-04", po_number="PO-1")]
    await drafting.send(
        "timesheet-approved",
        timesheet("T-E1", 2, engagement_id="E1", entries=worked, worker_id="W-E1"),
    )
    assert await drafting.draft("D-000001") == ("pending_finalization", 2, "420", 2)
    await drafting.verified()
    refused = await drafting.finalize("D-000001")
    assert (refused["code"], refused["message"]) == (
        "draft_changed",
        "D-000001 is version 2, not 1: changed since it was looked at",
    )
    await drafting.send(
        "timesheet-approved",
        timesheet("T-E3", 2, engagement_id="E3", entries=[], worker_id="W-E3"),
    )
    assert (await drafting.draft("D-000002"))[:2] == ("cancelled", 2)
    assert (await drafting.finalize("D-000001", version=2))["outcome"] == "accepted"
    await drafting.verified()
    history = await drafting.rows(
        "SELECT action, version, status, actor FROM invoicer.draft_event WHERE draft_id = 1"
        " ORDER BY event_no"
    )
    assert history == [
        ("created", 1, "pending_finalization", "pat"),
        ("line replaced", 2, "pending_finalization", "settlement"),
        ("finalized", 2, "processed", "pat"),
    ]


async def test_an_edit_and_a_hold_change_the_draft(drafting: Drafting) -> None:
    """An edited item stays on its draft with its new amount; a held one leaves it."""
    await drafting.items(*ITEMS)
    await drafting.drafts()
    ((first,), (second,)) = await drafting.rows(
        "SELECT pay_line_id FROM invoicer.draft_line WHERE draft_id = 1 ORDER BY line_no"
    )
    answer = await drafting.tell("edit-pay-line", pay_line_id=first, quantity="1", reason="agreed")
    assert answer["message"].endswith("; draft D-000001 is version 2 now"), answer
    assert await drafting.draft("D-000001") == ("pending_finalization", 2, "250", 2)
    answer = await drafting.tell("snooze-pay-lines", pay_line_ids=[second], reason="asked")
    assert answer["outcome"] == "accepted", answer
    assert await drafting.draft("D-000001") == ("pending_finalization", 3, "50", 1)
    await drafting.verified()


async def test_a_draft_that_would_be_different_is_computed_again(drafting: Drafting) -> None:
    """Another tax rate or discount refuses finalization until the draft is regenerated."""
    await tax(drafting, "20")
    await drafting.items(*ITEMS)
    await drafting.drafts()
    await tax(drafting, "10")
    await drafting.tell(
        "set-debtor-terms",
        account_name="office-1 account",
        allowances=[{"kind": "discount", "name": "Volume", "percent": "10"}],
    )
    refused = await drafting.finalize("D-000001")
    assert refused["code"] == "draft_outdated"
    assert "tax vat was 20 % and is vat 10 %" in refused["message"]
    assert "discounts and surcharges of office-1 account changed" in refused["message"]
    answer = await drafting.tell("regenerate-draft", draft="D-000001")
    assert answer["details"]["total"] == "297.00", answer
    await drafting.verified()
    closed = await drafting.finalize("D-000001", version=2)
    assert closed["details"]["totals"] == [
        {
            "currency": "USD",
            "documents": 1,
            "lines": 2,
            "net": "270.00",
            "tax": "27.00",
            "total": "297.00",
        }
    ]
    await drafting.verified()


@pytest.mark.parametrize("credits", ["net", "separate"])
async def test_drafts_and_a_batch_close_the_same_documents(
    drafting: Drafting, credits: str
) -> None:
    """With tax, discounts and credits of what was billed before, the documents are the same."""
    await tax(drafting, "19")
    await drafting.tell(
        "set-debtor-terms",
        account_name="office-1 account",
        credits=credits,
        allowances=[
            {"kind": "discount", "name": "Volume", "percent": "7.5"},
            {"kind": "surcharge", "name": "Handling", "amount": "3.33"},
        ],
    )
    await drafting.items(*ITEMS)
    await drafting.bill()
    for document, hours in (("E1", "1.33"), ("E2", "0.5")):
        worked = [entry(hours, "2026-03-04", po_number="PO-1")]
        await drafting.send(
            "timesheet-approved",
            timesheet(f"T-{document}", 2, engagement_id=document, entries=worked,
                      worker_id=f"W-{document}"),
        )  # fmt: skip
    await drafting.items(("E3", "7.77", "PO-1"))
    preview = await drafting.tell("preview-batch", cut_off_date=CUT_OFF)
    made = await drafting.drafts()
    names = ("account_name", "document_type", "net", "tax", "total", "lines")
    assert [{name: each[name] for name in names} for each in made] == [
        {name: each[name] for name in names} for each in preview["details"]["listed"]
    ]
    await drafting.verified()
    for each in made:
        await drafting.tell("regenerate-draft", draft=each["draft"])
        assert await drafting.rows(
            "SELECT status, version, round(net, 2)::text, round(tax, 2)::text, document_type"
            f" FROM invoicer.console_draft WHERE draft = '{each['draft']}'"
        ) == [("pending_finalization", 2, each["net"], each["tax"], each["document_type"])]
    closed = await drafting.finalize(*(each["draft"] for each in made), version=2)
    assert closed["outcome"] == "accepted", closed
    assert closed["details"]["totals"] == preview["details"]["totals"]
    await drafting.verified()


@pytest.mark.parametrize(
    ("hours", "kind", "total"), [("2", "credit-note", "-250.00"), ("20", "invoice", "650.00")]
)
async def test_netted_credits_and_items_with_other_terms_are_two_documents(
    drafting: Drafting, hours: str, kind: str, total: str
) -> None:
    """Other terms outdate the draft; it is not regenerated but cancelled and made again as two."""
    await drafting.tell("set-debtor-terms", account_name="office-1 account", credits="net")
    await drafting.items(("E1", "8", "PO-1"))
    await drafting.bill()
    worked = [entry("1", "2026-03-04", po_number="PO-1")]
    await drafting.send(
        "timesheet-approved",
        timesheet("T-E1", 2, engagement_id="E1", entries=worked, worker_id="W-E1"),
    )
    await drafting.items(("E2", hours, "PO-1"))
    (made,) = await drafting.drafts()
    assert (made["document_type"], made["total"]) == (kind, total)
    await drafting.tell("set-debtor-terms", account_name="office-1 account", payment_terms="net:14")
    refused = await drafting.finalize("D-000001")
    assert refused["code"] == "draft_outdated"
    refused = await drafting.tell("regenerate-draft", draft="D-000001")
    assert refused["code"] == "terms_differ"
    await drafting.tell("cancel-draft", draft="D-000001")
    again = await drafting.drafts()
    assert len(again) == 2
    closed = await drafting.finalize(*(each["draft"] for each in again))
    assert closed["outcome"] == "accepted", closed
    await drafting.verified()


@pytest.mark.parametrize(("statement", "check"), FAULTS)
async def test_verify_finds_what_is_wrong_with_drafts(
    drafting: Drafting, statement: str, check: str
) -> None:
    """Totals are those of the lines, an ended draft has none, a processed one its document."""
    await drafting.items(*ITEMS)
    await drafting.drafts()
    await drafting.finalize("D-000001")
    await drafting.verified()
    async with drafting.engine_of("owner").begin() as connection:
        await connection.exec_driver_sql(statement)
    async with drafting.engine_of("auditor").connect() as connection:
        assert check in {each.check for each in (await verify(connection)).faults}
