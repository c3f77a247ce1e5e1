"""What an operator narrows a batch to: some groups only, without some debtors, with another rule for missing timesheets.

What is left out stays open and is billed by a later batch. The digest of a preview covers the narrowing.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.invoicer.batches.rules import reasons
from services.invoicer.debtors.rules.companies import similar_names
from services.invoicer.debtors.rules.cycles import NO_GROUP, TimeGroup, check_periods_reach
from shared.errors import Refused

MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """`groups` empty: every group. `only`: just these debtors (None: every one). `missing_timesheets` takes the place of each debtor's own rule."""

    groups: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    missing_timesheets: str | None = None
    only: frozenset[str] | None = None

    def left_out(self, account_name: str, group: str) -> str:
        """The reason for which a debtor's lines are not in this batch; empty: they may be."""
        if self.groups and (group or NO_GROUP) not in self.groups:
            return reasons.GROUP_NOT_CHOSEN
        if account_name in self.excluded or (
            self.only is not None and account_name not in self.only
        ):
            return reasons.DEBTOR_LEFT_OUT
        return ""

    @property
    def settings(self) -> dict[str, Any]:
        """By name, only what narrows."""
        found: dict[str, Any] = {}
        if self.groups:
            found["groups"] = sorted(self.groups)
        if self.excluded:
            found["excluded debtors"] = sorted(self.excluded)
        if self.missing_timesheets is not None:
            found["rule for missing timesheets"] = self.missing_timesheets
        if self.only is not None:
            found["only debtors"] = sorted(self.only)
        return found

    @property
    def written(self) -> str:
        """For the digest; empty for a batch that is not narrowed."""
        return (
            json.dumps(self.settings, sort_keys=True, ensure_ascii=False) if self.settings else ""
        )


NO_FILTER = BatchFilter()


def check_groups(
    batch_filter: BatchFilter, known: Iterable[str], groups: Mapping[str, TimeGroup], cut_off: Any
) -> None:
    """Refuses groups that do not exist, with those that do, and one whose custom periods end before the cut-off."""
    names = sorted({*known, NO_GROUP})
    unknown = sorted(batch_filter.groups - set(names))
    if unknown:
        raise Refused(
            "unknown_time_group",
            f"there is no time group {', '.join(repr(each) for each in unknown)}; there are {', '.join(names[:MOST_NAMED])}",
            "name one of them; `none` are the debtors without a time group. `backoffice time-groups list` shows all",
        )
    for name in sorted(batch_filter.groups & groups.keys()):
        wrong = check_periods_reach(groups[name], cut_off)
        if wrong:
            raise Refused(
                "cut_off_beyond_periods",
                wrong,
                f"add periods with `backoffice time-groups set {name} --cycle custom --file ...`, or take an earlier cut-off",
            )


def check_excluded_debtors(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Refuses Account Names that nobody has, with those that look like them: a misspelt one would be billed against the operator's will."""
    names = sorted(unknown)
    if not names:
        return
    alike = sorted({match for name in names for match in similar_names(name, known)})
    raise Refused(
        "unknown_debtor",
        f"no debtor has the Account Name {', '.join(repr(each) for each in names[:MOST_NAMED])}",
        f"did you mean {', '.join(repr(each) for each in alike[:MOST_NAMED])}?"
        if alike
        else "see `backoffice batch groups` for the debtors",
        close=alike[:MOST_NAMED],
    )
