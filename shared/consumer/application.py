"""A worker as a FastStream application and as a process: start, stop, HTTP routes, exit codes.

`faststream run services.invoicer.app:app` and `python -m services.invoicer.app` both call `run` of
the same object. Creating it opens no connection and requires no setting, so `faststream docs gen`
works on a machine without Kafka and PostgreSQL.

FastStream enters the lifespan (the name of the replica, database, producer) and starts the broker.
It calls `drain` before it stops the broker, because the current batches need their consumers.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from typing import Any

import uvicorn
from aiokafka.errors import KafkaError
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.kafka import KafkaBroker
from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from faststream.specification import AsyncAPI
from prometheus_client import make_asgi_app

from shared import faults, telemetry
from shared.broker.security import OAUTH, kafka_access
from shared.broker.topics import PUBLISHED, dead_letter_topic, full_name
from shared.consumer import loops, upstream
from shared.consumer.performance import garbage_collection
from shared.consumer.topic_consumer import TopicConsumer
from shared.consumer.worker import Service, Worker
from shared.database import infrastructure_unavailable, replica_name
from shared.errors import Refused, Unavailable
from shared.events.registry import EVENT_MODELS, DeadLetterRecorded
from shared.settings import SIGNED, settings

DISTRIBUTION = "staffing-back-office"
DOCUMENTED_SERVER = "localhost:9092"
"""The AsyncAPI document names this address: the real one is a setting, not part of the contract."""
METRICS = make_asgi_app(registry=telemetry.REGISTRY)
HTTP_STOP_SECONDS = 5
METADATA_MAX_AGE_MS = 10_000
"""How often consumers look for partitions that were added."""
SERVERS_SECONDS, SERVERS_POLL_SECONDS = 30.0, 0.1
STOPPED, INFRASTRUCTURE_REFUSES, UNEXPECTED_ERROR = 0, 1, 3
"""Exit codes. A supervisor restarts the worker after the last two.

Stopped by a signal; Kafka, PostgreSQL or a process with the same replica name refused the start;
unexpected error.
"""


class WorkerApplication(AsgiFastStream):
    """The FastStream application of one worker."""

    def __init__(self, service: Service) -> None:
        self.worker = Worker(service)
        self._loops: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()
        kafka = kafka_access()
        broker = KafkaBroker(
            kafka.bootstrap or DOCUMENTED_SERVER,
            security=kafka.faststream_security(),
            sasl_oauth_token_provider=kafka.tokens if kafka.mechanism == OAUTH else None,
            middlewares=[
                KafkaPrometheusMiddleware(registry=telemetry.REGISTRY, app_name=service.name)
            ],
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            consumer_only=True,  # `Producer` publishes; the broker needs no producer of its own
            apply_types=False,  # annotations of handlers are for the document, see `upstream`
            logger=None,
            specification_url=DOCUMENTED_SERVER,
        )
        self.consumers = [
            TopicConsumer(self.worker, subscription, broker)
            for subscription in service.subscriptions
        ]
        self._publishers = _declare_publishers(broker, service)
        super().__init__(
            broker,
            logger=None,
            lifespan=self._resources,
            after_startup=[self._begin],
            on_shutdown=[self._drain],
            specification=AsyncAPI(
                title=service.name, version=version(DISTRIBUTION), description=service.description
            ),
            asgi_routes=[
                ("/livez", get(_livez, include_in_schema=False)),
                ("/readyz", get(self._readyz, include_in_schema=False)),
                ("/metrics", self._metrics),
                ("/asyncapi.json", get(self._document, include_in_schema=False)),
            ],
        )

    # -- the process

    async def run(
        self, log_level: int = logging.INFO, run_extra_options: Mapping[str, Any] | None = None
    ) -> None:
        """Run the worker as a process; raise SystemExit with the exit code unless it is 0."""
        telemetry.log_setup(self.worker.service.name)
        garbage_collection.disable_automatic_collection()
        try:
            code = await self.exit_code(run_extra_options or {})
        except Unavailable as error:
            telemetry.log().error(error.message)
            code = INFRASTRUCTURE_REFUSES
        except Refused as refused:
            telemetry.log().error(f"{refused.message}; {refused.fix}")
            code = INFRASTRUCTURE_REFUSES
        except (KafkaError, OSError) as error:
            why = f"{type(error).__name__}: {error}"
            telemetry.log().error("Kafka or PostgreSQL refused the start or the end", error=why)
            code = INFRASTRUCTURE_REFUSES
        except Exception as error:
            telemetry.log().error("unexpected error at the start or the end", exc_info=error)
            code = UNEXPECTED_ERROR
        if code != STOPPED:
            raise SystemExit(code)

    async def exit_code(self, options: Mapping[str, Any] | None = None) -> int:
        """Run the worker until a signal, `exit()` or an unexpected error; return the exit code.

        `options` are further options of `faststream run`; `--host` and `--port` replace settings.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.exit)
        server = self.http_server(**(options or {}))
        with contextlib.closing(server.config.bind_socket()) as listener:
            async with self.start_lifespan_context():
                await self._ready.wait()
                await self._serve_until_stopped(server, listener)
        if self.worker.failed is not None:
            telemetry.log().error("stopped by an unexpected error", error=repr(self.worker.failed))
            return UNEXPECTED_ERROR
        return STOPPED

    def exit(self) -> None:
        """Ask the worker to stop after the current batches."""
        self.worker.stop()

    def http_server(
        self, host: str | None = None, port: str | int | None = None, **_: Any
    ) -> uvicorn.Server:
        """The server of the routes.

        FastStream's lifespan encloses the server: inside it, uvicorn would not notice that the
        broker fails to start.
        """
        config = uvicorn.Config(
            self,
            host=host or settings().http_host,
            port=settings().http_port if port is None else int(port),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=HTTP_STOP_SECONDS,
        )
        return uvicorn.Server(config)

    async def _serve_until_stopped(self, server: uvicorn.Server, listener: Any) -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        self.worker.fail_when_it_ends(serving)
        await self.worker.stopping.wait()
        server.should_exit = True
        await serving

    # -- hooks of FastStream, in this order

    @contextlib.asynccontextmanager
    async def _resources(self) -> AsyncIterator[None]:
        """Claim the replica name, connect, and finish what an earlier process left.

        Raises `Unavailable` if another process has the name.
        """
        upstream.decode_within_limits()
        worker = self.worker
        await _wait_for_servers(worker)
        async with contextlib.AsyncExitStack() as stack:
            keep_name = await stack.enter_async_context(
                replica_name("", worker.service.name, settings().replica)
            )
            stack.push_async_callback(worker.unit_of_work.engine.dispose)
            await stack.enter_async_context(worker.unit_of_work.producer)
            await loops.publish_outbox(worker)
            await loops.run_jobs(worker)
            self._sweep = loops.Sweep(worker, self.consumers, keep_name)
            try:
                yield
            finally:
                for broker in self.brokers:
                    await broker.stop()  # FastStream does not after an interrupted start

    async def _begin(self) -> None:
        """Start the loops; the consumers are running."""
        upstream.fetch_after_all_is_read(consumer.client for consumer in self.consumers)
        for consumer in self.consumers:
            for task in upstream.tasks_of(consumer.client):
                self.worker.fail_when_it_ends(task)
        topics = [consumer.topic for consumer in self.consumers]
        for topic in topics:
            self.worker.progress.mark(topic)
        self._loops = loops.start_loops(self.worker, self._sweep)
        telemetry.log().info("ready", topics=topics, commands=settings().commands or SIGNED)
        self._ready.set()

    async def _drain(self) -> None:
        """Finish the current batches while the consumers are members of their groups.

        Each batch that began is finished and its offsets are committed; no other begins. FastStream
        stops the consumers afterwards: without them no offset could be committed.
        """
        self.worker.stop()
        await faults.point("in_shutdown")
        for consumer in self.consumers:
            await consumer.finish_batch()
        await asyncio.gather(*(consumer.finish_commits() for consumer in self.consumers))
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        closings = self.worker.service.closings
        await asyncio.gather(*(close() for close in closings), return_exceptions=True)

    # -- routes

    async def not_found(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer the service's own routes, which are found by the beginning of their path."""
        if scope["type"] == "http":
            for prefix, route in self.worker.service.routes.items():
                if scope["path"].startswith(prefix):
                    await route(self.worker.unit_of_work.engine, scope, receive, send)
                    return
        await super().not_found(scope, receive, send)

    async def _readyz(self, scope: Any) -> AsgiResponse:
        ready, reason = self.worker.progress.ready()
        return AsgiResponse(reason.encode(), 200 if ready else 503)

    async def _metrics(self, scope: Any, receive: Any, send: Any) -> None:
        worker = self.worker
        telemetry.LAST_PROGRESS.labels(worker.service.name).set(worker.progress.age())
        await METRICS(scope, receive, send)

    async def _document(self, scope: Any) -> AsgiResponse:
        # Not FastStream's page: it loads scripts from another host and can publish to real topics.
        text = self.schema.to_specification().to_json()
        return AsgiResponse(text.encode(), 200, {"content-type": "application/json"})


async def _wait_for_servers(worker: Worker) -> None:
    """Wait until PostgreSQL and Kafka accept connections: they may start beside this worker.

    Raises the last error when time is up.
    """
    deadline = time.monotonic() + SERVERS_SECONDS
    while True:
        try:
            async with worker.unit_of_work.engine.connect():
                await _connect_to_any(settings().kafka)
                return
        except Exception as error:
            over = time.monotonic() > deadline or worker.stopping.is_set()
            if over or not infrastructure_unavailable(error):
                raise
        await asyncio.sleep(SERVERS_POLL_SECONDS)


async def _connect_to_any(addresses: str) -> None:
    """Connect to one of the addresses of Kafka; raise the last error if none accepts."""
    failure = OSError("BACKOFFICE_KAFKA is empty")
    for address in filter(None, addresses.split(",")):
        host, _, port = address.strip().rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            failure = error
        else:
            writer.close()
            return
    raise failure


async def _livez(scope: Any) -> AsgiResponse:
    return AsgiResponse(b"the process is up", 200)


def _declare_publishers(broker: KafkaBroker, service: Service) -> list[Any]:
    """Declare what the service publishes, for the AsyncAPI document.

    The caller keeps the publishers, because the broker has weak references only.
    """
    declared = [
        broker.publisher(
            full_name(topic.name),
            title=topic.name,
            description=topic.documentation,
            schema=EVENT_MODELS[topic.name],
        )
        for topic in PUBLISHED[service.name]
    ]
    for subscription in service.subscriptions:
        name = dead_letter_topic(subscription.topic, service.name)
        description = f"Records of {subscription.topic} that could not be read. Key: the original."
        declared.append(
            broker.publisher(
                full_name(name), title=name, description=description, schema=DeadLetterRecorded
            )
        )
    return declared


def build_app(service: Service) -> WorkerApplication:
    """The FastStream application of a service."""
    return WorkerApplication(service)


def run_app(app: WorkerApplication) -> None:
    """Run a worker as this process: the entry point of `python -m services.<name>.app`."""
    asyncio.run(app.run())
