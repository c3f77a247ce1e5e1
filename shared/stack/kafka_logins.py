"""The users of a broker that the stack runs: one for each principal, with a generated password.

A file (0600) holds the password of one user. Other processes are told the path of the file, so no
password is in an environment, a command line or the stack's state. The broker's own settings hold
the password of `admin`, because Kafka reads it from there; that file is 0600, too.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from shared.broker.acls import ADMIN, ATS_PUBLISHER, CONSOLE, PRINCIPALS
from shared.broker.security import KafkaAccess
from shared.private_files import write_private
from shared.stack.logins import PASSFILES

PROTOCOL = "SASL_PLAINTEXT"
MECHANISM = "SCRAM-SHA-512"
SCRAM_CODE, ITERATIONS, SALT_BYTES = 2, 4096, 24
CLIENT_FILES = "kafka-clients"
CLIENTS = (ATS_PUBLISHER, CONSOLE)
"""The users for programs of other people: an ATS, and whatever sends commands."""
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
POLL_SECONDS = 0.1


def password_file(data: Path, user: str) -> Path:
    """Return the path of the file with a user's password; make both if there is none."""
    path = data / PASSFILES / "kafka" / user
    if not path.exists():
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, f"{secrets.token_urlsafe(32)}\n")
    return path


def password_of(data: Path, user: str) -> str:
    """Return the password of a user."""
    return password_file(data, user).read_text().strip()


def access(data: Path, user: str, address: str, mechanism: str = MECHANISM) -> KafkaAccess:
    """How a process reaches the broker as this user."""
    return KafkaAccess(
        bootstrap=address,
        protocol=PROTOCOL,
        mechanism=mechanism,
        user=user,
        password_file=password_file(data, user),
    )


def client_files(data: Path) -> dict[str, str]:
    """User → path of the file with which a client of librdkafka (`kcat -F`) connects as that
    user.
    """
    return {user: str(data / CLIENT_FILES / f"{user}.conf") for user in CLIENTS}


def write_client_files(data: Path, address: str) -> None:
    """Write those files."""
    for user, path in client_files(data).items():
        options = {
            "bootstrap.servers": address,
            "security.protocol": PROTOCOL,
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": password_of(data, user),
        }
        write_private(Path(path), "".join(f"{key}={value}\n" for key, value in options.items()))


def broker_settings(data: Path, listeners: Mapping[str, int]) -> dict[str, str]:
    """The settings with which the broker knows its users, and lets no one else in.

    Our processes and the broker itself use SCRAM. The users of other people's programs may use
    PLAIN, too: SCRAM of librdkafka before 2.6.1, which distributions ship with kcat, is refused by
    Kafka 4 (edenhill/kcat#462). SCRAM cannot authenticate the controller, which keeps
    the users of SCRAM, so its listener uses PLAIN; it is on loopback, as all are.
    """
    return {
        "listener.security.protocol.map": ",".join(f"{name}:{PROTOCOL}" for name in listeners),
        "sasl.enabled.mechanisms": f"{MECHANISM},PLAIN",
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": plain_login(data, ADMIN),
        **{
            f"listener.name.{name.lower()}.{mechanism.lower()}.sasl.jaas.config": login
            for name in listeners
            if name != "CONTROLLER"
            for mechanism, login in (
                (MECHANISM, f"{SCRAM_MODULE} required {_broker_login(data)};"),
                ("PLAIN", plain_login(data, *CLIENTS)),
            )
        },
        "authorizer.class.name": AUTHORIZER,
        "super.users": f"User:{ADMIN}",
    }


def plain_login(data: Path, *users: str) -> str:
    """The JAAS configuration of a PLAIN listener: `admin` for the broker itself, and who may come
    in.
    """
    accepted = (f'user_{user}="{password_of(data, user)}"' for user in users)
    return f"{PLAIN_MODULE} required {_broker_login(data)} {' '.join(accepted)};"


def _broker_login(data: Path) -> str:
    """The name and password with which the broker itself connects."""
    return f'username="{ADMIN}" password="{password_of(data, ADMIN)}"'


def format_options(data: Path) -> list[str]:
    """The options with which the format tool makes all users. They hold passwords."""
    return [
        part
        for user in PRINCIPALS
        for part in (
            "--add-scram",
            f"{MECHANISM}=[name={user},password={password_of(data, user)}]",
        )
    ]


class StoredUsers:
    """Which users the broker's data folder has, told by a digest of names and passwords."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._data = data
        self._file = folder / "users.sha256"

    @property
    def are_current(self) -> bool:
        """Whether all users of this version are there with the passwords of the files."""
        return self._file.exists() and self._file.read_text() == self._digest()

    def remember(self) -> None:
        """Note that they are."""
        write_private(self._file, self._digest())

    def _digest(self) -> str:
        known = [(user, password_of(self._data, user)) for user in PRINCIPALS]
        return hashlib.sha256(repr(known).encode()).hexdigest()


async def store_users(
    data: Path, host: str, controller: int, timeout_seconds: float, alive: Callable[[], bool]
) -> str | None:
    """Make the users in a running broker, by its controller; what is wrong if it fails.

    A data folder of an earlier version has no users, or not all, so no one could sign in to make
    them but by the controller, whose one user is in the settings.
    """
    until = time.monotonic() + timeout_seconds
    while True:
        try:
            connection = await create_conn(
                host,
                controller,
                security_protocol=PROTOCOL,
                sasl_mechanism="PLAIN",
                sasl_plain_username=ADMIN,
                sasl_plain_password=password_of(data, ADMIN),
            )
            try:
                rows = [_credential(user, password_of(data, user)) for user in PRINCIPALS]
                answer = await connection.send(_AlterUsers(rows))
            finally:
                connection.close()
            wrong = [for_code(code).__name__ for _, code, *_ in answer.results if code]
            if not wrong:
                return None
            problem = ", ".join(wrong)
        except (KafkaError, OSError, TimeoutError) as error:
            problem = f"{type(error).__name__}: {error}"
        if time.monotonic() > until or not alive():
            return problem
        await asyncio.sleep(POLL_SECONDS)


def _credential(user: str, password: str) -> tuple[object, ...]:
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return user, SCRAM_CODE, ITERATIONS, salt, salted, {}


# aiokafka 0.14 lacks this request (KIP-554).


class _AlterUsersResponse(Response):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsersRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _AlterUsersResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsers(Request[_AlterUsersRequest]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, rows: list[tuple[object, ...]]) -> None:
        self._rows = rows

    def build(self, struct: type[RequestStruct]) -> RequestStruct:
        return struct([], self._rows, {})
