"""The lag of each consumer group over the last hour, in memory of a fixed size.

`shared.lag_exporter` adds a sample at each reading and serves them as JSON, so that an hour of lag
can be seen where no Prometheus runs. Everything is allocated at the start: 801 samples of six
numbers for each group, whatever happens, which is about 1 MB for all our groups.
"""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.consumer.lag import GroupLag

HOUR_SECONDS = 3600.0
SAMPLE_SECONDS = 5.0
"""Samples are kept at least this far apart, however often the lag is read."""
TOLERANCE_SECONDS = 0.5
SAMPLES = int(HOUR_SECONDS / (SAMPLE_SECONDS - TOLERANCE_SECONDS)) + 1
MEASURES = ("behind", "seconds", "read", "written", "members", "partitions")
"""What is kept of a group: records to read, age of the oldest of them in seconds, the sum of its
positions and of the ends of its partitions (offsets), its members, and its partitions."""
UNKNOWN = math.nan


class LagHistory:
    """The newest reading, and samples of the last hour."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._groups = dict(sorted(groups.items()))
        self._times = array("d", [UNKNOWN]) * SAMPLES
        self._kept = {
            group: {name: array("d", [UNKNOWN]) * SAMPLES for name in MEASURES}
            for group in self._groups
        }
        self._newest: dict[str, dict[str, float]] = {}
        self._newest_at = UNKNOWN
        self._count = 0

    def add(self, at: float, lags: Iterable[GroupLag], members: Mapping[str, int | None]) -> None:
        """Add a reading of time `at` (seconds since 1970); a reading without rows is a gap."""
        self._newest = _by_group(lags, members)
        self._newest_at = at
        if self._count and at - self._at(self._count - 1) < SAMPLE_SECONDS - TOLERANCE_SECONDS:
            return
        place = self._count % SAMPLES
        self._times[place] = at
        for group, kept in self._kept.items():
            found = self._newest.get(group, {})
            for name, values in kept.items():
                values[place] = found.get(name, UNKNOWN)
        self._count += 1

    def as_dict(self, points: int = SAMPLES, group: str | None = None) -> dict[str, Any]:
        """The newest reading of each group, or of one, and its last hour as JSON.

        Times are seconds since 1970, `in` and `out` records a second. A history has at most about
        `points` points: several samples become one with their largest lag and their mean rates.
        None stands for what was not known then.
        """
        numbers = self._numbers()
        step = max(1, math.ceil(len(numbers) / max(1, points)))
        chunks = [numbers[start : start + step] for start in range(0, len(numbers), step)]
        chunks = chunks if points > 0 else []
        return {
            "at": _known(self._newest_at),
            "known_since": self._at(numbers[0]) if numbers else None,
            "sample_seconds": SAMPLE_SECONDS,
            "times": [self._at(chunk[-1]) for chunk in chunks],
            "groups": [
                self._row(name, numbers) | {"history": self._history(name, numbers, chunks)}
                for name in self._groups
                if group in (None, name)
            ],
        }

    def _row(self, group: str, numbers: Sequence[int]) -> dict[str, Any]:
        """One group now. Its rates are those since the last samples but one."""
        found = self._newest.get(group, {})
        before = numbers[-2:-1] or numbers[-1:]
        rates = {
            name: self._rate(group, measure, before[0], None) if before else None
            for name, measure in (("in", "written"), ("out", "read"))
        }
        counts = ("behind", "members", "partitions")
        return {
            "group": group,
            "topic": self._groups[group],
            **{name: _whole(found.get(name, UNKNOWN)) for name in counts},
            "seconds": _known(found.get("seconds", UNKNOWN)),
            **rates,
        }

    def _history(
        self, group: str, numbers: Sequence[int], chunks: Sequence[Sequence[int]]
    ) -> dict[str, list[float | None]]:
        kept = self._kept[group]
        firsts = [chunk[0] - 1 if chunk[0] > numbers[0] else chunk[0] for chunk in chunks]
        pairs = [(first, chunk[-1]) for first, chunk in zip(firsts, chunks, strict=True)]
        return {
            "behind": [_largest(kept["behind"], chunk) for chunk in chunks],
            "seconds": [_largest(kept["seconds"], chunk) for chunk in chunks],
            "members": [_largest(kept["members"], chunk[-1:]) for chunk in chunks],
            "in": [self._rate(group, "written", first, last) for first, last in pairs],
            "out": [self._rate(group, "read", first, last) for first, last in pairs],
        }

    def _rate(self, group: str, measure: str, first: int, last: int | None) -> float | None:
        """Records a second between two samples; from a sample up to the newest reading."""
        kept = self._kept[group][measure]
        end, at = (
            (self._newest.get(group, {}).get(measure, UNKNOWN), self._newest_at)
            if last is None
            else (kept[last % SAMPLES], self._at(last))
        )
        passed = at - self._at(first)
        moved = end - kept[first % SAMPLES]
        # A topic that was made again begins at 0.
        return None if passed <= 0 or math.isnan(moved) else round(max(0.0, moved / passed), 3)

    def _numbers(self) -> list[int]:
        """The samples of the last hour before the newest reading, the oldest first."""
        oldest = self._newest_at - HOUR_SECONDS - TOLERANCE_SECONDS
        kept = range(max(0, self._count - SAMPLES), self._count)
        return [number for number in kept if self._at(number) >= oldest]

    def _at(self, number: int) -> float:
        return self._times[number % SAMPLES]


def _by_group(
    lags: Iterable[GroupLag], members: Mapping[str, int | None]
) -> dict[str, dict[str, float]]:
    """The measures of each group, over its partitions."""
    found: dict[str, dict[str, float]] = {}
    unknown: set[str] = set()
    for one in lags:
        row = found.setdefault(one.group, dict.fromkeys(MEASURES, 0.0))
        row["behind"] += one.behind
        if one.seconds is None:
            unknown.add(one.group)
        else:
            row["seconds"] = max(row["seconds"], one.seconds)
        row["read"] += one.position
        row["written"] += one.end
        row["partitions"] += 1
    for group, row in found.items():
        number = members.get(group)
        row["members"] = UNKNOWN if number is None else number
        if group in unknown and not row["seconds"]:
            row["seconds"] = UNKNOWN
    return found


def _largest(values: Sequence[float], numbers: Sequence[int]) -> float | None:
    known = [values[number % SAMPLES] for number in numbers]
    return max((value for value in known if not math.isnan(value)), default=None)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)
