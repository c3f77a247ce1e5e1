"""Billto: the lowest node with an Account Name is invoiced; node revisions."""

import pytest

from services.invoicer.debtors.rules.billto import NodeState, follow_revisions, revision_effect
from shared.events.ats import BilltoChanged
from shared.terms import BilltoLevel
from tests.builders import node
from tests.twins import BilltoNode, path, resolve


def nodes(*rows: tuple[str, BilltoLevel, str | None, str]) -> dict[str, BilltoNode]:
    """Nodes by id: level, parent, Account Name."""
    return {
        node_id: BilltoNode(node_id, level, parent, account)
        for node_id, level, parent, account in rows
    }


@pytest.mark.parametrize(
    ("company", "client", "office", "debtor"),
    [
        ("C", "L", "O", "office"),
        ("C", "L", "", "client"),
        ("C", "", "", "company"),
        ("", "L", "", "client"),
        ("", "", "", None),
    ],
)
def test_the_lowest_node_with_an_account_name_wins(
    company: str, client: str, office: str, debtor: str | None
) -> None:
    """Company → Client → Office, the lowest node with a non-empty Account
    Name wins.
    """
    tree = nodes(
        ("company", "company", None, company),
        ("client", "client", "company", client),
        ("office", "office", "client", office),
    )
    found = resolve(tree, "office")
    assert (found and found.node_id) == debtor


def test_a_staffing_hierarchy_starts_at_the_client() -> None:
    """Company exists in the RPO edition; a Staffing hierarchy starts at
    Client.
    """
    assert [
        one.node_id
        for one in path(nodes(("c", "client", None, "C"), ("o", "office", "c", "")), "o")
    ] == ["o", "c"]


def test_an_office_may_hang_on_a_company() -> None:
    """A parent is always of a higher level, not always of the next one."""
    found = resolve(nodes(("c", "company", None, "C"), ("o", "office", "c", "")), "o")
    assert found is not None
    assert found.node_id == "c"


def test_an_unknown_parent_ends_the_path() -> None:
    """Parents may be unknown for a while."""
    assert resolve(nodes(("o", "office", "no one", "")), "o") is None
    assert resolve({}, "o") is None


def test_a_parent_that_is_not_higher_is_passed_over() -> None:
    """A parent is always of a higher level; a circle leads nowhere."""
    tree = nodes(
        ("a", "client", "b", ""),
        ("b", "client", "a", "B"),
        ("o", "office", "o", ""),
        ("c", "company", "a", ""),
    )
    assert [resolve(tree, node_id) for node_id in ("a", "o", "c")] == [None, None, None]


def revisions(*events: BilltoChanged) -> dict[tuple[str, int], BilltoChanged]:
    """Known revisions."""
    return {(event.node_id, event.revision): event for event in events}


def test_a_newer_revision_takes_effect_and_an_older_one_is_recorded() -> None:
    """The same again is a repeat, other values are a conflict, an older revision is
    recorded without effect.
    """
    three = node(revision=3)
    events = [
        three,
        node(revision=2),
        node(revision=5),
        node(revision=3),
        node(revision=3, name="other"),
    ]
    changes = follow_revisions({}, {}, events)
    assert changes.effects == ("takes effect", "recorded", "takes effect", "repeat", "conflict")
    assert changes.states["office-1"] == NodeState(5, closed=False)


def test_a_tombstone_closes_and_keeps() -> None:
    """A tombstone on a compacted topic means closed from now on, never deleted."""
    changes = follow_revisions(
        {"office-1": NodeState(1, closed=False)}, revisions(node()), ["office-1", "no one"]
    )
    assert changes.effects == ("closes", "repeat")
    assert changes.states == {"office-1": NodeState(1, closed=True)}


@pytest.mark.parametrize(
    "log",
    [
        [node(), "office-1"],
        [node(), "office-1", node(revision=2)],
        [node(), "office-1", node()],
        [node(revision=2), "office-1", node(revision=1)],
    ],
    ids=["closed", "opened by a newer one", "opened by a repeat", "stays closed"],
)
def test_reading_the_whole_topic_again_changes_nothing(log: list[BilltoChanged | str]) -> None:
    """A replay of a whole topic changes no table: the last word of the topic counts."""
    first = follow_revisions({}, {}, log)
    before = revisions(*(event for event in log if not isinstance(event, str)))
    assert follow_revisions(first.states, before, log).states == first.states


def test_only_a_higher_revision_is_newer() -> None:
    """The revision in force takes no effect a second time."""
    assert [revision_effect(node(revision=2), current, None) for current in (None, 1, 2, 3)] == [
        "takes effect",
        "takes effect",
        "recorded",
        "recorded",
    ]
