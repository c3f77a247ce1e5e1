"""Commands about a batch that close nothing: preview, health check, explain, record-download."""

import json
from datetime import date
from typing import Any

from services.invoicer.invoices.store.messages import closed_since
from tests.builders import COMPANY, node, product_line, realization, realization_line, record
from tests.conftest import process
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]


async def test_a_cited_digest_must_still_hold(biller: Biller) -> None:
    """A batch that differs from its preview is refused.

    The refusal names the debtors, lines and settings that differ.
    """
    await biller.consume(realization("T-1", 1, realization_line("1")))
    seen = (await biller.preview())["details"]
    assert (seen["documents"], seen["listed"][0]["total"]) == (1, "50.00")
    await biller.consume(realization("T-2", 1, realization_line("2")))
    refused = await biller.generate(digest=seen["digest"])
    (added,) = await biller.rows(
        "SELECT pay_line_id FROM invoicer.pay_line WHERE document_id = 'T-2'"
    )
    assert (refused["code"], refused["details"]["debtors"], refused["details"]["lines"]) == (
        "digest_differs",
        ["Mercy Hospital"],
        [added.pay_line_id],
    )
    assert refused["details"]["settings"] == []
    seen = (await biller.preview())["details"]
    await biller.company(payment_terms="net:10")
    refused = await biller.generate(digest=seen["digest"])
    assert (refused["code"], refused["details"]["line_count"]) == ("digest_differs", 0)
    assert refused["details"]["settings"] == ["billing company payment_terms"]
    assert (await biller.generate(digest="0" * 64))["code"] == "unknown_digest"
    assert (await biller.generate("2026-10-30", digest=seen["digest"]))["code"] == "digest_differs"
    assert await biller.documents() == []
    seen = (await biller.preview())["details"]
    assert (await biller.generate(digest=seen["digest"]))["outcome"] == "accepted"


async def test_a_refused_digest_names_some_of_many_settings(biller: Biller) -> None:
    """A refusal names the first changed settings and counts the others.

    Here the terms of a hundred debtors are imported between preview and batch.
    """
    await biller.consume(realization("T-1", 1, realization_line("1")))
    seen = (await biller.preview())["details"]
    for name in [
        "Mercy Hospital",
        *(f"A debtor with terms of its own, number {at}" for at in range(100)),
    ]:
        await biller.terms(name, payment_terms="net:10")
    refused = await biller.generate(digest=seen["digest"])
    assert (refused["code"], len(refused["details"]["settings"])) == ("digest_differs", 20)
    assert refused["message"].endswith(" and 182 more")
    assert len(refused["message"]) < 2_000


async def test_a_preview_writes_nothing_but_itself(biller: Biller) -> None:
    """A preview writes nothing but its own rows."""
    await biller.consume(realization("T-1", 1, realization_line("1")))
    before = await biller.rows("SELECT o::text FROM invoicer.open_line o")
    assert (await biller.preview())["details"]["lines"] == len(before) == 1
    assert len(await biller.rows("SELECT 1 FROM invoicer.preview")) == 1
    assert await biller.rows("SELECT o::text FROM invoicer.open_line o") == before
    for table in ("batch", "invoice", "invoice_line", "invoice_seal", "number_series"):
        assert await biller.rows(f"SELECT 1 FROM invoicer.{table}") == []


async def test_a_health_check_names_what_is_wrong(biller: Biller) -> None:
    """Findings name ids and a fix; nodes without lines are only counted."""
    await biller.company(name="", default_time_group="weekly")
    await biller.consume_nodes(
        node("office-2", account_name=""),
        node("office-3", account_name="", parent_id="client-9"),
        node("client-1", "client", account_name="", parent_id="office-1"),
    )
    await biller.consume(
        realization("T-1", 1, realization_line("1")),
        realization("T-2", 1, realization_line("1", billto_node="office-2")),
    )
    answer = await biller.tell("health-check", cut_off_date="2026-11-07")
    found = {each["code"]: each for each in answer["findings"]}
    assert set(found) == {
        "default_time_group_unknown",
        "debtor_parked",
        "no_account_name",
        "seller_details_missing",
        "parent_of_wrong_level",
        "parent_unknown",
        "cut_off_in_future",
        "nodes_without_lines",
        "nothing_to_bill",
    }
    assert found["no_account_name"]["ids"] == ["office-2"]
    assert found["parent_unknown"]["ids"] == ["office-3"]
    assert found["parent_of_wrong_level"]["ids"] == ["client-1"]
    assert found["nodes_without_lines"]["count"] == 1
    assert all(each["fix"] for each in answer["findings"])
    assert (await biller.generate())["code"] == "default_time_group_unknown"


async def test_a_health_check_finds_leavers_and_shows_two_addresses(biller: Biller) -> None:
    """Issue 11, 29: a placement that ends before an open instalment falls due is a finding; 24:
    the addresses of one Account Name are shown.
    """
    await biller.consume_nodes(node("office-2", account_name="Mercy Hospital", address="9 Elm St"))
    for placement_id, end_date in (("P-1", "2026-10-29"), ("P-2", "2026-10-30"), ("P-3", None)):
        await biller.consume(
            realization(placement_id, 1, product_line(effective="2026-10-30")),
            realization("T-1", 1, realization_line("1", billto_node="office-2")),
        )
        await biller.rows(
            "INSERT INTO fee_realizer.source_document (document_kind, document_id, source_id,"
            " revision, realization_no) VALUES ('placement', :id, :id, 1, 1)",
            id=placement_id,
        )
        await biller.rows(
            "INSERT INTO fee_realizer.source_revision (document_kind, document_id, source_id,"
            " revision, approved, body) VALUES ('placement', :id, :id, 1, true,"
            " CAST(:body AS jsonb))",
            id=placement_id,
            body=json.dumps({"end_date": end_date}),
        )
    found = {each["code"]: each for each in (await biller.tell("health-check"))["findings"]}
    assert (found["leaver"]["severity"], found["leaver"]["message"]) == (
        "warning",
        "1 placement with an end date before an instalment that falls due: P-1",
    )
    assert found["one_name_two_addresses"]["message"].endswith(
        "; Mercy Hospital: office-1 (office-1, 2 Care Rd, M-1), office-2 (office-2, 9 Elm St)"
    )


async def test_a_health_check_warns_of_names_that_look_alike(biller: Biller) -> None:
    """Of debtors with lines, and of those that look like them without any; a name of which nothing
    can be seen is no Account Name.
    """
    await biller.company()
    await biller.consume_nodes(
        node("office-1", revision=2, account_name="Mercy"),
        node("office-2", account_name="Ｍercy\u3164"),
        node("office-3", account_name="\u3164\u3164"),
        node("office-4", account_name="Other"),
        node("office-5", account_name="Оther"),
    )
    await biller.consume(
        realization("T-1", 1, realization_line("1")),
        realization("T-2", 1, realization_line("1", billto_node="office-3")),
    )
    answer = await biller.tell("health-check")
    found = {each["code"]: each for each in answer["findings"]}
    assert found["account_names_look_alike"]["ids"] == ["Mercy", "Ｍercy\u3164"]
    assert (
        "'Mercy', 'Ｍercy\u3164' (U+FF2D, U+3164)" in found["account_names_look_alike"]["message"]
    )
    assert found["no_account_name"]["ids"] == ["office-3"]


async def test_a_health_check_sees_what_waits_elsewhere(biller: Biller) -> None:
    """Held documents by code, unsettled realizations, dead letters.

    Documents of other companies are not named.
    """
    for document_id, code in (
        ("H-1", "no_bill_rate"),
        ("H-2", "no_bill_rate"),
        ("F-1", None),
        ("F-2", None),
    ):
        await biller.rows(
            "INSERT INTO fee_realizer.source_document (document_kind, document_id, revision,"
            " realization_no, hold_code) VALUES ('timesheet', :id, 1, :no, :code)",
            id=document_id,
            no=0 if code else 1,
            code=code,
        )
    for document_id, company in (("F-1", COMPANY), ("F-2", "other")):
        await biller.rows(
            "INSERT INTO fee_realizer.realization (document_kind, document_id, realization_no,"
            " realization_kind, source_id, revision, cause, body)"
            " VALUES ('timesheet', :id, 1, 'realized', :id, 1, 'test', :body)",
            id=document_id,
            body=json.dumps({"lines": [{"billing_company": company, "line_key": "k"}]}),
        )
    await process(
        biller.unit_of_work,
        biller.dispatcher.subscription(),
        [record("operator-commands", b"{", "x")],
    )
    found = {each["code"]: each for each in (await biller.tell("health-check"))["findings"]}
    assert (found["held_documents"]["count"], found["held_documents"]["ids"]) == (2, ["H-1", "H-2"])
    assert found["realizations_in_flight"]["ids"] == ["F-1"]
    assert found["dead_letters_open"]["count"] == 1


async def test_a_download_is_recorded(biller: Biller) -> None:
    """The command record-download sets `Downloaded on`."""
    await biller.consume(realization("T-1", 1, realization_line("1")))
    batch_id = (await biller.generate())["details"]["batch_id"]
    answer = await biller.tell("record-download", batch_id=batch_id, file_format="csv")
    assert answer["outcome"] == "accepted"
    (row,) = await biller.rows("SELECT batch_id, file_format, actor FROM invoicer.download")
    assert tuple(row) == (batch_id, "csv", "pat")
    (batch,) = await biller.rows("SELECT downloads, downloaded_on FROM invoicer.console_batch")
    number = (await biller.rows("SELECT invoice_number FROM invoicer.invoice"))[0].invoice_number
    asked = {"batch_id": batch_id, "file_format": "csv", "layout": "sage.toml"}
    assert (await biller.tell("record-download", invoice_number=number, **asked))[
        "message"
    ] == f"{number} was downloaded as csv by pat"
    assert await biller.rows("SELECT downloads, downloaded_on FROM invoicer.console_batch") == [
        batch
    ], "a document of it is not the batch"
    rows = await biller.rows(
        "SELECT layout, invoice_number FROM invoicer.console_download ORDER BY downloaded_at"
    )
    assert [tuple(row) for row in rows] == [(None, None), ("sage.toml", number)]
    assert (await biller.tell("record-download", invoice_number="INV-X", **asked))[
        "code"
    ] == "no_such_batch"
    assert (await biller.tell("record-download", batch_id="B-0", file_format="csv"))[
        "code"
    ] == "no_such_batch"


async def test_a_database_of_another_zone_and_style_keeps_its_days_and_seals(
    biller: Biller,
) -> None:
    """Days and seals do not depend on a database's time zone and date style.

    Here the database is set to New York and German dates, as one that we do not manage may be.
    """
    await biller.consume(realization("T-1", 1, realization_line("1")))
    await biller.generate()
    name = (await biller.rows("SELECT current_database() AS name"))[0].name
    for setting in ("timezone = 'America/New_York'", "datestyle = 'German'"):
        await biller.rows(f'ALTER DATABASE "{name}" SET {setting}')
    await biller.rows("UPDATE invoicer.batch SET generated_at = '2026-10-31 03:00:00+00'")
    await biller.unit_of_work.engine.dispose()
    await biller.console.dispose()
    async with biller.unit_of_work.engine.connect() as connection:
        assert len((await closed_since(connection, date(2026, 10, 31)))[0]) == 1
    await biller.check_seals()


async def why(biller: Biller, **values: Any) -> tuple[str, str]:
    answer = await biller.tell("explain", **values)
    return answer["details"].get("reason", answer["code"]), answer["message"]


async def test_one_reason_for_a_document_or_a_line(biller: Biller) -> None:
    """`why-not` gives one reason; for a snooze its text, actor and time."""
    await biller.consume(
        realization("OPEN", 1, realization_line("1")),
        realization(
            "NEXT", 1, realization_line("1", week_ending="2026-10-25", effective_date="2026-10-25")
        ),
        realization("SNOOZED", 1, realization_line("1")),
        realization("SCHEDULED", 1, product_line(effective="2026-12-24")),
        realization("NOBODY", 1, realization_line("1", billto_node="office-9")),
        realization("REPLACED", 1, realization_line("1")),
        realization("EMPTY", 1),
        realization("WITHHELD", 1, realization_line("1")),
    )
    lines = {
        row.document_id: row.pay_line_id
        for row in await biller.rows("SELECT document_id, pay_line_id FROM invoicer.pay_line")
    }
    await biller.consume(
        realization("REPLACED", 2, realization_line("2")),
        realization("WITHHELD", 2, realization_kind="withheld"),
    )
    await biller.tell(
        "snooze-pay-lines",
        pay_line_ids=[lines["SNOOZED"]],
        reason="client disputes it",
        until="2026-12-01",
    )
    assert (await why(biller, document_id="OPEN"))[0] == "nothing"
    assert (await why(biller, document_id="NEXT", cut_off_date="2026-10-24"))[0] == "after_cut_off"
    reason, message = await why(biller, pay_line_id=lines["SNOOZED"])
    assert reason == "snoozed"
    assert all(part in message for part in ("by pat", "until 2026-12-01", "client disputes it"))
    reason, message = await why(biller, document_id="SCHEDULED")
    assert reason == "scheduled"
    assert "2026-12-24" in message
    assert (await why(biller, document_id="NOBODY"))[0] == "unknown_node"
    assert (await why(biller, pay_line_id=lines["REPLACED"]))[0] == "replaced"
    assert (await why(biller, document_id="EMPTY"))[0] == "worth_nothing"
    assert (await why(biller, document_id="WITHHELD"))[0] == "withheld"
    assert (await why(biller, document_id="NEVER"))[0] == "not_known"
    assert (await why(biller, pay_line_id=10**9))[0] == "not_known"
    assert (await why(biller))[0] == "nothing_named"
    await biller.generate()
    reason, message = await why(biller, document_id="OPEN")
    assert reason == "invoiced"
    assert "INV-000001" in message
    assert (await why(biller, pay_line_id=lines["OPEN"]))[0] == "invoiced"


async def test_why_not_names_the_edit_that_left_no_value(biller: Biller) -> None:
    """`why-not` names the edit that left a document without value, and a fix."""
    await biller.consume(realization("T-1", 1, realization_line("1")))
    (line,) = await biller.rows("SELECT pay_line_id FROM invoicer.pay_line")
    await biller.tell(
        "edit-pay-line", pay_line_id=line.pay_line_id, quantity="0", reason="a present"
    )
    answer = await biller.tell("explain", document_id="T-1")
    assert (
        answer["message"]
        == "T-1 has no value: pat edited its latest realization to zero: a present"
    )
    assert (
        answer["details"]["fix"]
        == f"undo it: `backoffice pay-lines edit {line.pay_line_id} --quantity Q --reason TEXT`"
    )
    reason, message = await why(biller, pay_line_id=line.pay_line_id)
    assert (reason, message) == (
        "replaced",
        f"an edit or a credit of T-1 replaced pay line {line.pay_line_id}",
    )


async def test_why_not_lists_what_stops_the_whole_batch(biller: Biller) -> None:
    """A disabled billing company bills nothing, whatever its lines are."""
    await biller.consume(
        realization("T-1", 1, realization_line("1")),
        realization("T-2", 1, product_line(effective="2026-12-24")),
    )
    await biller.company(enabled=False)
    assert await why(biller, document_id="T-1") == (
        "company_disabled",
        f"billing company {COMPANY} is disabled and bills nothing",
    )
    assert (await why(biller, document_id="T-2"))[0] == "scheduled"


async def test_why_not_names_the_hold(biller: Biller) -> None:
    """A hold has a code, a message and a fix."""
    await biller.rows(
        "INSERT INTO fee_realizer.source_document (document_kind, document_id, revision,"
        " hold_code, hold_message)"
        " VALUES ('timesheet', 'H', 1, 'no_bill_rate', 'no rate for DT')"
    )
    await biller.rows(
        "INSERT INTO fee_realizer.source_document (document_kind, document_id, revision,"
        " realization_no) VALUES ('timesheet', 'F', 1, 3)"
    )
    assert await why(biller, document_id="H") == ("no_bill_rate", "H is held: no rate for DT")
    assert (await why(biller, document_id="F"))[0] == "in_flight"


async def queue(biller: Biller, document_id: str, minutes: int) -> None:
    """Queue a document for pricing some minutes ago, as a changed rate does."""
    await biller.rows(
        "INSERT INTO fee_realizer.source_document (document_kind, document_id, revision,"
        " realization_no) VALUES ('timesheet', :id, 1, 1) ON CONFLICT DO NOTHING",
        id=document_id,
    )
    await biller.rows(
        "INSERT INTO fee_realizer.pricing_queue VALUES"
        " ('timesheet', :id, 'set-bill-rate', now() - make_interval(mins => :minutes))",
        id=document_id,
        minutes=minutes,
    )


async def test_lines_that_wait_to_be_priced_again_are_in_no_batch(biller: Biller) -> None:
    """Open lines are priced again at once, so no batch bills the price of before.

    Debits and credits of a document that waits are out with a reason of their own, which preview
    and why-not give; the health check counts the documents and tells the age of the oldest.
    """
    await biller.consume(
        realization("GIVEN", 1, realization_line("2")),
        realization("STALE", 1, realization_line("2")),
    )
    await biller.generate()
    await biller.consume(
        realization("READY", 1, realization_line("1")),
        realization("WAITS", 1, realization_line("1"), realization_line("1", time_type="OT")),
        realization("GIVEN", 2, realization_line("1")),
        realization("STALE", 2, realization_line("3")),
    )
    await queue(biller, "WAITS", 42)
    await queue(biller, "GIVEN", 5)
    await biller.rows(
        "UPDATE invoicer.settled_document SET stale_realization_no = 3 WHERE document_id = 'STALE'"
    )
    seen = (await biller.preview())["details"]
    assert (seen["lines"], seen["left_out"]) == (1, {"to_be_priced": 4})
    found = {each["code"]: each for each in (await biller.tell("health-check"))["findings"]}
    waiting = found["to_be_priced"]
    assert (waiting["count"], waiting["ids"]) == (2, ["GIVEN", "WAITS"])
    assert "2 documents to be priced again, the oldest for 42 minutes" in waiting["message"]
    (line, *_) = await biller.rows(
        "SELECT pay_line_id FROM invoicer.pay_line WHERE document_id = 'WAITS' ORDER BY 1"
    )
    assert await why(biller, document_id="WAITS") == (
        "to_be_priced",
        "WAITS has waited 42 minutes to be priced again",
    )
    assert (await why(biller, pay_line_id=line.pay_line_id))[0] == "to_be_priced"
    assert (await why(biller, document_id="STALE"))[0] == "to_be_priced"
    billed = await biller.generate()
    assert billed["details"]["left_out"] == {"to_be_priced": 4}
    assert [row[1] for row in await biller.lines("INV-000002")] == ["READY"]
    await biller.rows("DELETE FROM fee_realizer.pricing_queue")
    await biller.rows("UPDATE invoicer.settled_document SET stale_realization_no = NULL")
    assert (await biller.preview())["details"]["left_out"] == {}
