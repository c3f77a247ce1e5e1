"""Code mappings of connections: what is mapped, what is wrong with it, what the billing company
has.
"""

from typing import Any

from services.console.queries.deliveries import ledgers
from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.terms import similar_names

KINDS = ("time", "product")
"""Our codes for all time and for all products."""
ALLOWANCES = ("discount", "surcharge")
"""Our codes for discounts and surcharges; without them each line has its share."""


async def mapping_of(connection: ReadConnection, ledger: str) -> dict[str, Any]:
    """The rows of a mapping, its problems as the last test found them, and the codes of the billing
    company by kind. Refused if there is no such connection.
    """
    (found,) = await ledgers(connection, ledger)
    rows = await fetch(
        connection,
        "SELECT what, code, remote, actor, mapped_at FROM arg_sync.console_mapping"
        " WHERE ledger = :ledger ORDER BY what, code",
        ledger=ledger,
    )
    problems = await fetch(
        connection,
        "SELECT what, code, remote, message FROM arg_sync.console_mapping_problem"
        " WHERE ledger = :ledger ORDER BY what, code",
        ledger=ledger,
    )
    (kind,) = await fetch(
        connection,
        "SELECT coalesce((SELECT capabilities ->> 'line_code' FROM arg_sync.console_ledger_kind"
        " WHERE kind = :kind), 'either') AS line_code",
        kind=found["kind"],
    )
    ours = await fetch(
        connection,
        "SELECT what, code FROM fee_realizer.console_company_code"
        " WHERE billing_company = :company ORDER BY what, code",
        company=found["billing_company"],
    )
    messages = {(each["what"], each["code"]): each["message"] for each in problems}
    codes: dict[str, list[str]] = {}
    for each in ours:
        codes.setdefault(each["what"], []).append(each["code"])
    return {
        "ledger": ledger,
        "billing_company": found["billing_company"],
        "line_code": kind["line_code"],
        "tested_at": found["checked_at"],
        "rows": [row | {"problem": messages.get((row["what"], row["code"]), "")} for row in rows],
        "problems": problems,
        "ours": codes,
    }


def template_rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """What a mapping may name: its rows, and the codes of the billing company that it lacks."""
    ours, mapped = found["ours"], {(row["what"], row["code"]): row for row in found["rows"]}
    line = "item" if found["line_code"] == "item" else "account"
    wanted = [(line, code) for code in ("", *KINDS)]
    wanted += [(line, code) for code in (*ours.get("time", ()), *ours.get("item", ()))]
    wanted += [("tax", code) for code in ours.get("tax", ())]
    return [
        {"what": what, "code": code, "remote": mapped[what, code]["remote"]}
        for what, code in sorted(mapped)
    ] + [
        {"what": what, "code": code, "remote": ""}
        for what, code in wanted
        if (what, code) not in mapped and ("item", code) not in mapped
    ]


def unknown_codes(found: dict[str, Any], rows: list[Row]) -> list[str]:
    """The mapped codes that the billing company does not have, each with those near it."""
    ours = found["ours"]
    sold = {*KINDS, *ALLOWANCES, *ours.get("time", ()), *ours.get("item", ())}
    known = {"account": sold, "item": sold, "tax": set(ours.get("tax", ()))}
    notes = []
    for row in rows:
        what, code = row["what"], row["code"]
        if not code or what not in known or code in known[what]:
            continue
        near = similar_names(code, known[what])
        hint = f"; do you mean {', '.join(near)}?" if near else ""
        notes.append(f"{found['billing_company']} has no {what} code {code!r}{hint}")
    return notes
