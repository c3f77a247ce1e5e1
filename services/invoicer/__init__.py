"""The invoicer decides what goes on which invoice.

Owns: pay lines and where each of them is (open, on a draft, on a closed document, replaced), operators' edits, snoozes, write-offs,
billto nodes, debtor terms, time groups, batches with whom they parked, previews, invoices and credit notes, their numbers and seals, payments
as accounting systems tell of them.
Does not own: what a document is worth (fee_realizer), billing companies and their taxes (fee_realizer; read through its views), when a
day has come (scheduler), delivery to the accounting system (arg_sync).

Hears: `pay-lines-realized` (settles), `billto-changed` (keeps the hierarchy), `payment-recorded` (keeps what is paid),
`operator-commands` (snooze-, release-, edit-pay-line,
set-time-group, set-debtor-terms, health-check, list-batch-groups, preview-, generate-batch, what-if, retry-parked, credit-invoice, explain,
record-download; it also answers for commands that nobody owns or can read).
Says: `batch-generated`, `invoice-closed`, `command-results`, its dead letters.

Invariants, in quantity and in money, at every commit:
- worth of the settled statement + operator edits = open + drafted + invoiced - credited + forgiven, per document and line key; a document
  that is withheld counts what is settled as its worth and has nothing open.
- A pay line is a fact and never changes; it is in exactly one place.
- Credits of an invoice line never exceed the line. What is on a closed document stands; numbers have no gap that nobody declared.
- Lines change under the shared lock of their billing company and the lock of their document's head row; batches, numbers and the
  watermark under the exclusive one. The statement with the higher number wins, whatever the order and however often it is heard.
- A debtor whose lines cannot be (a worker with too many hours a day, the same time in two originals) is parked: the batch closes without it.
"""
