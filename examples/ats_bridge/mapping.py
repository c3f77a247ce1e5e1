"""What an entity of Bullhorn becomes: its fields, and one function that makes our message of them.

Fit this file to your own fields and values. The fields are those of
https://bullhorn.github.io/rest-api-docs/entityref.html (Timesheet and TimesheetEntry: Pay & Bill).
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Entity = dict[str, Any]
Body = dict[str, Any]
Firm = dict[str, Any]

FILLED = {"Placed", "Filled", "Covered"}
"""The statuses of a JobOrder of which timesheets are billed."""
POSITIONS = {"Temporary": "Temp", "Contract To Hire": "Contract"}
"""Employment types that have another name with us; timesheets of Temp and Contract are billed."""
APPROVED = {"Approved", "Completed"}
"""The statuses of a timesheet that is billed, and of a placement whose fee is billed."""
ENDED = {"Terminated"}

PERSON = "id,firstName,lastName"
ENTRY_FIELDS = (
    "id,timesheetDay,quantity,earnCode(code),timeLaborCalcTypeLookup(label),"
    "timeLaborEvalSheetTypeLookup(label),voidingTimesheetEntry(id)"
)


def billto(corporation: Entity, firm: Firm, before: Body | None) -> Body:
    """A ClientCorporation: a client, or an office if it has a parent.

    It has invoices of its own if it has no parent or a billing address of its own.
    """
    parent = corporation.get("parentClientCorporation")
    own = corporation.get("billingAddress") or {}
    address = own if own.get("address1") else corporation.get("address") or {}
    lines = [address.get(name) or "" for name in ("address1", "address2")]
    city = " ".join(filter(None, (address.get(name) for name in ("city", "state", "zip"))))
    return {
        "node_id": str(corporation["id"]),
        "level": "office" if parent else "client",
        "parent_id": str(parent["id"]) if parent else None,
        "name": corporation["name"],
        "account_name": "" if parent and not own.get("address1") else corporation["name"],
        "address": "\n".join(filter(None, [*lines, city])),
        "contact": corporation.get("billingContact") or "",
    }


def requirement(job: Entity, firm: Firm, before: Body | None) -> Body:
    """A JobOrder. It knows only its rate and status of now, so earlier ones come from `before`."""
    start, changed = _day(job["startDate"], firm), _day(job["dateLastModified"], firm)
    position = job["employmentType"]
    status = {
        "status": "Filled" if job["status"] in FILLED else job["status"],
        "position_type": POSITIONS.get(position, position),
    }
    rate = {"time_type": firm["time_type"], "bill_rate": _text(job.get("clientBillRate"))}
    known = before or {"statuses": [], "rates": []}
    return {
        "requirement_id": str(job["id"]),
        "billing_company": firm["billing_company"],
        "office_id": str(job["clientCorporation"]["id"]),
        "job_title": job.get("title") or "",
        "reference": job.get("externalID") or "",
        "client_contact": _name(job.get("clientContact")),
        "currency": firm["currency"],
        "statuses": _since(known["statuses"], "from_date", status, start, changed),
        "rates": _since(known["rates"], "effective_from", rate, start, changed)
        if rate["bill_rate"]
        else known["rates"],
    }


def placement(placed: Entity, firm: Firm, before: Body | None) -> Body:
    """A Placement. Its fee, a part of the salary, is one fee of the catalog item `fee_item`."""
    yearly = "year" in (placed.get("salaryUnit") or "").lower()
    billed = placed["status"] in APPROVED | ENDED and placed.get("fee") and yearly
    fee = {"fee_id": "fee", "item_id": firm["fee_item"]}
    return {
        "placement_id": str(placed["id"]),
        "requirement_id": str(placed["jobOrder"]["id"]),
        "worker_id": str(placed["candidate"]["id"]),
        "worker_name": _name(placed["candidate"]),
        "start_date": _day(placed["dateBegin"], firm),
        "end_date": _day(placed["dateEnd"], firm) if placed.get("dateEnd") else None,
        "end_reason": placed.get("terminationReason") or "",
        "salary": _text(placed.get("salary")) if yearly else None,
        "currency": firm["currency"],
        "fees": [fee | {"percent": _text(Decimal(placed["fee"]) * 100)}] if billed else [],
    }


def timesheet(sheet: Entity, firm: Firm, before: Body | None) -> Body:
    """A Timesheet with its time, without an entry that is voided and the one that voids it."""
    approved = (sheet["timesheetEntryApprovalStatusLookup"] or {}).get("label") in APPROVED
    voided = {
        an_id
        for entry in sheet["entries"]
        if entry.get("voidingTimesheetEntry")
        for an_id in (entry["id"], entry["voidingTimesheetEntry"]["id"])
    }
    entries = [
        {
            "requirement_id": str(sheet["jobOrder"]["id"]),
            "work_date": _day(entry["timesheetDay"], firm),
            "time_type": entry["earnCode"]["code"],
            "hours": _text(entry["quantity"]),
            "billable": "Bill" in entry["timeLaborCalcTypeLookup"]["label"],
        }
        for entry in sorted(sheet["entries"], key=lambda each: each["id"])
        if entry["id"] not in voided and entry["timeLaborEvalSheetTypeLookup"]["label"] == "Time"
    ]
    at = sheet.get("approvedDate") or sheet["dateLastModified"]
    stamp = datetime.fromtimestamp(at / 1000, UTC).isoformat() if approved else None
    return {
        "timesheet_id": str(sheet["id"]),
        "worker_id": str(sheet["candidate"]["id"]),
        "worker_name": _name(sheet["candidate"]),
        "week_ending": _day(sheet["endDate"], firm),
        "workflow": {
            "submitted_at": stamp,
            "approved_at": stamp,
            "approved_by": sheet.get("approvedBy") or "",
        },
        "entries": entries,
    }


ENTITIES = {
    "ClientCorporation": (
        "billto-changed",
        "id,name,address,billingAddress,billingContact,parentClientCorporation(id),dateLastModified",
        billto,
    ),
    "JobOrder": (
        "requirement-changed",
        "id,title,status,employmentType,startDate,clientBillRate,externalID,clientCorporation(id),"
        f"clientContact({PERSON}),dateLastModified",
        requirement,
    ),
    "Placement": (
        "placement-created",
        f"id,candidate({PERSON}),jobOrder(id),dateBegin,dateEnd,salary,salaryUnit,fee,status,"
        "terminationReason,dateLastModified",
        placement,
    ),
    "Timesheet": (
        "timesheet-approved",
        f"id,candidate({PERSON}),jobOrder(id),endDate,approvedBy,approvedDate,dateLastModified,"
        "timesheetEntryApprovalStatusLookup(label)",
        timesheet,
    ),
}
"""Each entity that the bridge subscribes to: topic, fields, and what makes its message."""
CANCELLED: dict[str, Body] = {"Timesheet": {"entries": []}, "Placement": {"fees": []}}
"""What a deleted entity is worth."""


def _day(value: str | int, firm: Firm) -> str:
    """The date of an instant (milliseconds) in the firm's zone; a date is already one."""
    if isinstance(value, str):
        return date.fromisoformat(value[:10]).isoformat()
    zone = ZoneInfo(firm["time_zone"])
    return datetime.fromtimestamp(value / 1000, zone).date().isoformat()


def _text(value: Decimal | int | None) -> str | None:
    return None if value is None else f"{Decimal(value).normalize():f}"


def _name(person: Entity | None) -> str:
    names = person or {}
    return " ".join(filter(None, (names.get("firstName"), names.get("lastName"))))


def _since(before: list[Body], key: str, value: Body, start: str, changed: str) -> list[Body]:
    """The values of before and, from the day of the change, the one of now if it is another."""
    if not before:
        return [value | {key: start}]
    if before[-1] | {key: ""} == value | {key: ""}:
        return before
    return [*(each for each in before if each[key] < changed), value | {key: changed}]
