"""AR/GL synchronisation (accounts receivable / general ledger): documents reach the ledgers once.

Owns: connections with sealed secrets and code mappings, deliveries (one row for each connection
and document) with every attempt, the rate budget of a connection over all workers, the received
events of closed documents, payments read back, drifts that reconciliation found; mail accounts, and
one row for each document and e-mail address with every attempt; reminders of overdue invoices.
Does not own: invoices and their numbers; it reads `invoicer.closed_invoice` and
`invoicer.closed_invoice_line`. Addresses of debtors belong to the invoicer, too.

Consumes: `batch-generated`, `invoice-closed`, its part of `operator-commands`.
Publishes: `ar-document-posted`, `ar-document-refused`, `payment-recorded`, `ledger-drift-found`,
`command-results`, its dead letters.

Invariants:
- Request and key are stored before a document is first sent (its customer is looked up or created
  before that); the same request is sent with the same key
  until an operator retries.
- After an unknown outcome nothing is sent before a look-up, and there is no look-up before the
  earlier call can no longer take effect.
- A worker that lost its lease stores nothing and posts nothing: every write names its lease.
- No database transaction is open during a call to an accounting system.
- What could not be read counts neither as deleted nor as unpaid; a drift changes nothing. A webhook
  tells when to read, never what.
- That the end of an e-mail goes out is stored before it does; from then on, without the server's
  answer, a person decides.
- An invoice is reminded once at each stage; what is due is decided again when the e-mail goes out.
- A refused document stops no other document; a refused key stops its connection and no other.

Each feature imports only the features before it: ledgers < connections < deliveries < mail <
payments < reconciliation.
"""
