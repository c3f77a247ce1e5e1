"""A seeded month of a small agency, in phases, with a journal of everything sent.

It is the input of the kill runs. Within a phase anything may be in one batch and arrive in any
order: the result must not depend on it. Between phases nothing moves, because which realization a
batch command includes is the operator's choice and not a fault's.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from shared.events.commands import AnyCommand
from tests import builders
from tests.running import Sent, event

TODAY = date(2026, 11, 2)
COMPANIES = ("kill-us", "kill-nl")
WEEKS = tuple(date(2026, 10, 4) + timedelta(days=7 * week) for week in range(4))
REQUIREMENTS = 8
BAD = (b'{"timesheet_id":', b"[]", b"", b"\xff\xfe{}", b'{"timesheet_id":"x","timesheet_id":"y"}')


@dataclass
class Phase:
    """What is sent at once, and the commands that follow when nothing moves."""

    records: list[Sent]
    commands: Sequence[AnyCommand] = ()
    holds: int = 0
    edits: int = 0


@dataclass
class Workload:
    """The phases of one seed: so many timesheets of a month, so many offices."""

    seed: int
    documents: int = 240
    offices: int = 4
    _revisions: dict[str, int] = field(default_factory=dict)
    _bodies: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.rng = random.Random(self.seed + 1)
        """For what must not disturb what is sent."""

    def phases(self) -> list[Phase]:
        """Setup; a month; corrections after the first batches; corrections after the second."""
        return [self._facts(), self._month(), self._corrections(0), self._corrections(1)]

    def _company(self, requirement: int) -> str:
        return COMPANIES[requirement % 2]

    def _requirement(
        self, number: int, revision: int = 1, price: str = "50.00", **changes: Any
    ) -> Sent:
        company = self._company(number)
        body = builders.requirement(
            f"REQ-{number}",
            revision,
            billing_company=company,
            office_id=f"office-{number % self.offices}",
            currency="USD" if company == "kill-us" else "EUR",
            rates=[
                builders.rate("REG", price),
                builders.rate("OT", "75.1234"),
                builders.rate("REG", "61.3333", "2026-10-14"),
            ],
            **changes,
        )
        return event("requirement-changed", body.requirement_id, body)

    def _facts(self) -> Phase:
        nodes = [
            builders.node("client-0", "client", account_name="Client 0"),
            builders.node("client-1", "client", account_name="Client 1"),
        ]
        nodes += [
            builders.node(
                f"office-{at}",
                parent_id=f"client-{at % 2}",
                account_name=f"Office {at}" if at >= 3 else "",
            )
            for at in range(self.offices)
        ]
        records = [event("billto-changed", node.node_id, node) for node in nodes]
        records += [
            self._requirement(number) for number in range(REQUIREMENTS) if number not in (5, 6)
        ]
        self._random.shuffle(records)
        commands = [
            builders.command(
                "set-billing-company",
                billing_company=company,
                name=f"{company} Inc.",
                series_prefix=f"{company}-",
                taxes=[{"tax_code": "STD", "percent": "8.25", "from_date": "2020-01-01"}],
                default_tax="STD",
                command_id=f"{self.seed}-company-{company}",
            )
            for company in COMPANIES
        ]
        commands.append(
            builders.command(
                "set-catalog-item",
                item_id="DIRECT-HIRE",
                name="Direct hire",
                percent_of_salary="20",
                plan=[{"share": "50", "day": 1}, {"share": "50", "day": 90}],
                command_id=f"{self.seed}-item",
            )
        )
        commands.append(
            builders.command(
                "set-catalog-item",
                item_id="RENT",
                name="Office rent",
                amount="450.00",
                currency="USD",
                product_kind="non-placement",
                command_id=f"{self.seed}-rent",
            )
        )
        return Phase(records, commands)

    def _timesheet(self, source_id: str, **changes: Any) -> Sent:
        revision = self._revisions[source_id] = self._revisions.get(
            source_id, 0
        ) + self._random.randint(1, 3)
        body = self._bodies[source_id] = self._bodies.get(source_id, {}) | changes
        sheet = builders.timesheet(source_id, revision, **body)
        return event("timesheet-approved", sheet.adjusts or source_id, sheet)

    def _entries(self, requirement: int, week: date) -> list[dict[str, Any]]:
        hours = [self._random.choice(["8", "7.5", "6.25", "0", "10.75"]) for _ in range(5)]
        return [
            builders.entry(
                each,
                week - timedelta(days=6 - at),
                self._random.choice(["REG", "REG", "REG", "OT"]),
                f"REQ-{requirement}",
            )
            for at, each in enumerate(hours)
        ]

    def _month(self) -> Phase:
        records = []
        for at in range(self.documents):
            requirement, week = self._random.randrange(REQUIREMENTS), self._random.choice(WEEKS)
            sheet = self._timesheet(
                f"TS-{self.seed}-{at}",
                worker_id=f"W-{at}",
                week_ending=str(week),
                entries=self._entries(requirement, week),
            )
            records += [sheet] * self._random.choice([1, 1, 1, 2])
        for at in range(12):
            placed = builders.placement(
                f"PL-{self.seed}-{at}",
                requirement_id=f"REQ-{self._random.randrange(REQUIREMENTS)}",
                start_date=str(date(2026, 10, 1) + timedelta(days=at)),
                salary=f"{80_000 + 1_237 * at}.50",
            )
            records.append(event("placement-created", placed.placement_id, placed))
        records += [
            Sent("timesheet-approved", f"bad-{at}".encode(), value) for at, value in enumerate(BAD)
        ]
        self._random.shuffle(records)
        commands = [*self._batches(0), *self._assignments(0, "310.50", "2026-10-28")]
        return Phase(records, commands, holds=6, edits=2)

    def _assignments(self, number: int, price: str, from_date: str) -> list[AnyCommand]:
        """Products due each month, the first after the cut-off of the first batch."""
        return [
            builders.command(
                "set-assignment",
                assignment_id=f"RENT-{company}",
                billing_company=company,
                node_id="client-0",
                item_id="RENT",
                price=price,
                currency="USD",
                monthly_day=28,
                from_date=from_date,
                command_id=f"{self.seed}-assignment-{number}-{company}",
            )
            for company in COMPANIES
        ]

    def _batches(self, number: int) -> list[AnyCommand]:
        return [
            builders.command(
                "generate-batch",
                billing_company=company,
                cut_off_date="2026-10-25" if number == 0 else "2026-10-31",
                command_id=f"{self.seed}-batch-{number}-{company}",
            )
            for company in COMPANIES
        ]

    def _corrections(self, number: int) -> Phase:
        records = []
        for at in self._random.sample(range(self.documents), self.documents // 4):
            source_id = f"TS-{self.seed}-{at}"
            body = self._bodies[source_id]
            kind = self._random.choice(
                ["hours", "hours", "hours", "cancel", "adjustment", "unapproved"]
            )
            week = date.fromisoformat(body["week_ending"])
            requirement = self._random.randrange(REQUIREMENTS)
            if kind == "hours":
                records.append(self._timesheet(source_id, entries=self._entries(requirement, week)))
            elif kind == "cancel":
                records.append(self._timesheet(source_id, entries=[]))
            elif kind == "unapproved":
                records.append(
                    self._timesheet(source_id, workflow={"submitted_at": "2026-10-30T08:00:00Z"})
                )
            else:
                approved = f"2026-10-{20 + number}T{self._random.randrange(10, 23)}:00:00Z"
                changes = body | {
                    "adjusts": source_id,
                    "entries": self._entries(requirement, week),
                    "workflow": {"approved_at": approved},
                }
                records.append(self._timesheet(f"{source_id}-adj-{number}", **changes))
        records.append(self._requirement(5 + number))  # the fact that held documents wait for
        records.append(
            self._requirement(number, 2, "52.5000")
        )  # open lines are priced again, invoiced ones keep their price
        moved = builders.node(
            f"office-{number}",
            revision=2 + number,
            parent_id=f"client-{number}",
            account_name=f"Moved {number}",
        )
        records.append(event("billto-changed", moved.node_id, moved))
        self._random.shuffle(records)
        if number == 0:
            commands = [*self._batches(1), *self._assignments(1, "320.00", "2026-12-01")]
        else:  # also a price for what is invoiced, which no one confirms
            commands = self._assignments(2, "330.00", "2026-10-01")
        return Phase(records, commands, holds=0)


def journal(phases: Sequence[Phase]) -> list[Sent]:
    """Everything that was sent, one by one."""
    return [record for phase in phases for record in phase.records]
