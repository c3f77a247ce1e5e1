"""The whole way of an amount: from the hours that were worked to the payment of the invoice.

Each step has what it says, who did it and when, and what it can be looked at by (`link`: the kind
and the id of a page). What has not happened yet is a step, too, with the reason why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.console.queries.amounts import at_minor_unit, with_money
from services.console.queries.explanations import explain_pay_line
from services.console.queries.snapshot import SQL, ReadConnection, Row, fetch
from shared.money import plain
from shared.render.printed import UNITS
from shared.stored import as_json

DONE, WAITS, UNDONE = "done", "waits", "refused"
MOST = 100
STAMPS = ("submitted", "approved", "released", "interpreted", "reviewed")
LEDGER_STATES = {"posted": DONE, "refused": UNDONE, "unknown": UNDONE}
MAIL_STATES = {"sent": DONE, "refused": UNDONE, "unknown": UNDONE}


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `state`: done, waits or refused. `facts`: further names and values.

    `link`: what the step can be looked at by, and its id: a document, an invoice, a batch.
    """

    title: str
    says: str
    state: str = DONE
    who: str = ""
    at: Any = None
    link: tuple[str, str] | None = None
    facts: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """A pay line with the steps before its amount, the latest first, and those after it."""

    line: Mapping[str, Any]
    amount: Step
    before: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)


async def why(connection: ReadConnection, pay_line_id: int) -> Why:
    """All steps of one pay line. Refused if there is none."""
    found = await explain_pay_line(connection, pay_line_id)
    line, document, place = found["line"], found["document"], found["place"]
    facts = {"pay_line_id": pay_line_id, "billing_company": found["billing_company"]}
    head = {**line, **document, **facts, "place": place, "billto": found["billto"]}
    before = [*_price(found), *await _source(connection, found)]
    after = [*await _hold(connection, document), _debtor(found["billto"])]
    if place["is"] == "invoiced":
        after += await _invoiced(connection, place)
    else:
        after.append(_not_invoiced(place))
    return Why(head, _amount(found), before, after)


def _amount(found: Row) -> Step:
    line, place = found["line"], found["place"]
    facts = [(name.replace("_", " "), _shown(value)) for name, value in _own_words(found)]
    if place.get("tax_code"):
        tax = f"{place['tax_amount']:,f} {line['currency']}"
        facts.append(("tax", f"{place['tax_code']} {place['tax_rate']} %, {tax}"))
    for each in place.get("allowances", ()):
        facts.append((each["name"], f"{Decimal(each['amount']):,f} {line['currency']}"))
    if found["fee"]:
        fee = found["fee"]
        facts.append(("MSP fee", f"{plain(fee['percent'])} % {fee['charged_as']} on {fee['base']}"))
    unit, currency = UNITS.get(line["unit"], line["unit"]), line["currency"]
    quantity = f"{line['quantity']:,f} {unit.removesuffix('s') if line['quantity'] == 1 else unit}"
    price = f"{at_minor_unit(line['unit_price'], currency):,f}"
    says = f"{quantity} × {price} = {line['amount']:,f} {currency}"
    if found["derivation"] and found["derivation"].get("formula"):
        facts.insert(0, ("formula", found["derivation"]["formula"]))
    return Step("Amount", says, facts=tuple(facts))


def _own_words(found: Row) -> list[tuple[str, Any]]:
    """What the derivation says besides its formula and its rate, which have steps of their own."""
    derivation = found["derivation"] or {}
    return [
        (name, value)
        for name, value in derivation.items()
        if name not in ("formula", "rate") and value and not isinstance(value, dict | list)
    ]


def _price(found: Row) -> list[Step]:
    """The rate version of a line of time; what is charged otherwise has no step of its own."""
    line, rate = found["line"], found["rate"]
    if rate is None:
        return []
    by = {"command": rate["actor"], "ats": "ATS"}.get(rate["source"] or "", "")
    facts = [("rate book", rate["rate_book"]), ("confirmed for invoiced lines by",
        rate["confirmed_by"])]  # fmt: skip
    derived = (found["derivation"] or {}).get("rate") or {}
    facts += [(name, _shown(value)) for name, value in derived.items() if name in ("from", "book")]
    return [
        Step(
            "Price",
            f"{at_minor_unit(line['unit_price'], line['currency']):,f} {line['currency']} per"
            f" {UNITS.get(line['unit'], line['unit']).removesuffix('s')}: rate version"
            f" {rate['rate_version']}",
            who=by or "",
            link=("requirement", found["requirement_id"]) if found["requirement_id"] else None,
            facts=_given(facts),
        )
    ]


async def _source(connection: ReadConnection, found: Row) -> list[Step]:
    """Realization, hours, revision and approval; of other documents what their revision says."""
    document = found["document"]
    kind, document_id = document["document_kind"], document["document_id"]
    if kind == "fee":
        return [_fee(found)]
    if not document["realization_no"]:
        return [Step("Opening data", f"{kind} {document_id} was loaded as opening data")]
    which = {"kind": kind, "document": document_id}
    realized = await fetch(
        connection,
        "SELECT issued_at FROM fee_realizer.console_realization WHERE document_kind = :kind"
        " AND document_id = :document AND realization_no = :number",
        **which,
        number=document["realization_no"],
    )
    revisions = await fetch(
        connection,
        "SELECT body, received_at FROM fee_realizer.console_source_revision"
        " WHERE document_kind = :kind AND document_id = :document AND source_id = :source"
        " AND revision = :revision",
        **which,
        source=document["source_id"],
        revision=document["revision"],
    )
    link = ("document", document_id)
    steps = [
        Step(
            "Realization",
            f"realization {document['realization_no']} of {kind} {document_id}"
            f" ({document['cause']})",
            who="fee_realizer",
            at=realized[0]["issued_at"] if realized else None,
            link=link,
            facts=(("line key", document["line_key"]),),
        )
    ]
    if not revisions:
        return steps
    body = as_json(revisions[0]["body"])
    if kind == "timesheet":
        steps.append(_hours(found, body))
    adjusts = f" of adjustment {document['source_id']}"
    other = adjusts if document["source_id"] != document_id else ""
    steps.append(
        Step(
            f"{kind.capitalize()} revision",
            f"revision {document['revision']}{other} of {document_id}",
            who="ATS",
            at=revisions[0]["received_at"],
            link=link,
        )
    )
    return [*steps, *_approval(body)] if kind == "timesheet" else steps


def _fee(found: Row) -> Step:
    """The MSP fee that a line is: percentage, version, base and volume; or what returns it."""
    derivation = found["derivation"] or {}
    fee = derivation.get("fee") or derivation.get("credit") or {}
    facts = [(name.replace("_", " "), value) for name, value in fee.items()
             if not isinstance(value, dict | list)]  # fmt: skip
    return Step("MSP fee", str(found["line"]["description"]), who="invoicer", facts=_given(facts))


def _hours(found: Row, body: Mapping[str, Any]) -> Step:
    """The hours of this time type, day by day."""
    entries = [
        entry
        for entry in body.get("entries") or ()
        if entry.get("billable", True)
        and entry["time_type"] == found["time_type"]
        and entry.get("requirement_id") == found["requirement_id"]
    ]
    total = sum((Decimal(str(entry["hours"])) for entry in entries), Decimal(0))
    return Step(
        "Hours",
        f"{plain(total)} h {found['time_type']} in the week ending {body['week_ending']}",
        who=str(found["worker_id"]),
        facts=tuple((entry["work_date"], f"{entry['hours']} h") for entry in entries[:31]),
    )


def _approval(body: Mapping[str, Any]) -> list[Step]:
    """Who approved the timesheet and when, with the other stamps of its workflow."""
    workflow = body.get("workflow")
    if workflow is None:
        return [Step("Approval", "imported without a workflow: it counts as approved")]
    stamps = {
        name: datetime.fromisoformat(str(workflow[f"{name}_at"]).replace("Z", "+00:00"))
        for name in STAMPS
        if workflow.get(f"{name}_at") is not None
    }
    facts = tuple((name, f"{at:%Y-%m-%d %H:%M}") for name, at in stamps.items())
    if "approved" not in stamps:
        return [Step("Approval", "not approved yet", WAITS, facts=facts)]
    who = str(workflow.get("approved_by") or "")
    return [Step("Approval", "approved in the ATS", DONE, who, stamps["approved"], facts=facts)]


async def _hold(connection: ReadConnection, document: Row) -> list[Step]:
    rows = await fetch(
        connection,
        "SELECT code, reason, actor, until_date, snoozed_at FROM invoicer.console_snooze"
        " WHERE document_kind = :kind AND document_id = :document AND line_key = :key",
        kind=document["document_kind"],
        document=document["document_id"],
        key=document["line_key"],
    )
    return [
        Step(
            "On hold",
            row["reason"] or row["code"] or "on hold",
            WAITS,
            row["actor"],
            row["snoozed_at"],
            facts=_given([("until", row["until_date"])]),
        )
        for row in rows
    ]


def _debtor(billto: Row) -> Step:
    if billto.get("corrects_invoice"):
        number = billto["corrects_invoice"]
        says = f"{billto['account_name']}, {billto['as']}: {number} line {billto['corrects_line']}"
        return Step("Debtor", says, link=("invoice", number))
    if billto["account_name"] is None:
        return Step(
            "Debtor", f"no debtor: {billto['as']}", WAITS, facts=(("node", billto["node"]),)
        )
    path = billto.get("path") or ()
    nodes = tuple((node["level"], f"{node['name']} ({node['node']})") for node in path)
    deciding = (("decided by", f"{billto['level']} {billto['name']} ({billto['node']})"),)
    return Step(
        "Debtor",
        f"{billto['account_name']}, {billto['as']}",
        link=("debtor", billto["account_name"]),
        facts=deciding + nodes,
    )


def _not_invoiced(place: Row) -> Step:
    if place["is"] == "replaced":
        number = place["replaced_by_realization"]
        return Step("Invoice", f"replaced by realization {number}: never invoiced", WAITS)
    says = {"open": "not invoiced yet", "drafted": "on a draft"}.get(place["is"], "nowhere")
    return Step("Invoice", says, WAITS)


async def _invoiced(connection: ReadConnection, place: Row) -> list[Step]:
    """Batch, document, credits of the line, deliveries, e-mails, payments."""
    number = place["invoice_number"]
    (document,) = await fetch(
        connection, SQL["why_document"], number=number, batch=place["batch_id"]
    )
    document = with_money(document, "total", "paid", "balance")
    which = {"invoice": document["invoice_id"], "number": number, "most": MOST}
    steps = [
        Step(
            "Batch",
            f"generated with cut-off {document['cut_off_date']}",
            who=document["actor"],
            at=document["generated_at"],
            link=("batch", place["batch_id"]),
            facts=_given([("reason", document["reason"])]),
        ),
        Step(
            place["document_type"].replace("-", " ").capitalize(),
            f"{number} line {place['line_no']}, total {document['total']:,f}"
            f" {document['currency']}, due {document['due_date']}",
            who="invoicer",
            at=document["closed_at"],
            link=("invoice", number),
        ),
    ]
    credits = await fetch(connection, SQL["why_credits"], **which, line=place["line_no"])
    for row in (with_money(row, "amount") for row in credits):
        steps.append(
            Step(
                "Credited",
                f"{row['amount']:,f} {row['currency']} on {row['invoice_number']}",
                who=row["actor"],
                at=row["generated_at"],
                link=("invoice", row["invoice_number"]),
                facts=_given([("reason", row["reason"])]),
            )
        )
    return [*steps, *await _delivered(connection, which), *await _paid(connection, which, document)]


async def _delivered(connection: ReadConnection, which: Mapping[str, Any]) -> list[Step]:
    deliveries = await fetch(connection, SQL["why_deliveries"], **which)
    steps = [
        Step(
            "Delivery" if row["kind"] == "delivery" else "E-mail",
            f"{row['state']}: {row['channel']}"
            + (f", there {row['remote_number']}" if row["remote_number"] else "")
            + (f": {row['message']}" if row["message"] else ""),
            (LEDGER_STATES | MAIL_STATES).get(row["state"], WAITS),
            "arg_sync",
            row["settled_at"],
            ("delivery", row["invoice_number"]),
            _given([("to fix it", row["fix"])]),
        )
        for row in deliveries
    ]
    return steps or [Step("Delivery", "not delivered to an accounting system yet", WAITS)]


async def _paid(connection: ReadConnection, which: Mapping[str, Any], document: Row) -> list[Step]:
    payments = await fetch(
        connection,
        "SELECT ledger, payment_id, sum(amount) AS amount, currency, min(paid_on) AS paid_on"
        " FROM invoicer.console_payment WHERE invoice_id = :invoice"
        " GROUP BY ledger, payment_id, currency ORDER BY min(paid_on), payment_id LIMIT :most",
        **which,
    )
    steps = [
        Step(
            "Payment",
            f"{row['amount']:,f} {row['currency']} by {row['payment_id']}",
            who=row["ledger"],
            at=row["paid_on"],
            link=("invoice", str(which["number"])),
        )
        for row in (with_money(row, "amount") for row in payments)
    ]
    balance = f"{document['balance']:,f} {document['currency']} open ({document['state']})"
    return [*steps, Step("Balance", balance, DONE if document["balance"] == 0 else WAITS)]


def _given(facts: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in facts if value not in (None, ""))


def _shown(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
