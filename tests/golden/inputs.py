"""Makes the input of the three sources: the sample month, the agency's hours, random histories.

The first and the last are recorded once and replayed from the files from then on. The agency's data
is not part of the project: its input is made from the data each time, and a digest of the bytes is
recorded.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from pydantic import BaseModel

from services.console.actions.record_keys import record_key
from services.console.importing.csv_rows import Problems
from services.console.importing.folder import read_folder
from services.console.importing.plan import KINDS, StoredDocuments, plan_import
from services.console.importing.run import TOPICS
from services.console.sample import month
from shared.consumer.records import Record
from shared.events.commands import AnyCommand, key_of
from tests.golden import tables
from tests.golden.replay import PREVIEWED_DIGEST, Step, set_today, source_of
from tests.histories import domain
from tests.histories.machine import Histories
from tests.histories.office import Office
from tests.histories.setup import Counts

HISTORIES, STEPS, HISTORIES_A_SEED = 300, 16, 80
RECORDS_AT_ONCE = 500
SAMPLE_TODAY, SAMPLE_COMPANIES = "2026-11-02", ("harbor-us", "linden-nl")
SAMPLE_LATER = "2026-12-01"
CORRECTED = ("TS-2026-10-04-liam.walsh", "TS-2026-10-18-maya.torres", "TS-2026-10-04-quinten.bos")
AGENCY_TODAY, AGENCY_COMPANY, AGENCY_CUT_OFF = "2026-01-05", "excelsior-staffing", "2025-12-31"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
AGENCY_DATA = Path(os.environ.get("BACKOFFICE_TEST_DATA") or BESIDE) / "agency-nursing"
COMMANDS = "operator-commands"


def _command(
    name: str, number: int, pay_lines: Sequence[Sequence[str]] = (), /, **values: Any
) -> Step:
    """A command step; the key is the billing company."""
    body = {"command": name, "command_id": f"golden-{number}", "actor": "golden", "reason": "test"}
    return ["command", values["billing_company"], json.dumps(body | values), list(pay_lines)]


def _billing(companies: Sequence[str], cut_off: str, first_number: int) -> list[Step]:
    """Health check, preview, and a batch that cites the preview, for each billing company."""
    steps = []
    for at, company in enumerate(companies):
        named = {"billing_company": company, "cut_off_date": cut_off}
        number = first_number + 3 * at
        steps.append(_command("health-check", number, **named))
        steps.append(_command("preview-batch", number + 1, **named))
        steps.append(_command("generate-batch", number + 2, digest=PREVIEWED_DIGEST, **named))
        steps.append(["settle"])
    return steps


def sample_arrivals() -> list[Step]:
    """The month of the demonstration: all files, and everything priced and settled."""
    steps: list[Step] = [["today", SAMPLE_TODAY]]
    for name, lines in month.files().items():
        topic = name[3:].removesuffix(".jsonl")
        if topic == COMMANDS:
            for line in lines:
                key = json.loads(line).get("billing_company", "fee_realizer")
                steps.append(["command", key, line, []])
        else:
            steps.append(["publish", topic, [[record_key(topic, line), line] for line in lines]])
    return [*steps, ["settle"]]


def sample_billing(disputed: Sequence[Sequence[str]]) -> list[Step]:
    """A dispute about some pay lines, and a batch for each billing company; a month later
    corrections, an invoice that is credited and issued again, and the batches of that month."""
    snooze = _command("snooze-pay-lines", 1, disputed, billing_company="harbor-us", pay_line_ids=[])
    whole = {"billing_company": "harbor-us", "invoice_number": "HL-00002", "to": "reissue"}
    part = {"invoice_number": "NL26-0002", "lines": [{"line_no": 1, "quantity": "2"}]}
    return [
        snooze,
        *_billing(SAMPLE_COMPANIES, str(month.CUT_OFF), 2),
        ["today", SAMPLE_LATER],
        ["publish", "timesheet-approved", [_with_fewer_hours(name) for name in CORRECTED]],
        ["settle"],
        _command("credit-invoice", 20, **whole),
        _command("credit-invoice", 21, billing_company="linden-nl", to="write-off", **part),
        ["settle"],
        *_billing(SAMPLE_COMPANIES, SAMPLE_LATER, 30),
    ]


def _with_fewer_hours(timesheet_id: str) -> list[str]:
    """The next revision of a timesheet of the month: one hour on its first day."""
    lines = month.files()["03-timesheet-approved.jsonl"]
    body = json.loads(next(line for line in lines if f'"{timesheet_id}"' in line))
    entries = [body["entries"][0] | {"hours": "1"}, *body["entries"][1:]]
    return [timesheet_id, json.dumps(body | {"revision": 2, "entries": entries})]


def disputed_timesheet() -> str:
    """The timesheet whose overtime the demonstration snoozes."""
    return month.timesheet_id(*month.IN_DISPUTE)


def agency_steps(folder: Path) -> list[Step]:
    """The agency's folder as the import publishes it on an empty database, and its batch."""
    problems = Problems()
    contents = read_folder(folder, problems)
    today = date.fromisoformat(AGENCY_TODAY)
    plan = plan_import(contents, StoredDocuments(), AGENCY_COMPANY, today, problems)
    assert not problems.count, problems.shown
    named = {"billing_company": AGENCY_COMPANY, "currency": "USD", "only_if_unknown": True}
    steps: list[Step] = [["today", AGENCY_TODAY], _command("set-billing-company", 1, **named)]
    for kind in KINDS:
        messages = [[key, value.decode()] for key, value in plan.to_publish[kind]]
        for at in range(0, len(messages), RECORDS_AT_ONCE):
            steps.append(["publish", TOPICS[kind], messages[at : at + RECORDS_AT_ONCE]])
    return [*steps, ["settle"], *_billing([AGENCY_COMPANY], AGENCY_CUT_OFF, 2)]


def digest_of(steps: Sequence[Step]) -> str:
    """A digest of the input, to the byte."""
    return hashlib.sha256(json.dumps(steps).encode()).hexdigest()


# -- random histories


class RecordingOffice(Office):
    """An office that writes down what is done to it, one list of steps a history."""

    setup: list[Step]
    histories: list[list[Step]]
    _steps: list[Step]
    _within: bool = False

    async def open(self) -> None:
        """Sets up, which is recorded once for all histories."""
        self.histories = []
        self.setup = self._steps = []
        self.today_is(domain.FIRST_DAY)
        await super().open()

    async def empty(self) -> None:
        """A new history begins."""
        self._within = True
        await super().empty()
        self._within = False
        self._steps = []
        self.histories.append(self._steps)

    def today_is(self, today: date) -> None:
        """Another day."""
        set_today(str(today))
        self._steps.append(["today", str(today)])

    async def restart(self) -> None:
        """Workers start anew, by themselves or as part of something else."""
        if not self._within and self.services:
            self._steps.append(["restart"])
        await super().restart()

    async def jobs(self, service: str) -> None:
        """What is due without a message, by itself or after a message."""
        if not self._within:
            self._steps.append(["background", service])
        await super().jobs(service)

    async def consume(self, service: str, records: Sequence[Record]) -> None:
        """Messages, which `tell`, `ask` and `deliver` have written down."""
        self._within = True
        await super().consume(service, records)
        self._within = False

    async def tell(self, topic: str, *events: BaseModel) -> None:
        """Messages of the ATS."""
        self._steps.append(["publish", topic, [["k", event.model_dump_json()] for event in events]])
        await super().tell(topic, *events)

    async def ask(self, asked: AnyCommand) -> dict[str, Any]:
        """An operator command; the pay lines that it names are written down by what they are."""
        body = json.loads(asked.model_dump_json())
        ids = body.get("pay_line_ids", [body["pay_line_id"]] if "pay_line_id" in body else [])
        lines = [list((await self.select(tables.IDENTITY_OF, id=one))[0]) for one in ids]
        if "pay_line_ids" in body:
            body["pay_line_ids"] = []
        elif "pay_line_id" in body:
            body["pay_line_id"] = 0
        value = json.dumps(body) if lines else asked.model_dump_json()
        self._steps.append(["command", key_of(asked), value, lines])
        return await super().ask(asked)

    async def deliver(self, records: Any) -> None:
        """Realizations that reach the invoicer."""
        arriving = list(records)
        self._steps.append(["deliver", [list(source_of(one)) for one in arriving]])
        await super().deliver(arriving)


class Recorded(Histories):
    """The same histories without the comparison after every step, which other tests make."""

    @invariant()
    def the_books_are_right(self) -> None:
        """Lets realizations that were held back arrive, as the comparison does."""
        if self.held_up:
            self.held_up -= 1
            self.flow()


def random_histories(
    url: str, count: int = HISTORIES, a_seed: int = HISTORIES_A_SEED
) -> tuple[list[Step], list[list[Step]]]:
    """The steps that set up, and those of each history."""
    with asyncio.Runner() as runner:
        office = RecordingOffice(url)
        Recorded.office, Recorded.run, Recorded.ran = office, staticmethod(runner.run), Counts()
        Recorded.today_is = staticmethod(office.today_is)
        runner.run(office.open())
        profile = settings(
            max_examples=a_seed,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=(Phase.generate,),
            report_multiple_bugs=False,
        )
        for number in itertools.count(1):
            # What the reference thinks of an answer is the business of other tests: a history
            # that ends early is one, too.
            with contextlib.suppress(AssertionError):
                run_state_machine_as_test(seed(number)(Recorded), settings=profile)
            different = {json.dumps(steps): steps for steps in office.histories}
            if len(different) >= count:
                break
        runner.run(office.close())
    return office.setup, list(different.values())[:count]
