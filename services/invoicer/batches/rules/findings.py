"""How findings are put into words: a count with the first ids, one finding for each cause, a warning or a note about a number of things."""

from collections.abc import Mapping, Sequence

from services.invoicer.batches.rules.health_snapshot import CountedIds
from shared.events.billing import Finding
from shared.terms import counted

MOST_IDS = 20


def count_by_id(counts: Mapping[str, int]) -> CountedIds:
    """Counts of things by id."""
    return CountedIds(sum(counts.values()), tuple(sorted(counts)[:MOST_IDS]))


def counted_ids(ids: Sequence[str]) -> CountedIds:
    """Things of which only the ids count."""
    return CountedIds(len(ids), tuple(ids[:MOST_IDS]))


def lines(count: int) -> str:
    """So many lines, in words."""
    return counted(count, "line")


def by_cause(causes: Mapping[str, str], severity: str, code: str, fix: str) -> list[Finding]:
    """One finding for each cause, about all debtors that have it."""
    names: dict[str, list[str]] = {}
    for name, why in sorted(causes.items()):
        names.setdefault(why, []).append(name)
    return [
        Finding.model_validate(
            {
                "severity": severity,
                "code": code,
                "about": "debtor",
                "message": f"{alike[0] if len(alike) == 1 else counted(len(alike), 'debtor')}: {why}",
                "fix": fix,
                "count": len(alike),
                "ids": tuple(alike[:MOST_IDS]),
            }
        )
        for why, alike in names.items()
    ]


def warning(these: CountedIds, code: str, about: str, what: str, fix: str) -> list[Finding]:
    """A warning, if there are any."""
    return _counted("warning", these, code, about, what, fix)


def info(these: CountedIds, code: str, about: str, what: str, fix: str) -> list[Finding]:
    """A note, if there are any."""
    return _counted("info", these, code, about, what, fix)


def _counted(
    severity: str, these: CountedIds, code: str, about: str, what: str, fix: str
) -> list[Finding]:
    if not these.count:
        return []
    body = {
        "severity": severity,
        "code": code,
        "about": about,
        "message": f"{these.count:,} {what}",
        "fix": fix,
        "count": these.count,
    }
    return [Finding.model_validate(body | {"ids": these.ids})]
