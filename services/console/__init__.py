"""console: how people work with the back office: on the command line, and in a browser.

Owns: how data are shown (tables, JSON, files), how commands are sent and their results awaited, the
command `backoffice`, the web console and its sessions. Does not own: any other table, or a rule.
What needs a rule is a command to the service that owns it. Consumes: command-results, of its own
commands only, without a consumer group.
Publishes: operator-commands; `publish` and `import` also publish what an ATS publishes.

Layout: `queries` reads, `actions` sends, `files` writes the files of a batch, `sessions` is who is
signed in, `columns` the columns of tables, `importing` reads CSV files, `sample` is the
demonstration's month, `cli` is the command line, `web` the screens in a browser.

Invariants:
- It reads `console_*` views only, under the login `console`, one command in one snapshot; `verify`
  runs under `auditor`.
- A file is complete or does not exist: its control totals equal those of the batch and of the
  documents.
- Exit 0 done, 1 refused (code, message, fix), 2 wrong use; with --json exactly one JSON document on
  stdout.
"""
