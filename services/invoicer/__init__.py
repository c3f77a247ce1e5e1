"""The invoicer decides what goes on which invoice.

Owns: pay lines and their locations (open, on a draft, on a closed document, replaced), operators'
edits, snoozes, write-offs, billto nodes, debtor terms, time groups, approval workflows with the
routing of drafts, invoice options with the grouping lists of client countries, MSP fees with their
volume tiers, the numbers that suppliers give to their documents, batches and the debtors that they
park, drafts, previews, invoices and credit notes with their numbers and seals, disputes of lines,
payments and what they pay of documents and lines, and for all services the people, programs, keys
and roles that may send commands.
Does not own: the value of a document (fee_realizer), billing companies and their taxes
(fee_realizer, read through its views), the day on which work is due (scheduler, whose watermark it
reads), delivery to the accounting system (arg_sync, of which the health check reads connections
and mapped codes).

Consumes: `pay-lines-realized` (settles), `billto-changed` (keeps the hierarchy), `payment-recorded`
(keeps what ledgers book), `operator-commands` (snooze-pay-lines, release-pay-lines, edit-pay-line,
set-time-group, set-debtor-terms, set-invoice-option, set-country-grouping, set-workflow, set-fee,
set-fee-tiers, set-opening-volume, health-check, list-batch-groups, preview-batch, generate-batch,
what-if, retry-parked, create-drafts, remove-draft-line, cancel-draft, regenerate-draft,
combine-drafts, finalize-drafts, approve-draft, reject-draft, reassign-draft, credit-invoice,
record-payment, apply-payment, unapply-payment, reverse-payment, apply-credit, record-refund,
open-dispute, resolve-dispute, record-supplier-number, load-opening-documents, set-opening-number,
explain, explain-option, record-download, set-person, add-key, rotate-key, disable-key; it also
answers commands that cannot be read).
Publishes: `batch-generated`, `invoice-closed`, `command-results`, its dead letters.

Invariants, in quantity and in money, at every commit:
- Value of the settled realization + operator edits = open + drafted + invoiced - credited +
  forgiven, per document and line key. A withheld document has nothing open; its value is what has
  been settled.
- A pay line never changes and is in exactly one location.
- Credits of an invoice line never exceed the line. A closed document never changes. Numbers have
  no gap that was not declared.
- Lines change under the shared lock of their billing company and the lock of their document's row
  in `settled_document`; batches, numbers and the watermark under the exclusive lock. The
  realization with the higher number wins, in any order and however often it arrives.
- What is applied and returned of a payment never exceeds it, and what is paid of a document or line
  never exceeds what credits left of it: closing a credit frees the rest in the same transaction.
- What is disputed of a line never exceeds what is left to pay of it.
- A debtor whose lines cannot be right (a worker with too many hours on a day, the same time in two
  originals) is parked: the batch closes without it.

Each feature imports only the features before it: access < lines < debtors < workflows < options <
fees < invoices < self_billing < settlement < batches < drafts < approvals < credits < opening <
disputes < payments < questions.
"""
