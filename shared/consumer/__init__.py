"""How a message is processed effectively once, at batch speed. A service reads, decides and stores.

Owns offsets, the transactions of messages, dead letters, responses to commands, the outbox, and the
health of the loops. Owns no business rule, and only the three tables that every service has: the
outbox, the dead letters and the commands.

    poll a batch → parse strictly (cannot raise)
    → one transaction (lock, read, decide, write, fill the outbox)
    → publish what is in the outbox, await every acknowledgement → commit this batch's offsets

Invariants: an offset is committed only after its transaction and its publishing. A repeat of an
input changes no table and publishes nothing; a repeated command gets its stored response again.
Nothing is skipped: each record has an effect, is a repeat, or is a dead letter.

`application` makes a FastStream application and a process of a `worker`; `upstream` holds all
changes to libraries.
"""
