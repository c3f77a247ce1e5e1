"""An hour of lag stays in a memory of fixed size."""

import json
import tracemalloc

from shared.consumer.lag import GroupLag, groups_of
from shared.consumer.lag_history import HOUR_SECONDS, SAMPLE_SECONDS, SAMPLES, LagHistory

GROUP, TOPIC = "invoicer.pay-lines-realized", "pay-lines-realized"
START = 1_800_000_000.0


def reading(committed: int, end: int, seconds: float | None = 0.0) -> list[GroupLag]:
    """Two partitions: one as given, one at its end."""
    return [
        GroupLag(GROUP, TOPIC, 0, committed, end, 0, seconds),
        GroupLag(GROUP, TOPIC, 1, 40, 40, 0, 0.0),
    ]


def test_a_history_has_lag_age_throughput_and_members() -> None:
    """100 records a second come in and 60 are read: the lag grows by 40 a second."""
    history = LagHistory({GROUP: TOPIC})
    for number in range(3):
        at = number * SAMPLE_SECONDS
        lags = reading(int(60 * at), int(100 * at), 0.5 * at)
        history.add(START + at, lags, {GROUP: 2})
    found = history.as_dict()
    assert found["at"] == START + 10 and found["known_since"] == START
    assert found["times"] == [START, START + 5, START + 10]
    (row,) = found["groups"]
    assert row["history"] == {
        "behind": [0, 200, 400],
        "seconds": [0, 2.5, 5],
        "members": [2, 2, 2],
        "in": [None, 100, 100],
        "out": [None, 60, 60],
    }
    now = {name: row[name] for name in ("behind", "seconds", "members", "partitions", "in", "out")}
    assert now == {
        "behind": 400, "seconds": 5, "members": 2, "partitions": 2, "in": 100, "out": 60,
    }  # fmt: skip
    json.dumps(found, allow_nan=False)


def test_fewer_points_keep_the_largest_lag() -> None:
    """A peak of one sample is seen in a history of ten points."""
    history = LagHistory({GROUP: TOPIC})
    for number in range(100):
        behind = 900 if number == 57 else 0
        history.add(START + 5 * number, reading(1000 * number, 1000 * number + behind), {})
    found = history.as_dict(points=10)
    (row,) = found["groups"]
    assert len(found["times"]) == 10
    assert [number for number in row["history"]["behind"] if number] == [900]
    assert row["history"]["out"][1:] == [200] * 9
    assert history.as_dict(points=0)["groups"][0]["history"]["behind"] == []


def test_what_is_not_known_is_none_and_a_gap() -> None:
    """Kafka did not answer, or did not say how old the oldest record is: no number is shown."""
    history = LagHistory({GROUP: TOPIC})
    history.add(START, reading(0, 7, None), {GROUP: None})
    (row,) = history.as_dict()["groups"]
    assert (row["behind"], row["seconds"], row["members"]) == (7, None, None)
    history.add(START + 5, [], {})
    found = history.as_dict()
    (row,) = found["groups"]
    assert row["behind"] is None and row["history"]["behind"] == [7, None]
    assert row["in"] is None
    history.add(START + 10, reading(7, 7), {GROUP: 1})
    assert history.as_dict()["groups"][0]["history"]["behind"] == [7, None, 0]


def test_before_the_first_reading_nothing_is_known() -> None:
    """An exporter that has just started has groups without numbers, and no time."""
    found = LagHistory({GROUP: TOPIC}).as_dict()
    assert found["known_since"] is None and found["at"] is None and found["times"] == []
    assert found["groups"][0]["behind"] is None


def test_an_hour_is_kept_and_no_more() -> None:
    """Readings of three hours, twice a second: one sample in five seconds of the last hour."""
    history = LagHistory({GROUP: TOPIC})
    for number in range(3 * 3600 * 2):
        history.add(START + number / 2, reading(number, number), {GROUP: 1})
    found = history.as_dict()
    assert 700 < len(found["times"]) <= SAMPLES
    assert found["at"] - HOUR_SECONDS <= found["known_since"] < found["at"] - HOUR_SECONDS + 5


def test_after_a_pause_only_the_last_hour_is_shown() -> None:
    """A machine that slept for two hours shows nothing of before."""
    history = LagHistory({GROUP: TOPIC})
    history.add(START, reading(1, 1), {})
    history.add(START + 2 * HOUR_SECONDS, reading(2, 2), {})
    assert history.as_dict()["known_since"] == START + 2 * HOUR_SECONDS


def test_memory_does_not_grow() -> None:
    """Half a day of readings of all groups needs the memory of the beginning."""
    groups = groups_of()
    lags = [GroupLag(group, topic, 0, 5, 9, 0, 1.0) for group, topic in groups.items()]
    history = LagHistory(groups)
    history.add(START, lags, {})
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1, 1500):
            history.add(START + 30 * number, lags, {})
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000, f"{grown:,} bytes"
