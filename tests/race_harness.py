"""Forced races: two workers of one service, each with one partition, pause at named points."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol

from shared.broker.security import kafka_access
from shared.broker.topics import group_name
from tests.running import Observer, Pauses, Running, start, until

PARTITIONS = 2
SELDOM_SECONDS = 3600


@dataclass
class Replica(Pauses):
    """One worker. Only it reads its partition, and it alone pauses on demand."""

    name: str
    worker: Running
    partition: int = 0


@dataclass
class RaceHarness:
    """The workers of a race and their observer.

    They sweep rarely, because a sweep would also pass the pause points of a transaction.
    """

    stack: dict[str, str]
    folder: Path
    observer: Observer
    today: str
    replicas: list[Replica] = field(default_factory=list)
    others: list[Running] = field(default_factory=list)

    async def start(self, service: str, topic: str, replicas: int = PARTITIONS) -> list[Replica]:
        """Start the workers that race, and wait until each has its share of the topic."""
        for number in range(replicas):
            pause = self.folder / f"pause-{number}"
            pause.mkdir()
            worker = await start(
                service,
                self.stack,
                self.folder,
                replica=f"r{number}",
                pause=pause,
                today=self.today,
                sweep_seconds=SELDOM_SECONDS,
            )
            self.replicas.append(Replica(pause, f"{service} r{number}", worker))
        await until("each worker has its partitions", lambda: self._assigned(service, topic))
        return self.replicas

    async def also(self, *services: str) -> None:
        """Start workers that take no part in the race."""
        self.others += [
            await start(service, self.stack, self.folder, today=self.today) for service in services
        ]

    async def _assigned(self, service: str, topic: str) -> bool:
        admin = AIOKafkaAdminClient(**kafka_access().client_options())
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([group_name(service, topic)])
        finally:
            await admin.close()
        group = answer.to_object()["groups"][0]
        if group["state"] != "Stable" or len(group["members"]) != len(self.replicas):
            return False
        for member in group["members"]:
            number = int(
                member["member_id"].partition(".")[0].removeprefix("r")
            )  # a static member's id begins with its instance's
            partitions = ConsumerProtocol.ASSIGNMENT.decode(
                member["member_assignment"]
            ).partitions()
            if len(partitions) != PARTITIONS // len(self.replicas):
                return False
            self.replicas[number].partition = partitions[0].partition
        return True

    async def waits(self) -> None:
        """Wait until a transaction waits for a lock."""

        async def seen() -> Any:
            return await self.observer.waiting_for_locks()

        await until("the other one waits for a lock", seen)

    async def stop(self) -> None:
        """Stop all; each must exit with 0."""
        await asyncio.gather(*(worker.stop() for worker in self._workers()))

    def _workers(self) -> list[Running]:
        return [*(replica.worker for replica in self.replicas), *self.others]


@contextlib.asynccontextmanager
async def race_harness(
    stack: dict[str, str], folder: Path, observer: Observer, today: str
) -> AsyncIterator[RaceHarness]:
    """A harness whose workers are stopped at the end, and killed if the test failed."""
    made = RaceHarness(stack, folder, observer, today)
    try:
        yield made
        await made.stop()
    finally:
        for worker in made._workers():
            if worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()
