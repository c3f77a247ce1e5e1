"""Replays recorded input through the services and reads what they computed.

A source is a list of steps. A step holds the bytes of messages, the date in force, or the name of
a realization that reaches the invoicer now. Bytes of messages between the services are never
recorded, because their fields may be renamed: a step names such a message by document and number,
and the replay delivers what the present code published. Steps:

    ["today", date]                       the date in force in every zone
    ["publish", topic, [[key, value]]]    messages that arrive as one polled batch
    ["command", key, value, lines]        an operator command; `lines` are the pay lines it names
    ["deliver", [[kind, id, number]]]     these realizations reach the invoicer as one batch
    ["settle"]                            everything published reaches the invoicer, in order
    ["background", service]               what a service does without a message
    ["restart"]                           new workers that remember nothing
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from pypdf import PdfReader

from services.console.files import save
from services.console.queries.batches import batch
from services.console.queries.companies import companies_today
from services.console.queries.pay_lines import STATUSES, pay_lines
from services.console.queries.snapshot import open_snapshot
from services.fee_realizer.companies.store import record_today
from shared.consumer.records import Record
from shared.events.billing import CommandResult
from shared.events.realizations import PayLinesRealized
from shared.settings import settings
from tests.builders import record
from tests.golden import tables
from tests.golden.csv_text import without_surrogate_ids
from tests.histories.office import Office

ANSWERS, COMMANDS, REALIZED = "command-results", "operator-commands", "pay-lines-realized"
HOLD_EVENTS = ("document-held", "document-released")
PREVIEWED_DIGEST = "<digest of the last preview>"
DELIVERED_AT_ONCE = 500
MOST_LINES = 1_000_000
COUNTRY = "US"
"""The country of parties whose address names none, without which there is no UBL."""

Step = list[Any]
Rows = dict[str, Any]


def set_today(today: str) -> None:
    """Puts a date in the place of today, in every zone."""
    os.environ["BACKOFFICE_TODAY"] = today
    settings.cache_clear()


def _plain(value: Any) -> Any:
    """A value as JSON holds it: decimals without trailing zeros, dates as text."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def as_table(columns: Sequence[str], key_columns: int, rows: Sequence[Sequence[Any]]) -> Rows:
    """A table with its rows in an order of their own."""
    ordered = sorted((_plain(list(row)) for row in rows), key=json.dumps)
    return {"columns": list(columns), "key_columns": key_columns, "rows": ordered}


def source_of(message: Record) -> tuple[str, str, int]:
    """Which realization a message of the topic is."""
    event = PayLinesRealized.model_validate_json(message.value or b"")
    return event.document_kind, event.document_id, event.realization_no


@dataclass
class Replay:
    """The services in one process on one database, and what they answered."""

    office: Office
    realizations: dict[tuple[str, str, int], Record] = field(default_factory=dict)
    undelivered: list[tuple[str, str, int]] = field(default_factory=list)
    answers: list[list[Any]] = field(default_factory=list)
    hold_events: list[list[Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _digest: str = ""
    _bound: dict[str, bytes] = field(default_factory=dict)

    async def run(self, steps: Sequence[Step]) -> None:
        """Carries out the steps in their order."""
        actions = {
            "today": self._today,
            "publish": self._publish,
            "command": self._command,
            "deliver": self._deliver,
            "settle": self._settle,
            "background": self.office.jobs,
            "restart": self.office.restart,
        }
        for name, *values in steps:
            await actions[name](*values)
            self._collect()

    async def _today(self, today: str) -> None:
        set_today(today)
        async with self.office.engines["fee_realizer"].begin() as connection:
            await record_today(connection, date.fromisoformat(today))

    async def _publish(self, topic: str, messages: Sequence[Sequence[Any]]) -> None:
        records = [record(topic, value.encode(), key) for key, value in messages]
        for name, service in self.office.services.items():
            if any(subscription.topic == topic for subscription in service.subscriptions):
                await self.office.consume(name, records)

    async def _command(self, key: str, value: str, lines: Sequence[Sequence[str]]) -> None:
        body = await self._with_surrogates(value, lines)
        for name in self.office.services:
            await self.office.consume(name, [record(COMMANDS, body, key)])

    async def _deliver(self, named: Sequence[Sequence[Any]]) -> None:
        keys = [(kind, source, number) for kind, source, number in named]
        self.undelivered = [key for key in self.undelivered if key not in keys]
        missing = [key for key in keys if key not in self.realizations]
        self.problems += [
            f"no realization {key} was published before it is delivered" for key in missing
        ]
        await self.office.deliver(
            [self.realizations[key] for key in keys if key in self.realizations]
        )

    async def _settle(self) -> None:
        while self.undelivered:
            for at in range(0, len(self.undelivered), DELIVERED_AT_ONCE):
                chunk = sorted(self.undelivered[at : at + DELIVERED_AT_ONCE])
                await self.office.deliver([self.realizations[key] for key in chunk])
            self.undelivered.clear()
            self._collect()
            await self.office.jobs("fee_realizer")
            self._collect()

    async def _with_surrogates(self, value: str, lines: Sequence[Sequence[str]]) -> bytes:
        """The command with the ids of this database; a repeat has those of the first time."""
        body = json.loads(value)
        if not lines and body.get("digest") != PREVIEWED_DIGEST:
            return value.encode()
        if body["command_id"] not in self._bound:
            ids = [await self._pay_line(*line) for line in lines]
            if lines:
                body |= {"pay_line_ids": ids} if "pay_line_ids" in body else {"pay_line_id": ids[0]}
            if body.get("digest") == PREVIEWED_DIGEST:
                body["digest"] = self._digest
            self._bound[body["command_id"]] = json.dumps(body).encode()
        return self._bound[body["command_id"]]

    async def _pay_line(self, kind: str, source: str, identity: str) -> int:
        found = await self.office.select(
            tables.OPEN_DEBIT, kind=kind, source=source, identity=identity
        )
        if len(found) != 1:
            self.problems.append(
                f"a command names {kind} {source} {identity}: {len(found)} open lines"
            )
        return int(found[0].id) if found else 0

    def _collect(self) -> None:
        """Takes what was published since the last step."""
        published, self.office.said = self.office.said, []
        self.office.under_way.clear()
        for message in published:
            if message.topic == REALIZED:
                carried = record(message.topic, message.value, message.key)
                key = source_of(carried)
                self.realizations[key] = carried
                if key not in self.undelivered:
                    self.undelivered.append(key)
            elif message.topic == ANSWERS:
                answer = CommandResult.model_validate_json(message.value)
                self._digest = answer.details.get("digest") or self._digest
                self.answers += answer_rows(len(self.answers), answer)
            elif message.topic in HOLD_EVENTS:
                body = json.loads(message.value)
                values = [
                    body["document_kind"],
                    body["document_id"],
                    body["revision"],
                    body.get("code"),
                ]
                self.hold_events.append([message.topic, *values])


ANSWER_COLUMNS = (
    "number",
    "command_id",
    "part",
    "command",
    "outcome_code",
    "result_code",
    "documents",
    "lines",
    "totals",
    "exclusion_codes",
    "finding_codes",
)


def answer_rows(number: int, answer: CommandResult) -> list[list[Any]]:
    """What an answer computed: one row, and one for each cut-off of a what-if."""
    details = answer.details
    findings = [[one.severity, one.code, one.about, one.count] for one in answer.findings]
    rows = []
    for part, section in enumerate([details, *details.get("cut_offs", ())]):
        totals = [
            [
                str(each.get(name))
                for name in ("currency", "documents", "lines", "net", "tax", "total")
            ]
            for each in section.get("totals") or ()
        ]
        head = [number, answer.command_id, part, answer.command, answer.outcome, answer.code]
        counts = [section.get("documents"), section.get("lines")]
        counts = [count if isinstance(count, int) else None for count in counts]
        left_out = section.get("left_out")
        left_out = left_out if isinstance(left_out, dict) else {}
        exclusions = [[reason, count] for reason, count in sorted(left_out.items()) if count]
        rows.append([*head, *counts, totals, exclusions, [] if part else findings])
    return rows


async def outputs(replay: Replay) -> Rows:
    """Everything that the services computed, as tables."""
    found: Rows = {}
    for table in tables.TABLES:
        rows = await replay.office.select(table.sql)
        columns = list(rows[0]._fields) if rows else []
        found[table.name] = as_table(columns, table.key_columns, rows)
    found["pay line"] = await _pay_lines(replay.office)
    found |= await _realizations(replay.office)
    found["command"] = as_table(ANSWER_COLUMNS, 3, replay.answers)
    columns = ("event_code", "source_kind", "source_id", "revision", "hold_code")
    found["hold event"] = as_table(columns, 4, replay.hold_events)
    found["problem"] = as_table(("problem",), 1, [[one] for one in replay.problems])
    return {name: table for name, table in found.items() if table["rows"]}


async def _pay_lines(office: Office) -> Rows:
    """Pay lines with the status that the console shows."""
    async with open_snapshot(office.url) as connection:
        todays = await companies_today(connection)
        shown, _ = await pay_lines(connection, todays, statuses=STATUSES, limit=MOST_LINES)
    status_of = {row["pay_line_id"]: row["status"] for row in shown}
    rows = await office.select(tables.PAY_LINE)
    columns = [*rows[0]._fields[1:], "line_status"] if rows else []
    found = [[*row[1:], status_of.get(row[0])] for row in rows]
    return as_table(columns, tables.PAY_LINE_KEY_COLUMNS, found)


async def _realizations(office: Office) -> Rows:
    """Realizations and their lines."""
    heads, lines = [], []
    rows = await office.select(tables.REALIZATION)
    for row in rows:
        event = PayLinesRealized.model_validate_json(row.body)
        key = list(row[:3])
        basis = [[b.requirement_id, b.time_type, b.rate_book, b.cited] for b in event.basis]
        heads.append([*row[:-1], basis])
        for line in event.lines:
            values = [line.quantity, line.unit_price, line.amount, line.currency, line.rate_book]
            where = [line.billto_node, line.effective_date]
            lines.append([*key, line.line_key, *values, *where])
    key_columns = ["source_kind", "source_id", "realization_no"]
    named = [*key_columns, "line_identity", "quantity", "price", "amount", "currency", "rate_list"]
    columns = [*rows[0]._fields[:-1], "price_basis"] if rows else []
    return {
        "realization": as_table(columns, tables.REALIZATION_KEY_COLUMNS, heads),
        "realization line": as_table([*named, "work_node", "effective_on"], 4, lines),
    }


async def texts(office: Office) -> dict[str, str]:
    """CSV, UBL and the text of the PDF of every batch, by batch and file name."""
    found: dict[str, str] = {}
    for row in await office.select(tables.BATCHES):
        with tempfile.TemporaryDirectory(prefix="backoffice-golden-") as folder:
            place = Path(folder)
            async with open_snapshot(office.url) as connection:
                head = await batch(connection, row.id)
                await save(connection, head, "csv", place / "lines.csv")
                await save(connection, head, "ubl", place / "ubl", country=COUNTRY)
                await save(connection, head, "pdf", place / "pdf")
            name = f"{row.company} {row.first_number}"
            text = (place / "lines.csv").read_bytes().decode()
            found[f"{name} csv"] = without_surrogate_ids(text)
            for path in sorted((place / "ubl").iterdir()):
                found[f"{name} ubl {path.name}"] = path.read_text(encoding="utf-8")
            for path in sorted((place / "pdf").iterdir()):
                pages = PdfReader(path).pages
                found[f"{name} pdf {path.name}"] = "\n".join(page.extract_text() for page in pages)
    return found
