"""Limits a batch to groups, debtors, options or documents, or sets a rule for missing timesheets.

Lines that the filter leaves out stay open until a later batch bills them. The digest of a preview
covers the filter.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.invoicer.batches.rules import reasons
from services.invoicer.debtors.rules.cycles import NO_GROUP, TimeGroup, check_periods_reach
from shared.errors import Refused
from shared.terms import similar_names

MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """What an operator limits a batch to.

    `groups` empty: every group. `only`: just these debtors; None: every debtor.
    `missing_timesheets` replaces each debtor's own rule. `documents` and `workers`: just the lines
    of these documents and of these workers, whatever else is due; both empty: every line.
    `options`: just the lines that these invoice options take; empty: every line.
    """

    groups: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    missing_timesheets: str | None = None
    only: frozenset[str] | None = None
    documents: frozenset[str] = frozenset()
    workers: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    exclude_credits: bool = False

    def left_out(self, account_name: str, group: str) -> str:
        """Return the reason that leaves a debtor's lines out; empty if they may be in."""
        if self.groups and (group or NO_GROUP) not in self.groups:
            return reasons.GROUP_NOT_CHOSEN
        if account_name in self.excluded or (
            self.only is not None and account_name not in self.only
        ):
            return reasons.DEBTOR_LEFT_OUT
        return ""

    @property
    def settings(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        settings: dict[str, Any] = {
            "groups": sorted(self.groups) or None,
            "excluded debtors": sorted(self.excluded) or None,
            "rule for missing timesheets": self.missing_timesheets,
            "only debtors": None if self.only is None else sorted(self.only),
            **self.chosen,
        }
        return {name: value for name, value in settings.items() if value is not None}

    @property
    def chosen(self) -> dict[str, Any]:
        """What of the lines is chosen, by name; empty if every line is. `chosen_again` reads it."""
        chosen: dict[str, Any] = {
            "documents": sorted(self.documents),
            "workers": sorted(self.workers),
            "options": sorted(self.options),
            "exclude credits": self.exclude_credits,
        }
        return {name: value for name, value in chosen.items() if value}

    @property
    def written(self) -> str:
        """The settings as text, for the digest; empty without any."""
        return (
            json.dumps(self.settings, sort_keys=True, ensure_ascii=False) if self.settings else ""
        )


NO_FILTER = BatchFilter()


def chosen_again(chosen: Mapping[str, Any], only: frozenset[str]) -> BatchFilter:
    """Return the filter of a batch with the stored choice of an earlier one, for these debtors."""
    return BatchFilter(
        only=only,
        documents=frozenset(chosen.get("documents", ())),
        workers=frozenset(chosen.get("workers", ())),
        options=frozenset(chosen.get("options", ())),
        exclude_credits=chosen.get("exclude credits", False),
    )


def check_groups(
    batch_filter: BatchFilter, known: Iterable[str], groups: Mapping[str, TimeGroup], cut_off: Any
) -> None:
    """Refuse unknown groups, and a group whose custom periods end before the cut-off."""
    names = sorted({*known, NO_GROUP})
    unknown = sorted(batch_filter.groups - set(names))
    if unknown:
        raise Refused(
            "unknown_time_group",
            f"time group {_quoted(unknown)} does not exist; known are"
            f" {', '.join(names[:MOST_NAMED])}",
            "name a known one, or `none` for the debtors without a time group;"
            " `backoffice time-groups list` shows all",
        )
    for name in sorted(batch_filter.groups & groups.keys()):
        wrong = check_periods_reach(groups[name], cut_off)
        if wrong:
            raise Refused(
                "cut_off_beyond_periods",
                wrong,
                f"add periods with `backoffice time-groups set {name} --cycle custom --file ...`,"
                " or take an earlier cut-off",
            )


def check_excluded_debtors(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Refuse Account Names that no debtor has, and name similar ones.

    A batch would bill a debtor whose name was misspelt, although the operator excluded it.
    """
    names = sorted(unknown)
    if not names:
        return
    alike = sorted({match for name in names for match in similar_names(name, known)})
    raise Refused(
        "unknown_debtor",
        f"no debtor has the Account Name {_quoted(names)}",
        f"did you mean {_quoted(alike)}?"
        if alike
        else "see `backoffice batch groups` for the debtors",
        close=alike[:MOST_NAMED],
    )


def check_options(chosen: Iterable[str], known: Iterable[str], billing_company: str) -> None:
    """Refuse invoice options that a billing company does not have on the date of the documents."""
    names = sorted(set(chosen).difference(known))
    if names:
        raise Refused(
            "unknown_option",
            f"{billing_company} has no invoice option {_quoted(names)} on the invoice date;"
            f" it has {_quoted(sorted(known)) or 'none'}",
            "name one of these, or set it: `backoffice options set NAME`",
            ids=names[:MOST_NAMED],
        )


def check_chosen(kind: str, unknown: Iterable[str], billing_company: str) -> None:
    """Refuse chosen documents or workers that are unknown. `kind`: document or worker."""
    names = sorted(unknown)
    if names:
        named = f"{kind}s {_quoted(names)} are" if len(names) > 1 else f"{kind} {names[0]!r} is"
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise Refused(
            f"unknown_{kind}",
            f"{named} unknown{more} to {billing_company}",
            "see `backoffice pay-lines list` for what is open, and choose again",
            ids=names[:MOST_NAMED],
        )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in list(names)[:MOST_NAMED])
