"""Process messages effectively once, all records of a poll together.

A service only reads, decides and stores.

Owns the offsets, the transactions of messages, dead letters, results of commands, the outbox, and
the health of the loops. Owns no business rule, and only the tables that every service has: outbox,
dead letters and commands.

    poll records → parse each record strictly (never raises)
    → one transaction (lock, read, decide, write, add to the outbox)
    → publish the messages, await every acknowledgement → commit the offsets of these records

Invariants: an offset is committed only after the transaction and the publishing of its record. A
repeated input changes no table and publishes nothing; a repeated command gets its stored result.
A command is carried out only if `access` finds its signature and its actor's role sufficient.
No record is skipped: each has an effect, is a repeat, or becomes a dead letter.

`application` makes a FastStream application and a process of a `worker`, its `topic_consumer`s and
`loops`. `performance` has the techniques that make it faster, or keep it working while Kafka's
coordinator does not. `upstream` has all changes to libraries.
"""
