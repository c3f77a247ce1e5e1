"""Which discounts and surcharges a document of a batch takes, and in which order.

Percentages are taken by every document with debits. A fixed amount is taken once per debtor and
currency: by the first document, in the order of their numbers, that has original lines of the kind
that it applies to. Corrections never take one.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from services.invoicer.debtors.rules.allowances import AllowanceTerm, in_order
from services.invoicer.invoices.rules.documents import Group


class GroupAllowance(NamedTuple):
    """A discount or surcharge that a group of lines takes; the first `position` is 1."""

    group_no: int
    position: int
    term: AllowanceTerm


class OriginalLines(NamedTuple):
    """Which kinds of original lines a group has: lines that bill something for the first time."""

    timesheets: bool = False
    products: bool = False

    def of(self, term: AllowanceTerm) -> bool:
        """Return whether there are lines that a term applies to."""
        kinds = {"all": self.timesheets or self.products}
        kinds |= {"timesheets": self.timesheets, "products": self.products}
        return kinds[term.applies_to]


def allowances_of_groups(
    groups: Sequence[Group],
    terms: Mapping[str, Sequence[AllowanceTerm]],
    original_lines: Mapping[int, OriginalLines],
    staying_open: Collection[int] = (),
) -> list[GroupAllowance]:
    """Return the allowances of the groups in the order in which each takes them.

    `terms`: by Account Name. `staying_open`: the numbers of groups that come to zero with a fixed
    amount: they stay open, so the next document of the debtor takes it as well.
    """
    taken: set[tuple[str, str, str]] = set()
    found = []
    for group in sorted(groups, key=lambda each: (each.split_keys, each.credit_split)):
        position = 0
        for term in in_order(terms.get(group.account_name, ())):
            if term.currency not in ("", group.currency):
                continue
            if term.amount is not None:
                once = (group.account_name, group.currency, term.name)
                lines = original_lines.get(group.group_no, OriginalLines())
                if once in taken or not lines.of(term):
                    continue
                if group.group_no not in staying_open:
                    taken.add(once)
            position += 1
            found.append(GroupAllowance(group.group_no, position, term))
    return found


def staying_open(
    groups: Sequence[Group],
    taken: Sequence[GroupAllowance],
    zero_document_debtors: Collection[str] = (),
) -> set[int]:
    """Return the numbers of groups that take a fixed amount and come to zero with it."""
    with_amount = {each.group_no for each in taken if each.term.amount is not None}
    return {
        group.group_no
        for group in groups
        if group.group_no in with_amount
        and not (group.net or group.tax)
        and group.account_name not in zero_document_debtors
    }
