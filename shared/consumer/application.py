"""A worker as a FastStream application, and as a process: HTTP routes, signals, exit codes.

`faststream run services.invoicer.app:app` and `python -m services.invoicer.app` both call `run` of
the same object. Making it opens no connection and requires no setting, so `faststream docs gen`
works on a machine without Kafka and PostgreSQL.

FastStream enters the lifespan (the name of the replica, database, producer), starts the broker, and
on the way out drains before it stops the broker: a batch in hand needs its consumer until the end.
"""

import asyncio
import contextlib
import logging
import signal
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

from shared import telemetry
from shared.broker.topics import PUBLISHED, dead_letter_topic, full_name
from shared.consumer import garbage
from shared.consumer.worker import Service, Worker
from shared.errors import Unavailable
from shared.events.registry import EVENT_MODELS, DeadLetterRecorded
from shared.settings import settings

DISTRIBUTION = "staffing-back-office"
DOCUMENTED_SERVER = "localhost:9092"
"""The AsyncAPI document names this address: the real one is a setting, not part of the contract."""
HTTP_STOP_SECONDS = 5
STOPPED, INFRASTRUCTURE_REFUSES, UNEXPECTED_ERROR = 0, 1, 3
"""Exit codes: after a signal; Kafka, PostgreSQL or another replica of this name refuses the start;
anything that nobody foresaw. A supervisor restarts the worker after the last two."""


class WorkerApplication(AsgiFastStream):
    """The FastStream application of one worker."""

    def __init__(self, service: Service) -> None:
        self.worker = Worker(service)
        self._ready = asyncio.Event()
        broker = KafkaBroker(
            settings().kafka or DOCUMENTED_SERVER,
            middlewares=[
                KafkaPrometheusMiddleware(registry=telemetry.REGISTRY, app_name=service.name)
            ],
            allow_auto_create_topics=False,
            consumer_only=True,  # `Producer` publishes; the broker needs no producer of its own
            apply_types=False,  # annotations of handlers are for the document, see `upstream`
            logger=None,
            specification_url=DOCUMENTED_SERVER,
        )
        self.worker.subscribe(broker)
        self._publishers = _declare_publishers(broker, service)
        super().__init__(
            broker,
            logger=None,
            lifespan=self._resources,
            after_startup=[self._begin],
            on_shutdown=[self.worker.drain],
            specification=AsyncAPI(
                title=service.name, version=version(DISTRIBUTION), description=service.description
            ),
            asgi_routes=[
                ("/livez", _livez),
                ("/readyz", self._readyz()),
                ("/metrics", self._metrics()),
                ("/asyncapi.json", self._document()),
            ],
        )

    # -- the process

    async def run(
        self, log_level: int = logging.INFO, run_extra_options: Mapping[str, Any] | None = None
    ) -> None:
        """Runs the worker as a process; raises SystemExit with the exit code unless it is 0."""
        telemetry.log_setup(self.worker.service.name)
        garbage.prepare()
        try:
            code = await self.exit_code(run_extra_options or {})
        except Unavailable as error:
            telemetry.log().error(error.message)
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
        """Runs the worker until a signal, `exit()` or an unexpected error; gives the exit code.

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
        """Asks the worker to stop after the batches in hand."""
        self.worker.stop()

    def http_server(
        self, host: str | None = None, port: str | int | None = None, **_: Any
    ) -> uvicorn.Server:
        """The server of the routes. FastStream's lifespan is around it, not inside it: uvicorn
        would not notice when the broker fails to start."""
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
        serving.add_done_callback(lambda _: self.exit())
        await self.worker.stopping.wait()
        server.should_exit = True
        await serving

    # -- hooks of FastStream

    @contextlib.asynccontextmanager
    async def _resources(self) -> AsyncIterator[None]:
        async with self.worker.opened():
            try:
                yield
            finally:
                for broker in self.brokers:
                    await broker.stop()  # FastStream does not, when the start was broken off

    async def _begin(self) -> None:
        await self.worker.begin()
        self._ready.set()

    # -- routes

    async def not_found(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers the service's own routes, which are known by the beginning of their path."""
        if scope["type"] == "http":
            for beginning, route in self.worker.service.routes.items():
                if scope["path"].startswith(beginning):
                    await route(self.worker.unit_of_work.engine, scope, receive, send)
                    return
        await super().not_found(scope, receive, send)

    def _readyz(self) -> Any:
        @get(include_in_schema=False)
        async def readyz(scope: Any) -> AsgiResponse:
            ready, why = self.worker.progress.ready()
            return AsgiResponse(why.encode(), 200 if ready else 503)

        return readyz

    def _metrics(self) -> Any:
        metrics = make_asgi_app(registry=telemetry.REGISTRY)

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            name = self.worker.service.name
            telemetry.LAST_PROGRESS.labels(name).set(self.worker.progress.age())
            await metrics(scope, receive, send)

        return answer

    def _document(self) -> Any:
        # Not FastStream's page: it loads scripts from another host and can publish to real topics.
        @get(include_in_schema=False)
        async def document(scope: Any) -> AsgiResponse:
            text = self.schema.to_specification().to_json()
            return AsgiResponse(text.encode(), 200, {"content-type": "application/json"})

        return document


@get(include_in_schema=False)
async def _livez(scope: Any) -> AsgiResponse:
    return AsgiResponse(b"the process is up", 200)


def _declare_publishers(broker: KafkaBroker, service: Service) -> list[Any]:
    """Declares what the service publishes, for the document; the caller keeps the publishers,
    because the broker holds them by weak references only."""
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
        words = f"Records of {subscription.topic} that nobody can read. Key: as the original."
        declared.append(
            broker.publisher(
                full_name(name), title=name, description=words, schema=DeadLetterRecorded
            )
        )
    return declared


def build_app(service: Service) -> WorkerApplication:
    """The FastStream application of a service."""
    return WorkerApplication(service)


def run_app(app: WorkerApplication) -> None:
    """Runs a worker as this process: the entry point of `python -m services.<name>.app`."""
    asyncio.run(app.run())
