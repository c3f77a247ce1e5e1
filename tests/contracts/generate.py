"""Writes what is generated from the code and committed: `python -m tests.contracts.generate`.

JSON Schemas of every message (`docs/schemas`), AsyncAPI documents of every worker (`docs/asyncapi`), and a golden example of a message
that has none yet (`tests/contracts/golden`). A golden file that is there is never overwritten: it is what other programs have built on.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import TypeAdapter

from shared.broker.topics import CONSUMED, FLOW, PUBLISHED, Topic, dead_letter_topic
from shared.events.registry import DEAD_LETTER, EVENT_MODELS, DeadLetterRecorded
from tests.contracts.examples import EXAMPLES

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
ASYNCAPI = ROOT / "docs" / "asyncapi"
GOLDEN = Path(__file__).parent / "golden"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SERVICES = {
    "fee_realizer": "What a document is worth: prices timesheets and placements, holds what waits for a fact.",
    "scheduler": "When: announces lines whose day has come in their billing company's zone.",
    "arg_sync": "How documents reach the accounting systems: delivers each closed document once, and says what became of it.",
    "invoicer": "What goes on which invoice: settles statements, answers operators, generates and closes batches.",
}


def schemas() -> dict[Path, str]:
    """JSON Schema of each topic's value."""
    types = EVENT_MODELS | {DEAD_LETTER: DeadLetterRecorded}
    return {
        SCHEMAS / f"{name}.json": as_text(
            {"$schema": DIALECT, "$id": f"{name}.json", **TypeAdapter(of).json_schema()}
        )
        for name, of in types.items()
    }


def documents() -> dict[Path, str]:
    """AsyncAPI document of each worker."""
    return {ASYNCAPI / f"{service}.yaml": asyncapi(service) for service in SERVICES}


def asyncapi(service: str) -> str:
    """What a worker hears and says. Built on a broker of its own with typed handlers: the worker's real subscribers take raw bytes."""
    broker = KafkaBroker("localhost:9092")
    held: list[Any] = []  # the broker itself holds its publishers by weak references
    for topic in CONSUMED[service]:
        held.append(
            broker.subscriber(
                topic.name,
                group_id=f"{service}.{topic.name}",
                title=topic.name,
                description=_in_words(topic),
            )(_handler(topic))
        )
    for topic in PUBLISHED[service]:
        held.append(
            broker.publisher(
                topic.name,
                title=topic.name,
                description=_in_words(topic),
                schema=EVENT_MODELS[topic.name],
            )
        )
    for topic in CONSUMED[service]:
        name = dead_letter_topic(topic.name, service)
        words = f"Records of {topic.name} that nobody can read. Key: as the original."
        held.append(
            broker.publisher(name, title=name, description=words, schema=DeadLetterRecorded)
        )
    document = AsyncAPI(
        broker,
        title=service,
        version=version("staffing-back-office"),
        description=SERVICES[service],
    )
    return yaml.safe_dump(
        _in_order(document.to_specification().to_jsonable()),
        sort_keys=False,
        allow_unicode=True,
        width=120,
    )


def _in_order(document: dict[str, Any]) -> dict[str, Any]:
    """FastStream keeps publishers in a set without order; the committed file needs one."""
    for part in ("channels", "operations"):
        document[part] = dict(sorted(document[part].items()))
    document["components"] = {
        kind: dict(sorted(parts.items())) for kind, parts in sorted(document["components"].items())
    }
    return document


def _handler(topic: Topic) -> Any:
    async def hear(event: Any) -> None:
        """Stands for the worker's lane."""

    of = EVENT_MODELS[topic.name]
    hear.__annotations__["event"] = of | None if topic.compacted else of
    return hear


def _in_words(topic: Topic) -> str:
    kept = "compacted, kept for ever" if topic.compacted else "kept 90 days"
    return f"{topic.description[0].upper()}{topic.description[1:]}. Key: {topic.key}; {kept}."


def golden() -> dict[Path, str]:
    """An example of each message, as it travels."""
    return {
        GOLDEN / f"{name}.json": as_text(json.loads(event.model_dump_json()))
        for name, event in EXAMPLES.items()
    }


def as_text(value: Any) -> str:
    """JSON as it is committed."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write() -> list[Path]:
    """Writes what differs; the files it wrote."""
    assert {topic.name for topic in FLOW} == EVENT_MODELS.keys(), (
        "shared/events/registry.py and shared/broker/topics.py name different topics"
    )
    wanted = (
        schemas()
        | documents()
        | {path: text for path, text in golden().items() if not path.exists()}
    )
    changed = [
        path for path, text in wanted.items() if not path.exists() or path.read_text() != text
    ]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
    return changed


def main() -> None:
    """Entry point."""
    for path in write():
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
