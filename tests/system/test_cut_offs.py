"""Cut-offs and billing cycles through the real services: what the ATS says and operators ask goes in, batches come out.

Sources: FastTrack360 automatic invoicing (both scenarios, by date), domain rules 3 and 4.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import text

from shared import clock
from shared.money import plain
from shared.verify import verify
from tests.builders import COMPANY, command, entry, node, placement, rate, requirement, timesheet
from tests.conftest import BooksOf, Configure, EngineOf
from tests.road import Road

SCENARIO_TODAY = "2010-09-20"
THURSDAY = "2010-09-09"


class Firm:
    """Both workers and the books of a firm whose debtors are billed by different cycles. A debtor's office, requirement and sheets bear its name."""

    def __init__(self, road: Road, engine_of: EngineOf, configure: Configure) -> None:
        self.road, self.engine_of, self.configure = road, engine_of, configure

    async def opens(self, *debtors: str, **company: Any) -> None:
        """Billing company, and for each debtor an office that pays and a job order Filled as Temp since 2000 at 50.00 an hour."""
        self.road.send("operator-commands", command("set-billing-company", billing_company=COMPANY, **company))
        for name in debtors:
            self.road.send("billto-changed", node(f"office-{name}", account_name=name))
            self.order(name)
        await self.settle()

    def order(self, name: str, revision: int = 1, **changes: Any) -> None:
        """The debtor's job order."""
        since = {"statuses": [{"from_date": "2000-01-01", "status": "Filled", "position_type": "Temp"}], "rates": [rate(since="2000-01-01")]}
        self.road.send("requirement-changed", requirement(f"REQ-{name}", revision, **{"office_id": f"office-{name}"} | since | changes))

    async def group(self, name: str, cycle: str, *debtors: str, **values: Any) -> None:
        """A time group, and debtors who have it."""
        assert (await self.ask("set-time-group", time_group=name, cycle=cycle, **values))["outcome"] == "accepted"
        for debtor in debtors:
            await self.terms(debtor, time_group=name)

    async def terms(self, debtor: str, **values: Any) -> None:
        """What differs for a debtor."""
        assert (await self.ask("set-debtor-terms", billing_company=COMPANY, account_name=debtor, **values))["outcome"] == "accepted"

    async def sheets(self, debtor: str, *week_endings: str, worker: str = "w", hours: str = "8", revision: int = 1, **changes: Any) -> None:
        """One timesheet a week, of eight hours on its last day."""
        for week in week_endings:
            entries = [entry(hours, week, requirement_id=f"REQ-{debtor}")]
            sheet = timesheet(f"{debtor} {worker} {week}", revision, entries, worker_id=worker, week_ending=week, **changes)
            self.road.send("timesheet-approved", sheet)
        await self.settle()

    async def placed(self, debtor: str, *workers: str, start: str = "2000-01-03", **changes: Any) -> None:
        """Temps on the debtor's job order."""
        for worker in workers:
            own: dict[str, Any] = {"salary": None, "currency": None, "fees": []}
            values = {"requirement_id": f"REQ-{debtor}", "worker_id": worker, "start_date": start} | own | changes
            self.road.send("placement-created", placement(f"P {debtor} {worker}", **values))
        await self.settle()

    async def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """A command of an operator; its answer."""
        asked = command(kind, **values)
        self.road.send("operator-commands", asked)
        await self.settle()
        return json.loads(self.road.answers()[asked.command_id])  # type: ignore[no-any-return]

    async def batch(self, cut_off: str, **values: Any) -> list[str]:
        """A batch; the ids of the documents that it took, in their order."""
        answer = await self.ask("generate-batch", billing_company=COMPANY, cut_off_date=cut_off, **values)
        assert answer["outcome"] == "accepted", answer
        return await self.taken(answer["details"]["batch_id"])

    async def taken(self, batch_id: str | None) -> list[str]:
        """Ids of the documents whose lines a batch took."""
        found = await self.select(
            "SELECT DISTINCT l.document_id FROM invoicer.closed_invoice_line l JOIN invoicer.invoice i USING (invoice_id) WHERE i.batch_id = :id ORDER BY 1",
            id=batch_id,
        )
        return [row[0] for row in found]

    async def groups(self, cut_off: str | None = None) -> dict[str, dict[str, Any]]:
        """The batch groups of a cut-off by name."""
        answer = await self.ask("list-batch-groups", billing_company=COMPANY, **{"cut_off_date": cut_off} if cut_off else {})
        assert answer["outcome"] == "accepted", answer
        return {group["group"]: group for group in answer["details"]["groups"]}

    async def why_not(self, document_id: str, cut_off: str) -> tuple[str, str, str]:
        """Reason, sentence and what mends it."""
        answer = await self.ask("explain", document_id=document_id, cut_off_date=cut_off)
        return answer["details"]["reason"], answer["sentence"], answer["details"]["mend"]

    async def settle(self) -> None:
        """Everything reaches who hears it."""
        await self.road.settle()
        await self.road.sweep()

    async def select(self, statement: str, **values: Any) -> list[Any]:
        """Reads as the owner."""
        async with self.engine_of("owner").connect() as connection:
            return list((await connection.execute(text(statement), values)).all())

    async def check(self) -> None:
        """The books are right."""
        async with self.engine_of("console").connect() as connection:
            report = await verify(connection)
        assert report.faults == (), report.faults

    def day(self, today: str) -> None:
        """Moves on to another day."""
        self.configure(today=today)


@pytest.fixture
def firm(books_of: BooksOf, engine_of: EngineOf, configure: Configure) -> Firm:
    """A firm without debtors, on 2010-09-20."""
    configure(today=SCENARIO_TODAY)
    return Firm(Road(books_of), engine_of, configure)


def of(debtor: str, *week_endings: str, worker: str = "w") -> list[str]:
    """Ids of timesheets."""
    return sorted(f"{debtor} {worker} {week}" for week in week_endings)


# -- FastTrack's scenarios

WEEKS = ("2010-07-25", "2010-08-01", "2010-08-29", "2010-09-05", "2010-09-12", "2010-09-19")


@pytest.mark.parametrize(
    ("cycle", "first_day", "last_day", "late", "cycles_own", "out"),
    [
        ({"cycle": "monthly"}, "2010-08-01", "2010-08-31", WEEKS[:1], WEEKS[1:3], WEEKS[3:]),
        ({"cycle": "weekly", "ends_on": "sunday"}, "2010-08-30", "2010-09-05", WEEKS[:3], WEEKS[3:4], WEEKS[4:]),
        ({"cycle": "fortnightly", "anchor": "2010-09-05"}, "2010-08-23", "2010-09-05", WEEKS[:2], WEEKS[2:4], WEEKS[4:]),
        ({"cycle": "non-date"}, None, None, (), WEEKS, ()),
    ],
    ids=lambda value: value["cycle"] if isinstance(value, dict) else None,
)
async def test_fasttracks_scenarios(
    firm: Firm, cycle: dict[str, str], first_day: str | None, last_day: str | None, late: Sequence[str], cycles_own: Sequence[str], out: Sequence[str]
) -> None:
    """FastTrack360, time group date 09/09/2010: the last complete billing cycle, the late timesheets before it, nothing of the next cycle."""
    await firm.opens("A")
    await firm.group("cycle", cycle["cycle"], "A", **{name: value for name, value in cycle.items() if name != "cycle"})
    await firm.sheets("A", *WEEKS)
    shown = (await firm.groups(THURSDAY))["cycle"]
    assert (shown["first_day"], shown["last_day"], shown["timesheets"], shown["late"]) == (first_day, last_day, len(cycles_own), len(late))
    assert await firm.batch(THURSDAY) == of("A", *late, *cycles_own)
    assert await firm.batch("2010-12-31") == of("A", *out)
    await firm.check()


@pytest.mark.parametrize(
    ("cut_off", "week_ending", "is_in"),
    [
        ("2010-08-30", "2010-08-31", False),
        ("2010-08-31", "2010-08-31", True),
        ("2010-08-31", "2010-09-01", False),
        ("2010-09-29", "2010-09-01", False),
        ("2010-09-30", "2010-09-01", True),
    ],
)
async def test_by_the_day_at_a_months_end(firm: Firm, cut_off: str, week_ending: str, is_in: bool) -> None:
    """Domain rules 4: a cut-off on the last day of a cycle takes that cycle, the day before does not; week ending decides, to the day."""
    firm.day("2010-10-20")
    await firm.opens("A")
    await firm.group("monthly", "monthly", "A")
    await firm.sheets("A", week_ending)
    assert (await firm.batch(cut_off) != []) is is_in


async def test_a_timesheet_over_a_months_end_is_of_the_month_in_which_its_week_ends(firm: Firm) -> None:
    """Domain rules 4: a timesheet is never split; week ending 2010-09-05 with work on 08-30 and 08-31 is of September, whole."""
    await firm.opens("A")
    await firm.group("monthly", "monthly", "A")
    entries = [entry("8", day, requirement_id="REQ-A") for day in ("2010-08-30", "2010-08-31", "2010-09-01")]
    firm.road.send("timesheet-approved", timesheet("T-1", 1, entries, week_ending="2010-09-05"))
    assert await firm.batch(THURSDAY) == []
    reason, sentence, mend = await firm.why_not("T-1", THURSDAY)
    assert reason == "not_in_cycle"
    assert "the last cycle of time group monthly (monthly) that is complete by the cut-off 2010-09-09 is 2010-08-01 to 2010-08-31" in sentence
    assert mend == "take a cut-off of 2010-09-30 or later"
    firm.day("2010-10-01")
    assert await firm.batch("2010-09-30") == ["T-1"]
    assert [plain(row[0]) for row in await firm.select("SELECT net FROM invoicer.invoice")] == ["1200"]


async def test_a_late_timesheet_and_a_correction_join_the_next_batch(firm: Firm) -> None:
    """FastTrack: late submission or late approval goes into the next batch; a correction of an invoiced line is in whatever its week ending."""
    await firm.opens("A", gate="approved")
    await firm.group("weekly", "weekly", "A", ends_on="sunday")
    stamps = {"submitted_at": "2010-09-06T08:00:00Z"}
    await firm.sheets("A", "2010-09-05", worker="late", workflow=stamps)
    await firm.sheets("A", "2010-09-05")
    (shown,) = (await firm.groups(THURSDAY))["weekly"]["listed"]
    assert (shown["timesheets"], shown["held_by_code"]) == (1, {"not_approved": 1})
    assert await firm.batch(THURSDAY) == of("A", "2010-09-05")
    await firm.sheets("A", "2010-09-05", worker="late", revision=2, workflow=stamps | {"approved_at": "2010-09-14T08:00:00Z"})
    await firm.sheets("A", "2010-09-05", hours="10", revision=2)
    await firm.sheets("A", "2010-09-12", "2010-09-19")
    shown = (await firm.groups("2010-09-16"))["weekly"]
    assert (shown["timesheets"], shown["late"], shown["corrections"]) == (1, 1, 1)
    assert await firm.batch("2010-09-16") == sorted([*of("A", "2010-09-05", "2010-09-12"), *of("A", "2010-09-05", worker="late")])
    await firm.check()


async def test_scheduled_never_goes_in(firm: Firm) -> None:
    """Domain rules 4: whatever the cycle or a cut-off in the future."""
    await firm.opens("A", "B")
    await firm.group("any", "non-date", "A")
    await firm.sheets("A", "2010-09-26")
    await firm.sheets("B", "2010-09-26")
    assert await firm.batch("2010-12-31") == []
    assert (await firm.why_not("A w 2010-09-26", "2010-12-31"))[0] == "scheduled"
    firm.day("2010-09-26")
    assert await firm.batch("2010-09-09") == of("A", "2010-09-26")


# -- days, zones


@pytest.mark.parametrize(
    ("zone", "today", "last_day", "is_in"),
    [
        ("Pacific/Midway", "2026-03-07", "2026-03-01", False),
        ("America/New_York", "2026-03-08", "2026-03-08", True),
        ("Europe/Amsterdam", "2026-03-08", "2026-03-08", True),
        ("Pacific/Auckland", "2026-03-08", "2026-03-08", True),
        ("Pacific/Kiritimati", "2026-03-09", "2026-03-08", True),
    ],
)
async def test_the_cut_off_is_today_where_the_billing_company_is(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, zone: str, today: str, last_day: str, is_in: bool
) -> None:
    """Domain rules 4: from zone -11 to +14, on the day on which New York's clocks change, one instant lies in two cycles."""
    firm.configure(today="")
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 3, 8, 10, 59, tzinfo=UTC))
    await firm.opens("A", time_zone=zone)
    await firm.group("weekly", "weekly", "A", ends_on="sunday")
    await firm.sheets("A", "2026-03-01", "2026-03-08")
    shown = (await firm.groups())["weekly"]
    assert shown["last_day"] == last_day
    assert await firm.batch(today) == of("A", "2026-03-01", *(["2026-03-08"] if is_in else []))


@pytest.mark.parametrize(
    ("cycle", "cut_off", "first_day", "last_day"),
    [
        ({"cycle": "monthly"}, "2024-02-29", "2024-02-01", "2024-02-29"),
        ({"cycle": "monthly"}, "2024-02-28", "2024-01-01", "2024-01-31"),
        ({"cycle": "monthly"}, "2023-02-28", "2023-02-01", "2023-02-28"),
        ({"cycle": "monthly"}, "2026-12-31", "2026-12-01", "2026-12-31"),
        ({"cycle": "weekly", "ends_on": "sunday"}, "2027-01-02", "2026-12-21", "2026-12-27"),
        ({"cycle": "weekly", "ends_on": "sunday"}, "2027-01-03", "2026-12-28", "2027-01-03"),
        ({"cycle": "weekly", "ends_on": "saturday"}, "2026-10-25", "2026-10-18", "2026-10-24"),
        ({"cycle": "fortnightly", "anchor": "2026-03-08"}, "2027-01-03", "2026-12-14", "2026-12-27"),
    ],
)
async def test_cycles_at_leap_days_and_year_ends(firm: Firm, cycle: dict[str, str], cut_off: str, first_day: str, last_day: str) -> None:
    """Domain rules 4: the days of a cycle as the batch groups show them, and the lines at both of its ends as a batch takes them."""
    firm.day("2027-03-01")
    await firm.opens("A")
    await firm.group("cycle", cycle["cycle"], "A", **{name: value for name, value in cycle.items() if name != "cycle"})
    after = str(date.fromordinal(date.fromisoformat(last_day).toordinal() + 1))
    before = str(date.fromordinal(date.fromisoformat(first_day).toordinal() - 1))
    await firm.sheets("A", before, first_day, last_day, after)
    shown = (await firm.groups(cut_off))["cycle"]
    assert (shown["first_day"], shown["last_day"], shown["timesheets"], shown["late"]) == (first_day, last_day, 2, 1)
    assert await firm.batch(cut_off) == of("A", before, first_day, last_day)


# -- groups and debtors


async def three_groups(firm: Firm) -> None:
    """Weekly W and X, monthly M, P without a time group, each with a week of August and one of September; P's product, too."""
    await firm.opens("W", "X", "M", "P")
    await firm.group("weekly", "weekly", "W", "X", ends_on="sunday")
    await firm.group("monthly", "monthly", "M")
    for name in "WXMP":
        await firm.sheets(name, "2010-08-29", "2010-09-05")


async def test_groups_are_chosen_and_debtors_left_out(firm: Firm) -> None:
    """FastTrack: several groups at once or one only, debtors excluded; what was left out is billed by a later batch, once."""
    await three_groups(firm)
    both = ("2010-08-29", "2010-09-05")
    assert await firm.batch(THURSDAY, groups=["weekly"], exclude_debtors=["X"]) == of("W", *both)
    assert await firm.batch(THURSDAY, groups=["none"]) == of("P", *both)
    assert await firm.batch(THURSDAY, groups=["weekly", "monthly"], exclude_debtors=["M"]) == of("X", *both)
    assert await firm.batch(THURSDAY) == of("M", "2010-08-29")
    assert await firm.batch(THURSDAY) == []
    await firm.check()


async def test_what_does_not_exist_is_not_narrowed_to(firm: Firm) -> None:
    """An unknown group is refused with those that there are, an unknown debtor with names that look like it."""
    await three_groups(firm)
    unknown = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date=THURSDAY, groups=["weekley"])
    assert (unknown["code"], "there are monthly, none, weekly" in unknown["sentence"]) == ("unknown_time_group", True)
    firm.road.send("billto-changed", node("office-H", account_name="Mercy Hospital"))
    nobody = await firm.ask("preview-batch", billing_company=COMPANY, cut_off_date=THURSDAY, exclude_debtors=["Mercy hopital"])
    assert (nobody["code"], nobody["mend"]) == ("unknown_debtor", "did you mean 'Mercy Hospital'?")
    assert (await firm.ask("preview-batch", billing_company=COMPANY, cut_off_date=THURSDAY, exclude_debtors=["Mercy Hospital"]))["outcome"] == "accepted"


async def test_a_digest_is_of_a_narrowed_batch(firm: Firm) -> None:
    """Preview equals commit: the digest of a narrowed preview holds for the same narrowing only, and the refusal says which differs."""
    await three_groups(firm)
    narrowed = {"groups": ["weekly"], "exclude_debtors": ["X"]}
    preview = await firm.ask("preview-batch", billing_company=COMPANY, cut_off_date=THURSDAY, **narrowed)
    out = Counter(row[0] for row in await firm.select("SELECT reason FROM invoicer.preview_line WHERE reason IS NOT NULL"))
    assert out == {"debtor_left_out": 2, "group_not_chosen": 3, "not_in_cycle": 1}
    cited = {"billing_company": COMPANY, "cut_off_date": THURSDAY, "digest": preview["details"]["digest"]}
    for other in ({}, {"groups": ["weekly"]}, narrowed | {"missing_timesheets": "bill"}):
        refused = await firm.ask("generate-batch", **cited, **other)
        assert refused["code"] == "digest_differs"
        assert {"groups", "excluded debtors", "rule for missing timesheets"} & set(refused["details"]["settings"])
    await firm.ask("set-time-group", time_group="weekly", cycle="weekly", ends_on="saturday")
    changed = await firm.ask("generate-batch", **cited, **narrowed)
    assert "time group weekly" in changed["details"]["settings"]
    await firm.ask("set-time-group", time_group="weekly", cycle="weekly", ends_on="sunday")
    assert (await firm.ask("generate-batch", **cited, **narrowed))["outcome"] == "accepted"


async def test_a_debtors_products_go_with_his_group(firm: Firm) -> None:
    """Domain rules 4: products by effective date <= cut-off, no cycle; but in no batch that does not take the debtor's group."""
    await three_groups(firm)
    firm.road.send("operator-commands", command("set-catalog-item", item_id="FEE", name="Fee", amount="100.00", currency="USD"))
    fee = [{"fee_id": "F", "item_id": "FEE"}]
    for number, start in enumerate(("2010-09-09", "2010-09-10")):
        firm.road.send("placement-created", placement(f"P-{number}", requirement_id="REQ-M", start_date=start, salary=None, currency=None, fees=fee))
    assert await firm.batch(THURSDAY, groups=["weekly", "none"]) == sorted(of("W", *WEEKS[2:4]) + of("X", *WEEKS[2:4]) + of("P", *WEEKS[2:4]))
    assert await firm.batch(THURSDAY, groups=["monthly"]) == [*of("M", "2010-08-29"), "P-0"]
    assert (await firm.why_not("P-1", THURSDAY))[0] == "not_in_cycle"


async def test_the_time_group_valid_on_the_cut_off_date_decides(firm: Firm) -> None:
    """Domain rules 4: a debtor who changes from monthly to weekly on 2010-09-08 is billed monthly by a cut-off before, weekly by one after."""
    await firm.opens("A")
    await firm.group("monthly", "monthly", "A")
    await firm.group("weekly", "weekly", ends_on="sunday")
    await firm.terms("A", time_group="weekly", from_date="2010-09-08")
    await firm.sheets("A", "2010-08-29", "2010-09-05")
    assert await firm.batch("2010-09-07") == of("A", "2010-08-29")
    assert await firm.batch("2010-09-08") == of("A", "2010-09-05")


async def test_the_companys_default_is_for_debtors_without_a_time_group(firm: Firm) -> None:
    """Domain rules 4: the default per billing company; one that does not exist stops the batch, because every debtor would be billed otherwise."""
    await firm.opens("A", "B", default_time_group="monthly")
    stopped = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date=THURSDAY)
    assert stopped["code"] == "default_time_group_unknown"
    await firm.group("monthly", "monthly")
    await firm.group("weekly", "weekly", "B", ends_on="sunday")
    for name in "AB":
        await firm.sheets(name, "2010-08-29", "2010-09-05")
    assert await firm.batch(THURSDAY) == [*of("A", "2010-08-29"), *of("B", "2010-08-29", "2010-09-05")]


async def test_a_cut_off_beyond_the_last_period_parks_the_group(firm: Firm) -> None:
    """Domain rules 4: it is an error that says so; the other groups are billed, and asking for that group alone is refused."""
    await firm.opens("A", "B")
    await firm.group("retail", "custom", "A", periods=[{"first_day": "2010-08-01", "last_day": "2010-09-04"}])
    for name in "AB":
        await firm.sheets(name, "2010-08-29")
    refused = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date="2010-09-05", groups=["retail"])
    assert (refused["code"], "beyond the last period of time group 'retail'" in refused["sentence"]) == ("cut_off_beyond_periods", True)
    answer = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date="2010-09-05")
    assert await firm.taken(answer["details"]["batch_id"]) == of("B", "2010-08-29")
    assert [(each["code"], each["ids"]) for each in answer["findings"] if each["severity"] == "error"] == [("debtor_parked", ["A"])]
    assert (await firm.groups("2010-09-05"))["retail"]["listed"][0]["state"] == "parked"
    assert (await firm.why_not("A w 2010-08-29", "2010-09-05"))[0] == "debtor_parked"
    assert await firm.batch("2010-09-03") == []
    assert await firm.batch("2010-09-04") == of("A", "2010-08-29")


# -- missing timesheets


async def waiting(firm: Firm, rule: str = "wait") -> None:
    """Three temps at A, of whom two sent their timesheet of 2010-09-05, and one an earlier one late."""
    await firm.opens("A")
    await firm.group("weekly", "weekly", "A", ends_on="sunday")
    await firm.terms("A", missing_timesheets=rule)
    await firm.placed("A", "w", "x", "y")
    await firm.sheets("A", "2010-09-05")
    await firm.sheets("A", "2010-08-29", "2010-09-05", worker="x")


async def test_who_waits_waits_with_all_timesheets(firm: Firm) -> None:
    """Domain rules 4: expected = active placements, one timesheet a week; who waits, waits with timesheets of all cycles, not with products."""
    await waiting(firm)
    firm.road.send("operator-commands", command("set-catalog-item", item_id="FEE", name="Fee", amount="100.00", currency="USD"))
    fee = [{"fee_id": "F", "item_id": "FEE"}]
    hire = placement("HIRE", requirement_id="REQ-A", worker_id="boss", start_date="2010-09-01", salary="90000.00", currency="USD", fees=fee)
    firm.road.send("placement-created", hire)
    await firm.settle()
    shown = (await firm.groups(THURSDAY))["weekly"]
    (debtor,) = shown["listed"]
    assert (shown["received"], shown["expected"], debtor["state"], debtor["missing"]) == (2, 3, "waits", ["y on REQ-A, week ending 2010-09-05"])
    assert shown["amounts"] == [{"currency": "USD", "lines": 1, "net": "100.00", "kept": "1200.00"}]
    answer = await firm.ask("generate-batch", billing_company=COMPANY, cut_off_date=THURSDAY)
    assert await firm.taken(answer["details"]["batch_id"]) == ["HIRE"]
    assert [each["code"] for each in answer["findings"] if each["about"] == "debtor"] == ["waits_for_timesheets"]
    reason, sentence, _ = await firm.why_not("A x 2010-08-29", THURSDAY)
    assert reason == "waits_for_timesheets"
    assert "2 of 3 in" in sentence
    await firm.sheets("A", "2010-09-05", worker="y")
    assert await firm.batch(THURSDAY) == sorted([*of("A", "2010-09-05"), *of("A", "2010-08-29", "2010-09-05", worker="x"), *of("A", "2010-09-05", worker="y")])
    await firm.check()


async def test_a_correction_waits_with_its_debtors_timesheets(firm: Firm) -> None:
    """FastTrack: adjustment timesheets are among the debtor's timesheets, so they wait with them, whether they credit or debit."""
    await waiting(firm, "bill")
    assert len(await firm.batch(THURSDAY)) == 3
    await firm.terms("A", missing_timesheets="wait")
    await firm.sheets("A", "2010-09-05", hours="6", revision=2)
    await firm.sheets("A", "2010-09-05", worker="x", hours="9", revision=2)
    await firm.sheets("A", "2010-09-12")
    assert await firm.batch("2010-09-12") == []
    shown = (await firm.groups("2010-09-12"))["weekly"]
    assert (shown["timesheets"], shown["corrections"], shown["received"], shown["expected"]) == (1, 2, 1, 3)
    taken = await firm.batch("2010-09-12", missing_timesheets="bill", reason="the client agreed")
    assert taken == sorted([*of("A", "2010-09-05", "2010-09-12"), *of("A", "2010-09-05", worker="x")])
    await firm.check()


async def test_wait_some_days_after_the_cycles_end(firm: Firm) -> None:
    """Domain rules 4: wait N days after the cycle's end, then bill what is in."""
    firm.day("2010-09-07")
    await waiting(firm, "wait:3")
    assert await firm.batch("2010-09-07") == []
    firm.day("2010-09-08")
    assert len(await firm.batch("2010-09-07")) == 3


async def test_one_rule_for_the_batch_needs_a_reason(firm: Firm) -> None:
    """Overridable per batch with a reason, in both directions; the reason is kept with the command."""
    await waiting(firm, "bill")
    assert await firm.batch(THURSDAY, missing_timesheets="wait", reason="the auditors asked") == []
    with pytest.raises(ValueError, match="needs a reason"):
        command("generate-batch", billing_company=COMPANY, cut_off_date=THURSDAY, missing_timesheets="bill", reason="")


async def test_what_counts_as_expected_and_as_in(firm: Firm) -> None:
    """Domain rules 3 and 4: a week of zero hours is in; a held timesheet is not; an order that is not Filled, a placement that ended and a direct
    hire ask for none."""
    await waiting(firm)
    await firm.sheets("A", "2010-09-05", worker="y", hours="0")
    assert (await firm.groups(THURSDAY))["weekly"]["received"] == 3
    await firm.placed("A", "z")
    await firm.placed("A", "gone", end_date="2010-08-29")
    await firm.sheets("A", "2010-09-05", worker="z", workflow={"submitted_at": "2010-09-06T08:00:00Z"})
    (debtor,) = (await firm.groups(THURSDAY))["weekly"]["listed"]
    assert (debtor["received"], debtor["expected"], debtor["held_by_code"], debtor["state"]) == (3, 4, {"not_approved": 1}, "waits")
    statuses = [{"from_date": "2000-01-01", "status": "Filled", "position_type": "Temp"}, {"from_date": "2010-09-01", "status": "Closed"}]
    firm.order("A", 2, statuses=statuses)
    await firm.settle()
    assert (await firm.groups(THURSDAY))["weekly"]["expected"] == 0


async def test_a_debtor_with_nothing_but_missing_timesheets_is_shown(firm: Firm) -> None:
    """The group shows "0 of 1 in" of a debtor of whom nothing came yet."""
    await firm.opens("A", "B")
    await firm.placed("B", "w")
    shown = (await firm.groups(THURSDAY))["none"]
    assert [(each["account_name"], each["received"], each["expected"], each["state"]) for each in shown["listed"]] == [("B", 0, 1, "nothing")]
