"""Typed reads of the `console_*` views. Owns all SQL of the console.

`snapshot` opens a read-only snapshot under the login `console`; each other module reads one noun. A
read is a function of an open connection and gives rows as dicts. Long statements are in
`queries.sql`, by name.
"""
