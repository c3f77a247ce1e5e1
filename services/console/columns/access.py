"""Columns of people, their sessions and sign-ins, and of the keys of programs."""

from services.console.columns import Column

PEOPLE = [
    Column("person"),
    Column("name", most=40),
    Column("enabled"),
    Column("roles", most=200),
    Column("changed_by", "changed by"),
    Column("changed_at", "at"),
]
KEYS = [
    Column("program"),
    Column("key_id", "key", ids=True),
    Column("state"),
    Column("roles", most=200),
    Column("asserts_actors", "asserts actors"),
    Column("added_at", "added"),
    Column("valid_until", "valid until"),
    Column("disabled_reason", "why disabled", most=60),
]
SESSIONS = [
    Column("session_id", "session", ids=True),
    Column("person"),
    Column("address", "from"),
    Column("started_at", "since"),
    Column("used_at", "last used"),
]
SIGN_INS = [
    Column("attempted_at", "at"),
    Column("person"),
    Column("address", "from"),
    Column("way"),
    Column("outcome"),
]
