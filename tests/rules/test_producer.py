"""Published messages have the ids and partitions that other programs expect."""

import uuid

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import example, given
from hypothesis import strategies as st

from shared.broker.producer import partition_of, stable_id


@given(st.binary(max_size=60), st.integers(1, 50))
@example(b"", 4)
@example(b"TS-00000001", 4)
@example("Zürich · Ärzte".encode(), 12)
def test_a_key_has_the_partition_that_every_kafka_client_computes(
    key: bytes, partitions: int
) -> None:
    """Any client finds a key's partition."""
    numbers = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, numbers, numbers)


@given(
    st.lists(
        st.one_of(st.text(st.characters(codec="utf-8"), max_size=20), st.integers()), max_size=5
    )
)
def test_an_event_id_is_the_uuid_of_its_content(parts: list[object]) -> None:
    """The same message has the same id in every version."""
    assert stable_id(*parts) == str(
        uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join(str(part) for part in parts))
    )
