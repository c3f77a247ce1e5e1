"""`examples/ats_bridge`: thin events of an ATS over HTTP become full messages on a real Kafka."""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.broker.acls import ADMIN, ATS_PUBLISHER
from shared.events.registry import EVENT_MODELS
from shared.stack.choice import Broker
from tests.conftest import Configure
from tests.handlers.bullhorn import Bullhorn
from tests.ledgers.fake import FakeServer
from tests.running import ROOT, free_port, records_of

EXAMPLE = ROOT / "examples" / "ats_bridge"
TOPICS = ("billto-changed", "requirement-changed", "placement-created", "timesheet-approved")
MONDAY, TUESDAY = 1_790_000_000_000, 1_790_086_400_000
"""2026-09-21 and 2026-09-22 in New York, in milliseconds."""
PERSON = {"id": 7, "firstName": "Maya", "lastName": "Torres"}


def entry(an_id: int, quantity: str = "8", kind: str = "Time", **more: Any) -> dict[str, Any]:
    """An entry of timesheet 40 as Bullhorn has it."""
    return {
        "timesheet": {"id": 40},
        "timesheetDay": f"2026-09-{20 + an_id}",
        "quantity": float(quantity),
        "earnCode": {"code": "REG"},
        "timeLaborCalcTypeLookup": {"label": "Pay & Bill"},
        "timeLaborEvalSheetTypeLookup": {"label": kind},
        **more,
    }


def fill(ats: Bullhorn) -> None:
    """One entity of each kind, and an event for each."""
    address = {"address1": "1 Main St", "city": "Brooklyn", "state": "NY", "zip": "11201"}
    top = {"name": "Mercy", "address": address, "dateLastModified": MONDAY}
    ats.put("ClientCorporation", 1, **top)
    parent = {"parentClientCorporation": {"id": 1}}
    ats.put("ClientCorporation", 2, name="Mercy East", dateLastModified=MONDAY, **parent)
    ats.put(
        *("JobOrder", 10),
        title="Nurse",
        status="Placed",
        employmentType="Temporary",
        startDate=MONDAY,
        clientBillRate=61.5,
        externalID="PO-9",
        clientCorporation={"id": 2},
        clientContact={"id": 3, "firstName": "Jo", "lastName": "Price"},
        dateLastModified=MONDAY,
    )
    ats.put(
        *("Placement", 30),
        candidate=PERSON,
        jobOrder={"id": 10},
        dateBegin=MONDAY,
        salary=90000,
        salaryUnit="Yearly",
        fee=0.2,
        status="Approved",
        dateLastModified=MONDAY,
    )
    ats.entities["TimesheetEntry"] = {n: entry(n) | {"id": n} for n in (1, 2)}
    ats.put(
        *("Timesheet", 40),
        candidate=PERSON,
        jobOrder={"id": 10},
        endDate="2026-09-27",
        approvedBy="Jo Price",
        approvedDate=TUESDAY,
        timesheetEntryApprovalStatusLookup={"id": 3, "label": "Approved"},
        dateLastModified=TUESDAY,
    )


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A Bullhorn with one entity of each kind."""
    made = FakeServer(Bullhorn())
    await made.start()
    ats = ats_of(made)
    ats.url = made.url
    fill(ats)
    yield made
    await made.stop()


def ats_of(server: FakeServer) -> Bullhorn:
    """What the server plays."""
    assert isinstance(server.vendor, Bullhorn)
    return server.vendor


@pytest.fixture
def firm(server: FakeServer, tmp_path: Path) -> dict[str, Any]:
    """The settings of a bridge to that server."""
    session = tmp_path / "session.json"
    urls = {"token_url": "/oauth/token", "login_url": "/rest-services/login"}
    own = {"client_id": "us", "client_secret": "hidden", "refresh_token": "refresh-0"}
    session.write_text(json.dumps(own | {name: server.url + path for name, path in urls.items()}))
    return {
        "billing_company": "acme-us",
        "currency": "USD",
        "time_zone": "America/New_York",
        "time_type": "REG",
        "fee_item": "direct-hire",
        "subscription": "backoffice",
        "seconds": 60,
        "session": str(session),
        "state": str(tmp_path / "bridge.db"),
    }


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The program as a module."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    spec = importlib.util.spec_from_file_location("ats_bridge_main", EXAMPLE / "__main__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("mapping", None)


async def once(bridge: Any, firm: dict[str, Any]) -> int:
    """One round of a process that begins with it."""
    return int(await bridge.main(firm, "--once"))


async def published(*topics: str) -> list[tuple[str, Any]]:
    """Topic and message of every record, read as the services read it, by topic and key."""
    found = []
    for topic in topics or TOPICS:
        # Partitions are read in any order; records of one key keep theirs.
        for record in sorted(await records_of(topic), key=lambda one: one.key):
            message = EVENT_MODELS[topic].model_validate_json(record.value)
            assert record.key.decode() == str(next(iter(message.model_dump().values())))
            found.append((topic, message))
    return found


async def test_thin_events_become_full_messages(
    topics: str, server: FakeServer, firm: dict[str, Any], bridge: Any
) -> None:
    """A node, a requirement, a placement and a timesheet have all that their entities say."""
    ats_of(server).entities["TimesheetEntry"][3] = entry(3, "40", "Expense") | {"id": 3}
    assert await once(bridge, firm) == 0
    found = await published()
    assert sorted(topic for topic, _ in found) == sorted([*TOPICS, "billto-changed"])
    messages = {(topic, next(iter(each.model_dump().values()))): each for topic, each in found}
    client, office = messages["billto-changed", "1"], messages["billto-changed", "2"]
    assert (client.level, client.account_name) == ("client", "Mercy")
    assert client.address == "1 Main St\nBrooklyn NY 11201"
    assert (office.level, office.parent_id, office.account_name) == ("office", "1", "")
    job = messages["requirement-changed", "10"]
    assert (job.office_id, job.reference, job.client_contact) == ("2", "PO-9", "Jo Price")
    (status,), (rate,) = job.statuses, job.rates
    assert (status.status, status.position_type, str(status.from_date)) == (
        *("Filled", "Temp"),
        "2026-09-21",
    )
    assert (rate.time_type, str(rate.bill_rate), rate.effective_from) == (
        *("REG", "61.5"),
        status.from_date,
    )
    (fee,) = messages["placement-created", "30"].fees
    assert (fee.item_id, str(fee.percent)) == ("direct-hire", "20")
    sheet = messages["timesheet-approved", "40"]
    assert (sheet.worker_name, str(sheet.week_ending)) == ("Maya Torres", "2026-09-27")
    assert (sheet.revision, sheet.workflow.approved_by) == (TUESDAY, "Jo Price")
    assert [(str(each.work_date), each.hours) for each in sheet.entries] == [
        ("2026-09-21", 8),
        ("2026-09-22", 8),
    ]


async def test_the_same_again_and_an_older_state_publish_nothing(
    topics: str, server: FakeServer, firm: dict[str, Any], bridge: Any
) -> None:
    """Events twice, in another order, and of a state before: one message for each state."""
    ats = ats_of(server)
    assert await once(bridge, firm) == 0
    before = await published()
    for event in reversed(ats.given[0]):
        ats.say(event["entityName"], event["entityId"])
    assert await once(bridge, firm) == 0
    ats.put("Timesheet", 40, dateLastModified=MONDAY, approvedBy="An old copy")
    assert await once(bridge, firm) == 0
    assert await published() == before
    ats.put("TimesheetEntry", 2, quantity=7.5)  # the timesheet's own stamp is that of before
    ats.put("Timesheet", 40, dateLastModified=TUESDAY, approvedBy="Jo Price")
    assert await once(bridge, firm) == 0
    _, (_, second) = await published("timesheet-approved")
    assert (second.revision, str(second.entries[1].hours)) == (TUESDAY + 1, "7.5")


async def test_a_changed_rate_holds_from_the_day_of_the_change(
    topics: str, server: FakeServer, firm: dict[str, Any], bridge: Any
) -> None:
    """Bullhorn knows the rate of now only; weeks before the change keep their price and status."""
    assert await once(bridge, firm) == 0
    changed = {"clientBillRate": 65, "status": "Archive", "dateLastModified": TUESDAY}
    ats_of(server).put("JobOrder", 10, **changed)
    assert await once(bridge, firm) == 0
    _, (_, job) = await published("requirement-changed")
    rates = [(str(each.effective_from), str(each.bill_rate)) for each in job.rates]
    assert rates == [("2026-09-21", "61.5"), ("2026-09-22", "65")]
    assert [each.status for each in job.statuses] == ["Filled", "Archive"]


async def test_what_is_deleted_or_voided_is_worth_nothing(
    topics: str, server: FakeServer, firm: dict[str, Any], bridge: Any
) -> None:
    """A voided entry leaves the timesheet; a deleted timesheet is published without entries."""
    ats = ats_of(server)
    ats.put("TimesheetEntry", 3, **entry(3, "-8", voidingTimesheetEntry={"id": 1}))
    assert await once(bridge, firm) == 0
    ((_, first),) = await published("timesheet-approved")
    assert [str(each.work_date) for each in first.entries] == ["2026-09-22"]
    ats.delete("Timesheet", 40, TUESDAY + 5)
    assert await once(bridge, firm) == 0
    assert await once(bridge, firm) == 0
    _, (_, last) = await published("timesheet-approved")
    assert (last.entries, last.revision) == ((), TUESDAY + 5)


async def test_nothing_is_lost_while_the_ats_or_kafka_is_away(
    topics: str,
    server: FakeServer,
    firm: dict[str, Any],
    bridge: Any,
    configure: Configure,
    kafka: Broker,
) -> None:
    """What Kafka did not take is published first; events whose entities cannot be fetched come
    again by their request in the next process.
    """
    ats = ats_of(server)
    configure(kafka=f"127.0.0.1:{free_port()}")
    assert await once(bridge, firm) == 1
    assert (len(ats.given), ats.waiting) == (1, [])
    configure(kafka=kafka.access(ADMIN).bootstrap)
    ats.put("JobOrder", 10, clientBillRate=70, dateLastModified=TUESDAY)
    ats.status["entity/JobOrder/10"] = 503
    assert await once(bridge, firm) == 1
    assert len(await published()) == 5
    ats.status.clear()
    assert await once(bridge, firm) == 0
    first, second = [job for _, job in await published("requirement-changed")]
    assert [str(first.rates[-1].bill_rate), str(second.rates[-1].bill_rate)] == ["61.5", "70"]
    ats.status["entity/JobOrder/10"] = 503
    ats.put("JobOrder", 10, clientBillRate=80, dateLastModified=TUESDAY + 1)
    assert await once(bridge, firm) == 1
    assert (len(ats.given), ats.waiting) == (3, [])
    ats.status.clear()
    assert await once(bridge, firm) == 0
    assert len(await published("requirement-changed")) == 3


async def test_one_entity_that_cannot_be_read_stops_no_other(
    topics: str,
    server: FakeServer,
    firm: dict[str, Any],
    bridge: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """25 hours in a day are named and kept; the next round after the correction publishes them."""
    ats = ats_of(server)
    ats.entities["TimesheetEntry"][2]["quantity"] = 25
    assert await once(bridge, firm) == 0
    assert "Timesheet 40 is not published" in capsys.readouterr().err
    assert len(await published()) == 4 and await published("timesheet-approved") == []
    ats.entities["TimesheetEntry"][2]["quantity"] = 2.5
    assert await once(bridge, firm) == 0
    assert len(await published("timesheet-approved")) == 1


async def test_the_program_signs_in_as_the_ats_and_begins_a_session_anew(
    topics: str, server: FakeServer, firm: dict[str, Any], kafka: Broker, tmp_path: Path
) -> None:
    """As a process with the rights of an ATS alone: subscribe, load, and a round after the session
    ended; a refresh token is used once, and no secret is printed.
    """
    ats = ats_of(server)
    ats.waiting.clear()
    settings = tmp_path / "bridge.toml"
    settings.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in firm.items()))
    environment = os.environ | kafka.access(ATS_PUBLISHER).environment()
    environment |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}

    async def run(*options: str) -> str:
        command = [sys.executable, str(EXAMPLE), str(settings), *options]
        run_process = partial(subprocess.run, capture_output=True, text=True, timeout=60)
        done = await asyncio.to_thread(run_process, command, env=environment)
        assert done.returncode == 0, done.stderr
        return str(done.stdout + done.stderr)

    said = await run("--subscribe")
    assert ats.subscribed["names"].split(",")[-1] == "TimesheetEntry"
    said += await run("--load", "ClientCorporation")
    assert len(await published("billto-changed")) == 2
    ats.session = "ended"
    ats.say("Timesheet", 40)
    said += await run("--once")
    assert len(await published("timesheet-approved")) == 1
    assert ats.logins == 3 and "refresh-" not in said and "hidden" not in said
    assert os.stat(firm["session"]).st_mode & 0o077 == 0
