"""The servers in containers, for machines with a Docker engine: same versions, named volumes.

Kept thin: testcontainers does the work. An engine counts only if it reports its server version; a
client alone cannot start containers.
"""

import hashlib
import shutil
import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from shared.broker.acls import ADMIN, CONSOLE, PRINCIPALS
from shared.broker.security import KafkaAccess
from shared.errors import Unavailable
from shared.stack import kafka_logins, logins
from shared.stack.external import ExternalDatabase, ExternalKafka
from shared.stack.ports import HOST, Ports
from shared.stack.postgres import make_logins

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "postgres:18"
ENGINE_TIMEOUT_SECONDS = 5.0
START_TIMEOUT_SECONDS = 120.0


def why_no_containers() -> str | None:
    """Return None if containers can run here, or else the reason."""
    docker = shutil.which("docker")
    if docker is None:
        return "no docker command"
    command = [docker, "version", "--format", "{{.Server.Version}}"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ENGINE_TIMEOUT_SECONDS, check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return "the docker command does not answer"
    if answer.returncode != 0 or not answer.stdout.strip():
        return "no Docker engine answers"
    return None if find_spec("testcontainers") else "the package testcontainers is not installed"


class ContainerKafka(ExternalKafka):
    """Apache Kafka in a container, on a fixed port of this machine."""

    patience_seconds = START_TIMEOUT_SECONDS
    has_our_users = True

    def __init__(self, data: Path, ports: Ports) -> None:
        port = ports.take("kafka")
        super().__init__(f"{HOST}:{port}")
        self._data, self._port = data, port
        self._volume = _volume(data, "kafka")
        self._container: DockerContainer | None = None

    def access(self, user: str = CONSOLE) -> KafkaAccess:
        """How a process reaches it as this user. The image cannot make users of SCRAM."""
        return kafka_logins.access(self._data, user, self.address, "PLAIN")

    def launch(self) -> None:
        """Start the container. Only root can ask the Docker engine for its variables."""
        from testcontainers.core.container import DockerContainer

        kafka_logins.write_client_files(self._data, self.address)
        settings = {
            "KAFKA_SASL_ENABLED_MECHANISMS": "PLAIN",
            "KAFKA_SASL_MECHANISM_INTER_BROKER_PROTOCOL": "PLAIN",
            "KAFKA_SASL_MECHANISM_CONTROLLER_PROTOCOL": "PLAIN",
            "KAFKA_INTER_BROKER_LISTENER_NAME": "CLIENTS",
            "KAFKA_LISTENER_NAME_CLIENTS_PLAIN_SASL_JAAS_CONFIG": kafka_logins.plain_login(
                self._data, *PRINCIPALS
            ),
            "KAFKA_LISTENER_NAME_CONTROLLER_PLAIN_SASL_JAAS_CONFIG": kafka_logins.plain_login(
                self._data, ADMIN
            ),
            "KAFKA_AUTHORIZER_CLASS_NAME": kafka_logins.AUTHORIZER,
            "KAFKA_SUPER_USERS": f"User:{ADMIN}",
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENERS": "CLIENTS://:9092,CONTROLLER://localhost:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"CLIENTS://{HOST}:{self._port}",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
                "CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
            ),
            "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        }
        container = DockerContainer(KAFKA_IMAGE).with_envs(**settings)
        # this machine alone, not its network
        container.ports["9092/tcp"] = (HOST, self._port)  # type: ignore[assignment]
        self._container = _started(
            container.with_volume_mapping(self._volume, "/var/lib/kafka/data", "rw"), KAFKA_IMAGE
        )

    def stop(self) -> None:
        """Remove the container; the volume stays."""
        if self._container is not None:
            self._container.stop(delete_volume=False)
            self._container = None


class ContainerPostgres(ExternalDatabase):
    """PostgreSQL in a container, on a fixed port of this machine."""

    patience_seconds = START_TIMEOUT_SECONDS

    def __init__(self, data: Path, ports: Ports) -> None:
        port = ports.take("postgres")
        self._data, self._server = data, f"{HOST}:{port}"
        super().__init__(logins.address(data, self._server))
        self._port = port
        self._volume = _volume(data, "postgres")
        self._container: DockerContainer | None = None

    def start(self) -> None:
        """Wait until the superuser's query is answered, then make the other logins."""
        self._wait(self.admin_url)
        make_logins(
            self._data,
            logins.address(self._data, self._server, logins.SUPERUSER, logins.SUPERUSER),
        )

    def launch(self) -> None:
        """Start the container."""
        from testcontainers.core.container import DockerContainer

        settings = {
            "POSTGRES_PASSWORD": logins.password_of(self._data, logins.SUPERUSER),
            "POSTGRES_INITDB_ARGS": "--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8",
        }
        container = DockerContainer(POSTGRES_IMAGE).with_envs(**settings)
        # this machine alone
        container.ports["5432/tcp"] = (HOST, self._port)  # type: ignore[assignment]
        container = container.with_volume_mapping(self._volume, "/var/lib/postgresql", "rw")
        self._container = _started(
            container.with_command("postgres -c max_connections=200 -c timezone=UTC"),
            POSTGRES_IMAGE,
        )

    def stop(self) -> None:
        """Remove the container; the volume stays."""
        if self._container is not None:
            self._container.stop(delete_volume=False)
            self._container = None


def _volume(data: Path, part: str) -> str:
    return f"backoffice-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}-{part}"


def _started(container: "DockerContainer", image: str) -> "DockerContainer":
    refusal = import_module("docker.errors").DockerException
    try:
        return container.start()
    except refusal as error:
        raise Unavailable(
            f"The Docker engine could not start {image}: {error}. Fix that, or set"
            " BACKOFFICE_STACK=embedded to do without containers."
        ) from error
