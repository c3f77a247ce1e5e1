"""The readers of all topics but commands: an event, a tombstone, or a rejection without values."""

import contextlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from services.arg_sync.subscriptions import subscriptions as of_arg_sync
from services.fee_realizer.app import SUBSCRIPTIONS as OF_FEE_REALIZER
from services.invoicer.app import subscriptions as of_invoicer
from shared.broker.topics import OPERATOR_COMMANDS
from shared.consumer.dead_letter_content import content, partial_json
from shared.consumer.processing import Subscription
from shared.consumer.records import Record, Rejection, Tombstone
from shared.events.field_types import TEXT_LENGTH
from tests.fuzz.hostile import CANARY, Picks, changed

GOLDEN = Path(__file__).parents[1] / "contracts" / "golden"
RAW_VALUE = 8


@cache
def readers() -> list[Subscription]:
    """Every subscription but those to commands."""
    every = [*OF_FEE_REALIZER, *of_invoicer().values(), *of_arg_sync().values()]
    return [each for each in every if each.topic != OPERATOR_COMMANDS.name]


@cache
def golden(name: str) -> Any:
    """A good message."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def check(record: Record, event: Any) -> None:
    """What is required of whatever a reader returns, and of its dead letter."""
    if isinstance(event, Rejection):
        assert event.code and 0 < len(event.message) <= TEXT_LENGTH, event
        assert CANARY not in event.message.partition(": ")[2], event  # before it, names of fields
        kept = content(record)
        with contextlib.suppress(ValueError):
            partial_json(kept["value"])
    elif isinstance(event, Tombstone):
        event.key.encode()
    elif event is not None:
        assert type(event).model_validate_json(event.model_dump_json()) == event


def run(data: bytes) -> None:
    """Read one record."""
    picks = Picks(data)
    subscription = readers()[picks.number(len(readers()))]
    key: bytes | None = b"k"
    if picks.number(RAW_VALUE) == 1:
        how = picks.number(3)
        key = picks.rest if how else None
        value = None if how == 2 else picks.rest
    else:
        value = changed(golden(subscription.topic), picks)
    record = Record(subscription.topic, 0, 0, key, value, (("h", picks.rest[:50]),))
    check(record, subscription.read(record))
