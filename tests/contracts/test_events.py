"""What other programs build on stays as it is: messages, schemas, documents of the topics, and
how every worker subscribes.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from aiokafka import AIOKafkaConsumer
from faststream.middlewares import AckPolicy
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from shared.broker.topics import CONSUMED, FLOW, OPERATOR_COMMANDS, PUBLISHED
from shared.consumer.application import build_app
from shared.consumer.records import Rejection
from shared.consumer.worker import Service
from shared.events.commands import OWNERS, AnyCommand, ServiceCommand
from shared.events.registry import DEAD_LETTER, EVENT_MODELS, DeadLetterRecorded
from tests.builders import record
from tests.conftest import Configure
from tests.contracts.examples import EXAMPLES
from tests.contracts.generate import (
    ASYNCAPI,
    GOLDEN,
    ROOT,
    SERVICES,
    as_text,
    documents,
    in_order,
    schemas,
)

AGAIN = (
    "run `python -m tests.contracts.generate` and look at what changed: other programs read this"
)
TYPES = EVENT_MODELS | {DEAD_LETTER: DeadLetterRecorded}


def type_of(name: str) -> Any:
    """The type of a golden file's message: what stands before a dot is the topic."""
    return TYPES[name.partition(".")[0]]


def subscriptions_of(service: str) -> Service:
    """The parts of a worker, as its `app` wires them."""
    built: Service = importlib.import_module(f"services.{service}.app").service()
    return built


@pytest.mark.parametrize("files", [schemas, documents], ids=["JSON Schema", "AsyncAPI"])
def test_generated_files_are_those_that_are_committed(files: Any) -> None:
    """What is generated from the code is committed, and nothing else lies beside it."""
    wanted: Mapping[Path, str] = files()
    for path, text in wanted.items():
        assert path.exists(), f"{path.name} is missing: {AGAIN}"
        assert path.read_text() == text, f"{path.name} is not what the code says: {AGAIN}"
    folders = {path.parent for path in wanted}
    assert {path for folder in folders for path in folder.iterdir()} == set(wanted)


DOCS_GEN = """
import sys
from faststream.cli import cli

def refuse(event, args):
    if event == "socket.connect":
        raise SystemExit(f"connected to {args[1]}")

sys.addaudithook(refuse)
for service in sys.argv[2:]:
    out = f"{sys.argv[1]}/{service}.yaml"
    cli(
        ["docs", "gen", f"services.{service}.app:app", "--yaml", "--out", out],
        standalone_mode=False,
    )
"""


def test_faststreams_own_command_generates_the_committed_documents(tmp_path: Path) -> None:
    """`faststream docs gen` reads the application that a worker runs: importing it opens no
    connection and requires no setting.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("BACKOFFICE_")
    }
    command = [sys.executable, "-c", DOCS_GEN, str(tmp_path), *SERVICES]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for service in SERVICES:
        generated = yaml.safe_load((tmp_path / f"{service}.yaml").read_text())
        assert in_order(generated) == (ASYNCAPI / f"{service}.yaml").read_text()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_golden_message_is_read_and_written_unchanged(name: str) -> None:
    """A message that another program stored is still read, means the same, and is written with
    the same fields and values.
    """
    golden = (GOLDEN / f"{name}.json").read_text()
    event = TypeAdapter(type_of(name)).validate_json(golden)
    assert event == EXAMPLES[name]
    assert as_text(json.loads(event.model_dump_json())) == golden


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_golden_message_fits_its_schema(name: str) -> None:
    """A program in another language that validates by the committed schema accepts what we
    accept.
    """
    schema = json.loads(
        schemas()[next(path for path in schemas() if path.stem == name.partition(".")[0])]
    )
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads((GOLDEN / f"{name}.json").read_text()))


def test_every_command_has_an_owner_that_consumes_commands() -> None:
    """So a command that its own module forgets to give an owner cannot stop a worker."""
    named = {
        model.model_fields["command"].default
        for model in get_args(AnyCommand)
        if issubclass(model, ServiceCommand)
    }
    assert OWNERS.keys() | named == {
        model.model_fields["command"].default for model in get_args(AnyCommand)
    }
    assert set(OWNERS.values()) <= {
        service for service, topics in CONSUMED.items() if OPERATOR_COMMANDS in topics
    }


def test_every_message_and_command_has_a_golden_file() -> None:
    """Nothing travels that no golden file holds fast."""
    commands = {
        f"operator-commands.{kind}"
        for kind in [model.model_fields["command"].default for model in get_args(AnyCommand)]
    }
    wanted = (TYPES.keys() - {"operator-commands"}) | commands
    assert {path.stem for path in GOLDEN.iterdir()} == wanted == EXAMPLES.keys()


def test_each_topic_of_the_registry_is_published_and_consumed() -> None:
    """Topics, messages and services agree: one producer each, inputs from the ATS and operators
    apart.
    """
    assert list(EVENT_MODELS) == [topic.name for topic in FLOW]
    said = [
        topic.name
        for topics in PUBLISHED.values()
        for topic in topics
        if topic.name != "command-results"
    ]
    assert len(said) == len(set(said)), "a topic has one producer"
    from_outside = {
        "requirement-changed",
        "billto-changed",
        "timesheet-approved",
        "placement-created",
        "charge-added",
        "engagement-changed",
        "supplier-changed",
        "operator-commands",
    }
    assert {*said, "command-results"} | from_outside == EVENT_MODELS.keys()


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_the_asyncapi_documents_list_what_a_worker_consumes(service: str) -> None:
    """The AsyncAPI document lists the subscriptions that the worker runs: same topics and
    messages.
    """
    subscriptions = subscriptions_of(service).subscriptions
    assert sorted(subscription.topic for subscription in subscriptions) == sorted(
        topic.name for topic in CONSUMED[service]
    )
    for subscription in subscriptions:
        schema = (
            subscription.schema
            if isinstance(subscription.schema, TypeAdapter)
            else TypeAdapter(subscription.schema)
        )
        assert schema.json_schema() == TypeAdapter(EVENT_MODELS[subscription.topic]).json_schema()
    document = yaml.safe_load(
        next(text for path, text in documents().items() if path.stem == service)
    )
    received = {
        channel["channel"]["$ref"].rpartition("/")[2]
        for channel in document["operations"].values()
        if channel["action"] == "receive"
    }
    assert received == {subscription.topic for subscription in subscriptions}


@pytest.mark.parametrize("service", sorted(SERVICES))
async def test_every_subscriber_acknowledges_by_hand_and_starts_at_the_beginning(
    service: str, configure: Configure
) -> None:
    """FastStream's defaults would lose messages: a failed handler's (ACK_FIRST), and the first
    ones of a new partition (latest).
    """
    configure(replica="r7")
    (broker,) = build_app(subscriptions_of(service)).brokers
    assert {topic.name for subscriber in broker.subscribers for topic in subscriber.topics} == {
        topic.name for topic in CONSUMED[service]
    }
    for subscriber in broker.subscribers:
        (topic,) = subscriber.topics
        assert subscriber.ack_policy is AckPolicy.MANUAL
        given = subscriber._connection_args
        assert given["auto_offset_reset"] == "earliest"
        assert given["enable_auto_commit"] is False
        assert given["group_instance_id"] == f"r7.{topic.name}"
        assert subscriber.group_id == f"{service}.{topic.name}"
        assert given["rebalance_timeout_ms"] > given["session_timeout_ms"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_reader_raises_on_any_bytes(service: str) -> None:
    """Whatever bytes come, reading gives an event, a rejection with code and message, or nothing
    (another service's command).
    """
    for subscription in subscriptions_of(service).subscriptions:
        for value in (
            None,
            b"",
            b"\xff",
            b"[]",
            b"{",
            b"nul",
            b"NaN",
            b'{"a": 1e999}',
            b"[" * 100_000,
            b'{"a":1,"a":2}',
            b"0" * 2_000_000,
        ):
            read = subscription.read(record(subscription.topic, value, key=b"\xff"))
            assert read is None or (isinstance(read, Rejection) and read.code and read.message)


def test_kafkas_client_knows_the_options_that_workers_set() -> None:
    """A renamed option would be swallowed by a keyword catch-all and the default would lose
    messages.
    """
    names = AIOKafkaConsumer.__init__.__code__.co_varnames
    assert {
        "auto_offset_reset",
        "enable_auto_commit",
        "group_instance_id",
        "isolation_level",
        "metadata_max_age_ms",
        "rebalance_timeout_ms",
        "session_timeout_ms",
    } <= set(names)
