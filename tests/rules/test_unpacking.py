"""Compressed record batches are unpacked within limits, whatever a sender puts into them."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cramjam
import lz4.frame
import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.legacy_records import _LegacyRecordBatchBuilderPy
from aiokafka.structs import TopicPartition
from backports import zstd

from shared.consumer import unpacking, upstream
from shared.consumer.unpacking import (
    KEPT_BYTES,
    OversizedValue,
    Undecodable,
    Unpacked,
    unpack,
)

GZIP, SNAPPY, LZ4, ZSTD = range(1, 5)
BIG_BYTES = 30_000_000
PEAK_MIB = 25
XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)


def batch(codec: int, *values: bytes) -> bytes:
    """A record batch as Kafka stores it."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, -1, -1, 10**9)
    for at, value in enumerate(values):
        builder.append(at, timestamp=1, key=b"k", value=value, headers=[("h", b"1")])
    return bytes(builder.build())


def read(raw: bytes) -> list[Any]:
    """The records that a consumer gets of fetched bytes."""
    records = PartitionRecords(
        TopicPartition("t", 0), upstream.BoundedRecords(raw), [], 0, None, None, True, 1
    )
    return list(records)


def content(codec: int, packed: bytes) -> bytes:
    """What is in compressed bytes."""
    return b"".join(unpack(codec, memoryview(packed)))


TEXT = b"some text " * 50_000


@pytest.mark.parametrize(
    ("codec", "packed"),
    [
        pytest.param(GZIP, gzip.compress(TEXT), id="gzip"),
        pytest.param(GZIP, gzip.compress(TEXT[:7]) + gzip.compress(TEXT[7:]), id="gzip, two parts"),
        pytest.param(SNAPPY, bytes(cramjam.snappy.compress_raw(TEXT)), id="snappy, bare"),
        pytest.param(LZ4, lz4.frame.compress(TEXT), id="lz4, linked blocks"),
        pytest.param(LZ4, lz4.frame.compress(TEXT, block_linked=False), id="lz4"),
        pytest.param(ZSTD, zstd.compress(TEXT), id="zstd"),
        pytest.param(ZSTD, zstd.compress(TEXT[:7]) + zstd.compress(TEXT[7:]), id="zstd, two"),
    ],
)
def test_what_clients_send_is_unpacked(codec: int, packed: bytes) -> None:
    """Each form of each codec."""
    assert content(codec, packed) == TEXT


@pytest.mark.parametrize(
    ("codec", "packed"),
    [
        pytest.param(7, b"x", id="no such codec"),
        pytest.param(GZIP, gzip.compress(TEXT)[:-20], id="gzip, cut off"),
        pytest.param(LZ4, lz4.frame.compress(TEXT)[:-20], id="lz4, cut off"),
        pytest.param(ZSTD, zstd.compress(TEXT)[:-20], id="zstd, cut off"),
        pytest.param(SNAPPY, b"\xff\xff\xff\xff\x0f", id="snappy announces 4 GB"),
        pytest.param(SNAPPY, XERIAL + b"\x7f\xff\xff\xff", id="xerial announces 2 GB"),
        pytest.param(SNAPPY, XERIAL + b"\xff\xff\xff\xff", id="xerial announces -1"),
    ],
)
def test_what_is_wrong_is_undecodable(codec: int, packed: bytes) -> None:
    """Announced lengths are not believed."""
    with pytest.raises(Undecodable):
        content(codec, packed)


def test_a_zstd_window_of_any_size_is_refused() -> None:
    """A decoder would allocate the window at once."""
    options = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(TEXT) + compressor.flush()
    with pytest.raises(zstd.ZstdError, match="memory"):
        content(ZSTD, packed)


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_there_is_a_limit(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that unpacks to more is given up there."""
    monkeypatch.setattr(unpacking, "MAX_UNPACKED_BYTES", 2 << 20)
    (found,) = read(batch(codec, b"x" * (2 << 20)))
    assert isinstance(found.value, upstream.UndecodableBatch)
    assert "unpack to more than 2 MiB" in found.value.reason
    assert (found.value.first, found.value.following) == (0, 1)


def test_a_length_beyond_the_batch_is_undecodable() -> None:
    """A record cannot be longer than its batch, nor negative."""
    for length in (10, -1):
        with pytest.raises(Undecodable):
            Unpacked(iter([b"abc"])).read(length)


def test_an_oversized_record_is_not_kept_whole() -> None:
    """Neighbours in the batch, keys and headers are those of the sender."""
    found = read(batch(ZSTD, b"a", b"x" * BIG_BYTES, b"c"))
    assert [one.offset for one in found] == [0, 1, 2]
    assert [found[0].value, found[2].value] == [b"a", b"c"]
    assert found[2].headers == (("h", b"1"),)
    assert isinstance(found[1].value, OversizedValue)
    assert (found[1].value, found[1].value.length) == (b"x" * KEPT_BYTES, BIG_BYTES)


def test_a_large_batch_of_small_records_is_read_record_by_record() -> None:
    """Every record of a batch that is too large to be unpacked at once."""
    values = [b"%06d" % at * 100 for at in range(20_000)]
    assert [one.value for one in read(batch(GZIP, *values))] == values


def test_a_wrong_checksum_stands_for_the_whole_batch() -> None:
    """It raises nothing inside the client's poll; the batches before and after it are read."""
    good, bad = batch(0, b"good"), bytearray(batch(0, b"a", b"b"))
    bad[-1] ^= 1
    bad[7] = 1
    after = bytearray(good)
    after[7] = 3
    found = read(good + bytes(bad) + bytes(after))
    assert [one.offset for one in found] == [0, 2, 3]
    broken = found[1].value
    assert (broken.first, broken.following, broken.reason) == (1, 3, "its checksum is wrong")
    assert [found[0].value, found[2].value] == [b"good", b"good"]


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4])
def test_a_message_set_of_an_old_client_is_read(codec: int) -> None:
    """The format before Kafka 0.11."""
    builder = _LegacyRecordBatchBuilderPy(1, codec, 10**9)
    for at, value in enumerate((b"a", b"b")):
        builder.append(at, timestamp=1, key=b"k", value=value)
    assert [one.value for one in read(bytes(builder.build()))] == [b"a", b"b"]


def test_a_bomb_in_an_old_message_set_is_undecodable() -> None:
    """The library would unpack it into one object."""
    builder = _LegacyRecordBatchBuilderPy(1, GZIP, 10**9)
    builder.append(0, timestamp=1, key=b"k", value=b"x" * BIG_BYTES)
    (found,) = read(bytes(builder.build()))
    assert "unpacks to more than 8 MiB" in found.value.reason


MEASURE = """
import re, sys
from shared.consumer import upstream
def peak():  # not ru_maxrss, which begins with the peak of the parent
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1]) // 1024
before = peak()
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        for record in upstream.BoundedRecords(file.read()).next_batch():
            assert len(record.value) <= 65536, len(record.value)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_bombs_take_little_memory(tmp_path: Path) -> None:
    """30 MB in one record of each codec, read one after the other by a process of their own.

    The library takes more than twice that for one.
    """
    paths = []
    for codec in (GZIP, LZ4, ZSTD):
        paths.append(tmp_path / str(codec))
        paths[-1].write_bytes(batch(codec, b"x" * BIG_BYTES))
    run = [sys.executable, "-c", MEASURE, *map(str, paths)]
    found = subprocess.run(
        run, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < PEAK_MIB, f"{found.stdout} MiB"
