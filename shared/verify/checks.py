"""The checks of `backoffice verify`: one named query each, whose rows are the violations.

A query follows its name and the statement that must be true, in `lines.sql`, `documents.sql`,
`numbers.sql`, `payments.sql`, `disputes.sql`, `self_billing.sql`, `drafts.sql`, `approvals.sql` and
`fees.sql`. Its rows have the columns id and detail.
"""

from dataclasses import dataclass
from pathlib import Path

from shared.sql import named_queries

FOLDER = Path(__file__).parent
QUERIES = {
    name: query
    for file in (
        *("lines", "documents", "numbers", "payments", "disputes", "self_billing", "approvals"),
        *("drafts", "fees"),
    )
    for name, query in named_queries(FOLDER / f"{file}.sql").items()
}
DUE_DATE_COMBINATIONS = QUERIES.pop("due_date_combinations")
IN_FLIGHT = QUERIES["in_flight"]
TO_BE_PRICED = QUERIES["to_be_priced"]


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its name, what must be true, and the query for its violations (id, detail)."""

    name: str
    message: str
    sql: str


CHECKS = tuple(
    Check(name, query.partition("\n")[0].removeprefix("-- "), query)
    for name, query in QUERIES.items()
)
