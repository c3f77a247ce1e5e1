"""`backoffice why`, `why-not` and `history`: explains a line, explains what is not billed, and
shows who did what.
"""

from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import CutOffOrToday, Limit
from services.console.cli.output import Screen, fact, written_price
from services.console.columns.invoices import HISTORY

CHANGES = (
    "at",
    "actor",
    "what",
    "service",
    "outcome",
    "code",
    "reason",
    "message",
    "before",
    "after",
    "command_id",
    "key_id",
    "program",
    "client",
)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    command(backoffice)(why)
    command(backoffice, "why-not", sends=True)(why_not)
    command(backoffice)(history)


def why(
    run: Run,
    pay_line: Annotated[int, typer.Argument(metavar="LINE", help="Id of a pay line.")],
) -> None:
    """Explain a pay line: document, realization, rate version, computation, and who pays."""
    from services.console.queries.explanations import explain_pay_line

    found = run.read(explain_pay_line, pay_line)
    run.document(found)
    line, document = found["line"], found["document"]
    run.say(
        f"pay line {pay_line} of {found['billing_company']}: {line['description']}",
        "bold",
    )
    unit_price = written_price(line["unit_price"], line["currency"])
    price = f"{fact(line['quantity'])} {line['unit']} × {unit_price}"
    service = f"service {line['service_from']} to {line['service_to']}"
    facts = {
        "value": f"{price} → {fact(line['amount'])} {line['currency']}",
        "effective": f"{line['effective_date']}, {service}",
        "is": _location(found["place"]),
        "allowances": _allowances(found["place"], line["currency"]),
        "fee": _fee(found["fee"]),
        "paid": _paid(found["place"], line["currency"]),
        **_origin(document),
        "line key": document["line_key"],
        "rate": _rate(found["rate"]) if found["rate"] else "",
    }
    run.facts(facts)
    run.say("computed as", "bold")
    run.facts(found["derivation"])
    run.say("billed to", "bold")
    _show_billto(run, found["billto"])


def _show_billto(screen: Screen, billto: dict[str, Any]) -> None:
    payer = billto["account_name"]
    if billto.get("corrects_invoice"):
        corrected = f"{billto['corrects_invoice']} line {billto['corrects_line']}"
        screen.say(f"{payer}, as {billto['as']}: {corrected}")
    elif payer is None:
        screen.say(f"no debtor: {billto['as']} ({billto['node']})", "yellow")
    else:
        node = f"{billto['level']} {billto['node']} ({billto['name']})"
        screen.say(f"{payer}: {node}, {billto['as']}")


def _origin(document: dict[str, Any]) -> dict[str, str]:
    """The source document, its revision and its realization; opening data has neither of both."""
    source = f"{document['document_kind']} {document['document_id']}"
    if document["document_kind"] == "fee":
        return {"document": f"{source}: of the whole document, by its invoice option"}
    if not document["realization_no"]:
        return {"document": f"{source}, loaded as opening data"}
    return {
        "document": f"{source}, {document['source_id']} revision {document['revision']}",
        "realization": f"{document['realization_no']} ({document['cause']})",
    }


def _rate(rate: dict[str, Any]) -> str:
    """The rate version with its source and actor."""
    words = f"{rate['rate_version']} of rate book {rate['rate_book']}"
    if rate["source"]:
        by_command = rate["source"] == "command"
        words += f", by {'command of ' + fact(rate['actor']) if by_command else 'the ATS'}"
    return words + (f", confirmed by {rate['confirmed_by']}" if rate["confirmed_by"] else "")


def _location(place: dict[str, Any]) -> str:
    """Where a line is."""
    if place["is"] == "invoiced":
        tax = f", tax {place['tax_code']} {fact(place['tax_rate'])} %" if place["tax_code"] else ""
        number = f"{place['document_type']} {place['invoice_number']}"
        return f"{number} line {place['line_no']}, batch {place['batch_id']}{tax}"
    if place["is"] == "replaced":
        return f"replaced by realization {place['replaced_by_realization']}"
    return str(place["is"])


def _allowances(place: dict[str, Any], currency: str) -> str:
    """The line's share of the discounts and surcharges of its document, and how these came out."""
    shown = "; ".join(
        f"{each['name']} {fact(each['amount'])}"
        + (f", {each['percent']} % of {fact(each['base'])}" if each["percent"] else "")
        for each in place.get("allowances", ())
    )
    return f"{fact(place['allowance_amount'])} {currency} of: {shown}" if shown else ""


def _fee(fee: dict[str, Any] | None) -> str:
    """What the line is of the base of an MSP fee, with its version and the volume before it."""
    if fee is None:
        return ""
    share = f", {fact(fee['share'])} of it on this line" if fee["share"] else ""
    returned = "returns a part of a" if fee["returned"] else "base of a"
    by_volume = f", by a volume of {fact(fee['volume'])} before" if fee["volume"] else ""
    return (
        f"{returned} {fee['charged_as']} of {fact(fee['percent'])} % on {fact(fee['base'])}"
        f" {fee['currency']}{share} (option {fee['option_name']}, {fee['funded_by']}-funded,"
        f" version of {fee['fee_from']}{by_volume})"
    )


def _paid(place: dict[str, Any], currency: str) -> str:
    """What received payments pay of an invoiced line, by which checks, and what is disputed."""
    disputed, rest = place.get("disputed"), fact(place.get("left_to_pay"))
    words = f"{fact(disputed)} {currency} of {rest} left is disputed"
    if not place.get("check_ids"):
        return f"nothing; {words}" if disputed else ""
    checks = ", ".join(place["check_ids"])
    left = words if disputed else f"{rest} left"
    return f"{fact(place['paid'])} {currency} by check {checks}; {left}"


def why_not(
    run: Run,
    what: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT|LINE",
            help="Id of a timesheet, placement, charge or assignment, or of a pay line.",
        ),
    ],
    cut_off: CutOffOrToday = None,
    is_document: Annotated[
        bool,
        typer.Option("--document", help="It is a document, although it looks like a line's id."),
    ] = False,
) -> None:
    """Show the one reason why a document or a line is not billed."""
    from services.console.queries.document_ids import is_pay_line

    may_be_line = what.isascii() and what.isdigit() and not is_document
    if may_be_line and run.read(is_pay_line, int(what)):
        subject: dict[str, Any] = {"pay_line_id": int(what)}
    else:
        subject = {"document_id": what}
    run.send("explain", show=run.facts, cut_off_date=cut_off, **subject)


def history(
    run: Run,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT|INVOICE|DEBTOR|NUMBER",
            help="Also a batch, a billing company, `pay-line N`, or a command id.",
        ),
    ],
    changes: Annotated[
        bool, typer.Option("--changes", help="Show before and after of each command.")
    ] = False,
    limit: Limit = 200,
) -> None:
    """Show who did what, when and why: commands, accepted or refused, and what happened to the
    document.
    """
    from services.console.queries.history import history as read_history

    entries = run.read(read_history, subject, limit)
    run.document({"subject": subject, "entries": entries})
    if changes:
        for entry in entries:
            run.facts({name: entry.get(name) for name in CHANGES})
            run.say()
    else:
        search = f"backoffice invoices search --text {subject}"
        run.table(
            entries,
            HISTORY,
            empty=f"nothing is known of {subject}: check its spelling, or try `{search}`",
        )
