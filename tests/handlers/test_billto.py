"""Billto nodes on a real PostgreSQL: revisions, tombstones, and that SQL and rule find the same
debtor.
"""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.invoicer.debtors.handlers import billto
from services.invoicer.debtors.rules.billto import LEVEL_NUMBERS
from services.invoicer.debtors.store.billto import RESOLVED_NODE_SQL
from shared.broker.topics import BILLTO_CHANGED
from shared.terms import LEVELS
from tests.builders import node, record
from tests.conftest import EngineOf, UnitOfWorkFor, process
from tests.handlers.settled import Invoicer, invoicer
from tests.twins import BilltoNode, resolve

NODES = "SELECT node_id, revision, closed, name FROM invoicer.billto_node ORDER BY node_id"


@pytest.fixture
def unit_of_work(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf) -> Invoicer:
    """The invoicer's subscriptions."""
    return invoicer(unit_of_work_for, engine_of)


async def test_a_node_is_kept_with_what_we_do_not_know(unit_of_work: Invoicer) -> None:
    """Unknown fields from the ATS are ignored and kept in the stored body."""
    body = json.loads(node().model_dump_json()) | {"segment": "health"}
    await process(
        unit_of_work.unit_of_work,
        billto.SUBSCRIPTION,
        [record(BILLTO_CHANGED.name, body, "office-1")],
    )
    (row,) = await unit_of_work.rows("SELECT level, account_name, body FROM invoicer.billto_node")
    assert (row.level, row.account_name, row.body["segment"]) == (
        LEVEL_NUMBERS["office"],
        "office-1 account",
        "health",
    )


async def test_revisions_in_any_order_end_in_the_newest(unit_of_work: Invoicer) -> None:
    """The newest revision takes effect, older ones are only recorded.

    The same revision again is a repeat; with other values it is a dead letter.
    """
    await unit_of_work.consume_nodes(node(revision=2, name="two"))
    await unit_of_work.consume_nodes(
        node(revision=1, name="one"),
        node(revision=3, name="three"),
        node(revision=2, name="two"),
        node(revision=3, name="drei"),
    )
    assert [tuple(row) for row in await unit_of_work.rows(NODES)] == [
        ("office-1", 3, False, "three")
    ]
    assert len(await unit_of_work.rows("SELECT 1 FROM invoicer.billto_revision")) == 3
    assert [
        row.code for row in await unit_of_work.rows("SELECT code FROM invoicer.dead_letter")
    ] == ["conflict"]


async def test_a_tombstone_closes_the_node_and_keeps_it(unit_of_work: Invoicer) -> None:
    """A tombstone on a compacted topic means closed from now on, never deleted."""
    await unit_of_work.consume_nodes(node(), "office-1", "no one")
    assert [tuple(row) for row in await unit_of_work.rows(NODES)] == [
        ("office-1", 1, True, "office-1")
    ]
    await unit_of_work.consume_nodes(node(revision=2, name="again"))
    assert [tuple(row) for row in await unit_of_work.rows(NODES)] == [
        ("office-1", 2, False, "again")
    ]
    await unit_of_work.consume_nodes("office-1")
    assert [row.closed for row in await unit_of_work.rows(NODES)] == [True]


async def test_reading_the_topic_again_changes_nothing(unit_of_work: Invoicer) -> None:
    """A replay of a whole topic changes no table."""
    log = [node(), "office-1", node(revision=2), node("c", "client"), "c", node(revision=1)]
    await unit_of_work.consume_nodes(*log)
    tables = [
        await unit_of_work.rows(f"SELECT t::text FROM invoicer.{table} t ORDER BY 1")
        for table in ("billto_node", "billto_revision", "dead_letter")
    ]
    await unit_of_work.consume_nodes(*log)
    for one in log:
        await unit_of_work.consume_nodes(one)
    again = [
        await unit_of_work.rows(f"SELECT t::text FROM invoicer.{table} t ORDER BY 1")
        for table in ("billto_node", "billto_revision", "dead_letter")
    ]
    assert again == tables


async def test_a_tombstone_without_a_key_is_a_dead_letter(unit_of_work: Invoicer) -> None:
    """An unreadable message is a dead letter; the others are processed."""
    await process(
        unit_of_work.unit_of_work,
        billto.SUBSCRIPTION,
        [record(BILLTO_CHANGED.name, node()), record(BILLTO_CHANGED.name, None, None)],
    )
    assert [
        row.code for row in await unit_of_work.rows("SELECT code FROM invoicer.dead_letter")
    ] == ["no_key"]
    assert len(await unit_of_work.rows(NODES)) == 1


def _tree(seed: int) -> dict[str, BilltoNode]:
    draw = random.Random(seed)
    ids = [f"n{number}" for number in range(40)]
    return {
        one: BilltoNode(
            one,
            draw.choice(LEVELS),
            draw.choice([None, "unknown", *ids]),
            draw.choice(["", "", "A", "B"]),
        )
        for one in ids
    }


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_random_tree_leads_upwards_only(seed: int) -> None:
    """A debtor is never on a lower level than the node that it pays for."""
    tree = _tree(seed)
    for one in tree.values():
        debtor = resolve(tree, one.node_id)
        assert debtor is None or LEVEL_NUMBERS[debtor.level] <= LEVEL_NUMBERS[one.level]


async def test_sql_and_rule_find_the_same_debtor(unit_of_work: Invoicer) -> None:
    """The rule in SQL and the rule in Python give the same debtor."""
    for seed in range(10):
        tree = _tree(seed)
        revision = seed + 1
        await unit_of_work.consume_nodes(
            *(
                node(
                    one.node_id,
                    one.level,
                    revision,
                    parent_id=one.parent_id,
                    account_name=one.account_name,
                )
                for one in tree.values()
            )
        )
        for row in await unit_of_work.rows(RESOLVED_NODE_SQL):
            debtor = resolve(tree, row.node_id)
            expected = (
                (None, None, None)
                if debtor is None
                else (debtor.node_id, LEVEL_NUMBERS[debtor.level], debtor.account_name)
            )
            assert (row.debtor_node, row.debtor_level, row.account_name) == expected, (
                seed,
                row.node_id,
            )
