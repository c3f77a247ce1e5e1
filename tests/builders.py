"""Builders: events with valid defaults, of which a test names only what it is about.

Each builder returns the frozen model of the event; `record` and `received` wrap it as Kafka
delivers it.
"""

import itertools
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from shared.consumer.records import Received, Record
from shared.events import ats
from shared.events.commands import OPERATOR_COMMAND, AnyCommand
from shared.events.realizations import PayLinesRealized, PriceBasis, RealizationLine
from shared.money import plain

COMPANY = "acme-us"
OFFICE = "office-1"
REQUIREMENT = "REQ-1"
WORKER = "W-1"
WEEK = date(2026, 3, 8)
_offsets = itertools.count()
_commands = itertools.count(1)


# -- what the ATS says


def rate(
    time_type: str = "REG", price: str = "50.00", since: str = "2020-01-01", unit: str = "HUR"
) -> dict[str, Any]:
    """A bill rate from a date on."""
    return {"time_type": time_type, "effective_from": since, "bill_rate": price, "unit": unit}


def requirement(
    requirement_id: str = REQUIREMENT, revision: int = 1, **changes: Any
) -> ats.RequirementChanged:
    """A Filled Temp requirement since 2020, in USD, with REG at 50.00 and OT at 75.00."""
    body = {
        "requirement_id": requirement_id,
        "revision": revision,
        "billing_company": COMPANY,
        "office_id": OFFICE,
        "job_title": "Registered Nurse",
        "currency": "USD",
        "statuses": [{"from_date": "2020-01-01", "status": "Filled", "position_type": "Temp"}],
        "rates": [rate(), rate("OT", "75.00")],
    }
    return ats.RequirementChanged.model_validate_json(json.dumps(body | changes))


def entry(
    hours: str = "8",
    day: str | date = WEEK,
    time_type: str = "REG",
    requirement_id: str = REQUIREMENT,
    **changes: Any,
) -> dict[str, Any]:
    """Time of one day."""
    return {
        "requirement_id": requirement_id,
        "work_date": str(day),
        "time_type": time_type,
        "hours": hours,
    } | changes


def days(
    hours: str = "8", count: int = 5, week_ending: date = WEEK, **changes: Any
) -> list[dict[str, Any]]:
    """The same hours on the first `count` days of a week."""
    return [entry(hours, week_ending - timedelta(days=6 - at), **changes) for at in range(count)]


def timesheet(
    timesheet_id: str = "T-1",
    revision: int = 1,
    entries: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> ats.TimesheetApproved:
    """A worker's approved week of 40 hours REG (an imported row without timestamps)."""
    body = {
        "timesheet_id": timesheet_id,
        "revision": revision,
        "worker_id": WORKER,
        "week_ending": str(WEEK),
        "entries": days() if entries is None else entries,
    }
    return ats.TimesheetApproved.model_validate_json(json.dumps(body | changes))


def placement(placement_id: str = "P-1", revision: int = 1, **changes: Any) -> ats.PlacementCreated:
    """A direct hire at 100,000.00 USD with a fee of 20 % in two halves, on day 1 and day 90."""
    body = {
        "placement_id": placement_id,
        "revision": revision,
        "requirement_id": REQUIREMENT,
        "worker_id": WORKER,
        "start_date": "2026-03-02",
        "salary": "100000.00",
        "currency": "USD",
        "fees": [
            {
                "fee_id": "F-1",
                "item_id": "DIRECT-HIRE",
                "percent": "20",
                "plan": [{"share": "50", "day": 1}, {"share": "50", "day": 90}],
            }
        ],
    }
    return ats.PlacementCreated.model_validate_json(json.dumps(body | changes))


def engagement(
    engagement_id: str = "E-1", revision: int = 1, **changes: Any
) -> ats.EngagementChanged:
    """A staffing engagement of the supplier S-1 in the US, visible to all."""
    body = {
        "engagement_id": engagement_id,
        "revision": revision,
        "request_type": "staffing",
        "supplier_id": "S-1",
        "client_country": "US",
        "location": "Boston",
        "department": "Surgery",
    }
    return ats.EngagementChanged.model_validate_json(json.dumps(body | changes))


def supplier(supplier_id: str = "S-1", revision: int = 1, **changes: Any) -> ats.SupplierChanged:
    """A supplier with a name."""
    body = {"supplier_id": supplier_id, "revision": revision, "name": "Northside Staffing"}
    return ats.SupplierChanged.model_validate_json(json.dumps(body | changes))


def charge(charge_id: str = "EXP-1", revision: int = 1, **changes: Any) -> ats.ChargeAdded:
    """An expense: a receipt of 101.24 USD with 20 % recoverable tax and 10 % markup."""
    body = {
        "charge_id": charge_id,
        "revision": revision,
        "billing_company": COMPANY,
        "node_id": OFFICE,
        "item_id": "TRAVEL",
        "quantity": "1",
        "price": "101.24",
        "currency": "USD",
        "service_date": "2026-03-04",
        "receipt": "R-77",
        "recoverable_tax": "20",
        "markup": "10",
    }
    return ats.ChargeAdded.model_validate_json(json.dumps(body | changes))


def node(
    node_id: str = OFFICE, level: str = "office", revision: int = 1, **changes: Any
) -> ats.BilltoChanged:
    """A node of the billto hierarchy with an Account Name of its own."""
    body = {
        "node_id": node_id,
        "revision": revision,
        "level": level,
        "name": node_id,
        "account_name": f"{node_id} account",
    }
    return ats.BilltoChanged.model_validate_json(json.dumps(body | changes))


# -- what fee_realizer says


def time_key(
    requirement_id: str = REQUIREMENT,
    time_type: str = "REG",
    version: str = "2020-01-01@50",
    project: str = "",
    cost: str = "",
    po: str = "",
) -> str:
    """The line key of time."""
    return json.dumps(
        ["t", requirement_id, time_type, version, project, cost, po],
        separators=(",", ":"),
        ensure_ascii=False,
    )


def product_key(fee_id: str = "F-1", item_id: str = "DIRECT-HIRE", instalment: int = 1) -> str:
    """The line key of a product."""
    return json.dumps(["p", fee_id, item_id, instalment], separators=(",", ":"), ensure_ascii=False)


def realization_line(quantity: str = "40", price: str = "50.00", **changes: Any) -> RealizationLine:
    """One realized line: 40 h REG at 50.00 by default; the amount follows if not given."""
    worth = (Decimal(quantity) * Decimal(price)).quantize(Decimal("0.01"))
    time_type = changes.get("time_type", "REG")
    version = changes.get("rate_version", f"2020-01-01@{plain(Decimal(price))}")
    body = {
        "line_key": time_key(
            changes.get("requirement_id", REQUIREMENT),
            time_type,
            version,
            po=changes.get("po_number", ""),
        ),
        "line_kind": "timesheet",
        "billing_company": COMPANY,
        "billto_node": OFFICE,
        "currency": "USD",
        "quantity": quantity,
        "unit": "HUR",
        "unit_price": price,
        "amount": str(worth),
        "effective_date": str(WEEK),
        "service_from": str(WEEK - timedelta(days=6)),
        "service_to": str(WEEK),
        "week_ending": str(WEEK),
        "requirement_id": REQUIREMENT,
        "worker_id": WORKER,
        "time_type": time_type,
        "rate_version": version,
        "rate_book": 1,
        "description": f"Registered Nurse · {WORKER} · {time_type}",
        "derivation": {"formula": f"{quantity} × {price} = {worth}"},
    }
    return RealizationLine.model_validate_json(
        json.dumps(body | {name: _text(value) for name, value in changes.items()})
    )


def product_line(
    amount: str = "10000.00",
    effective: str | date = "2026-03-02",
    instalment: int = 1,
    **changes: Any,
) -> RealizationLine:
    """One instalment of the fee of a direct hire."""
    own = {
        "line_key": product_key(instalment=instalment),
        "line_kind": "product",
        "unit": "C62",
        "effective_date": effective,
        "service_from": effective,
        "service_to": effective,
        "week_ending": None,
        "time_type": "",
        "item_id": "DIRECT-HIRE",
        "rate_version": "",
        "rate_book": 0,
        "description": f"Direct hire · {WORKER} · instalment {instalment} of 2",
    }
    return realization_line("1", amount, **(own | changes))


def realization(
    document_id: str = "T-1", realization_no: int = 1, *lines: RealizationLine, **changes: Any
) -> PayLinesRealized:
    """Realization n of a document; without lines its value is zero.

    `realization_kind="withheld"` for a hold.
    """
    basis = {
        (line.requirement_id, line.time_type, line.rate_book)
        for line in lines
        if line.line_kind == "timesheet"
    }
    values: dict[str, Any] = {
        "document_kind": "placement" if lines and lines[0].line_kind == "product" else "timesheet",
        "document_id": document_id,
        "realization_no": realization_no,
        "realization_kind": "realized",
        "source_id": document_id,
        "revision": realization_no,
        "cause": "test",
        "basis": tuple(
            PriceBasis(requirement_id=req, time_type=kind, rate_book=book)
            for req, kind, book in sorted(basis)
        ),
        "lines": lines,
    }
    return PayLinesRealized(**(values | changes))


# -- what operators ask for


def command(name: str, /, **values: Any) -> AnyCommand:
    """A command with an id of its own, by `pat`, with a reason."""
    body = {"command": name, "command_id": f"c-{next(_commands)}", "actor": "pat", "reason": "test"}
    return OPERATOR_COMMAND.validate_json(
        json.dumps(body | {name: _text(value) for name, value in values.items()})
    )


# -- as Kafka brings it


def record(
    topic: str,
    value: BaseModel | dict[str, Any] | bytes | None,
    key: str | bytes | None = "k",
    partition: int = 0,
    offset: int | None = None,
) -> Record:
    """A record of a topic; each has an offset of its own unless given."""
    body = (
        value.model_dump_json().encode()
        if isinstance(value, BaseModel)
        else json.dumps(value).encode()
        if isinstance(value, dict)
        else value
    )
    key_bytes = key.encode() if isinstance(key, str) else key
    return Record(topic, partition, next(_offsets) if offset is None else offset, key_bytes, body)


def received(topic: str, *events: Any) -> list[Received[Any]]:
    """Events as `apply` of a subscription receives them."""
    return [
        Received(event, record(topic, event if isinstance(event, BaseModel) else None))
        for event in events
    ]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, date | Decimal) else value
