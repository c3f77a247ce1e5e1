"""Writes what is generated from the code and committed: `python -m tests.contracts.generate`.

JSON Schemas of every message (`docs/schemas`), AsyncAPI documents of every worker
(`docs/asyncapi`), and a golden example of a message that has none yet (`tests/contracts/golden`). A
golden file that is there is never overwritten: it is what other programs have built on.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from services.arg_sync.ledgers.webhook_payload import WebhookAnswer, WebhookDocument
from shared.broker.topics import FLOW
from shared.events.registry import DEAD_LETTER, EVENT_MODELS, DeadLetterRecorded
from tests.contracts.examples import EXAMPLES

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
ASYNCAPI = ROOT / "docs" / "asyncapi"
GOLDEN = Path(__file__).parent / "golden"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SERVICES = ("fee_realizer", "scheduler", "invoicer", "arg_sync")


def schemas() -> dict[Path, str]:
    """JSON Schema of each topic's value, and of what a webhook sends and is answered."""
    types = EVENT_MODELS | {
        DEAD_LETTER: DeadLetterRecorded,
        "webhook-document": WebhookDocument,
        "webhook-answer": WebhookAnswer,
    }
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
    """The AsyncAPI document of a worker's application, in the order of the committed file."""
    app = importlib.import_module(f"services.{service}.app")
    return in_order(app.build_app(app.service()).schema.to_specification().to_jsonable())


def in_order(document: dict[str, Any]) -> str:
    """A document as it is committed: FastStream keeps publishers in a set, which has no order."""
    for part in ("channels", "operations"):
        document[part] = dict(sorted(document[part].items()))
    document["components"] = {
        kind: dict(sorted(parts.items())) for kind, parts in sorted(document["components"].items())
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


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
