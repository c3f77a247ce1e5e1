"""The report of `verify`: faults by check, what is in flight, and how many rows were checked."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Offender:
    """A row that breaks a check: its business id, and what is wrong with it."""

    id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A check that does not hold: its name, what must be true, how many rows break it, the first
    rows.
    """

    check: str
    message: str
    count: int
    offenders: tuple[Offender, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `verify`. Realizations in flight and documents to be priced are not a fault."""

    faults: tuple[Fault, ...]
    in_flight: tuple[Offender, ...]
    in_flight_count: int
    looked_at: dict[str, int]
    checks: tuple[str, ...] = field(default=())
    to_be_priced_count: int = 0

    @property
    def clean(self) -> bool:
        """Whether every check holds."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {"clean": self.clean, **asdict(self)}
