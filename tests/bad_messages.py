"""Bad messages: one of each kind, with its code and a text that its message must contain.

Each carries `CANARY` in a value, so that a test can prove that no value of a record is published
or logged. No service runs here.
"""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

from shared.broker import topics
from shared.events import ats
from shared.events.commands import OPERATOR_COMMAND
from tests import builders

CANARY = "CANARY-5f1d"
TIME, ORDER = topics.TIMESHEET_APPROVED.name, topics.REQUIREMENT_CHANGED.name
FEE, NODE, ASK = (
    topics.PLACEMENT_CREATED.name,
    topics.BILLTO_CHANGED.name,
    topics.OPERATOR_COMMANDS.name,
)
MODELS: dict[str, type[BaseModel] | TypeAdapter[Any]] = {
    TIME: ats.TimesheetApproved,
    ORDER: ats.RequirementChanged,
    FEE: ats.PlacementCreated,
    NODE: ats.BilltoChanged,
    ASK: OPERATOR_COMMAND,
}
DEAREST_BYTES = 900_001


@dataclass(frozen=True)
class BadMessage:
    """One kind: what is sent, and what its dead letter must contain."""

    code: str
    expected_text: str
    topic: str
    value: bytes | None
    key: bytes = b"k"
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.code


def _whole(event: BaseModel, **changes: Any) -> bytes:
    return json.dumps(json.loads(event.model_dump_json()) | changes).encode()


def sheet(**changes: Any) -> bytes:
    """A timesheet that is valid but for the changes."""
    return (
        _whole(builders.timesheet("T-bad"), worker_id=f"{CANARY}-worker", **changes)
        if "worker_id" not in changes
        else _whole(builders.timesheet("T-bad"), **changes)
    )


def entry(**changes: Any) -> bytes:
    """A timesheet of one entry that is valid but for the changes."""
    return sheet(entries=[builders.entry() | {"project": CANARY} | changes])


def stamp(value: Any) -> bytes:
    """A timesheet with this instant of approval."""
    return sheet(workflow={"approved_at": value})


def order(**changes: Any) -> bytes:
    """A requirement that is valid but for the changes."""
    return _whole(builders.requirement("REQ-bad"), **({"job_title": CANARY} | changes))


def hire(**changes: Any) -> bytes:
    """A placement that is valid but for the changes."""
    return _whole(builders.placement("P-bad"), **({"worker_id": f"{CANARY}-worker"} | changes))


def office(**changes: Any) -> bytes:
    """A billto node that is valid but for the changes."""
    return _whole(builders.node("N-bad"), **({"address": CANARY} | changes))


def ask(command: str | None, **values: Any) -> bytes:
    """A command."""
    kind = {} if command is None else {"command": command}
    return json.dumps(
        kind | {"command_id": "bad-command", "actor": f"{CANARY}-actor", "reason": CANARY} | values
    ).encode()


def cut(value: bytes, old: bytes, new: bytes) -> bytes:
    """The value with the first occurrence of `old` replaced."""
    assert old in value
    return value.replace(old, new, 1)


FEE_WITHOUT_SHARES = {
    "fee_id": CANARY,
    "item_id": "DIRECT-HIRE",
    "percent": "20",
    "plan": [{"share": "0", "day": 1}, {"share": "0", "day": 90}],
}
FEE_ONCE = {"fee_id": CANARY, "item_id": "DIRECT-HIRE", "percent": "20"}

UNREADABLE = (
    BadMessage("bad_json", "line 1 column", TIME, b'{"timesheet_id": "' + CANARY.encode()),
    BadMessage("trailing_data", "one object a record", TIME, sheet() + sheet()),
    BadMessage("not_an_object", "send one JSON object", TIME, b'["' + CANARY.encode() + b'"]'),
    BadMessage("json_null", "a record without a value", TIME, b"null"),
    BadMessage("empty", "send the JSON", TIME, b""),
    BadMessage("blank", "spaces only", TIME, b" \n\t "),
    BadMessage("null_value", "not a compacted topic", TIME, None),
    BadMessage("no_key", "its key names", ORDER, None, key=b""),
    BadMessage("key_not_utf8", "at byte 0", ORDER, None, key=b"\xff\xfe"),
    BadMessage("not_utf8", "at byte", TIME, cut(sheet(), CANARY.encode(), b"\xe9\xff")),
    BadMessage("utf16", "as UTF-8", TIME, sheet().decode().encode("utf-16")),
    BadMessage("byte_order_mark", "without it", TIME, b"\xef\xbb\xbf" + sheet()),
    BadMessage("too_large", "split the document", TIME, sheet(free=CANARY + "x" * DEAREST_BYTES)),
    BadMessage("too_deep", "as its schema says", TIME, b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
    BadMessage(
        "too_deep",
        "as its schema says",
        TIME,
        cut(sheet(free=1), b'"free": 1', b'"free": ' + b"[" * 300 + b"]" * 300),
        name="too_deep in a free field",
    ),
    BadMessage("not_a_number", "as strings", TIME, cut(entry(), b'"8"', b"NaN")),
    BadMessage("infinite", "as strings", TIME, cut(entry(), b'"8"', b"-Infinity")),
    BadMessage(
        "number_too_large",
        "a number that people can read",
        FEE,
        cut(hire(free=1), b'"free": 1', b'"free": 1e400000'),
    ),
    BadMessage(
        "number_too_long",
        "thousands of digits",
        TIME,
        cut(sheet(free=1), b'"free": 1', b'"free": ' + b"9" * 5_000),
    ),
    BadMessage(
        "duplicate_key",
        "send each once",
        TIME,
        cut(sheet(), b"{", b'{"worker_id": "' + CANARY.encode() + b'", '),
    ),
    BadMessage(
        "lone_surrogate", "half a character", TIME, cut(sheet(free="X"), b'"X"', b'"\\ud800"')
    ),
    BadMessage(
        "missing_field",
        "entries.0.hours: the field is missing",
        TIME,
        sheet(entries=[{"requirement_id": CANARY, "work_date": "2026-03-02", "time_type": "REG"}]),
    ),
    BadMessage("null_field", "worker_id: is null", TIME, sheet(worker_id=None)),
    BadMessage(
        "not_a_whole_number", "revision: is not a whole number", TIME, sheet(revision=f"{CANARY}")
    ),
    BadMessage(
        "not_a_whole_number",
        "without quotes, point",
        TIME,
        sheet(revision=1.5),
        name="a revision with a fraction",
    ),
    BadMessage("too_low", "revision: must be 0 or more", TIME, sheet(revision=-1)),
    BadMessage("too_high", "entries.0.hours: must be 24 or less", TIME, entry(hours="169")),
    BadMessage(
        "too_high",
        "revision: must be",
        TIME,
        sheet(revision=10**30),
        name="a revision of thirty digits",
    ),
    BadMessage("not_text", "in quotes", TIME, sheet(worker_id=[CANARY])),
    BadMessage("number_for_text", 'send a string such as "7.5"', TIME, entry(hours=7.5)),
    BadMessage("negative", "entries.0.hours: is negative", TIME, entry(hours="-8")),
    BadMessage("decimal_comma", "with a point", TIME, entry(hours="7,5")),
    BadMessage("too_many_decimals", "round it at its source", TIME, entry(hours="7.12345")),
    BadMessage("too_many_digits", "more digits", TIME, entry(hours="1234567")),
    BadMessage("bad_decimal", 'such as "7.5"', TIME, entry(hours=CANARY)),
    BadMessage("bad_decimal", "no exponent", TIME, entry(hours="1e400"), name="hours of 1e400"),
    BadMessage("not_a_list", "send [...]", TIME, sheet(entries={"hours": CANARY})),
    BadMessage("not_a_group", "entries.0: is not an object", TIME, sheet(entries=[CANARY])),
    BadMessage("not_a_date", 'such as "2026-03-02"', TIME, sheet(week_ending=20260308)),
    BadMessage("bad_date", "year, month and day", TIME, sheet(week_ending=f"08/03/{CANARY}")),
    BadMessage(
        "bad_date",
        "year, month and day",
        TIME,
        sheet(week_ending="1772928000"),
        name="seconds since 1970 for a date",
    ),
    BadMessage(
        "date_with_time", "the local date alone", TIME, sheet(week_ending="2026-03-08T00:00:00Z")
    ),
    BadMessage("impossible_date", "no calendar has", TIME, sheet(week_ending="2026-02-31")),
    BadMessage("date_too_early", "lies before", TIME, sheet(week_ending="0001-01-01")),
    BadMessage("date_too_late", "lies after", TIME, entry(work_date="9999-12-31")),
    BadMessage("not_an_instant", "such as", TIME, stamp(1_772_928_000)),
    BadMessage("bad_instant", "such as", TIME, stamp(f"{CANARY} yesterday")),
    BadMessage(
        "bad_instant", "such as", TIME, stamp("20260308"), name="a number in quotes for an instant"
    ),
    BadMessage(
        "date_too_early",
        "lies before",
        TIME,
        stamp("1970-01-01T00:00:00+00:01"),
        name="an instant too early in UTC",
    ),
    BadMessage(
        "date_too_late",
        "lies after",
        TIME,
        stamp("2999-12-31T23:59:59-14:00"),
        name="an instant too late in UTC",
    ),
    BadMessage("no_time_zone", "add Z or an offset", TIME, stamp("2026-03-08T10:00:00")),
    BadMessage("control_character", "NUL", TIME, sheet(worker_id=f"{CANARY}\x00")),
    BadMessage(
        "control_character",
        "a line break or a tab",
        FEE,
        hire(end_reason=f"{CANARY}\x1f"),
        name="a control character in a text",
    ),
    BadMessage("hidden_character", "direction", TIME, sheet(worker_id=f"{CANARY}\u202egnp.exe")),
    BadMessage("not_trimmed", "send it trimmed", TIME, sheet(worker_id=f" {CANARY}")),
    BadMessage("empty_text", "is empty", TIME, sheet(worker_id="")),
    BadMessage("too_long", "200 characters", TIME, sheet(worker_id=CANARY * 50)),
    BadMessage(
        "too_many", "5000 elements", TIME, sheet(entries=[builders.entry(project=CANARY)] * 5001)
    ),
    BadMessage(
        "bad_form", "time_type: does not have the form", TIME, entry(time_type=f"{CANARY} !")
    ),
    BadMessage("unknown_currency", "ISO 4217", ORDER, order(currency="XQZ")),
    BadMessage(
        "rate_given_twice",
        "send one",
        ORDER,
        order(rates=[builders.rate(), builders.rate(price="51.00")]),
    ),
    BadMessage(
        "status_given_twice",
        "send one",
        ORDER,
        order(
            statuses=[{"from_date": "2020-01-01", "status": each} for each in ("Filled", "Closed")]
        ),
    ),
    BadMessage(
        "bad_plan", "no share of the pay plan is above 0", FEE, hire(fees=[FEE_WITHOUT_SHARES])
    ),
    BadMessage("fee_given_twice", "each its own", FEE, hire(fees=[FEE_ONCE, FEE_ONCE])),
    BadMessage("unknown_value", "'company', 'client' or 'office'", NODE, office(level=CANARY)),
    BadMessage("unknown_command", "list of commands", ASK, ask(CANARY)),
    BadMessage("no_command", "`command`", ASK, ask(None)),
    BadMessage(
        "unknown_field",
        "set-billing-company.colour",
        ASK,
        ask("set-billing-company", billing_company="acme-us", colour=CANARY),
    ),
    BadMessage(
        "unknown_time_zone",
        "Europe/Amsterdam",
        ASK,
        ask("set-billing-company", billing_company="acme-us", time_zone=CANARY),
    ),
    BadMessage(
        "not_one_of_two",
        "either quantity or amount",
        ASK,
        ask("edit-pay-line", billing_company="acme-us", pay_line_id=1),
    ),
    BadMessage(
        "no_currency",
        "needs its currency",
        ASK,
        ask("set-catalog-item", item_id="I", name=CANARY, amount="5.00"),
    ),
    BadMessage(
        "too_few", "", ASK, ask("snooze-pay-lines", billing_company="acme-us", pay_line_ids=[])
    ),
)
"""What the reader refuses, whatever the tables contain."""

DATABASE_ONLY = (BadMessage("unstorable_character", "NUL", FEE, hire(free=f"{CANARY}\x00")),)
"""What reads well and only the database refuses: it is in a free field, which is kept as it came.
"""
