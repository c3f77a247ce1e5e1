"""Names that a history has used: ids, revisions with gaps for late ones, instants of approval."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from shared.consumer.records import Record
from tests.histories.domain import Drawn
from tests.histories.reference.values import Document

GAP = 10
FIRST_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Stamps:
    """Names and numbers that were used."""

    weeks: dict[str, date] = field(default_factory=dict)
    drawn: dict[str, list[Drawn]] = field(default_factory=dict)
    placements: dict[str, str] = field(default_factory=dict)
    charges: dict[str, str] = field(default_factory=dict)
    _ids: Counter[str] = field(default_factory=Counter)
    _revisions: dict[str, int] = field(default_factory=dict)
    _late: Counter[str] = field(default_factory=Counter)
    _instants: int = 0

    def new(self, kind: str) -> str:
        """An id that was never used."""
        self._ids[kind] += 1
        return f"{kind}{self._ids[kind]}"

    def next(self, name: str) -> int:
        """The next revision; revisions may have gaps."""
        self._revisions[name] = self._revisions.get(name, 0) + GAP
        return self._revisions[name]

    def late(self, name: str) -> int | None:
        """A revision below the newest one that was never sent, or None."""
        self._late[name] += 1
        revision = self._revisions.get(name, 0) - self._late[name]
        return revision if self._late[name] < GAP and revision > 0 else None

    def instant(self) -> datetime:
        """A later instant than any before."""
        self._instants += 1
        return FIRST_INSTANT + timedelta(hours=self._instants)

    @staticmethod
    def of_realization(record: Record) -> tuple[Document, int]:
        """The realization of a record."""
        body = json.loads(record.value or b"")
        return (body["document_kind"], body["document_id"]), body["realization_no"]
