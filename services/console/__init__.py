"""console: a client like any other. It reads views and writes commands, on the command line and, later, in a browser.

Owns: how people see the books (tables, JSON, files), how a command is sent and its answer awaited, the words of `backoffice`.
Does not own: any table, any rule. What needs a rule is a command to the service that owns it.
Hears: command-results (its own commands only, without a consumer group).
Says: operator-commands; with `publish` and `import` also what an ATS says.

Invariants:
- Everything is read as the role `console`, read only, one command in one snapshot.
- A file is complete or not there: its control totals equal those of the batch and of the documents, or it is removed.
- Exit 0 done, 1 the business says no (code, message, fix), 2 wrong use; with --json exactly one JSON document on stdout.
"""
