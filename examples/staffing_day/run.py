"""A day of a staffing firm: clients on top, weekly timesheets, holds, snoozes, an expense, tax.

python examples/staffing_day/run.py
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from scripted_day import Day, run  # noqa: E402

COMPANY = "harbour-lane"
ADDRESS = "'5 Harbour Lane\nLeeds LS1 4AB\nUnited Kingdom'"
DETAILS = "--tax-id 'GB 123 4567 89' --bank 'IBAN GB00 HARB 0000 0000 0000 00'"
SUNDAY = "2026-06-28"


def play(day: Day) -> None:
    """The day, from empty templates to sent invoices."""
    publish_early(day)
    set_up(day)
    check_lines(day)
    release_what_is_held(day)
    snooze(day)
    first = bill_the_week(day)
    second = correct_and_bill(day)
    day.title("Send the documents")
    day.send(COMPANY, "billing@harbour-lane.example", (first, second), expected=7)
    day.title("What the firm knows in the evening")
    day.show(f"invoices search --billing-company {COMPANY}")
    day.show(f"reports tax --billing-company {COMPANY}")
    (series,) = day.read(f"numbers --billing-company {COMPANY}")["series"]
    day.check("numbers have no gap", (series["used"], series["unexplained"]), (7, 0))
    day.check("the checks of the data find nothing", day.read("verify")["clean"], True)


def held(day: Day) -> dict[str, str]:
    """The code of each document of this day that is held."""
    found = day.read("documents held")["documents"]
    return {one["document_id"]: one["code"] for one in found}


def publish_early(day: Day) -> None:
    """Timesheets arrive before anything else is known."""
    day.title("The ATS sends timesheets before anything is set up: they are held, none is lost")
    day.show("publish timesheet-approved timesheets.jsonl --wait")
    day.show("publish requirement-changed north.jsonl --wait")
    day.show("documents held")


def set_up(day: Day) -> None:
    """The firm, its catalog and terms, and what its ATS knows."""
    day.title("Set up the firm from filled-in templates")
    day.templates(
        {
            "catalog": "catalog.csv",
            "tax": "tax.csv",
            "debtors": "debtors.csv",
            "charges": "charges.csv",
            "assignments": "assignments.csv",
        }
    )
    day.show(
        f"billing-company set {COMPANY} --name 'Harbour Lane Staffing Ltd' --address {ADDRESS}"
        f" {DETAILS} --time-zone Europe/London --currency GBP --series HLS-:5 --tax-basis document"
    )
    day.show(f"tax import tax.csv --billing-company {COMPANY}")
    day.show(f"billing-company set {COMPANY} --default-tax VAT --payment-terms net:14")
    day.show("time-groups set weekly --cycle weekly --ends-on sunday")
    day.show("catalog import catalog.csv")
    day.title("Load what the ATS knows: clients on top, requirements, rates, timesheets, a hire")
    day.show(f"debtor-terms import debtors.csv --billing-company {COMPANY}")
    day.show("assignments import assignments.csv")
    day.show(f"charges import charges.csv --billing-company {COMPANY}")
    day.show(f"import ats --billing-company {COMPANY} --wait")


def check_lines(day: Day) -> None:
    """Timesheets, charges and recurring products are priced."""
    day.title("Look at the pay lines")
    day.show(f"pay-lines list --billing-company {COMPANY}")
    lines = day.lines(COMPANY)
    day.check(
        "a rate that changes on Wednesday: 16 h at 20.00 and 24 h at 21.00",
        lines["T-ANN"],
        [("Pending", "2026-06-21", "320.00"), ("Pending", "2026-06-21", "504.00")],
    )
    day.check(
        "5 x 7.33 h at 33.33 are rounded once: 1,221.54, not 1,221.55",
        lines["T-BEA"],
        [("Pending", "2026-06-14", "1221.54")],
    )
    day.check(
        "two purchase orders in one week are two lines",
        lines["T-CY"],
        [("Pending", "2026-06-14", "533.28"), ("Pending", "2026-06-14", "799.92")],
    )
    day.check(
        "3 of 40 h are not billable: 37 h at 21.00",
        lines["T-IDA"],
        [("Pending", "2026-06-28", "777.00")],
    )
    day.check(
        "a receipt of 101.24 with 20 % recoverable tax and 10 % markup",
        lines["C-TRAIN"],
        [("Pending", "2026-06-18", "92.81")],
    )
    day.check(
        "a monthly product is Scheduled ahead",
        [lines[f"A-ROTA@2026-0{month}-01"][0][0] for month in range(5, 10)],
        ["Pending", "Pending", "Scheduled", "Scheduled", "Scheduled"],
    )
    (pending,) = day.read(f"batch list --billing-company {COMPANY}")["pending"]
    day.check(
        "the Pending amounts of timesheets and of products and services",
        (pending["amount_timesheets"], pending["amount_products_and_services"]),
        ("7267.25", "182.81"),
    )


def release_what_is_held(day: Day) -> None:
    """Each missing fact arrives, and what waited for it is released by itself."""
    day.title("What is held, and what it waits for")
    day.show("documents held")
    waiting = held(day)
    day.check(
        "a missing requirement, bill rate, approval, billing company, catalog item",
        [waiting.get(each) for each in ("T-NEW", "T-OT", "T-UNSIGNED", "T-NORTH", "PL-MGR")],
        [
            "unknown_requirement",
            "no_bill_rate",
            "not_approved",
            "unknown_billing_company",
            "unknown_catalog_item",
        ],
    )
    day.show("publish requirement-changed requirement.jsonl --wait")
    overtime = "--time-type OT --effective-from 2026-01-01 --bill-rate 27.00"
    day.show(f"rates set R-DRIVER {overtime} --reason 'overtime agreed'")
    day.show("publish timesheet-approved signed.jsonl --wait")
    day.show("billing-company set harbour-north --name 'Harbour North Ltd' --currency GBP")
    day.show("catalog import visa.csv")
    day.until("all are released by themselves", lambda: set(held(day)) & set(waiting), set())
    lines = day.lines(COMPANY)
    day.check(
        "with their value",
        [lines[each][0][2] for each in ("T-NEW", "T-OT", "T-UNSIGNED")],
        ["780.00", "54.00", "720.00"],
    )
    day.check(
        "the hire: 20 % of 40,000.00 in halves, and the visa",
        lines["PL-MGR"],
        [
            ("Pending", "2026-06-01", "350.00"),
            ("Pending", "2026-06-01", "4000.00"),
            ("Scheduled", "2026-08-29", "4000.00"),
        ],
    )


def line_of(day: Day, document: str, status: str) -> int:
    """The id of the one line of a document in a status."""
    found = day.read(f"pay-lines list --document {document} --status {status}")["pay_lines"]
    (line,) = (int(one["pay_line_id"]) for one in found)
    return line


def snooze(day: Day) -> None:
    """A snooze belongs to document and line key."""
    day.title("A client queries a week: its line is snoozed, and stays so through what changes")
    eve = line_of(day, "T-EVE", "Pending")
    day.show(f"pay-lines snooze {eve} --until 2026-07-10 --reason 'the client queries it'")
    second_half = line_of(day, "PL-MGR", "Scheduled")
    day.show(f"pay-lines snooze {second_half} --until 2026-09-30 --reason 'agreed with the client'")
    day.show(f"import corrections/eve --billing-company {COMPANY} --wait")
    day.check(
        "the line that replaces a snoozed one is snoozed: 42 h at 18.00",
        day.lines(COMPANY)["T-EVE"],
        [("Snoozed", "2026-06-14", "756.00")],
    )
    new = "--time-type REG --effective-from 2026-06-08 --bill-rate 18.50"
    day.show(f"rates set R-DRIVER {new} --reason 'rise agreed'")
    day.show("lag --wait")
    lines = day.lines(COMPANY)
    day.check(
        "the snooze passes to the key of the new rate: 42 h at 18.50",
        lines["T-EVE"],
        [("Snoozed", "2026-06-14", "777.00")],
    )
    day.check(
        "a snooze of a Scheduled line shows Scheduled until its date",
        lines["PL-MGR"][-1],
        ("Scheduled", "2026-08-29", "4000.00"),
    )


def bill_the_week(day: Day) -> str:
    """Health check, first number, download: the week that ends on Sunday, and what is late."""
    day.title("Step 1: health check, and fix what it finds with the command that it names")
    health = f"health-check --billing-company {COMPANY} --cut-off {SUNDAY}"
    day.show(health)
    errors = [one["code"] for one in day.read(health)["findings"] if one["severity"] == "error"]
    day.check("a tax code of the catalog has no rate", errors, ["no_tax_rate"])
    day.show(f"billing-company set {COMPANY} --tax EXEMPT=0@2011-01-04")
    codes = [one["code"] for one in day.read(health)["findings"]]
    day.check("only the snoozed line is left to tell", codes, ["snoozed_lines"])
    day.title("Step 2: preview, and the batch of the preview from the first number 5001")
    batch = day.close(COMPANY, SUNDAY, "--first-number 5001 --reason 'week 26'")
    documents = day.read(f"batch show {batch}")["invoices"]
    day.check(
        "an office with an Account Name pays itself, the client for the others; one invoice per PO",
        [(one["invoice_number"], one["account_name"], one["total"]) for one in documents],
        [
            ("HLS-05001", "MERCER HULL", "1862.06"),
            ("HLS-05002", "MERCER LOGISTICS", "7738.65"),
            ("HLS-05003", "MERCER LOGISTICS", "639.94"),
            ("HLS-05004", "MERCER LOGISTICS", "959.90"),
            ("HLS-05005", "OAKFIELD HOSPITAL", "3928.57"),
        ],
    )
    hull = documents[0]
    day.check(
        "1,333.20 and 258.31 less 2.5 %: allowance 39.79, net 1,551.72, tax 310.34",
        (hull["allowance"], hull["net"], hull["tax"]),
        ("-39.79", "1551.72", "310.34"),
    )
    day.title("Step 3: download")
    day.download(batch, "week-26")
    return batch


def correct_and_bill(day: Day) -> str:
    """An invoiced week is adjusted three times, and a snooze is released."""
    day.title("An invoiced week of 40 h is adjusted: 41 h, 38 h, 42 h")
    day.show(f"import corrections/more --billing-company {COMPANY} --wait")
    further = line_of(day, "T-DAN", "Pending")
    day.show(f"pay-lines snooze {further} --reason 'the client queries it, too'")
    day.show(f"import corrections/less --billing-company {COMPANY} --wait")
    day.check(
        "a credit of 2 h does not inherit the snooze",
        day.lines(COMPANY)["T-DAN"],
        [("Pending", "2026-06-14", "-40.00")],
    )
    day.show(f"import corrections/again --billing-company {COMPANY} --wait")
    day.check(
        "a further debit of 2 h does",
        day.lines(COMPANY)["T-DAN"],
        [("Snoozed", "2026-06-14", "40.00")],
    )
    day.title("The client agrees: both lines are released and billed")
    lines = f"{line_of(day, 'T-EVE', 'Snoozed')} {line_of(day, 'T-DAN', 'Snoozed')}"
    day.show(f"pay-lines release {lines} --reason 'the client agrees'")
    batch = day.close(COMPANY, SUNDAY, "--reason 'released'")
    documents = day.read(f"batch show {batch}")["invoices"]
    day.check(
        "777.00 and 40.00 with 20 % tax",
        [(one["invoice_number"], one["account_name"], one["total"]) for one in documents],
        [("HLS-05006", "MERCER LOGISTICS", "932.40"), ("HLS-05007", "OAKFIELD HOSPITAL", "48.00")],
    )
    day.download(batch, "released")
    return batch


if __name__ == "__main__":
    run(FOLDER, play)
