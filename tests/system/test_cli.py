"""An operator's work, typed: from published timesheets to files, with every worker a process."""

import csv
import json
import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from typer.testing import CliRunner

from services.console.cli import application
from shared.settings import settings
from shared.stack import running_stack
from shared.stack.workers import STANDARD
from tests import builders

PATIENCE_SECONDS = 60.0
TODAY = "2026-04-15"
CUT_OFF = "2026-03-31"

Type = Callable[..., Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a stack with all its workers, on a day in April 2026."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA", "DATABASE_URL", "WORKERS", "TOPIC_PREFIX"):
            patch.delenv(f"BACKOFFICE_{name}", raising=False)
        given = {"TODAY": TODAY, "SWEEP_SECONDS": "0.5", "MAIL_HOSTS": "127.0.0.1"}.items()
        for name, value in given:
            patch.setenv(f"BACKOFFICE_{name}", value)
        settings.cache_clear()
        with running_stack(tmp_path_factory.mktemp("cli") / "data", STANDARD) as stack:
            yield stack.data


@pytest.fixture
def typed(data: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """`typed("batch", "list")` gives the JSON document of a command that must end with exit 0,
    or with the exit that is given.
    """
    # The shell of the operator knows nothing of the date that the stack uses as today.
    monkeypatch.delenv("BACKOFFICE_TODAY", raising=False)
    settings.cache_clear()

    def run(*words: object, exit_code: int = 0) -> Any:
        result = CliRunner().invoke(
            application(), [*map(str, words), "--json", "--data", str(data)]
        )
        assert result.exit_code == exit_code, (
            f"{words}: exit"
            f" {result.exit_code}\n{result.stdout}\n{result.stderr}\n{result.exception!r}"
        )
        return json.loads(result.stdout)

    return run


def shown(data: Path, *words: object) -> str:
    """What people see."""
    result = CliRunner().invoke(application(), [*map(str, words), "--data", str(data)])
    assert result.exit_code == 0, f"{words}: {result.stderr}"
    return str(result.stdout)


def until(what: Callable[[], Any]) -> Any:
    """Its value as soon as there is one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.3)
    return found


def publish(typed: Type, folder: Path, topic: str, *events: Any) -> None:
    """Publishes events (models, or text as it is) as an ATS does."""
    file = folder / f"{topic}.jsonl"
    file.write_text(
        "".join(
            (event if isinstance(event, str) else event.model_dump_json()) + "\n"
            for event in events
        )
    )
    assert typed("publish", topic, file)["published"] == len(events)


def facts(typed: Type, folder: Path, company: str) -> None:
    """A billing company with tax, an office that pays for itself, a requirement."""
    typed(
        "billing-company", "set", company, "--name", f"{company} Inc.", "--address", "1 Main St",
        "--tax-id", "EIN 1", "--bank", "IBAN 1", "--series", f"{company}-:4",
        "--tax", "VAT=10@2020-01-01", "--default-tax", "VAT",
        "--actor", "kim", "--reason", "new entity",
    )  # fmt: skip
    publish(
        typed,
        folder,
        "billto-changed",
        builders.node(f"office-{company}", account_name=f"Client of {company}"),
    )
    publish(
        typed,
        folder,
        "requirement-changed",
        builders.requirement(
            f"R-{company}", billing_company=company, office_id=f"office-{company}"
        ),
    )


def sheet(company: str, number: int, **changes: Any) -> Any:
    """A week of 40 hours at 50.00 for that company."""
    entries = changes.pop("entries", None) or builders.days(requirement_id=f"R-{company}")
    return builders.timesheet(f"T-{company}-{number}", entries=entries, **changes)


def lines_of(typed: Type, company: str, number: int) -> list[dict[str, Any]]:
    """The pending lines of a company once there are that many."""
    listing = ("pay-lines", "list", "--billing-company", company, "--status", "Pending")
    return until(lambda: found if len(found := typed(*listing)["pay_lines"]) == number else None)  # type: ignore[no-any-return]


def generate_the_batch_of_its_preview(typed: Type, company: str) -> str:
    """Generate what the preview showed; a second time the same digest is refused."""
    assert (
        typed("health-check", "--billing-company", company, "--cut-off", CUT_OFF)["outcome"]
        == "accepted"
    )
    preview = typed("batch", "preview", "--billing-company", company, "--cut-off", CUT_OFF)[
        "details"
    ]
    made = typed(
        "batch",
        "generate",
        "--billing-company",
        company,
        "--cut-off",
        CUT_OFF,
        "--digest",
        preview["digest"],
        "--reason",
        "March",
    )
    batch = made["details"]["batch_id"]
    again = typed(
        "batch",
        "generate",
        "--billing-company",
        company,
        "--cut-off",
        CUT_OFF,
        "--digest",
        preview["digest"],
        exit_code=1,
    )
    assert (again["outcome"], again["code"]) == ("refused", "digest_differs")
    return str(batch)


def download_csv(typed: Type, batch: str, folder: Path) -> list[dict[str, Any]]:
    """Download the lines; their sum is the net total. Return the totals of the download."""
    written = typed("batch", "download", batch, "--format", "csv", "--out", folder / "b.csv")
    with (folder / "b.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(written["totals"][0]["net"])
    assert {row["invoice_number"] for row in rows} == {"acme-0001"}
    return list(written["totals"])


def download_pdf_as_another_person(typed: Type, batch: str, folder: Path) -> None:
    """The printed invoice has its number."""
    typed(
        "batch",
        "download",
        batch,
        "--format",
        "pdf",
        "--out",
        folder / "one.pdf",
        "--actor",
        "lou",
    )
    assert "acme-0001" in PdfReader(folder / "one.pdf").pages[0].extract_text()


def download_each_format_twice(
    typed: Type, batch: str, folder: Path, totals: list[dict[str, Any]]
) -> None:
    """Every format has the same totals, and its second download the same bytes."""
    for file_format, name in (
        ("xlsx", "b.xlsx"),
        ("iif", "b.iif"),
        ("ubl", "one.xml"),
        ("pdfa", "one.a.pdf"),
    ):
        asked = ("batch", "download", batch, "--format", file_format, "--country", "us", "--out")
        first = typed(*asked, folder / name)
        assert (first["files"], first["totals"], first["recorded"]["outcome"]) == (
            1,
            totals,
            "accepted",
        )
        typed(*asked, folder / f"again-{name}")
        assert (folder / name).read_bytes() == (folder / f"again-{name}").read_bytes(), (
            "downloaded again, the bytes are the same"
        )


def check_recorded_downloads(typed: Type, batch: str, folder: Path) -> None:
    """UBL without its fields is refused; each download is listed with format and person."""
    assert (
        typed(
            "batch", "download", batch, "--format", "ubl", "--out", folder / "no.xml", exit_code=1
        )["code"]
        == "not_in_this_format"
    )
    downloads = typed("batch", "show", batch)["downloads"]
    assert [(each["file_format"], each["actor"]) for each in downloads][1] == ("pdf", "lou")
    assert {each["file_format"] for each in downloads} == {
        "csv",
        "xlsx",
        "iif",
        "ubl",
        "pdf",
        "pdfa",
    }, "Downloaded on is kept for every format"


def test_from_timesheets_to_files(typed: Type, data: Path, tmp_path: Path) -> None:
    """Published timesheets become lines, a preview, a batch that cites it, and files whose
    totals are those of the batch.
    """
    facts(typed, tmp_path, "acme")
    publish(
        typed, tmp_path, "timesheet-approved", sheet("acme", 1), sheet("acme", 2, worker_id="W-2")
    )
    lines_of(typed, "acme", 2)
    (pending,) = typed("batch", "list", "--billing-company", "acme")["pending"]
    assert (pending["amount_timesheets"], pending["amount_products_and_services"]) == (
        "4000.00",
        "0.00",
    )
    batch = generate_the_batch_of_its_preview(typed, "acme")
    (total,) = typed("batch", "show", batch)["totals"]
    assert (total["net"], total["tax"], total["total"]) == ("4000.00", "400.00", "4400.00")
    totals = download_csv(typed, batch, tmp_path)
    assert Decimal(totals[0]["net"]) == Decimal(total["net"])
    download_pdf_as_another_person(typed, batch, tmp_path)
    download_each_format_twice(typed, batch, tmp_path, totals)
    check_recorded_downloads(typed, batch, tmp_path)
    (series,) = typed("numbers", "--billing-company", "acme")["series"]
    assert (series["first"], series["last"], series["used"], series["unexplained"]) == (1, 1, 1, 0)
    assert typed("verify")["clean"] is True
    assert typed("lag")["behind"] == 0
    assert re.search(
        r"acme-0001\s+invoice\s+acme\s+Client of acme",
        shown(data, "invoices", "search", "--billing-company", "acme"),
    )


def test_what_is_billed_can_be_explained(typed: Type, data: Path, tmp_path: Path) -> None:
    """why, why-not, history: an invoiced line names its document and realization, and who made the
    batch for which reason.
    """
    facts(typed, tmp_path, "bolt")
    publish(typed, tmp_path, "timesheet-approved", sheet("bolt", 1))
    (line,) = lines_of(typed, "bolt", 1)
    assert typed("why", line["pay_line_id"])["billto"]["level"] == "office"
    typed(
        "batch",
        "generate",
        "--billing-company",
        "bolt",
        "--cut-off",
        CUT_OFF,
        "--actor",
        "kim",
        "--reason",
        "the March run",
    )
    explained = typed("why", line["pay_line_id"])
    assert (explained["place"]["invoice_number"], explained["document"]["realization_no"]) == (
        "bolt-0001",
        1,
    )
    assert typed("why-not", line["pay_line_id"])["details"]["reason"] == "invoiced"
    for subject in ("T-bolt-1", "bolt-0001", "Client of bolt"):
        entries = typed("history", subject)["entries"]
        assert ("kim", "the March run") in {
            (entry["actor"], entry.get("reason")) for entry in entries
        }, subject

    # An adjustment to 38 h: the credit names the invoice that it corrects, before and after it is
    # on a credit note.
    entries = [
        builders.entry("6", requirement_id="R-bolt"),
        *builders.days("8", 4, requirement_id="R-bolt"),
    ]
    publish(typed, tmp_path, "timesheet-approved", sheet("bolt", 1, revision=2, entries=entries))
    (credit,) = lines_of(typed, "bolt", 1)
    assert (credit["amount"], credit["quantity"]) == ("-100.00", "-2")
    billto = typed("why", credit["pay_line_id"])["billto"]
    assert (billto["as"], billto["corrects_invoice"], billto["corrects_line"]) == (
        "the invoice that it corrects",
        "bolt-0001",
        1,
    )
    assert "as the invoice that it corrects: bolt-0001 line 1" in shown(
        data, "why", credit["pay_line_id"]
    )


def test_lines_are_held_released_and_edited(typed: Type, tmp_path: Path) -> None:
    """A snooze needs a reason and shows it with who and when; an edit keeps before and after;
    only ids are needed.
    """
    facts(typed, tmp_path, "crew")
    publish(typed, tmp_path, "timesheet-approved", sheet("crew", 1))
    (line,) = lines_of(typed, "crew", 1)
    number = line["pay_line_id"]
    assert typed("pay-lines", "snooze", number, exit_code=1)["outcome"] == "refused"
    typed("pay-lines", "snooze", number, "--reason", "disputed by the client", "--actor", "kim")
    (held,) = typed("pay-lines", "list", "--billing-company", "crew", "--status", "snoozed")[
        "pay_lines"
    ]
    assert (held["hold_reason"], held["held_by"]) == ("disputed by the client", "kim")
    reason = typed("why-not", number)
    assert "disputed by the client" in reason["message"]
    assert "kim" in reason["message"]
    typed("pay-lines", "release", number, "--reason", "settled")
    typed("pay-lines", "edit", number, "--quantity", "39.5", "--reason", "agreed by phone")
    (edited,) = lines_of(typed, "crew", 1)
    assert (edited["quantity"], edited["amount"]) == ("39.5", "1975.00")
    assert typed("pay-lines", "release", 987654321, exit_code=1)["code"] == "unknown_pay_line"
    assert typed("verify")["clean"] is True


def test_a_bad_record_is_replayed_and_another_discarded(typed: Type, tmp_path: Path) -> None:
    """A line that is no JSON goes out as it is and comes back as a dead letter; replayed with a
    fixed value it counts as if it had been good.
    """
    facts(typed, tmp_path, "dune")
    good = sheet("dune", 1)
    publish(
        typed,
        tmp_path,
        "timesheet-approved",
        '{"timesheet_id": "T-dune-1", "secret-field": ',
        '{"timesheet_id": "T-dune-2"}',
    )
    dead_letter_rows = until(
        lambda: (
            found
            if len(
                found := typed("dead-letters", "list", "--service", "fee_realizer")["dead_letters"]
            )
            == 2
            else None
        )
    )
    bad, incomplete = (
        next(row["dead_letter_id"] for row in dead_letter_rows if row["code"] == code)
        for code in ("bad_json", "missing_field")
    )
    assert "T-dune" not in json.dumps(
        typed("dead-letters", "show", incomplete, "--service", "fee_realizer")
    )
    assert (
        typed("dead-letters", "replay", bad, "--service", "fee_realizer", exit_code=1)["code"]
        == "bad_json"
    )
    (tmp_path / "fixed.json").write_text(good.model_dump_json())
    typed(
        "dead-letters",
        "replay",
        bad,
        "--service",
        "fee_realizer",
        "--value",
        tmp_path / "fixed.json",
        "--reason",
        "the ATS cut it",
    )
    assert (
        typed("dead-letters", "discard", incomplete, "--service", "fee_realizer", exit_code=1)[
            "code"
        ]
        == "reason_missing"
    )
    typed(
        "dead-letters",
        "discard",
        incomplete,
        "--service",
        "fee_realizer",
        "--reason",
        "a test of theirs",
    )
    assert typed("dead-letters", "list")["total"] == 0
    assert [line["document_id"] for line in lines_of(typed, "dune", 1)] == ["T-dune-1"]


def test_a_document_waits_and_is_released_by_itself(typed: Type, tmp_path: Path) -> None:
    """An unknown requirement holds a timesheet with a code and a message; retrying changes
    nothing; when the fact arrives it goes on.
    """
    publish(typed, tmp_path, "timesheet-approved", sheet("echo", 1))
    (held,) = until(
        lambda: [
            each
            for each in typed("documents", "held")["documents"]
            if each["document_id"] == "T-echo-1"
        ]
    )
    assert held["code"] == "unknown_requirement"
    assert "R-echo" in held["message"]
    assert typed("documents", "retry", "T-echo-1")["outcome"] == "accepted"
    assert typed("documents", "retry", "T-no one", exit_code=1)["code"] == "unknown_document"
    assert typed("why-not", "T-echo-1")["details"]["reason"] == "unknown_requirement"
    facts(typed, tmp_path, "echo")
    lines_of(typed, "echo", 1)
    assert typed("republish", "--document", "T-echo-1")["results"][0]["outcome"] == "accepted"


def test_a_refusal_has_code_message_and_fix(typed: Type) -> None:
    """A refusal is exit 1: one JSON document with code, message and what to do."""
    refused = typed(
        "batch", "generate", "--billing-company", "no one", "--cut-off", CUT_OFF, exit_code=1
    )
    assert (refused["outcome"], refused["code"]) == ("refused", "unknown_billing_company")
    assert refused["message"]
    assert refused["fix"]
    assert (
        typed("billing-company", "show", "no one", exit_code=1)["code"] == "unknown_billing_company"
    )
    assert typed("batch", "show", "B-none", exit_code=1)["code"] == "unknown_batch"
    assert typed("invoices", "show", "X-1", exit_code=1)["code"] == "unknown_invoice"
    assert typed("publish", "no-topic", "--tombstone", "k", exit_code=1)["code"] == "unknown_topic"


def test_status_is_right_about_the_stack(typed: Type, data: Path) -> None:
    """Every worker is up and ready, and people read the same."""
    answer = typed("status")
    assert answer["running"] is True
    assert {worker["service"] for worker in answer["workers"] if worker["ready"]} == set(STANDARD)
    assert "invoicer-1" in shown(data, "status")


def test_a_ledger_that_moves_needs_its_secrets_again(
    typed: Type, data: Path, tmp_path: Path
) -> None:
    """arg_sync made its key without a setting; the console seals with the public one. Another
    address without the password is refused, at a loopback address even with it.
    """
    file = tmp_path / "tryton.json"
    at = {"base_url": "https://tryton.invalid", "database": "d", "user": "u", "password": "canary"}
    asked = ("ledger", "connect", "moving", "--kind", "tryton", "--billing-company", "moves")

    def connect(settings: dict[str, str], exit_code: int = 0) -> str:
        file.write_text(json.dumps(settings))
        return str(typed(*asked, "--settings", file, exit_code=exit_code).get("code"))

    assert (data / "ledger-key.pem").stat().st_mode & 0o077 == 0 and typed("ledger", "key")["key"]
    connect(at)
    moved = at | {"base_url": "https://other.invalid"}
    assert connect({**moved, "password": ""}, 1) == "secrets_needed"
    assert connect(at | {"base_url": "http://127.0.0.1:9"}, 1) == "bad_address"
    connect(moved)
    typed("ledger", "disconnect", "moving")


def test_the_catalog_is_set_from_a_file(typed: Type, tmp_path: Path) -> None:
    """Items come from JSON or CSV files; one that makes no sense is wrong use, nothing is sent."""
    items = [
        {"item_id": "check", "name": "Background check", "amount": "85.00", "currency": "USD"},
        {"item_id": "hire", "name": "Direct hire", "percent_of_salary": "20"},
    ]
    (tmp_path / "items.json").write_text(json.dumps(items))
    typed("catalog", "set", tmp_path / "items.json")
    listed = typed("catalog", "list")["catalog"]
    assert {item["item_id"]: (item["amount"], item["percent_of_salary"]) for item in listed} == {
        "check": ("85.00", None),
        "hire": (None, "20"),
    }
    header = typed("template", "catalog")["header"]
    row = "screening,Screening,Services,Checks,,non-placement,120.00,EUR,,,,,,,"
    (tmp_path / "i.csv").write_text(f"{header}\n{row}\n")
    assert typed("catalog", "import", tmp_path / "i.csv", "--check")["lines"] == 1
    assert typed("catalog", "list", "--kind", "non-placement")["catalog"] == []
    typed("catalog", "import", tmp_path / "i.csv")
    assert [*typed("catalog", "tree", "--class", "Services")["tree"]["Services"]] == ["Checks"]
    (tmp_path / "items.json").write_text(
        json.dumps([items[0], {"item_id": "half", "name": "no price"}])
    )
    result = CliRunner().invoke(
        application(), ["catalog", "set", str(tmp_path / "items.json"), "--json"]
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert "give either an amount with its currency, or a percent" in result.stderr


def test_an_invoice_is_credited_by_hand(typed: Type, data: Path, tmp_path: Path) -> None:
    """A part to rebill, a part forgiven, the rest refused beyond what is left; the search list,
    the ages and the next batch know of it.
    """
    facts(typed, tmp_path, "credo")
    publish(typed, tmp_path, "timesheet-approved", sheet("credo", 1))
    lines_of(typed, "credo", 1)
    generate = ("batch", "generate", "--billing-company", "credo", "--cut-off", CUT_OFF)
    number = typed(*generate, "--invoice-date", "2026-04-01")["details"]["first_number"]
    said = ("--reason", "agreed", "--actor", "jo")
    line = ("credit", number, "--line", 1, "--quantity")
    rebill = ("--to", "rebill", *said)
    write_off = ("--to", "write-off", *said)
    credited = typed(*line, "3.5", *rebill, "--invoice-date", "2026-04-02")["details"]
    assert (
        credited["listed"][0]["net"],
        credited["listed"][0]["tax"],
        credited["open_again"]["net"],
    ) == ("175.00", "17.50", "175.00")
    assert typed(*line, "37", *write_off, exit_code=1)["code"] == "more_than_left"
    typed(*line, "1.5", *write_off, "--billing-company", "credo")
    assert "credit note" in shown(data, *line, "5", *rebill)
    credit_note = credited["invoice_number"]
    assert typed("credit", credit_note, *rebill, exit_code=1)["code"] == "is_credit_note"
    (head,) = typed(
        "invoices", "search", "--billing-company", "credo", "--state", "partly credited"
    )["invoices"]
    assert (head["invoice_number"], head["after_credits"]) == (number, "1650.00")
    seen = typed("invoices", "show", number)
    assert [(one["credited_to"], one["quantity"], one["actor"]) for one in seen["credits"]] == [
        ("rebill", "-3.5", "jo"), ("write-off", "-1.5", "jo"), ("rebill", "-5", "jo"),
    ]  # fmt: skip
    assert "write-off" in shown(data, "invoices", "show", number)
    assert typed(*generate)["details"]["totals"][0]["net"] == "425.00"
    (debtor,) = typed("invoices", "ageing", "--billing-company", "credo", "--as-of", "2026-05-31")[
        "debtors"
    ]
    assert (debtor["current"], debtor["1-30"], debtor["total"]) == ("0.00", "2117.50", "2117.50")
    assert "Client of credo" in shown(
        data, "invoices", "ageing", "--billing-company", "credo", "--as-of", "2026-05-31"
    )
    assert typed("verify")["clean"]
