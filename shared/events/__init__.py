"""The messages on the topics, in flow order:

`ats`, `realizations`, `commands`, `billing`, `ledgers`.

`field_types` holds the strict field types (decimals as strings, ISO dates); `registry` states which
model travels on which topic. Owns the shape of messages; their meaning belongs to the services'
rules.
"""
