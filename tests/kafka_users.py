"""The users of Kafka in tests: this process is `admin`, each worker has the user of its service.

An embedded broker denies what no ACL allows, so every test that starts workers also proves that
the declared ACLs suffice.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.broker.acls import ADMIN, Acl, apply_acls, declared
from shared.broker.topics import create_topics
from shared.stack.choice import Broker

PASSWORD_FILE = "BACKOFFICE_KAFKA_PASSWORD_FILE"


def as_user(environment: Mapping[str, str], user: str) -> dict[str, str]:
    """The same environment with another user; unchanged if the broker is not ours."""
    file = Path(environment.get(PASSWORD_FILE, "")).with_name(user)
    if PASSWORD_FILE not in environment or not file.exists():
        return dict(environment)
    return dict(environment) | {"BACKOFFICE_KAFKA_USER": user, PASSWORD_FILE: str(file)}


async def prepare(kafka: Broker, partitions: int | None = None) -> None:
    """Apply the ACLs to the topics of the settings' prefix, then create these."""
    await allow(kafka, declared())
    await create_topics(kafka.access(ADMIN), partitions)


async def allow(kafka: Broker, acls: Iterable[Acl]) -> None:
    """Make these the only ACLs of the prefix; a broker elsewhere keeps its own."""
    if kafka.has_our_users:
        await apply_acls(kafka.access(ADMIN), acls)
