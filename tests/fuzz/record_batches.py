"""Record batches as a broker hands them over: any bytes, each codec, headers and lengths changed.

The iterator raises nothing: what cannot be decoded is one record that says so.
"""

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from shared.consumer.unpacking import MAX_UNPACKED_BYTES, OversizedValue
from shared.consumer.upstream import BoundedRecords, UndecodableBatch
from tests.fuzz.hostile import Picks

CODECS = 5
HEADER_BYTES = 61
MOST_CHANGES = 6
MOST_RECORDS = 20_000


def batch(codec: int, values: list[bytes]) -> bytes:
    """A good record batch."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
    for offset, value in enumerate(values):
        builder.append(offset, 0, b"key", value, [("name", b"value")])
    return bytes(builder.build())


def run(data: bytes) -> None:
    """Read what a fetch of one partition returned."""
    picks = Picks(data)
    codec, how = picks.number(CODECS), picks.number(4)
    raw = bytearray(batch(codec, [b"{}" * picks.number(500), picks.rest]))
    if how == 1:
        raw = raw[:HEADER_BYTES] + picks.rest
        raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    elif how == 2:
        raw = bytearray(picks.rest)
    else:
        for _ in range(picks.number(MOST_CHANGES)):
            raw[picks.number(len(raw))] = picks.number(256)
    records = BoundedRecords(bytes(raw))
    found = size = 0
    while records.has_next() and found < MOST_RECORDS:
        one = records.next_batch()
        one.validate_crc()
        if one.is_control_batch:
            continue
        for record in one:
            found += 1
            size += len(record.value or b"")
            assert isinstance(record.value, bytes | None | UndecodableBatch | OversizedValue)
            if found >= MOST_RECORDS:
                break
    assert size <= MAX_UNPACKED_BYTES
