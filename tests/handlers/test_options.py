"""Invoice options, grouping and maximum lines through all services (msp.md 3 and 4)."""

import json
from datetime import date
from typing import Any, TypeVar

import pytest

from shared.stored import as_json
from shared.verify import verify
from tests.builders import COMPANY, command, engagement, entry, node, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.in_process import Pipeline

CLIENT = "office-1 account"
US = {"client_country": "US", "bill_to": "client"}
NO_COMPANY = (
    "explain", "explain-option", "set-person", "set-workflow", "approve-draft", "reject-draft",
    "reassign-draft",
)  # fmt: skip
"""Commands that name no billing company."""
DOCUMENTS = (
    "SELECT trim_scale(net)::text, po_number, invoice_option -> 'group', line_count,"
    " invoice_option ->> 'name', trim_scale(total)::text FROM invoicer.invoice ORDER BY number"
)


class Programme:
    """A pipeline of all services with a client, a requirement and three engagements."""

    def __init__(self, engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor) -> None:
        self.engine_of, self.pipeline = engine_of, Pipeline(unit_of_work_for)

    async def send(self, topic: str, *events: Any) -> None:
        """Send events and let all services consume them."""
        self.pipeline.send(topic, *events)
        await self.pipeline.settle()

    async def tell(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Send a command of the billing company and return its result."""
        company = {} if name in NO_COMPANY else {"billing_company": COMPANY}
        sent = command(name, **company | fields)
        await self.send("operator-commands", sent)
        return json.loads(self.pipeline.answers()[sent.command_id])  # type: ignore[no-any-return]

    async def option(self, name: str = "US staffing", **fields: Any) -> None:
        """Set an option for clients in the US, by default."""
        answer = await self.tell("set-invoice-option", name=name, **US | {"default": True} | fields)
        assert answer["outcome"] == "accepted", answer

    async def items(self, *items: tuple[str, str, str]) -> None:
        """Send a timesheet for each item: engagement, hours at 50.00, PO number."""
        for engagement_id, hours, po_number in items:
            worked = [entry(hours, "2026-03-04", po_number=po_number)]
            await self.send(
                "timesheet-approved",
                timesheet(f"T-{engagement_id}", engagement_id=engagement_id, entries=worked,
                          worker_id=f"W-{engagement_id}"),
            )  # fmt: skip

    async def bill(self, **fields: Any) -> dict[str, Any]:
        """Generate a batch of all that is due, and verify."""
        answer = await self.tell("generate-batch", **{"cut_off_date": "2026-03-31"} | fields)
        assert answer["outcome"] == "accepted", answer
        async with self.engine_of("auditor").connect() as connection:
            assert (await verify(connection)).faults == ()
        return answer

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        async with self.engine_of("owner").connect() as connection:
            found = await connection.exec_driver_sql(statement)
            return [
                tuple(as_json(one) if str(one).startswith("[") else one for one in row)
                for row in found
            ]

    async def line(self, document_id: str) -> int:
        """Return the id of the open line of a document."""
        ((found,),) = await self.rows(
            "SELECT pay_line_id FROM invoicer.pay_line JOIN invoicer.open_line USING (pay_line_id)"
            f" WHERE document_id = '{document_id}'"
        )
        return int(found)


@pytest.fixture
async def programme(
    engine_of: EngineOf, unit_of_work_for: UnitOfWorkFor, configure: Configure
) -> Programme:
    """E1 and E3 of the supplier S1 with cost code A, E2 of S2 without a cost code."""
    return await start_programme(Programme(engine_of, unit_of_work_for), configure)


P = TypeVar("P", bound=Programme)


async def start_programme(found: P, configure: Configure) -> P:
    """Send what the programme knows at its start: a company, a client, three engagements."""
    configure(today=date(2026, 3, 31))
    await found.tell("set-billing-company")
    await found.send("billto-changed", node())
    await found.send("requirement-changed", requirement())
    for engagement_id, supplier, custom in (("E1", "S1", "A"), ("E2", "S2", ""), ("E3", "S1", "A")):
        await found.send(
            "engagement-changed",
            engagement(engagement_id, supplier_id=supplier,
                       custom={"cost_code": custom} if custom else {}),
        )  # fmt: skip
    return found


ITEMS = (("E1", "2", "PO-1"), ("E2", "4", "PO-1"), ("E3", "1", "PO-2"))
ONE_PO = (("E1", "2", "PO-1"), ("E2", "4", "PO-1"), ("E3", "1", "PO-1"))


@pytest.mark.parametrize(
    ("group_by", "items", "expected"),
    [
        (None, ITEMS, [("100", "PO-1", "S1"), ("200", "PO-1", "S2"), ("50", "PO-2", "S1")]),
        (["bill.po_number"], ITEMS, [("300", "PO-1", "PO-1"), ("50", "PO-2", "PO-2")]),
        (["engagement.id"], ITEMS,
         [("100", "PO-1", "E1"), ("200", "PO-1", "E2"), ("50", "PO-2", "E3")]),
        (["custom.cost_code"], ONE_PO, [("200", "PO-1", ""), ("150", "PO-1", "A")]),
    ],
    ids=["inherited: [engagement.supplier]", "own: [bill.po_number]", "own: [engagement.id]",
         "own: [custom.cost_code]"],
)  # fmt: skip
async def test_grouping(
    programme: Programme,
    group_by: list[str] | None,
    items: tuple[tuple[str, str, str], ...],
    expected: list[tuple[str, str, str]],
) -> None:
    """The table of msp.md 4; numbers follow Account Name, keys, then group values."""
    await programme.tell(
        "set-country-grouping", client_country="US", group_by=["engagement.supplier"]
    )
    await programme.option(group_by=group_by)
    await programme.items(*items)
    await programme.bill()
    field = (group_by or ["engagement.supplier"])[0]
    assert [row[:3] for row in await programme.rows(DOCUMENTS)] == [
        (net, po_number, [[field, value]]) for net, po_number, value in expected
    ]


@pytest.mark.parametrize(("lines", "documents"), [(40, [20, 20]), (41, [20, 20, 1])])
async def test_maximum_lines(programme: Programme, lines: int, documents: list[int]) -> None:
    """40 items at 20 are 2 documents, 41 are 3; each is taxed and numbered by itself (msp.md 4)."""
    await programme.tell(
        "set-billing-company", default_tax="VAT", tax_basis="document",
        taxes=[{"tax_code": "VAT", "percent": "19", "from_date": "2020-01-01"}],
    )  # fmt: skip
    await programme.option(max_lines=20)
    sheets = [
        timesheet(f"T-{number}", engagement_id="E1", worker_id=f"W-{number}",
                  entries=[entry("1", "2026-03-04")])
        for number in range(lines)
    ]  # fmt: skip
    await programme.send("timesheet-approved", *sheets)
    await programme.bill()
    found = await programme.rows(DOCUMENTS)
    assert [row[3] for row in found] == documents
    assert [row[5] for row in found] == [f"{count * 59.5:g}" for count in documents]


async def test_credits_take_option_and_group_of_what_they_correct(programme: Programme) -> None:
    """Another option, supplier and list later: the credits keep those of their document (msp.md 3).

    By revision and by hand; the debit of a revision is resolved now.
    """
    await programme.option(group_by=["engagement.supplier"])
    await programme.items(("E1", "4", ""))
    await programme.bill()
    await programme.option(active=False)
    await programme.option("other", group_by=["engagement.id"])
    await programme.send("engagement-changed", engagement("E1", revision=2, supplier_id="S9"))
    note = await programme.tell(
        "credit-invoice", invoice_number="INV-000001", to="rebill",
        lines=[{"line_no": 1, "quantity": "1"}],
    )  # fmt: skip
    assert note["outcome"] == "accepted", note
    worked = [entry("2", "2026-03-04")]
    await programme.send(
        "timesheet-approved",
        timesheet("T-E1", 2, worked, engagement_id="E1", worker_id="W-E1"),
    )
    await programme.items(("E3", "1", ""))
    await programme.bill()
    of_first = [["engagement.supplier", "S1"]]
    assert [(row[0], row[4], row[2]) for row in await programme.rows(DOCUMENTS)] == [
        ("200", "US staffing", of_first),
        ("-50", "US staffing", of_first),
        ("-50", "US staffing", of_first),
        ("50", "other", [["engagement.id", "E3"]]),
    ]


async def test_a_total_is_judged_with_its_tax(programme: Programme) -> None:
    """A debit of 100.00 at 22 % and a credit of 100.00 at 20 % leave 2.00 due (msp.md 4)."""
    await programme.tell(
        "set-billing-company", default_tax="VAT",
        taxes=[{"tax_code": "VAT", "percent": "20", "from_date": "2020-01-01"},
               {"tax_code": "VAT", "percent": "22", "from_date": "2026-03-10"}],
    )  # fmt: skip
    await programme.tell("set-debtor-terms", account_name=CLIENT, credits="net")
    await programme.option(group_by=["engagement.supplier"])
    await programme.items(("E1", "2", ""))
    await programme.bill()
    await programme.send("timesheet-approved", timesheet("T-E1", 2, [], worker_id="W-E1"))
    later = timesheet("T-E3", engagement_id="E3", week_ending="2026-03-15",
                      entries=[entry("2", "2026-03-11")])  # fmt: skip
    await programme.send("timesheet-approved", later)
    await programme.bill()
    assert [(row[0], row[5]) for row in await programme.rows(DOCUMENTS)] == [
        ("100", "120"), ("0", "2"),
    ]  # fmt: skip


async def test_each_item_that_is_out_has_one_reason(programme: Programme) -> None:
    """Named and unfit, none by default, hidden: each is out, explained and found (msp.md 3)."""
    await programme.option(billing_types=["product"])
    await programme.option("hidden", default=False, currency="USD")
    await programme.option("euro", default=False, currency="EUR")
    terms = {"from_date": "2026-01-01"}
    for engagement_id, fields in (
        ("E4", {"invoice_option": "euro"}),
        ("E5", {"invoice_option": "hidden", "billing_filter": ["MSP:Supplier"]}),
    ):
        await programme.send(
            "engagement-changed", engagement(engagement_id, terms=[terms | fields])
        )
    await programme.items(("E1", "2", ""), ("E4", "2", ""), ("E5", "2", ""))
    answer = await programme.bill()
    reasons = {"E1": "no_invoice_option", "E4": "option_does_not_fit", "E5": "not_visible"}
    assert answer["details"]["left_out"] == dict.fromkeys(sorted(reasons.values(), reverse=True), 1)
    assert set(reasons.values()) <= {finding["code"] for finding in answer["findings"]}
    for engagement_id, reason in reasons.items():
        line = await programme.line(f"T-{engagement_id}")
        why = await programme.tell("explain-option", pay_line_id=line)
        assert why["details"]["reason"] == reason, why
        sent = command("explain", document_id=f"T-{engagement_id}")
        await programme.send("operator-commands", sent)
        why_not = json.loads(programme.pipeline.answers()[sent.command_id])
        assert why_not["details"]["reason"] == reason
        assert "backoffice options why" in why_not["details"]["fix"]


async def test_two_default_options_park_the_debtor(programme: Programme) -> None:
    """Two of one rank: the finding `two_invoice_options`, and nothing of the debtor is billed."""
    await programme.option()
    await programme.option("again")
    await programme.items(("E1", "2", ""))
    answer = await programme.bill()
    assert answer["details"]["left_out"] == {"debtor_parked": 1}
    assert [one["code"] for one in answer["details"]["parked"]] == ["two_invoice_options"]
    (finding,) = [one for one in answer["findings"] if one["code"] == "two_invoice_options"]
    assert finding["ids"] == [f"{CLIENT} (US staffing, again)"]
    await programme.option("again", active=False)
    await programme.bill()
    assert [row[4] for row in await programme.rows(DOCUMENTS)] == ["US staffing"]


async def test_countries_without_options_stay_as_they_are(programme: Programme) -> None:
    """Options for the US change nothing for time without an engagement or in another country."""
    await programme.option(group_by=["engagement.id"], max_lines=1)
    await programme.send("engagement-changed", engagement("E7", client_country="DE"))
    await programme.items(("E7", "2", ""))
    await programme.send(
        "timesheet-approved", timesheet("T-0", entries=[entry("2", "2026-03-04")], worker_id="W-9")
    )
    await programme.bill()
    assert [row[:5] for row in await programme.rows(DOCUMENTS)] == [("200", "", None, 2, None)]


async def test_a_preview_covers_options_and_groups(programme: Programme) -> None:
    """The batch closes what the preview showed; another list of fields is refused by the digest."""
    await programme.option(group_by=["engagement.supplier"])
    await programme.items(*ITEMS)
    preview = await programme.tell("preview-batch", cut_off_date="2026-03-31")
    assert [one["invoice_option"]["group"] for one in preview["details"]["listed"]] == [
        [["engagement.supplier", value]] for value in ("S1", "S2", "S1")
    ]
    cited = {"cut_off_date": "2026-03-31", "digest": preview["details"]["digest"]}
    await programme.option(group_by=["engagement.supplier", "engagement.location"])
    refused = await programme.tell("generate-batch", **cited)
    assert refused["code"] == "digest_differs"
    assert refused["details"]["settings"] == ["invoice option US staffing"]
    await programme.option(group_by=["engagement.supplier"])
    await programme.bill(digest=cited["digest"])
    what_if = await programme.tell("what-if", cut_off_dates=["2026-03-01", "2026-03-31"])
    assert what_if["outcome"] == "accepted"
    groups = await programme.tell("list-batch-groups", cut_off_date="2026-03-31")
    assert groups["outcome"] == "accepted"


async def test_options_why_prints_the_steps(programme: Programme) -> None:
    """`options why LINE`: named or default, visible, grouped by what (msp.md 3)."""
    await programme.option(group_by=["engagement.supplier", "custom.cost_code"], max_lines=20)
    await programme.items(("E2", "2", ""))
    line = await programme.line("T-E2")
    why = await programme.tell("explain-option", pay_line_id=line)
    assert why["message"] == f"pay line {line}: option US staffing"
    assert why["details"]["steps"] == [
        "engagement E2 names no option",
        "option US staffing is the default for the country and for any currency",
        "no billing filter: every party sees it",
        "grouped by its own list: engagement.supplier S2, custom.cost_code (none)",
        "at most 20 lines on a document",
    ]
    await programme.bill()
    assert (await programme.tell("explain-option", pay_line_id=line))["code"] == "not_open"
    assert (await programme.tell("explain-option", pay_line_id=999))["code"] == "not_known"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"workflow": "two steps"}, "unknown_workflow"),
        ({"needs_transfer": True}, "not_available_yet"),
        ({"group_by": ["engagement.salary"]}, "unknown_group_field"),
        ({"group_by": ["bill.worker", "bill.worker"]}, "group_field_twice"),
    ],
)
async def test_what_an_option_cannot_be_is_refused(
    programme: Programme, fields: dict[str, Any], code: str
) -> None:
    """Unknown fields and workflows; billing transfer comes later."""
    answer = await programme.tell("set-invoice-option", name="US staffing", **US | fields)
    assert (answer["outcome"], answer["code"]) == ("refused", code)
    assert await programme.rows("SELECT name FROM invoicer.invoice_option") == []


async def test_a_batch_may_take_some_options_and_leave_credits(programme: Programme) -> None:
    """What other options take, and credits, stay open with their reasons (msp.md 6)."""
    await programme.option("US", billing_types=["time", "adjustment"])
    await programme.option("UK", client_country="GB")
    await programme.items(*ONE_PO)
    unknown = await programme.tell(
        "generate-batch", cut_off_date="2026-03-31", options=["US", "FR"]
    )
    assert (unknown["code"], unknown["details"]["ids"]) == ("unknown_option", ["FR"])
    other = await programme.bill(options=["UK"])
    assert other["details"]["left_out"] == {"option_not_chosen": 3}
    preview = await programme.tell("preview-batch", cut_off_date="2026-03-31", options=["US"])
    answer = await programme.bill(options=["US"], digest=preview["details"]["digest"])
    assert answer["details"]["lines"] == len(ONE_PO)
    await programme.send(
        "timesheet-approved",
        timesheet("T-E1", revision=2, engagement_id="E1", worker_id="W-E1",
                  entries=[entry("1", "2026-03-04", po_number="PO-1")]),
    )  # fmt: skip
    kept = await programme.bill(options=["US"], exclude_credits=True)
    assert (kept["details"]["documents"], kept["details"]["left_out"]) == (
        0, {"credit_left_out": 1},
    )  # fmt: skip
    assert (await programme.bill(options=["US"]))["details"]["lines"] == 1
