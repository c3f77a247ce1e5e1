"""Inputs that break readers elsewhere: the corpus of the fuzz targets, and what fuzzing found here.

`make fuzz` looks for more; each finding is an example here or in `tests/ledgers`.
"""

import importlib
import json
from pathlib import Path

import pytest
import typer

from services.console.actions.record_keys import LINE_BYTES, file_records
from services.console.cli.options import read_decimal, read_json
from services.console.importing.csv_rows import CELL_LENGTH
from services.console.importing.dialect import FILE_BYTES
from services.console.importing.terms import read_terms
from shared import sealing
from shared.consumer.dead_letter_content import partial_json
from shared.consumer.records import Record, Rejection, reader
from shared.consumer.upstream import BoundedRecords, UndecodableBatch
from shared.errors import Refused
from shared.events.field_types import MESSAGE_BYTES
from shared.events.realizations import PayLinesRealized
from shared.json_text import JSON_DEPTH
from shared.settings import read_settings
from tests import builders
from tests.conftest import Configure
from tests.fuzz import TARGETS, record_batches, sealed_boxes
from tests.fuzz.hostile import folder
from tests.fuzz.messages import GOLDEN

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"


@pytest.fixture(autouse=True)
def data_folder(configure: Configure) -> None:
    """The data folder holds the key with which sealed boxes are opened."""
    configure(data=folder("data"))


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_of_a_target_is_read_or_refused(target: str) -> None:
    """No input makes a reader raise anything but its own refusal."""
    files = sorted((CORPUS / target).iterdir())
    assert files
    run = importlib.import_module(f"tests.fuzz.{target}").run
    for file in files:
        run(file.read_bytes())


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * (JSON_DEPTH + 1) + b"]" * (JSON_DEPTH + 1),
        b'{"item_id": "a", "item_id": "b"}',
        b'{"amount": NaN}',
        b'{"amount": ' + b"9" * 5_000 + b"}",
        b'"' + b"x" * MESSAGE_BYTES + b'"',
        b"\xff\xfe",
        b"",
    ],
    ids=["deep", "a level too deep", "same key", "NaN", "long number", "large", "UTF-16", "empty"],
)
def test_a_json_file_is_read_strictly(content: bytes, tmp_path: Path) -> None:
    """Wrong use with its reason, not a traceback; of two values of a key none is guessed."""
    file = tmp_path / "file.json"
    file.write_bytes(content)
    with pytest.raises(typer.BadParameter) as wrong:
        read_json(file)
    assert "is not JSON" in str(wrong.value) and len(str(wrong.value)) < 500


@pytest.mark.parametrize("text", ["1e999999999", "1E-999999999", "NaN", "-Infinity", "x" * 10_000])
def test_a_decimal_option_is_finite_and_short(text: str) -> None:
    """To write out 1e999999999 would take a gigabyte; the message repeats no long value."""
    with pytest.raises(typer.BadParameter) as wrong:
        read_decimal(text)
    assert len(str(wrong.value)) < 300


def test_a_setting_that_is_no_number_is_quoted_shortly(configure: Configure) -> None:
    """Messages stay messages."""
    configure(http_port="x" * 10_000)
    with pytest.raises(Refused) as refused:
        read_settings()
    assert len(str(refused.value.message)) < 300


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e300", "9" * 30])
def test_a_setting_is_a_number_in_a_range(text: str, configure: Configure) -> None:
    """A pause of NaN seconds ends a timer; a negative number of connections ends a worker."""
    configure(sweep_seconds=text)
    with pytest.raises(Refused, match="from 0 to"):
        read_settings()


def test_a_csv_file_has_a_limit(tmp_path: Path) -> None:
    """It is looked at before it is read; a sparse file takes no space."""
    file = tmp_path / "terms.csv"
    with file.open("wb") as opened:
        opened.truncate(FILE_BYTES + 1)
    _, problems = read_terms(file, builders.command, "acme-us")
    assert problems.count == 1 and "the limit is" in str(problems.shown[0])


def test_a_cell_has_a_limit(tmp_path: Path) -> None:
    """A quotation mark that is not closed would take the rest of a file into a cell."""
    file = tmp_path / "terms.csv"
    file.write_text("account_name\n" + "x" * (CELL_LENGTH + 1) + "\n")
    _, problems = read_terms(file, builders.command, "acme-us")
    assert problems.count == 1 and problems.shown[0].line == 2


def test_a_line_of_a_published_file_has_a_limit(tmp_path: Path) -> None:
    """A file without line breaks is not read whole."""
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"{}\n" + b"x" * LINE_BYTES)
    with pytest.raises(Refused, match="line 2"):
        list(file_records("timesheet-approved", file))


@pytest.mark.parametrize(
    "content",
    [b"[1]", b'{"a": 1}', b'{"a": null}', b"x", b"\xff", b"[" * 100_000, b"NaN"],
    ids=lambda content: content[:12].decode("latin-1"),
)
def test_a_sealed_box_of_anything_is_refused(content: bytes) -> None:
    """Every holder of the public key can seal a list, a value that is no text, or no JSON at all:
    arg_sync refuses it and goes on.
    """
    with pytest.raises(Refused) as refused:
        sealing.unseal(sealed_boxes.sealed(content), sealed_boxes.BOUND)
    assert refused.value.code == "not_a_sealed_box"


def test_a_number_that_becomes_infinite_is_rejected() -> None:
    """In a field of any content, where it was accepted and could not be published again."""
    value = json.loads((GOLDEN / "pay-lines-realized.json").read_text())
    value["lines"][0]["derivation"] = {"formula": "-here-"}
    body = json.dumps(value).replace('"-here-"', "1e999999").encode()
    event = reader(PayLinesRealized)(Record("pay-lines-realized", 0, 0, b"k", body))
    assert isinstance(event, Rejection) and event.code == "number_too_large"


@pytest.mark.parametrize("length", [-1, -12, -(2**31), -1024945032])
@pytest.mark.parametrize("at", [0, 1])
def test_a_record_batch_of_negative_length_is_undecodable(length: int, at: int) -> None:
    """The iterator ends with one record that says so."""
    good = record_batches.batch(0, [b"{}"])
    bad = bytearray(good)
    bad[8:12] = length.to_bytes(4, "big", signed=True)
    records = BoundedRecords(bytes(good * at + bad))
    values = []
    for _ in range(at + 1):
        assert records.has_next()
        batch = records.next_batch()
        assert batch.validate_crc() and not batch.is_control_batch
        values += [record.value for record in batch]
    assert not records.has_next()
    assert [type(value) for value in values] == [bytes] * at + [UndecodableBatch]


def test_a_deep_dead_letter_raises_the_stated_error() -> None:
    """Its callers expect ValueError."""
    with pytest.raises(ValueError, match="nested"):
        partial_json(b"[" * 20_000 + b"]" * 20_000)
