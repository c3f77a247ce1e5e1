"""What a document is worth: turns timesheets and placements into numbered statements of pay lines.

Owns: billing companies, requirements, rate versions, the catalog, source documents with all their revisions, holds, statements.
Does not own: pay lines, what was invoiced, who is invoiced; it reads the invoicer's cited rate books and stale statements through views.

Hears: `requirement-changed`, `timesheet-approved`, `placement-created`; of `operator-commands` set-billing-company,
set-catalog-item, set-bill-rate, confirm-rates, rates-impact, retry-document, republish and those about its dead letters.
Says: `pay-lines-realized`, `document-held`, `document-released`.

Invariants:
- Whatever the order of arrival, the end is the same: a document that lacks a fact is held, and priced when the fact arrives.
- Statements of a document are numbered 1, 2, ...; a new one only when its worth changed or the invoicer found the last one stale.
- A change of rates prices open lines again at once; lines on documents keep the price that they cite until an operator confirms.
- A document is held or realized, never half of it; a held document whose worth was realized before has a `withheld` statement.
- The same revision again changes no table; the same revision with other values is a conflict, never an overwrite.
- Facts are locked before documents; what must be locked is read again behind the lock.
"""
