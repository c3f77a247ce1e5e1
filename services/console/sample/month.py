"""Writes the event files of the sample month: `python -m services.console.sample.month`.

They are the same every time; a test compares them. The special cases have names here: what waits,
what was corrected, what cannot be read, what comes too early.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from services.console.sample.agency import (
    ACTOR,
    BILLING_COMPANIES,
    CATALOG,
    JOBS,
    NODES,
    PEOPLE,
    Day,
    Job,
    Node,
)
from shared.broker.topics import (
    BILLTO_CHANGED,
    CHARGE_ADDED,
    OPERATOR_COMMANDS,
    PLACEMENT_CREATED,
    REQUIREMENT_CHANGED,
    TIMESHEET_APPROVED,
)

FOLDER = Path(__file__).parent
CUT_OFF = date(2026, 10, 31)
WEEKS = (date(2026, 10, 4), date(2026, 10, 11), date(2026, 10, 18), date(2026, 10, 25))
NEXT_WEEK = date(2026, 11, 1)
LAST_WEEK = WEEKS[-1]

NOT_APPROVED = ("noah.price", LAST_WEEK)  # the supervisor has not signed: held
NOT_REVIEWED = ("roos.jansen", LAST_WEEK)  # this billing company wants a review, too: held
NO_RATE = ("umut.kaya", LAST_WEEK)  # overtime, for which the requirement has no rate: held
SIGNED_LATER = (
    "grace.kim",
    WEEKS[2],
)  # comes without a signature, then with one: held, and released by itself
ADJUSTED = ("emil.novak", WEEKS[1])  # an adjustment takes its place before anything is invoiced
IN_DISPUTE = ("kavya.rao", LAST_WEEK)  # the demonstration snoozes its overtime
EARLY = (("amara.okafor", NEXT_WEEK), ("sven.mulder", NEXT_WEEK))  # beyond the cut-off date
CUT_SHORT = (
    '{"timesheet_id":"TS-2026-10-18-lost.page","revision":1,"worker_id":"lost.page",'
    '"week_ending":"2026-10-18","entries":[{"requirement'
)

# Day 90 of the second is 2026-10-19 + 89 days = 2027-01-16: Scheduled until then, whenever the
# sample is played before.
PLACEMENTS: tuple[dict[str, Any], ...] = (
    {
        "placement_id": "PL-1001",
        "revision": 1,
        "requirement_id": "job-cfo-amsterdam",
        "worker_id": "willem.dekker",
        "start_date": "2026-10-05",
        "salary": "96000.00",
        "currency": "EUR",
        "fees": [{"fee_id": "fee-1", "item_id": "direct-hire-fee", "percent": "22.5"}],
    },
    {
        "placement_id": "PL-1002",
        "revision": 1,
        "requirement_id": "job-vp-boston",
        "worker_id": "vera.stone",
        "start_date": "2026-10-19",
        "salary": "148000.00",
        "currency": "USD",
        "fees": [{"fee_id": "fee-1", "item_id": "direct-hire-fee"}],
    },
    {
        "placement_id": "PL-1003",
        "revision": 1,
        "requirement_id": "job-sre-labs",
        "worker_id": "kavya.rao",
        "start_date": "2026-10-01",
        "fees": [{"fee_id": "check-1", "item_id": "background-check"}],
    },
    {
        "placement_id": "PL-1004",
        "revision": 1,
        "requirement_id": "job-dev-utrecht",
        "worker_id": "tess.visser",
        "start_date": "2026-10-01",
        "fees": [{"fee_id": "check-1", "item_id": "security-screening"}],
    },
    # The first half is due on the start, less the retainer of the requirement.
    {
        "placement_id": "PL-1005",
        "revision": 1,
        "requirement_id": "job-cto-boston",
        "worker_id": "xander.reed",
        "start_date": "2026-10-26",
        "salary": "160000.00",
        "currency": "USD",
        "fees": [{"fee_id": "fee-1", "item_id": "direct-hire-fee"}],
    },
)
EXPENSES: tuple[dict[str, Any], ...] = (
    {
        "charge_id": "EX-2001",
        "revision": 1,
        "billing_company": "linden-nl",
        "node_id": "of-waag-amsterdam",
        "item_id": "travel-expense",
        "quantity": "1",
        "price": "121.00",
        "currency": "EUR",
        "service_date": "2026-10-15",
        "text": "Train and hotel, Brussels",
        "receipt": "NS-88213",
        "recoverable_tax": "21",
        "markup": "10",
    },
)
DISCOUNTED = "STELLA MARIS REHAB"
TERMS: tuple[dict[str, Any], ...] = (
    {
        "command": "set-assignment",
        "command_id": "sample-assignment-AS-portal",
        "assignment_id": "AS-portal",
        "billing_company": "harbor-us",
        "node_id": "cl-kestrel",
        "item_id": "portal-fee",
        "monthly_day": 31,
        "from_date": "2026-08-31",
        "until_date": "2026-12-31",
    },
    {
        "command": "set-debtor-terms",
        "command_id": "sample-terms-stella-rehab",
        "billing_company": "harbor-us",
        "account_name": DISCOUNTED,
        "allowances": [
            {"kind": "discount", "name": "Volume", "percent": "2.5", "applies_to": "timesheets"}
        ],
    },
)
"""Commands that need the catalog: a recurring product, and a discount."""


def timesheet_id(worker: str, week_ending: date) -> str:
    """The id of a sample timesheet."""
    return f"TS-{week_ending}-{worker}"


def files() -> dict[str, list[str]]:
    """Every event file with its lines, in the order in which they are published.

    Timesheets go out before the requirements that price them: any order of arrival ends in the same
    state. Commands about the catalog come after it.
    """
    return {
        f"01-{OPERATOR_COMMANDS.name}.jsonl": [_json(command) for command in _commands()],
        f"02-{BILLTO_CHANGED.name}.jsonl": [_json(_node(node)) for node in NODES],
        f"03-{TIMESHEET_APPROVED.name}.jsonl": list(_timesheet_lines()),
        f"04-{REQUIREMENT_CHANGED.name}.jsonl": [_json(_requirement(job)) for job in JOBS],
        f"05-{PLACEMENT_CREATED.name}.jsonl": [_json(placement) for placement in PLACEMENTS],
        f"06-{CHARGE_ADDED.name}.jsonl": [_json(expense) for expense in EXPENSES],
        f"07-{OPERATOR_COMMANDS.name}.jsonl": [
            _json({"actor": ACTOR, "reason": "the sample agency", **each}) for each in TERMS
        ],
    }


def _json(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _commands() -> Iterator[dict[str, Any]]:
    for company in BILLING_COMPANIES:
        command_id = f"sample-company-{company['billing_company']}"
        yield {
            "command": "set-billing-company",
            "command_id": command_id,
            "actor": ACTOR,
            "reason": "the sample agency",
            **company,
        }
    for item in CATALOG:
        yield {
            "command": "set-catalog-item",
            "command_id": f"sample-item-{item['item_id']}",
            "actor": ACTOR,
            "reason": "the sample agency",
            **item,
        }


def _node(node: Node) -> dict[str, Any]:
    fields = {
        "node_id": node.node_id,
        "revision": 1,
        "level": node.level,
        "parent_id": node.parent_id,
        "name": node.name,
    }
    return _without_empty(
        fields | {"account_name": node.account_name, "address": node.address, "tax_id": node.tax_id}
    )


def _requirement(job: Job) -> dict[str, Any]:
    return _without_empty(
        {
            "requirement_id": job.requirement_id,
            "revision": 1,
            "billing_company": job.billing_company,
            "office_id": job.office_id,
            "job_title": job.job_title,
            "currency": job.currency,
            "statuses": [
                {"from_date": "2026-09-01", "status": "Filled", "position_type": job.position_type}
            ],
            "rates": [
                {"time_type": kind, "effective_from": since, "bill_rate": price, "unit": job.unit}
                for kind, since, price in job.rates
            ],
            "engagement": _without_empty({"project": job.project, "po_number": job.po_number}),
            "retainer": _without_empty({"item_id": job.retainer, "approved_on": job.approved_on}),
        }
    )


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _timesheet_lines() -> Iterator[str]:
    for week_ending in WEEKS:
        for at, (worker, job, patterns) in enumerate(PEOPLE):
            pattern = patterns[(at + WEEKS.index(week_ending)) % len(patterns)]
            yield from map(_json, _revisions(worker, job, week_ending, pattern))
        if week_ending == WEEKS[2]:
            yield CUT_SHORT
    worker, week_ending = ADJUSTED
    job = _job_of(worker)
    fewer = [
        entry | {"hours": "6"} if at == 4 else entry
        for at, entry in enumerate(_entries(job, week_ending, patterns_of(worker)[0]))
    ]
    yield _json(
        _timesheet(worker, week_ending, fewer, stamps(NEXT_WEEK))
        | {
            "timesheet_id": f"{timesheet_id(worker, week_ending)}-A1",
            "adjusts": timesheet_id(worker, week_ending),
        }
    )
    for worker, week_ending in EARLY:
        yield _json(
            _timesheet(
                worker,
                week_ending,
                _entries(_job_of(worker), week_ending, patterns_of(worker)[0]),
                stamps(week_ending),
            )
        )


def _revisions(
    worker: str, job: str, week_ending: date, pattern: tuple[Day, ...]
) -> Iterable[dict[str, Any]]:
    """The revisions of one worker's week: one, but for the cases that have a name."""
    done = stamps(week_ending)
    submitted = {"submitted_at": done["submitted_at"]}
    not_reviewed = {name: at for name, at in done.items() if name != "reviewed_at"}
    case = (worker, week_ending)
    if case == NO_RATE:
        pattern = (*pattern, (3, "OT", "2"))
    if case == ADJUSTED:
        pattern = patterns_of(worker)[0]
    workflows = {
        NOT_APPROVED: [submitted],
        NOT_REVIEWED: [not_reviewed],
        SIGNED_LATER: [submitted, done],
    }
    entries = _entries(job, week_ending, pattern)
    return [
        _timesheet(worker, week_ending, entries, workflow) | {"revision": revision}
        for revision, workflow in enumerate(workflows.get(case, [done]), 1)
    ]


def _timesheet(
    worker: str, week_ending: date, entries: list[dict[str, str]], workflow: dict[str, str]
) -> dict[str, Any]:
    return {
        "timesheet_id": timesheet_id(worker, week_ending),
        "revision": 1,
        "worker_id": worker,
        "week_ending": str(week_ending),
        "workflow": workflow,
        "entries": entries,
    }


def _entries(job: str, week_ending: date, pattern: tuple[Day, ...]) -> list[dict[str, str]]:
    monday = week_ending - timedelta(days=6)
    return [
        {
            "requirement_id": job,
            "work_date": str(monday + timedelta(days=day)),
            "time_type": kind,
            "hours": hours,
        }
        for day, kind, hours in pattern
    ]


def _job_of(worker: str) -> str:
    return next(job for name, job, _ in PEOPLE if name == worker)


def patterns_of(worker: str) -> tuple[tuple[Day, ...], ...]:
    """The weeks that a worker's hours go through."""
    return next(patterns for name, _, patterns in PEOPLE if name == worker)


def stamps(week_ending: date) -> dict[str, str]:
    """All steps done: submitted on Sunday evening, the rest on Monday."""
    steps = ("submitted_at", "approved_at", "released_at", "interpreted_at", "reviewed_at")
    sunday = datetime.combine(week_ending, time(18))
    return {
        step: (sunday + timedelta(hours=5 * at)).isoformat() + "Z" for at, step in enumerate(steps)
    }


def main() -> None:
    """Writes the files beside this module."""
    for name, lines in files().items():
        (FOLDER / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"{name}: {len(lines)} records")


if __name__ == "__main__":
    main()
