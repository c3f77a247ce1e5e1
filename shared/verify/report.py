"""What a look at the books found: faults by check, what is in flight, and how much was looked at."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Offender:
    """A row that breaks a check: its business id, and in words what is wrong with it."""

    id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A check that does not hold: its name, what must be true, how many rows break it, and the first of them."""

    check: str
    message: str
    count: int
    offenders: tuple[Offender, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of `verify`. Nothing is off if `clean`; statements in flight are no fault."""

    faults: tuple[Fault, ...]
    in_flight: tuple[Offender, ...]
    in_flight_count: int
    looked_at: dict[str, int]
    checks: tuple[str, ...] = field(default=())

    @property
    def clean(self) -> bool:
        """Whether every check holds."""
        return not self.faults

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain words, lists and numbers of rows."""
        return {"clean": self.clean, **asdict(self)}
