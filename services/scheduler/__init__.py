"""When: the only clock that starts work.

Owns: the watermark of each billing company, up to which local date its Scheduled lines have been announced.
Does not own: pay lines or their status (derived by the invoicer's views, right even if this worker is off), or any rule about money.

Hears: `operator-commands` (republish, dead letters). Reads: `fee_realizer.billing_company_settings`, `invoicer.due_line`.
Says: `pay-line-due`, once for each line that was ever Scheduled, when its day comes in its billing company's zone.

Invariants:
- The watermark moves under the company's exclusive lock and never goes back: neither a clock that was set back nor a change of zone
  announces a day twice.
- Every day lies in exactly one move, so a clock that was off for a month catches up once, and two schedulers at once are harmless.
- Memory does not grow with the lines that fall due: what must be said is kept as ranges of lines, built and said one by one.
"""
