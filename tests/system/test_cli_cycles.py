"""Billing cycles as an operator types them: time groups, terms of debtors, batch groups,
narrowed batches; and the first day: opening data. A real stack, workers as processes.
"""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from services.console.cli import application
from tests import builders
from tests.handlers.mailing import MailServer
from tests.rules.test_mail import report
from tests.system.test_cli import (
    CUT_OFF,
    TODAY,
    Type,
    data,
    facts,
    generate_the_batch_of_its_preview,
    lines_of,
    publish,
    sheet,
    shown,
    typed,
    until,
)

__all__ = ["data", "typed"]
EXAMPLES = Path(__file__).parents[2] / "examples" / "layouts"


def refused(folder: Path, *words: object) -> dict[str, Any]:
    """The one JSON document of a command that is refused with exit 1."""
    result = CliRunner().invoke(application(), [*map(str, words), "--json", "--data", str(folder)])
    assert result.exit_code == 1, (result.stdout, result.stderr)
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_time_groups_are_set_and_listed(typed: Type, data: Path, tmp_path: Path) -> None:
    """Weekly, fortnightly, monthly, custom dates from CSV, non-date; a wrong line is named, a
    gap names its two periods.
    """
    typed("time-groups", "set", "weekly", "--cycle", "weekly", "--ends-on", "Sunday")
    typed("time-groups", "set", "fortnightly", "--cycle", "fortnightly", "--anchor", "2026-03-08")
    typed("time-groups", "set", "monthly", "--cycle", "monthly")
    typed("time-groups", "set", "any", "--cycle", "non-date")
    file = tmp_path / "periods.csv"
    file.write_text("first_day,last_day\n2026-01-04,2026-01-31\n2026-02-01,2026-02-28\n")
    made = typed("time-groups", "set", "retail", "--cycle", "custom", "--file", file)
    assert made["message"] == "time group retail is custom, 2 periods from 2026-01-04 to 2026-02-28"
    groups = {group["time_group"]: group for group in typed("time-groups", "list")["time_groups"]}
    assert set(groups) == {"weekly", "fortnightly", "monthly", "any", "retail"}
    assert groups["retail"]["periods"][1] == {"first_day": "2026-02-01", "last_day": "2026-02-28"}
    assert "fortnightly" in shown(data, "time-groups", "list")
    file.write_text(
        "first_day,last_day\n2026-01-04,2026-01-31\n2026-02-29,2026-03-31\n2026-03-31,2026-03-01\n"
    )
    wrong = refused(data, "time-groups", "set", "retail", "--cycle", "custom", "--file", file)
    assert [(each["line"], each["column"]) for each in wrong["details"]["problems"]] == [
        (3, "first_day"),
        (4, "first_day"),
    ]
    file.write_text("first_day,last_day\n2026-01-04,2026-01-31\n2026-02-02,2026-02-28\n")
    gap = refused(data, "time-groups", "set", "retail", "--cycle", "custom", "--file", file)
    assert (
        gap["code"],
        "2026-01-04 to 2026-01-31 and 2026-02-02 to 2026-02-28" in gap["message"],
    ) == ("periods_gap", True)


def test_files_are_downloaded_by_layout_and_by_document(
    typed: Type, data: Path, tmp_path: Path
) -> None:
    """A layout is checked alone and with a batch; its CSV and an IIF file with classes are those
    of the document; both are recorded with the document, which is no download of the batch.
    """
    facts(typed, tmp_path, "lay")
    publish(typed, tmp_path, "timesheet-approved", sheet("lay", 1))
    lines_of(typed, "lay", 1)
    batch = generate_the_batch_of_its_preview(typed, "lay")
    example = (EXAMPLES / "sage-50-audit-trail.toml").read_text()
    mine, wrong = tmp_path / "mine.toml", tmp_path / "wrong.toml"
    mine.write_text(example.replace("most = 8", 'otherwise = "LAYOUTS"'))
    wrong.write_text(example.replace("row_net", "row_nett"))
    assert len(typed("layouts", "check", mine)["columns"]) == 12
    assert typed("layouts", "check", mine, "--batch", batch)["totals"][0]["total"] == "2200.00"
    assert "row_net" in {each["field"] for each in typed("layouts", "fields")["fields"]}
    fault = refused(data, "layouts", "check", wrong)
    assert "line 49, column 8 (Net Amount): 'row_nett' is no field" in fault["message"]
    as_csv = ("--format", "csv", "--layout", mine, "--out", tmp_path / "one.csv")
    saved = typed("invoices", "download", "lay-0001", *as_csv)
    assert (saved["invoice_number"], saved["layout"]) == ("lay-0001", "mine.toml")
    rows = (tmp_path / "one.csv").read_text(encoding="cp1252").splitlines()
    assert [row.split(",")[0] for row in rows] == ["Type", "SI"] and "2000.00" in rows[1]
    iif = ("--format", "iif", "--class", "cost_center", "--class-name", "=Temporary")
    typed("invoices", "download", "lay-0001", *iif, "--out", tmp_path / "one.iif")
    assert "\nCLASS\tTemporary" in (tmp_path / "one.iif").read_text(encoding="cp1252")
    shown_batch = typed("batch", "show", batch)
    assert (shown_batch["downloads"], shown_batch["downloaded_on"]) == (
        [
            each | {"file_format": name, "layout": layout, "invoice_number": "lay-0001"}
            for each, name, layout in zip(
                shown_batch["downloads"], ("csv", "iif"), ("mine.toml", None), strict=True
            )
        ],
        None,
    )
    typed("batch", "download", batch, *as_csv)
    assert typed("batch", "show", batch)["downloaded_on"] is not None
    assert refused(data, "batch", "download", batch, *as_csv, "--layout", wrong)["code"] == (
        "bad_layout"
    )


TERMS = """account_name,time_group,payment_terms,missing_timesheets,zero_documents,from_date
Client of terms,weekly,net:15,wait:2,yes,
Another client,,-,,,2026-01-01
"""


def refuse_wrong_terms(data: Path, file: Path, company: tuple[str, ...]) -> None:
    """Import files with unknown values, columns and time groups; each is named by its line."""
    file.write_text(
        "account_name,time_group,credits,zero_documents\nA,weekly,sometimes,yes\nB,weekly,net,perhaps\n"
    )
    wrong = refused(data, "debtor-terms", "import", file, *company)
    assert {(each["line"], each["column"]) for each in wrong["details"]["problems"]} == {
        (2, "credits"),
        (3, "zero_documents"),
    }
    file.write_text("account_name,tim_group\nA,weekly\n")
    assert (
        refused(data, "debtor-terms", "import", file, *company)["details"]["problems"][0]["column"]
        == "tim_group"
    )
    file.write_text("account_name,time_group\nA,weekly\nB,daily\n")
    half = refused(data, "debtor-terms", "import", file, *company)
    assert [(each["line"], each["outcome"]) for each in half["results"]] == [
        (2, "accepted"),
        (3, "refused"),
    ]


def test_terms_are_set_imported_and_shown(typed: Type, data: Path, tmp_path: Path) -> None:
    """What is named changes from a day on, the rest stays."""
    facts(typed, tmp_path, "terms")
    company = ("--billing-company", "terms")
    typed("time-groups", "set", "weekly", "--cycle", "weekly", "--ends-on", "sunday")
    file = tmp_path / "terms.csv"
    refuse_wrong_terms(data, file, company)
    file.write_text(TERMS)
    assert [
        each["outcome"]
        for each in typed("debtor-terms", "import", file, *company, "--reason", "new contracts")[
            "results"
        ]
    ] == ["accepted", "accepted"]
    typed(
        "debtor-terms",
        "set",
        *company,
        "--account-name",
        "Client of terms",
        "--from",
        "2026-04-01",
        "--exempt",
        "Art. 132",
        "--credits",
        "net",
        "--discount",
        "Volume=2.5:timesheets",
    )
    versions = typed("debtor-terms", "show", "Client of terms", *company)["terms"]
    assert [
        (
            each["from_date"],
            each["to_date"],
            each["time_group"],
            each["tax_regime"],
            each["credits"],
        )
        for each in versions
    ] == [
        ("1970-01-01", "2026-03-31", "weekly", "standard", "separate"),
        ("2026-04-01", None, "weekly", "exempt", "net"),
    ]
    assert versions[1]["payment_terms"] == "net:15"
    assert versions[1]["missing_timesheets"] == "wait:2"
    table = shown(data, "debtor-terms", "show", *company)
    assert "Art. 132" in table and "discount Volume 2.5 % of timesheets" in table
    history = typed("history", "Client of terms")["entries"]
    assert [(each["what"], each["reason"]) for each in history] == [
        ("set-debtor-terms", "new contracts"),
        ("set-debtor-terms", ""),
    ]
    assert history[1]["before"]["payment_terms"] == "net:15"


def choose_timesheets(typed: Type, data: Path, company: tuple[str, ...]) -> None:
    """Preview one timesheet and those of a worker; a timesheet that is unknown is refused."""
    unknown = refused(data, "batch", "preview", *company, "--document", "T-none")
    assert (unknown["code"], unknown["details"]["ids"]) == ("unknown_document", ["T-none"])
    chosen = typed("batch", "preview", *company, "--document", "T-alpha-1", "--worker", "W-1")
    assert chosen["details"]["narrowed_to"] == {"documents": ["T-alpha-1"], "workers": ["W-1"]}


def test_groups_are_seen_chosen_and_left_out(typed: Type, data: Path, tmp_path: Path) -> None:
    """The batch groups of a cut-off, a preview and a batch of one group without a debtor, and
    the rest later.
    """
    for name in ("alpha", "beta"):
        facts(typed, tmp_path, name)
    publish(
        typed,
        tmp_path,
        "requirement-changed",
        builders.requirement("R-beta", 2, billing_company="alpha", office_id="office-beta"),
    )
    publish(
        typed, tmp_path, "timesheet-approved", sheet("alpha", 1), sheet("beta", 1, worker_id="W-2")
    )
    lines_of(typed, "alpha", 2)
    company = ("--billing-company", "alpha", "--cut-off", CUT_OFF)
    typed("time-groups", "set", "monthly", "--cycle", "monthly")
    typed(
        "debtor-terms",
        "set",
        "--billing-company",
        "alpha",
        "--account-name",
        "Client of alpha",
        "--time-group",
        "monthly",
    )
    groups = {
        group["group"]: group for group in typed("batch", "groups", *company)["details"]["groups"]
    }
    assert {name: (group["first_day"], group["timesheets"]) for name, group in groups.items()} == {
        "monthly": ("2026-03-01", 1),
        "none": (None, 1),
    }
    people = shown(data, "batch", "groups", *company)
    assert "monthly, 2026-03-01 to 2026-03-31" in people
    assert "2,000.00 USD" in people
    none = typed(
        "batch", "preview", *company, "--group", "none", "--exclude-debtor", "Client of beta"
    )
    assert (none["details"]["documents"], none["details"]["left_out"]) == (
        0,
        {"group_not_chosen": 1, "debtor_left_out": 1},
    )
    one = typed("batch", "preview", *company, "--group", "monthly")
    assert refused(data, "batch", "generate", *company, "--digest", one["details"]["digest"])[
        "details"
    ]["settings"] == ["groups"]
    choose_timesheets(typed, data, company)
    assert (
        typed(
            "batch",
            "generate",
            *company,
            "--group",
            "monthly",
            "--digest",
            one["details"]["digest"],
        )["details"]["documents"]
        == 1
    )
    assert (
        typed(
            "batch", "generate", *company, "--missing-timesheets", "bill", "--reason", "month end"
        )["details"]["documents"]
        == 1
    )


def test_the_ledger_key_is_replaced_and_a_worker_forgotten(typed: Type, data: Path) -> None:
    """Each is one command: the new key is there when the first ends; the second reaches every
    service, and each refuses without a reason.
    """
    old = typed("ledger", "key")["key_id"]
    rotated = typed("ledger", "rotate-key", "--reason", "a backup was lost")
    assert (rotated["replaces"], rotated["sealed_for_older"]) == (old, 0)
    assert rotated["key_id"] == typed("ledger", "key")["key_id"] != old
    results = typed("forget", "worker", "W-gone", "--reason", "asked for it")["results"]
    assert sorted((one["service"], one["outcome"]) for one in results) == [
        (service, "accepted") for service in ("arg_sync", "fee_realizer", "invoicer", "scheduler")
    ]
    results = refused(data, "forget", "worker", "W-gone")["results"]
    assert {one["code"] for one in results} == {"reason_missing"}


OPENING_LINES = """billing_company,invoice_number,invoice_date,due_date,account_name,currency,paid,line,document_kind,document_id,requirement_id,time_type,worker_id,week_ending,quantity,price,amount,tax_code,tax_rate,tax
opener,OLD-881,2026-03-15,2026-03-30,Client of opener,USD,1000,3,timesheet,T-opener-1,R-opener,REG,W-1,2026-03-08,40,50,2000,VAT,10,200
opener,OLD-700,2026-02-01,2026-03-03,Client of opener,USD,,,,,,,,,,,300,,,
"""  # noqa: E501


def test_opening_data_is_loaded_and_adjusted(typed: Type, data: Path, tmp_path: Path) -> None:
    """A firm goes live on 2026-03-09: OLD-881 counts as billed, its timesheet's revision gives a
    credit note that names it, another week of before is held, and numbers go on after the last.
    """
    facts(typed, tmp_path, "opener")
    typed("billing-company", "set", "opener", "--go-live", "2026-03-09")
    folder = tmp_path / "opening"
    folder.mkdir()
    (folder / "opening-lines.csv").write_text(OPENING_LINES.replace(",50,2000", ",51,2040"))
    wrong = refused(data, "opening", "import", folder)
    assert [each["column"] for each in wrong["details"]["problems"]] == ["tax", "price"]
    (folder / "opening-lines.csv").write_text(OPENING_LINES)
    (folder / "opening-numbers.csv").write_text(
        "billing_company,series,last_number,last_date\nopener,opener-,881,2026-03-15\n"
    )
    assert typed("opening", "import", folder, "--check")["lines"] == 2
    assert typed("invoices", "search", "--billing-company", "opener")["invoices"] == []
    assert typed("opening", "import", folder)["loaded"] == 2
    again = typed("opening", "import", folder)
    assert (again["loaded"], again["loaded_before"], again["payments"]) == (0, 2, 0)
    hours = builders.days("7.6", requirement_id="R-opener")
    revised = sheet("opener", 1, revision=2, entries=hours)
    publish(typed, tmp_path, "timesheet-approved", revised, sheet("opener", 2))
    held = until(
        lambda: [x for x in typed("documents", "held")["documents"] if "opener" in x["document_id"]]
    )
    assert [(x["document_id"], x["code"]) for x in held] == [("T-opener-2", "before_go_live")]
    (line,) = lines_of(typed, "opener", 1)
    assert (line["quantity"], line["amount"]) == ("-2", "-100.00")
    typed("batch", "generate", "--billing-company", "opener", "--cut-off", CUT_OFF)
    found = typed("invoices", "search", "--billing-company", "opener")["invoices"]
    assert {each["invoice_number"]: each["balance"] for each in found} == {
        "OLD-881": "1090.00",
        "OLD-700": "300.00",
        "opener-0882": "0.00",
    }
    assert "OLD-881" in shown(data, "invoices", "show", "opener-0882")
    ageing = ("invoices", "ageing", "--billing-company", "opener", "--as-of")
    for day, total in (("2026-03-31", "1500.00"), (TODAY, "1390.00")):
        (debtor,) = typed(*ageing, day)["debtors"]
        assert debtor["total"] == total
    assert typed("export", tmp_path / "out")["lines"]["opening-lines.csv"] >= 3
    assert refused(data, "export", tmp_path / "out")["code"] == "folder_not_empty"
    header = (tmp_path / "out" / "opening-lines.csv").read_text().splitlines()[0]
    assert header == typed("template", "opening-lines")["header"]
    assert typed("verify")["clean"]


def test_a_batch_is_sent_by_email_and_one_comes_back(
    typed: Type, data: Path, tmp_path: Path
) -> None:
    """Account, addresses, batch, list, attempts, history, bounce, once more: all typed."""
    facts(typed, tmp_path, "mail")
    publish(typed, tmp_path, "timesheet-approved", sheet("mail", 1))
    lines_of(typed, "mail", 1)
    company = ("--billing-company", "mail")
    batch = typed("batch", "generate", *company, "--cut-off", CUT_OFF)["details"]["batch_id"]
    assert refused(data, "send", "batch", batch)["code"] == "no_mail_account"
    words = ("--sender", "billing@mail.example", "--subject", "{number} of {company}")
    with MailServer().in_thread() as server:
        where = ("--host", "127.0.0.1", "--port", server.port, "--tls", "none")
        typed("send", "set-account", *company, *words, *where)
        typed(
            "debtor-terms", "set", *company, "--account-name", "Client of mail", "--email",
            "ap@client.example", "--email", "cfo@client.example", "--attach", "pdf",
        )  # fmt: skip
        shown_terms = typed("debtor-terms", "show", *company)["terms"][0]
        assert shown_terms["emails"] == ["ap@client.example", "cfo@client.example"]
        sent = typed("send", "batch", batch, "--wait", "--timeout", "60")
        assert (sent["mails"], sent["open"], sent["without_address"]) == ({"sent": 2}, 0, 0)
        assert server.recipients() == {"ap@client.example": 1, "cfo@client.example": 1}
        assert server.messages()[0]["Subject"] == "mail-0001 of mail Inc."
        listed = typed("send", "list", "--state", "sent", "--batch", batch)["mails"]
        assert {one["address"] for one in listed} == set(server.recipients())
        assert refused(data, "send", "invoice", "mail-0001")["code"] == "already_sent"
        (tmp_path / "back.eml").write_bytes(report(listed[0]["message_id"]).as_bytes())
        (back,) = typed("send", "bounces", tmp_path / "back.eml")["results"]
        assert back["details"]["bounced"] == 1
        attempts = typed("send", "show", "mail-0001")["mails"]
        states = sorted(tuple(one["state"] for one in each["attempts_made"]) for each in attempts)
        assert states == [("sent",), ("sent", "refused")]
        history = [one["what"] for one in typed("history", "mail-0001")["entries"]]
        assert history.count("e-mail sent") == 2 and history[-1] == "record-bounces"
        typed("send", "invoice", "mail-0001", "--again", "--reason", "new address book")
        wait = ("send", "batch", batch, "--wait", "--timeout", "60")
        assert typed(*wait)["mails"] == {"sent": 2}
        assert set(server.recipients().values()) == {2}
        assert typed("send", "account", *company)["state"] == "ready"
        assert "ap@client.example" in shown(data, "send", "list")
    set_reminders(typed, data, company)
    name_defaults(typed, batch, tmp_path)


def name_defaults(typed: Type, batch: str, folder: Path) -> None:
    """The billing company's revenue account and item are in an IIF file; options come first."""
    names = ("--default-account", "Sales:Temps", "--default-item", "Temps")
    typed("billing-company", "set", "mail", *names)
    settings = typed("billing-company", "show", "mail")
    assert (settings["default_account"], settings["default_item"]) == ("Sales:Temps", "Temps")
    download = ("batch", "download", batch, "--format", "iif", "--out")
    typed(*download, folder / "d.iif")
    typed(*download, folder / "o.iif", "--account", "income=Other")
    default, given = ((folder / name).read_text("cp1252") for name in ("d.iif", "o.iif"))
    assert "\tSales:Temps\t" in default and "\tTemps\t" in default
    assert "Sales:Temps" not in given and "\tOther\t" in given and "\tTemps\t" in given
    typed("billing-company", "set", "mail", "--default-account", "", "--default-item", "")


def set_reminders(typed: Type, data: Path, company: tuple[str, ...]) -> None:
    """Stages, a template and a hold; the preview gives the reason while nothing is overdue."""
    typed("reminders", "set", *company, "--stage", 14, "--stage", 7, "--minimum", "5", "--on")
    typed("reminders", "template", 14, *company, "--subject", "Last: {total}")
    debtor = ("--account-name", "Client of mail")
    typed("reminders", "set", *company, *debtor, "--off")
    of_company, of_debtor = typed("reminders", "show", *company)["settings"]
    assert [(each["days"], each["subject"]) for each in of_company["stages"]] == [
        (7, ""),
        (14, "Last: {total}"),
    ]
    assert (of_debtor["enabled"], of_debtor["stages"]) == (False, None)
    found = typed("reminders", "preview", *company, "--number", "mail-0001")
    assert (found["enabled"], found["invoices"][0]["code"]) == (True, "not_overdue")
    assert "0 invoices to remind" in shown(data, "reminders", "preview", *company)
    typed("reminders", "hold", "mail-0001", "--until", "2026-06-01", "--reason", "disputed")
    typed("reminders", "release", "mail-0001")
    assert refused(data, "reminders", "release", "mail-0001")["code"] == "not_held"
    assert typed("reminders", "list", *company) == {"reminders": [], "total": 0}
    assert refused(data, "reminders", "send", "reminder:1")["code"] == "never_sent"


def test_a_retainer_is_listed_and_its_excess_kept(typed: Type, tmp_path: Path) -> None:
    """What no fee takes of it is left to decide, until an operator keeps it with a reason."""
    facts(typed, tmp_path, "retained")
    item = {"item_id": "retainer", "name": "Retainer", "amount": "4000.00", "currency": "USD"}
    (tmp_path / "items.json").write_text(json.dumps([item]))
    typed("catalog", "set", tmp_path / "items.json")
    company = {"billing_company": "retained", "office_id": "office-retained"}
    retained = builders.requirement("R-retained", 2, retainer={"item_id": "retainer"}, **company)
    publish(typed, tmp_path, "requirement-changed", retained)
    lines_of(typed, "retained", 1)
    listing = ("retainers", "list", "--billing-company", "retained")
    (one,) = typed(*listing)["retainers"]
    assert (one["amount"], one["set_off"], one["undecided"]) == ("4000.00", "0.00", "4000.00")
    kept = typed("retainers", "keep", "R-retained", "--reason", "agreed")
    assert kept["message"] == "4,000.00 USD of the retainer of R-retained are kept"
    (one,) = typed(*listing)["retainers"]
    assert (one["kept"], one["undecided"]) == ("4000.00", "0.00")
    history = typed("history", "R-retained")["entries"]
    assert ("settle-retainer", "agreed") in [(each["what"], each["reason"]) for each in history]
