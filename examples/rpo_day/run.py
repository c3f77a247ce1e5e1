"""A day of an RPO firm: companies on top, fees of hires, retainers, leavers, a programme fee.

python examples/rpo_day/run.py
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from scripted_day import Day, run  # noqa: E402

COMPANY = "northgate"
ADDRESS = "'200 Park Avenue\nNew York, NY 10166\nUnited States'"
BANK = "'First Harbor Bank, routing 000000000, account 1234 5678'"
MAY, JUNE = "2026-05-31", "2026-06-30"


def play(day: Day) -> None:
    """The day, from empty templates to sent invoices."""
    set_up(day)
    check_lines(day)
    first = bill_may(day)
    second = bill_june_with_leavers(day)
    day.title("Send the documents")
    day.send(COMPANY, "billing@northgate.example", (first, second), expected=6)
    day.title("What the firm knows in the evening")
    day.show(f"invoices search --billing-company {COMPANY}")
    day.show(f"invoices ageing --billing-company {COMPANY} --as-of {JUNE}")
    (series,) = day.read(f"numbers --billing-company {COMPANY}")["series"]
    day.check("numbers have no gap", (series["used"], series["unexplained"]), (6, 0))
    day.check("the checks of the data find nothing", day.read("verify")["clean"], True)


def set_up(day: Day) -> None:
    """The firm, its catalog and terms, and what its ATS knows."""
    day.title("Set up the firm from filled-in templates")
    day.templates(
        {
            "catalog": "catalog.csv",
            "tax": "tax.csv",
            "debtors": "debtors.csv",
            "assignments": "assignments.csv",
            "placements": "ats/placements.csv",
        }
    )
    day.show(
        f"billing-company set {COMPANY} --name 'Northgate Talent Partners, Inc.'"
        " --time-zone America/New_York --currency USD --series NTP-:6 --payment-terms net:30"
    )
    day.show(f"tax import tax.csv --billing-company {COMPANY}")
    day.show("catalog import catalog.csv --check")
    day.show("catalog import catalog.csv")
    day.show("catalog tree --kind placement")
    day.title("Load what the ATS knows: companies on top, requirements, placements, a timesheet")
    day.show("publish requirement-changed retainers.jsonl --wait")
    day.show(f"debtor-terms import debtors.csv --billing-company {COMPANY}")
    day.show("assignments import assignments.csv")
    day.show(f"import ats --billing-company {COMPANY} --wait")


def check_lines(day: Day) -> None:
    """Each fee has its instalments, and each recurring product its due dates."""
    day.title("Look at the pay lines")
    day.show(f"pay-lines list --billing-company {COMPANY}")
    lines = day.lines(COMPANY)
    day.check(
        "20 % of 100,000.00 in halves on day 1 and day 90; 100.00 in three is 33.34, 33.33, 33.33",
        lines["PL-CFO"],
        [
            ("Pending", "2026-03-02", "10000.00"),
            ("Pending", "2026-03-02", "33.34"),
            ("Pending", "2026-03-02", "85.00"),
            ("Pending", "2026-04-01", "33.33"),
            ("Pending", "2026-05-01", "33.33"),
            ("Pending", "2026-05-30", "10000.00"),
        ],
    )
    day.check(
        "a retainer is billed when its requirement is approved",
        lines["R-VP"],
        [("Pending", "2026-04-06", "4000.00")],
    )
    day.check(
        "and taken off the earliest instalments of 6,000.00 and 6,000.00; the later is Scheduled",
        lines["PL-VP"],
        [("Pending", "2026-05-04", "2000.00"), ("Scheduled", "2026-07-02", "6000.00")],
    )
    day.check("a fee of 3,000.00 is covered by its retainer", lines.get("PL-COO"), None)
    day.check(
        "a rate that changes on Wednesday gives two lines, effective on the week ending",
        lines["T-0517"],
        [("Pending", "2026-05-17", "1480.00"), ("Pending", "2026-05-17", "2304.00")],
    )
    day.check(
        "a monthly product on day 31 has its six due dates",
        sorted(lines[name][0][1] for name in lines if name.startswith("A-APEX@")),
        [f"2026-{date}" for date in ("01-31", "02-28", "03-31", "04-30", "05-31", "06-30")],
    )
    day.check(
        "a one-time product of an office",
        lines["A-BOSTON@2026-05-15"],
        [("Pending", "2026-05-15", "750.00")],
    )
    (pending,) = day.read(f"batch list --billing-company {COMPANY}")["pending"]
    day.check(
        "the Pending amounts of timesheets and of products and services",
        (pending["amount_timesheets"], pending["amount_products_and_services"]),
        ("3784.00", "58435.00"),
    )


def bill_may(day: Day) -> str:
    """Health check, first number, download: the batch of all that is due until the end of May."""
    day.title("Step 1: health check, and fix what it finds with the command that it names")
    health = f"health-check --billing-company {COMPANY} --cut-off {MAY}"
    day.show(health)
    codes = [finding["code"] for finding in day.read(health)["findings"]]
    day.check("it finds missing details", codes, ["seller_details_missing", "retainer_exceeds_fee"])
    day.show(
        f"billing-company set {COMPANY} --address {ADDRESS} --tax-id 'EIN 00-1234567' --bank {BANK}"
    )
    codes = [finding["code"] for finding in day.read(health)["findings"]]
    day.check("the details are there", codes, ["retainer_exceeds_fee"])
    day.title("Step 2: preview, and the batch of the preview from the first number 1001")
    batch = day.close(COMPANY, MAY, "--first-number 1001 --reason May")
    documents = day.read(f"batch show {batch}")["invoices"]
    day.check(
        "the company on top pays for its clients and offices; a client with an Account Name itself",
        [(one["invoice_number"], one["account_name"], one["net"]) for one in documents],
        [
            ("NTP-001001", "APEX HOLDINGS", "46935.00"),
            ("NTP-001002", "APEX HOLDINGS", "2500.00"),
            ("NTP-001003", "BEACON LABS", "8284.00"),
        ],
    )
    day.title("Step 3: download")
    day.download(batch, "may")
    return batch


def bill_june_with_leavers(day: Day) -> str:
    """Four hires have left, and a client wants the rest of a retainer back."""
    day.title("Four hires have left: what their fees give back")
    day.show(f"import leavers --billing-company {COMPANY} --wait")
    lines = day.lines(COMPANY)
    day.check(
        "day 75, 50 % of 8,000.00: the half that is not invoiced is withdrawn, nothing is credited",
        lines.get("PL-S1"),
        None,
    )
    day.check(
        "day 75, both halves invoiced: the second is credited, effective on the last day worked",
        lines["PL-S2"],
        [("Pending", "2026-06-14", "-4000.00")],
    )
    day.check(
        "day 20, 100 %: the scheduled half is withdrawn, the invoiced one credited",
        lines["PL-S3"],
        [("Pending", "2026-06-08", "-4000.00")],
    )
    day.check(
        "day 45, 75 %: the scheduled half is withdrawn, 2,000.00 of the invoiced one credited",
        lines["PL-S4"],
        [("Pending", "2026-06-24", "-2000.00")],
    )
    day.title("A retainer of 4,000.00 for a fee of 3,000.00: the finding names the command")
    day.show(f"health-check --billing-company {COMPANY}")
    day.show("retainers credit R-COO --reason 'the client asks for the rest back'")
    found = day.read(f"health-check --billing-company {COMPANY}")["findings"]
    day.check("the health check finds nothing", found, [])
    day.show(f"retainers list --billing-company {COMPANY}")
    day.title("The batch of June")
    batch = day.close(COMPANY, JUNE, "--reason June")
    documents = day.read(f"batch show {batch}")["invoices"]
    day.check(
        "credit notes for the leavers and the retainer, an invoice for the programme",
        [(one["invoice_number"], one["document_type"], one["net"]) for one in documents],
        [
            ("NTP-001004", "credit-note", "-10000.00"),
            ("NTP-001005", "invoice", "500.00"),
            ("NTP-001006", "credit-note", "-1000.00"),
        ],
    )
    day.download(batch, "june")
    return batch


if __name__ == "__main__":
    run(FOLDER, play)
