"""Process messages effectively once, in batches. A service only reads, decides and stores.

Owns the offsets, the transactions of messages, dead letters, results of commands, the outbox, and
the health of the loops. Owns no business rule, and only the tables that every service has: outbox,
dead letters and commands.

    poll a batch → parse each record strictly (never raises)
    → one transaction (lock, read, decide, write, add to the outbox)
    → publish the messages, await every acknowledgement → commit the offsets of this batch

Invariants: an offset is committed only after the transaction and the publishing of its batch. A
repeated input changes no table and publishes nothing; a repeated command gets its stored result.
No record is skipped: each has an effect, is a repeat, or becomes a dead letter.

`application` makes a FastStream application and a process of a `worker`, its `topic_consumer`s and
`loops`. `performance` has the techniques that only make it faster. `upstream` has all changes to
libraries.
"""
