"""Scheduler: the only clock that starts work.

Owns: the watermark of each billing company, the local date up to which its Scheduled lines have
been announced.
Does not own: pay lines or their status (views of the invoicer derive it, also while this worker is
off), or any rule about money.

Consumes: `operator-commands` (republish and the commands about its dead letters).
Reads: `fee_realizer.billing_company_settings`, `invoicer.due_line`.
Publishes: `pay-line-due` for each Scheduled line, when its effective date begins in the time zone
of its billing company (decided once; a repeat has the same id); `command-results`, its dead
letters.

Invariants:
- The watermark moves under the company's exclusive lock and never goes back: no day is announced
  twice, even if the clock is set back or the time zone changes.
- Every day is in exactly one move: after a month off, the scheduler catches up once, and two
  schedulers at the same time are harmless.
- Memory does not grow with the number of due lines: the outbox keeps ranges of lines, and the
  messages of one range are built and published at a time.

One feature: due_lines.
"""
