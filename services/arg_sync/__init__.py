"""How documents reach the accounting systems. Not built yet: this package is a card without rooms, and no process runs from it.

Will own: connections, mappings, deliveries (one row for each connection and document: queued, sending, posted, unknown, refused).
Will not own: invoices or their numbers; it reads `invoicer.closed_invoice` and `invoicer.closed_invoice_line`.

Will hear: `batch-generated`, `invoice-closed`, its share of `operator-commands`.
Will say: `ar-document-posted`, `ar-document-refused`, `payment-recorded`, `ledger-drift-found`.

Today: its schema and role exist so that its books have their place, no topic of its own is made, and the invoicer answers commands
that name this service with `nobody_answers`. Files (CSV, PDF) are the way to an accounting system until it runs.
"""
