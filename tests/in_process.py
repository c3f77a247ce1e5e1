"""All services in one process, without Kafka, on a real database.

What one service publishes is given to the services that consume it: for tests of several services
together. Order, repeats and kills are tested by the system tests, with real processes.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from services.fee_realizer import app as fee_realizer
from services.invoicer import app as invoicer
from shared.broker.producer import OutgoingMessage
from shared.consumer.records import Applied, Record
from shared.consumer.unit_of_work import UnitOfWork
from shared.consumer.worker import Service
from tests.builders import record
from tests.conftest import process


@dataclass
class Pipeline:
    """The services, and the records that are not consumed yet.

    `rng` shuffles what may arrive in any order.
    """

    unit_of_work_for: Callable[..., UnitOfWork]
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    services: list[Service] = field(
        default_factory=lambda: [fee_realizer.service(), invoicer.service()]
    )
    under_way: deque[Record] = field(default_factory=deque)
    said: list[OutgoingMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._units_of_work = {
            service.name: self.unit_of_work_for(service.name, dict(service.builders))
            for service in self.services
        }

    def send(self, topic: str, *events: BaseModel) -> None:
        """Put events on a topic."""
        self.under_way.extend(record(topic, event) for event in events)

    async def settle(self, batch: int = 50) -> None:
        """Deliver everything to its consumers, batch by batch, until nothing is left."""
        while self.under_way:
            records = [self.under_way.popleft() for _ in range(min(batch, len(self.under_way)))]
            for service in self.services:
                await self._consume(service, records)

    async def tell(self, service: str, topic: str, *events: BaseModel) -> list[Record]:
        """Deliver events to one service only; return what it publishes, which is not delivered."""
        (receiver,) = [one for one in self.services if one.name == service]
        await self._consume(receiver, [record(topic, event) for event in events])
        said = list(self.under_way)
        self.under_way.clear()
        return said

    async def _consume(self, service: Service, records: list[Record]) -> None:
        unit_of_work = self._units_of_work[service.name]
        for subscription in service.subscriptions:
            mine = [one for one in records if one.topic == subscription.topic]
            if mine and await process(unit_of_work, subscription, mine):
                await self._jobs(service)
            self._carry(unit_of_work)

    async def _jobs(self, service: Service) -> None:
        unit_of_work = self._units_of_work[service.name]
        for _, job in service.jobs:
            while True:
                applied: Applied = await unit_of_work.transact(job)
                self._carry(unit_of_work)
                if not applied.jobs_due:
                    break

    async def sweep(self) -> None:
        """Run the background jobs of every service, as its slow sweep does."""
        for service in self.services:
            await self._jobs(service)
        await self.settle()

    def _carry(self, unit_of_work: Any) -> None:
        """Queue what a service published."""
        published, unit_of_work.producer.published = unit_of_work.producer.published, []
        self.said += published
        self.under_way.extend(record(one.topic, one.value, one.key) for one in published)

    def answers(self) -> dict[str, str]:
        """The answers of the services to commands, by command id."""
        return {one.key: one.value.decode() for one in self.said if one.topic == "command-results"}
