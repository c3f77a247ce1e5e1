"""Why a line is what it is, and who did what, as the console explains it. On a real PostgreSQL."""

import json

import pytest

from services.console.queries import explanations, history
from shared.errors import Refused
from tests.fault_injection import RowInserter
from tests.handlers.test_console_reads import Insert, Read, insert, read, sample_data

__all__ = ["insert", "read"]


async def test_why_names_document_realization_and_node(read: Read, insert: Insert) -> None:
    """An invoiced line: timesheet and revision, realization, rate version, and the node of the
    document with its level.
    """
    ids = await insert(sample_data)
    explained = await read(
        lambda connection: explanations.explain_pay_line(connection, ids["invoiced"])
    )
    assert explained["place"]["invoice_number"] == "INV-000007"
    assert {
        name: explained["document"][name]
        for name in ("document_id", "source_id", "revision", "realization_no")
    } == {
        "document_id": "T-1",
        "source_id": "T-1",
        "revision": 1,
        "realization_no": 1,
    }
    assert explained["rate"]["rate_version"] == "2020-01-01@50"
    assert explained["derivation"]["formula"] == "40 × 50.00 = 2000.00"
    assert (
        explained["billto"]["node"],
        explained["billto"]["level"],
        explained["billto"]["account_name"],
    ) == ("office-1", "office", "office-1 account")


async def test_why_of_a_credit_is_the_invoice_that_it_corrects(read: Read, insert: Insert) -> None:
    """A credit is never resolved again: it goes to the debtor of the invoice that it corrects,
    named with number and line.
    """
    ids = await insert(sample_data)
    for name, line in (("credit", 1), ("open credit", 2)):
        billto = (
            await read(
                lambda connection, pay_line=ids[name]: explanations.explain_pay_line(
                    connection, pay_line
                )
            )
        )["billto"]
        assert billto == {
            "account_name": "office-1 account",
            "as": "the invoice that it corrects",
            "corrects_invoice": "INV-000007",
            "corrects_line": line,
        }


async def test_why_of_an_open_line_walks_up_to_the_account_name(read: Read, insert: Insert) -> None:
    """The lowest node with a non-empty Account Name wins; without one the line is billed to
    no debtor.
    """
    ids = await insert(sample_data)
    nodes = [
        ("office-1", 3, "client-1", ""),
        ("client-1", 2, "company-1", "Mercy"),
        ("company-1", 1, None, "Mercy Group"),
    ]

    async def grow(inserter: RowInserter) -> None:
        for node, level, parent, account in nodes:
            await inserter.run(
                "INSERT INTO invoicer.billto_node (node_id, revision, level, parent_id, name,"
                " account_name, address, tax_id, body)"
                " VALUES (:node, 1, :level, :parent, :node, :account, '', '', '{}')",
                node=node,
                level=level,
                parent=parent,
                account=account,
            )

    assert (
        await read(lambda connection: explanations.explain_pay_line(connection, ids["pending"]))
    )["billto"]["account_name"] is None
    await insert(grow)
    billto = (
        await read(lambda connection: explanations.explain_pay_line(connection, ids["pending"]))
    )["billto"]
    assert (billto["account_name"], billto["node"], billto["level"], len(billto["path"])) == (
        "Mercy",
        "client-1",
        "client",
        3,
    )
    await insert(lambda inserter: inserter.run("UPDATE invoicer.billto_node SET account_name = ''"))
    assert (
        await read(lambda connection: explanations.explain_pay_line(connection, ids["pending"]))
    )["billto"]["account_name"] is None
    with pytest.raises(Refused, match="unknown_pay_line"):
        await read(lambda connection: explanations.explain_pay_line(connection, 999_999))


async def test_history_shows_who_and_why(read: Read, insert: Insert) -> None:
    """By document, line, invoice, bare number, debtor: commands with actor and reason, accepted
    or refused, and what happened in between.
    """
    ids = await insert(sample_data)

    async def commands(inserter: RowInserter) -> None:
        for command_id, service, subjects, outcome in (
            ("B-1", "invoicer", ["acme-us", "B-1"], "accepted"),
            ("c-9", "invoicer", [f"pay-line {ids['pending']}"], "refused"),
            ("c-10", "fee_realizer", ["T-3"], "accepted"),
        ):
            await inserter.run(
                f"INSERT INTO {service}.command (command_id, command, actor, reason, body,"
                " body_sha256, outcome, result, before, after, subjects)"
                " VALUES (:id, 'some-command', 'kim', 'because', '{}', '', :outcome, CAST(:result"
                " AS jsonb), '{\"x\": 1}', NULL, :subjects)",
                id=command_id,
                outcome=outcome,
                result=json.dumps({"code": "ok", "message": "done"}),
                subjects=subjects,
            )

    await insert(commands)

    async def ids_of(subject: str) -> set[str]:
        return {
            entry["command_id"]
            for entry in await read(lambda connection: history.history(connection, subject))
            if entry.get("command_id")
        }

    assert await ids_of("T-3") == {"c-9", "c-10"}
    assert await ids_of(str(ids["pending"])) == {"c-9"}
    assert await ids_of("INV-000007") == {"B-1"}
    assert await ids_of("7") == {"B-1"} | ({"c-9"} if ids["pending"] == 7 else set())
    assert await ids_of("office-1 account") == {"B-1"}
    assert await ids_of("c-10") == {"c-10"}
    assert "c-2" in await ids_of("10")
    entries = await read(lambda connection: history.history(connection, "T-1"))
    assert {"realization 1", "realization 2", "invoiced"} <= {entry["what"] for entry in entries}
    assert [entry["message"] for entry in entries if entry["what"] == "invoiced"] == [
        "invoice INV-000007 of office-1 account, line 1",
        "credit-note INV-000008 of office-1 account, line 1",
    ]
    assert (
        await read(lambda connection: history.history(connection, "nothing of the kind' OR 1=1"))
        == []
    )
