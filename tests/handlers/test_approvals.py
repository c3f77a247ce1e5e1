"""Approve, reject and reassign drafts through the invoicer (msp.md 2 and 5)."""

from typing import Any

import pytest

from services.console.queries.approvals import draft_routing
from services.invoicer.workflows.store.routing import start_routing
from shared.verify import verify
from tests.builders import engagement, entry, timesheet
from tests.conftest import Transact
from tests.drafted import draft_of
from tests.handlers.test_console_reads import Read, read
from tests.handlers.test_options import Programme, programme

__all__ = ["programme", "read"]

HEAD = {"step": "head", "approvers": ["field:department_head"]}
CONTROLLER = {
    "step": "controller", "approvers": ["role:controller"],
    "at_least": [{"amount": "100.00", "currency": "USD"}],
}  # fmt: skip
EITHER = {"step": "either", "approvers": ["person:ann", "person:ben"], "mandatory": 1}
FAULTS = [
    ("DELETE FROM invoicer.draft_approval", "approvals_complete"),
    ("UPDATE invoicer.draft SET version = 2", "approvals_complete"),
    ("UPDATE invoicer.draft_approval SET person = 'eve'", "approved_by_approver"),
    ("UPDATE invoicer.draft_event SET actor = 'hanna'", "four_eyes"),
    ("UPDATE invoicer.draft SET net = 100", "routed_by_amount"),
]
"""What breaks an approved draft, and the check of `verify` that finds it."""
OPEN = (
    "SELECT p.* FROM invoicer.pay_line p JOIN invoicer.open_line o USING (pay_line_id)"
    " WHERE p.document_id = 'T-E1'"
)


class Approvals:
    """A programme with one draft, made by pat, of 4 h at 50.00, routed by a workflow."""

    def __init__(self, programme: Programme, transact: Transact) -> None:
        self.programme, self.transact = programme, transact
        self.version = 1

    async def draft(self, *steps: dict[str, Any], hours: str = "4") -> None:
        """Make the draft; its engagement names hanna as the head of the department."""
        await self.set_workflow(*steps)
        await self.programme.send(
            "engagement-changed",
            engagement("E1", revision=2, custom={"department_head": "hanna"}),
        )
        await self.programme.items(("E1", hours, ""))
        await self.run(
            draft_of(OPEN, "pending_approval_routing"),
            "DELETE FROM invoicer.open_line",
            "UPDATE invoicer.draft SET workflow = 'W', workflow_version = 1",
        )
        await self.route()

    async def set_workflow(self, *steps: dict[str, Any]) -> None:
        """Set the workflow of the draft."""
        answer = await self.send("set-workflow", name="W", steps=list(steps))
        assert answer["outcome"] == "accepted", answer

    async def run(self, *statements: str) -> None:
        """Run statements of the owner."""
        async with self.programme.engine_of("owner").begin() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)

    async def route(self) -> None:
        """Route the present version of the draft, as drafts do when it begins to wait."""
        await self.transact("invoicer", lambda connection: start_routing(connection, [1]))

    async def change(self) -> None:
        """Change the draft: it has another version, which waits for approval."""
        self.version += 1
        await self.run(
            f"UPDATE invoicer.draft SET version = {self.version},"
            " status = 'pending_approval_routing'"
        )
        await self.route()

    async def send(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Send a command that names no billing company and return its result."""
        return await self.programme.tell(name, **fields)

    async def act(self, name: str, actor: str, **fields: Any) -> dict[str, Any]:
        """Approve, reject or reassign the version that is present."""
        named = {"draft": f"D-000001@{self.version}"} | fields
        return await self.send(f"{name}-draft", actor=actor, **named)

    async def state(self) -> tuple[str, list[str]]:
        """Return the status of the draft, and the steps that are approved in its version."""
        ((status,),) = await self.programme.rows("SELECT status FROM invoicer.draft")
        found = await self.programme.rows(
            "SELECT s.step FROM invoicer.draft_approval v JOIN invoicer.draft_step s"
            " USING (draft_id, version, step_no) JOIN invoicer.draft d"
            " ON d.draft_id = v.draft_id AND d.version = v.version ORDER BY v.approved_at"
        )
        return status, [step for (step,) in found]

    async def faults(self) -> dict[str, int]:
        """Return the checks of approvals that do not hold, with how many rows break each."""
        async with self.programme.engine_of("auditor").connect() as connection:
            report = await verify(connection)
        return {each.check: each.count for each in report.faults}


@pytest.fixture
async def approvals(programme: Programme, transact: Transact) -> Approvals:
    """With the controller cleo."""
    found = Approvals(programme, transact)
    await found.send("set-person", person="cleo", roles=[{"role": "controller"}])
    return found


async def test_head_then_controller(approvals: Approvals, read: Read) -> None:
    """At the threshold: the controller is refused while step 1 is open (msp.md 5)."""
    await approvals.draft(HEAD, CONTROLLER)
    refused = await approvals.act("approve", "cleo")
    assert (refused["code"], refused["message"]) == (
        "step_not_open",
        "D-000001 waits in step head; cleo approves in step controller, after it",
    )
    first = await approvals.act("approve", "hanna")
    assert first["message"] == (
        "hanna approved version 1 of D-000001 in head; it waits for controller: role controller"
    )
    assert await approvals.state() == ("pending_approval_routing", ["head"])
    shown = await read(lambda connection: draft_routing(connection, "D-000001"))
    assert shown["next"] == ["controller: role controller"]
    assert (await approvals.act("approve", "hanna"))["code"] == "already_approved"
    assert (await approvals.act("approve", "zoe"))["code"] == "not_an_approver"
    await approvals.act("approve", "cleo")
    assert await approvals.state() == ("pending_finalization", ["head", "controller"])
    refused = await approvals.act("approve", "cleo")
    assert refused["code"] == "status_forbids" and "Pending Finalization" in refused["message"]
    assert await approvals.faults() == {}


async def test_below_the_threshold_the_head_suffices(approvals: Approvals) -> None:
    """Below the amount the last mandatory approval is that of the head (msp.md 5)."""
    await approvals.draft(HEAD, CONTROLLER, hours="1.9998")
    await approvals.act("approve", "hanna")
    assert await approvals.state() == ("pending_finalization", ["head"])
    assert await approvals.faults() == {}


async def test_a_new_version_restarts_routing(approvals: Approvals) -> None:
    """Approved by the head, then changed: routing restarts, and the first approval stays in the
    history (msp.md 5). A workflow that changes meanwhile holds for later drafts.
    """
    await approvals.draft(HEAD, CONTROLLER)
    await approvals.act("approve", "hanna")
    await approvals.set_workflow(EITHER)
    await approvals.change()
    assert await approvals.state() == ("pending_approval_routing", [])
    stale = await approvals.act("approve", "hanna", draft="D-000001@1")
    assert (stale["code"], stale["details"]["version"]) == ("draft_changed", 2)
    assert (await approvals.act("approve", "hanna", draft="D-000001"))["code"] == "no_version"
    assert (await approvals.act("approve", "ann"))["code"] == "not_an_approver"
    assert (await approvals.act("approve", "hanna"))["outcome"] == "accepted"
    history = "SELECT version, person FROM invoicer.draft_approval ORDER BY version"
    assert await approvals.programme.rows(history) == [(1, "hanna"), (2, "hanna")]


async def test_the_second_of_two_is_recorded_before_finalization(approvals: Approvals) -> None:
    """Two `with` each other, 1 mandatory: the first suffices; the second is kept (msp.md 5)."""
    await approvals.draft(EITHER)
    await approvals.act("approve", "ben")
    assert await approvals.state() == ("pending_finalization", ["either"])
    late = await approvals.act("approve", "ann")
    assert late["message"].endswith("all have approved it")
    assert await approvals.state() == ("pending_finalization", ["either", "either"])


async def test_four_eyes_and_on_behalf(approvals: Approvals) -> None:
    """The creator neither approves nor has it approved; who acts for another is recorded, both."""
    await approvals.draft(EITHER)
    for actor, person in (("pat", None), ("ann", "pat"), ("pat", "ann")):
        refused = await approvals.act("approve", actor, on_behalf_of=person)
        assert refused["code"] == "four_eyes", (actor, person)
    assert (await approvals.act("reassign", "ann", to="pat"))["code"] == "four_eyes"
    accepted = await approvals.act("approve", "msp", on_behalf_of="ann")
    assert accepted["message"].startswith("msp, on behalf of ann, approved version 1")
    names = "SELECT person, actor FROM invoicer.draft_approval"
    assert await approvals.programme.rows(names) == [("ann", "msp")]


async def test_a_rejected_draft(approvals: Approvals) -> None:
    """Its items are Pending Invoicing, out of every batch with the reason, until released."""
    await approvals.draft(EITHER)
    assert (await approvals.act("reject", "ann", reason=""))["code"] == "reason_missing"
    refused = await approvals.act("reject", "zoe", reason="wrong rate")
    assert refused["code"] == "not_an_approver"
    rejected = await approvals.act("reject", "ann", reason="wrong rate")
    (line,) = rejected["details"]["pay_line_ids"]
    assert await approvals.state() == ("cancelled", [])
    bill = await approvals.programme.bill()
    assert bill["details"]["left_out"] == {"rejected": 1}
    why = await approvals.send("explain", document_id="T-E1")
    assert why["details"]["reason"] == "rejected"
    assert why["message"].startswith(f"pay line {line} was on D-000001, which ann rejected: wrong")
    released = await approvals.programme.tell("release-pay-lines", pay_line_ids=[line])
    assert released["outcome"] == "accepted", released
    assert (await approvals.programme.bill())["details"]["documents"] == 1


async def test_a_rejected_item_that_changes_is_billed(approvals: Approvals) -> None:
    """A new realization replaces the item: the hold belongs to the item, and ends with it."""
    await approvals.draft(EITHER)
    await approvals.act("reject", "ann", reason="wrong hours")
    await approvals.programme.send(
        "engagement-changed", engagement("E1", revision=3, department="Sales")
    )
    assert (await approvals.programme.bill())["details"]["documents"] == 1


async def test_reassign(approvals: Approvals) -> None:
    """One's own place, or another's by the MSP; it stays so in later versions."""
    await approvals.draft(HEAD, EITHER)
    assert (await approvals.act("reassign", "hanna", to="zoe", step="x"))["code"] == "no_such_step"
    assert (await approvals.act("reassign", "msp", to="zoe"))["code"] == "which_step"
    given = await approvals.act("reassign", "hanna", to="zoe")
    assert given["message"] == "zoe approves D-000001 in step head, in place of hanna"
    assert (await approvals.act("approve", "hanna"))["code"] == "not_an_approver"
    await approvals.change()
    assert (await approvals.act("approve", "zoe"))["outcome"] == "accepted"
    taken = await approvals.act("reassign", "msp", to="ben", on_behalf_of="ann")
    assert taken["code"] == "approves_already"
    assert (await approvals.act("reassign", "msp", to="eve", on_behalf_of="ann"))["outcome"] == (
        "accepted"
    )
    await approvals.act("approve", "eve")
    assert await approvals.state() == ("pending_finalization", ["head", "either"])


@pytest.mark.parametrize(("statement", "check"), FAULTS)
async def test_verify_finds_what_approvals_break(
    approvals: Approvals, statement: str, check: str
) -> None:
    """Approvals reach the mandatory number, by allowed people, none by an author (msp.md 10)."""
    await approvals.draft(HEAD, CONTROLLER, hours="1")
    await approvals.act("approve", "hanna")
    assert await approvals.faults() == {}
    await approvals.run(statement)
    assert check in await approvals.faults()


async def test_the_health_check_names_steps_without_approvers(approvals: Approvals) -> None:
    """A role that no one has, and an engagement without the field that names an approver."""
    await approvals.set_workflow(HEAD, {"step": "two", "approvers": ["role:manager"]})
    await approvals.programme.option()
    await approvals.run("UPDATE invoicer.invoice_option SET workflow = 'W'")
    await approvals.programme.items(("E1", "4", ""))
    found = await approvals.programme.tell("health-check", cut_off_date="2026-03-31")
    ids = {each["code"]: each["ids"] for each in found["findings"]}
    assert ids["step_without_approver"] == ["W, two (role:manager)"]
    assert ids["approver_field_empty"] == ["E1 (department_head)"]


async def test_a_batch_drafts_what_must_be_approved(approvals: Approvals) -> None:
    """From the option's workflow to the closed document: head, then controller, then a number.

    An edit restarts routing, and who changed the draft does not approve it (msp.md 2 and 5).
    """
    programme = approvals.programme
    await approvals.set_workflow(HEAD, CONTROLLER)
    await programme.send(
        "engagement-changed", engagement("E1", revision=2, custom={"department_head": "hanna"})
    )
    await programme.option(workflow="W")
    await programme.items(("E1", "4", ""))
    made = await programme.tell("generate-batch", cut_off_date="2026-03-31")
    assert made["message"] == "1 draft: D-000001"
    assert made["details"]["drafts"][0]["status"] == "Pending Approval Routing"
    assert await programme.rows("SELECT count(*) FROM invoicer.invoice") == [(0,)]
    cited = [{"draft": "D-000001", "version": 1}]
    early = await programme.tell("finalize-drafts", drafts=cited)
    assert early["code"] == "status_forbids"
    assert (await approvals.act("approve", "hanna"))["outcome"] == "accepted"
    ((line,),) = await programme.rows("SELECT pay_line_id FROM invoicer.draft_line")
    edited = await programme.tell(
        "edit-pay-line", pay_line_id=line, quantity="5", reason="agreed", actor="hanna"
    )
    assert edited["outcome"] == "accepted", edited
    approvals.version = 2
    assert await approvals.state() == ("pending_approval_routing", [])
    own = await approvals.act("approve", "hanna")
    assert own["code"] == "four_eyes"
    given = await approvals.act("reassign", "hanna", to="hugo")
    assert given["outcome"] == "accepted", given
    assert (await approvals.act("approve", "hugo"))["outcome"] == "accepted"
    assert (await approvals.act("approve", "cleo"))["outcome"] == "accepted"
    assert (await approvals.state())[0] == "pending_finalization"
    closed = await programme.tell("finalize-drafts", drafts=[{"draft": "D-000001", "version": 2}])
    assert closed["details"]["totals"][0]["net"] == "250.00", closed
    assert await approvals.faults() == {}


async def test_a_draft_below_all_conditions_needs_no_approval(approvals: Approvals) -> None:
    """No step applies: it is Pending Finalization at once. After a revision it must be approved,
    and after approval and an edit again.
    """
    programme = approvals.programme
    await approvals.set_workflow(CONTROLLER)
    await programme.option(workflow="W")
    await programme.items(("E1", "1", ""))
    await programme.tell("generate-batch", cut_off_date="2026-03-31")
    assert (await approvals.state())[0] == "pending_finalization"
    await programme.send(
        "timesheet-approved",
        timesheet("T-E1", 2, engagement_id="E1", worker_id="W-E1",
                  entries=[entry("3", "2026-03-04")]),
    )  # fmt: skip
    assert (await approvals.state())[0] == "pending_approval_routing"
    approvals.version = 2
    assert (await approvals.act("approve", "cleo"))["outcome"] == "accepted"
    assert (await approvals.state())[0] == "pending_finalization"
    ((line,),) = await programme.rows("SELECT pay_line_id FROM invoicer.draft_line")
    await programme.tell("edit-pay-line", pay_line_id=line, quantity="40", reason="agreed")
    assert (await approvals.state())[0] == "pending_approval_routing"
    assert await approvals.faults() == {}


async def test_a_workflow_forbids_more(approvals: Approvals) -> None:
    """What it forbids in a status is refused there; the table's refusals stay."""
    programme = approvals.programme
    await approvals.send(
        "set-workflow",
        name="W",
        steps=[CONTROLLER],
        forbids=[{"status": "pending_finalization", "action": "edit"}],
    )
    await programme.option(workflow="W")
    await programme.items(("E1", "1", ""))
    await programme.tell("generate-batch", cut_off_date="2026-03-31")
    ((line,),) = await programme.rows("SELECT pay_line_id FROM invoicer.draft_line")
    refused = await programme.tell("edit-pay-line", pay_line_id=line, quantity="2", reason="agreed")
    assert refused["code"] == "status_forbids"
    assert "its workflow forbids to edit" in refused["message"]
    assert await programme.rows("SELECT version FROM invoicer.draft") == [(1,)]


async def test_a_workflow_may_forbid_to_approve(approvals: Approvals) -> None:
    """Then its drafts wait until the workflow of their option is another one."""
    await approvals.draft(HEAD)
    await approvals.run(
        "UPDATE invoicer.workflow SET forbids ="
        """ '[{"status": "pending_approval_routing", "action": "approve"}]'"""
    )
    for action in ("approve", "reject", "reassign"):
        fields = {"to": "hugo"} if action == "reassign" else {"reason": "no"}
        refused = await approvals.act(action, "hanna", **fields)
        assert refused["code"] == "status_forbids", refused
    assert await approvals.state() == ("pending_approval_routing", [])


async def test_a_retry_of_a_parked_debtor_drafts_what_must_be_approved(
    approvals: Approvals,
) -> None:
    """A debtor that a batch parked is not billed without approval when it is retried."""
    programme = approvals.programme
    await approvals.set_workflow(EITHER)
    await programme.option(workflow="W")
    await programme.items(("E1", "4", ""), ("E2", "4", ""))
    await approvals.run(
        "INSERT INTO invoicer.batch (batch_id, billing_company, command_id, cut_off_date,"
        " invoice_date, first_number, last_number, documents, line_count, totals, actor, reason,"
        " generated_at, closed_on) VALUES ('B-0', 'acme-us', 'c-0', '2026-03-31', '2026-03-31',"
        " '1', '1', 0, 0, '[]', 'pat', '', now(), '2026-03-31')",
        "INSERT INTO invoicer.parked_debtor (batch_id, account_name, code, message, ids)"
        " VALUES ('B-0', 'office-1 account', 'terms', 'x', '{}')",
    )
    retried = await programme.tell("retry-parked", batch_id="B-0")
    assert retried["details"]["drafts"][0]["status"] == "Pending Approval Routing", retried
    assert await programme.rows("SELECT count(*) FROM invoicer.invoice") == [(0,)]
