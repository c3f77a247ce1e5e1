"""The protocol: how a message is processed effectively once, at batch speed. A service writes only read → decide → store.

Owns offsets, transactions of messages, dead letters, answers to commands, what is still in the outbox, health of the loops.
Does not own any business rule or table but those three that every service has (in the outbox, dead_letter, command).

    consume a batch → read strictly (cannot raise) → one transaction (locks, read, decide, write, in the outbox)
    → publish what is in the outbox, await every ack → commit the offsets of exactly this batch

Invariants: an offset is committed only after its transaction and its announcements; a repeat of an input changes no table and
says nothing (a command is answered again); nothing is skipped: a record has an effect, is a repeat, or is a dead letter.
"""
