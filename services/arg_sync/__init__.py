"""How documents reach the accounting systems: every closed document there once, whatever happens, or a message that says what to do.

Owns: connections with their sealed secrets and mappings, deliveries (one row for each connection and document) with every attempt,
the rate budget of a connection over all workers, what was heard of closed documents, payments read back, drifts that reconciliation found.
Does not own: invoices or their numbers; it reads `invoicer.closed_invoice` and `invoicer.closed_invoice_line`.

Hears: `batch-generated`, `invoice-closed`, its share of `operator-commands`.
Says: `ar-document-posted`, `ar-document-refused`, `payment-recorded`, `ledger-drift-found`, `command-results`.

Invariants:
- The request and its key are stored before the first call, and the same request is sent with the same key until an operator retries.
- After an outcome that nobody knows, nothing is sent before a look-up; and no look-up before the earlier call can no longer take effect.
- A worker that was overtaken stores nothing and posts nothing: every step is kept under the number of its lease.
- No database transaction is open while an accounting system is asked.
- What could not be read was not deleted and not unpaid; a drift changes nothing by itself. A webhook says when to read, never what.
- A refused document stands alone: the next one goes on. A dead key stops its connection and no other.
"""
