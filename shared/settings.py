"""Every setting of every process with its default, read from environment variables BACKOFFICE_*.

It is a plain data class because importing Pydantic takes as long as a list command may take.
"""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from shared.errors import Refused

PREFIX = "BACKOFFICE_"
SHOWN_LENGTH = 100
"""How much of a wrong value a message repeats."""
MAX_NUMBER = 1_000_000_000
PRIVATE_UMASK = 0o077
"""Logs, exports and data belong to the user who made them; child processes inherit it."""
SIGNED, OPEN = "signed", "open"
"""Whether commands need a signature: the values of the setting `commands`."""
SIGNING_KEY_FILE = "keys/cli.jwk"
"""The private key of the CLI in the data folder (`shared.signing`)."""
CONSOLE_KEY_FILE = "keys/console.jwk"
"""The private key of the web console in the data folder; it may assert actors."""
LEDGER_KEY_FILE = "ledger-key.pem"
"""The private key of arg_sync in the data folder (`shared.sealing`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings; the reference page is generated from this class."""

    stack: Annotated[
        str,
        "where Kafka and PostgreSQL come from: auto, address, docker or embedded",
    ] = "auto"
    kafka: Annotated[str, "bootstrap address of Kafka, host:port; empty: the stack decides"] = ""
    kafka_security_protocol: Annotated[str, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"] = (
        "PLAINTEXT"
    )
    kafka_sasl_mechanism: Annotated[str, "SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER"] = (
        "SCRAM-SHA-512"
    )
    kafka_user: Annotated[
        str,
        "user of SASL, one for each service; of OAUTHBEARER with a token endpoint the client id",
    ] = ""
    kafka_password: Annotated[
        str, "password of the user; better in a file, because others may read an environment"
    ] = field(default="", repr=False)
    kafka_password_file: Annotated[
        Path | None,
        "file with the password; of OAUTHBEARER with the client secret, or with the token itself",
    ] = None
    kafka_ca_file: Annotated[
        Path | None,
        "PEM file of the authority that signed the brokers' certificates; empty: the machine's"
        " authorities",
    ] = None
    kafka_certificate_file: Annotated[
        Path | None, "PEM file of the client's certificate, if the brokers ask for one"
    ] = None
    kafka_key_file: Annotated[
        Path | None, "PEM file of that certificate's key; empty: it is in the same file"
    ] = None
    kafka_token_url: Annotated[
        str,
        "token endpoint of OAUTHBEARER (client credentials); empty: the password is the token",
    ] = ""
    kafka_token_scope: Annotated[str, "scope to ask of the token endpoint"] = ""
    kafka_principal: Annotated[
        str,
        "name of a service's principal in the ACLs, {service} stands for the service,"
        " e.g. CN={service},O=Agency",
    ] = "{service}"
    database_url: Annotated[
        str,
        "PostgreSQL, postgresql+asyncpg://{login}@host/db?passfile=FOLDER/{login}"
        " (each file in libpq's format, mode 0600); each process puts its login for {login}."
        " TLS: sslmode, sslrootcert, sslcert, sslkey, as in libpq",
    ] = ""
    topic_prefix: Annotated[str, "put before the name of every topic and consumer group"] = ""
    data: Annotated[Path, "folder of the embedded stack: data, logs, state"] = Path(".backoffice")
    cache: Annotated[
        Path | None,
        "folder for Kafka's jars; empty: ~/.cache/staffing-back-office",
    ] = None
    workers: Annotated[
        str,
        "replicas of each worker that `up` starts, e.g. fee_realizer=2,invoicer=2; default one"
        " each",
    ] = ""
    ports: Annotated[
        str,
        "ports of the embedded stack, e.g. kafka=9092,postgres=5432;"
        " default the last used or free ones",
    ] = ""
    replica: Annotated[
        str,
        "name of this replica of the worker; two with one name refuse to run",
    ] = "1"
    http_host: Annotated[
        str,
        "address on which a worker serves /metrics, /livez and /readyz",
    ] = "127.0.0.1"
    http_port: Annotated[int, "port of /metrics, /livez and /readyz; 0 takes a free one"] = 0
    max_batch_records: Annotated[int, "records of one consumer in one transaction"] = 1000
    partitions: Annotated[int, "partitions of a topic when it is created"] = 4
    pool_size: Annotated[int, "database connections of one worker"] = 5
    sweep_seconds: Annotated[
        float,
        "how often a worker looks for messages in the outbox and documents to price;"
        " the lag exporter reads the lag at most so often",
    ] = 5.0
    tick_seconds: Annotated[float, "how often the scheduler looks at the clock"] = 15.0
    progress_limit_seconds: Annotated[
        float,
        "a worker whose last progress is older than this is not ready",
    ] = 60.0
    live_limit_seconds: Annotated[
        float,
        "the stack kills and restarts a worker or an embedded server that does not answer for this"
        " long",
    ] = 60.0
    bad_records_limit: Annotated[
        int,
        "a consumer pauses after this many unreadable records in a row,"
        " or when that many, and half, of its last 1000 were unreadable",
    ] = 200
    bad_records_probe_seconds: Annotated[
        float,
        "how often a paused consumer looks whether the newest records can be read again",
    ] = 60.0
    ledger_test_hosts: Annotated[
        str,
        "hosts at loopback or private addresses that connections to accounting systems may use,"
        " with commas between (tests only); with or without https",
    ] = ""
    mail_hosts: Annotated[
        str,
        "mail servers at loopback or private addresses that mail accounts may use, with commas"
        " between, such as a relay of your own; only these may be used without TLS",
    ] = ""
    file_drop_folder: Annotated[
        Path | None,
        "folder below which connections of kind file-drop may write on this machine;"
        " empty: file-drop in the data folder",
    ] = None
    today: Annotated[
        str,
        "ISO date used as today in every time zone (demonstrations and tests only);"
        " empty: the clock",
    ] = ""
    crash: Annotated[str, "a crash point, name[@topic][:n] (tests only)"] = ""
    pause: Annotated[str, "folder of pause points (tests only)"] = ""
    commands: Annotated[
        str,
        "signed: only commands with a valid signature are carried out; open: also commands without"
        " one, under any name; empty: open in a stack with a Kafka of its own, else signed",
    ] = ""
    key_file: Annotated[
        Path | None,
        "private key (mode 0600) with which the CLI signs commands; empty: keys/cli.jwk in the data"
        " folder, if it is there",
    ] = None
    console_key_file: Annotated[
        Path | None,
        "private key (mode 0600, made with --asserts-actors) with which the web console signs for"
        " the people who signed in; empty: keys/console.jwk in the data folder, if it is there",
    ] = None
    console_hosts: Annotated[
        str,
        "names under which browsers reach the web console, with commas between; it answers to no"
        " other",
    ] = "127.0.0.1,localhost"
    console_url: Annotated[
        str,
        "address under which browsers reach the web console through a proxy, e.g."
        " https://billing.example.com; empty: as each request names it",
    ] = ""
    openid_issuer: Annotated[
        str,
        "OpenID provider where people sign in to the web console, as its discovery document names"
        " itself; empty: none",
    ] = ""
    openid_client_id: Annotated[str, "id of the console at the OpenID provider"] = ""
    openid_client_secret: Annotated[
        str, "secret of that client; empty for a public client, which PKCE protects"
    ] = field(default="", repr=False)
    openid_client_secret_file: Annotated[Path | None, "file with that secret, better"] = None
    openid_scopes: Annotated[str, "scopes to ask of the OpenID provider"] = "openid profile email"
    openid_person_claim: Annotated[
        str,
        "claim with the name of the person in people and commands; email counts only if verified",
    ] = "email"
    openid_roles_claim: Annotated[
        str,
        "claim with the roles, e.g. groups or realm_access.roles; empty: roles are those of"
        " `backoffice people set`",
    ] = ""
    openid_roles: Annotated[
        str,
        "roles of each value of that claim, VALUE=ROLE[:COMPANY] with commas between; empty: the"
        " values are roles themselves",
    ] = ""
    worker_pages: Annotated[
        str,
        "where the console finds the pages of the workers and of the lag exporter, e.g."
        " lag_exporter=lag:9100,invoicer=invoicer:9100; each address of a name is one replica;"
        " empty: the processes of the stack in the data folder",
    ] = ""
    log_format: Annotated[str, "console, json or auto (console on a terminal)"] = "auto"


def read_settings() -> Settings:
    """Read the settings from the environment. Raises `Refused` for a number out of range."""
    given: dict[str, Any] = {}
    for name, kind in get_type_hints(Settings).items():
        text = os.environ.get(f"{PREFIX}{name.upper()}")
        if text is not None:
            given[name] = _read(name, kind, text)
    if given.get("commands", "") not in ("", SIGNED, OPEN):
        raise Refused(
            "setting-unreadable",
            f"{PREFIX}COMMANDS is {given['commands']!r}.",
            f"Set it to {SIGNED} or {OPEN}, or remove it to get its default.",
        )
    return Settings(**given)


def _read(name: str, kind: Any, text: str) -> Any:
    if kind == (Path | None):
        return Path(text) if text else None
    try:
        value = kind(text)
        if kind in (int, float) and not 0 <= value <= MAX_NUMBER:
            raise ValueError(text)
    except ValueError as error:
        raise Refused(
            "setting-unreadable",
            f"{PREFIX}{name.upper()} is {text[:SHOWN_LENGTH]!r}, which is not a number"
            f" from 0 to {MAX_NUMBER:,}.",
            "Write a number, or remove the setting to get its default.",
        ) from error
    return value


@cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return read_settings()


STATEMENT_SECONDS = 600
LOCK_SECONDS = 120
TEMP_BUFFERS = "64MB"
"""Memory of one connection for temporary tables: a batch selects its lines in them."""


def database_session(login: str) -> dict[str, str]:
    """Return the session settings of a connection of a login."""
    return {
        "application_name": f"backoffice {login} {settings().replica}",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": "300s",
        "jit": "off",
        # Days of instants are UTC days and content hashes use ISO dates, whatever the defaults of
        # the database are.
        "timezone": "UTC",
        "datestyle": "ISO",
        "temp_buffers": TEMP_BUFFERS,
    }
