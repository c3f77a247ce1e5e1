"""Fee realizer: price source documents, and publish the result as numbered realizations.

Owns: billing companies, catalog items, requirements with their statuses, bill rates and retainers,
engagements and suppliers, self-billing agreements, assignments, source documents (timesheets,
placements, charges, retainers and occurrences of assignments) with all their revisions, holds,
realizations.
Does not own: pay lines, invoices or debtors. It reads which rate books invoiced lines cite,
which invoices they are on, and which realizations are stale, from three views of the invoicer, and
from one of the scheduler the day up to which it has come: occurrences of assignments are made ahead
of that day.

Consumes: `requirement-changed`, `timesheet-approved`, `placement-created`, `charge-added`,
`engagement-changed`, `supplier-changed`; of `operator-commands` set-billing-company,
set-self-billing-agreement, set-catalog-item, add-charge, set-assignment, end-assignment,
confirm-assignment, settle-retainer, set-bill-rate, confirm-rates, rates-impact, retry-document,
republish, forget-worker and the commands about its dead letters.
Publishes: `pay-lines-realized`, `document-held`, `document-released`, `command-results`, its dead
letters.

Invariants:
- The order of arrival does not change the final state: a document that lacks a fact is held, and
  priced when the fact arrives.
- The realizations of a document are numbered 1, 2, ... A new one is made only if the value of the
  document changed or the invoicer found the latest one stale.
- A change of rates reprices open lines at once. Invoiced lines keep the price that they cite until
  an operator confirms the change.
- A document is held or realized as a whole. A hold of a document that was realized before is
  published as a `withheld` realization.
- A repeated revision changes no table. A repeated revision with other values is a conflict.
- An occurrence of an assignment is made once, whatever the clock does.
- Assignments are locked before facts, facts before documents, engagements last; what was
  read to choose the locks is read again under them.

Each feature imports only the features before it: facts < companies < catalog < requirements <
engagements < agreements < sources < rates < assignments.
"""
