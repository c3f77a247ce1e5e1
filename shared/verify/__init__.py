"""Checks that must hold at any time, even while all workers run.

Owns the list of checks (`checks.CHECKS`): each is a query whose rows are the violations. Owns no
table and repairs nothing; a fault names ids, and a person decides.

All checks read one REPEATABLE READ snapshot, so work in progress is either complete or invisible,
and a report under load is empty unless something is wrong. Realizations that were issued and not
settled yet are listed separately and become a fault when they are older than some minutes.
"""

from shared.verify.report import Fault, Offender, Report
from shared.verify.run import verify

__all__ = ["Fault", "Offender", "Report", "verify"]
