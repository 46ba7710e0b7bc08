"""The traffic lake read for a freeze: the answers that are wanted, each once, of objects that are never held whole."""

import dataclasses
import gzip
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset, Row, freeze
from pawl.datasets import Datasets
from pawl.errors import NotFound
from pawl.identity import uuid7_hex
from pawl.profile import Profile
from pawl.records import CaptureRecord


@pytest.fixture
def lake(
    cloud: Any,
    starter: Bundle,
    dataset: FrozenDataset,
    answered: Callable[..., CaptureRecord],
    store_traffic: Callable[..., None],
    now_ms: int,
) -> list[CaptureRecord]:
    """Three batches of ten answers, the first of them delivered again in the second."""
    cloud.seed(starter, dataset)
    records = [answered(f"login {number}\u2028", unix_ms=now_ms - 60_000 + number) for number in range(30)]
    for first in (0, 10, 20):
        store_traffic([*records[first : first + 10], *(records[:1] if first == 10 else [])])
    return records


def test_the_answers_wanted_are_found_each_once_and_no_others(
    lake: list[CaptureRecord], cloud: Any, now_ms: int
) -> None:
    wanted = {lake[place].inference_id for place in (0, 7, 29)} | {"k.none.triage"}

    found = list(cloud.traffic.answers("triage", "1", now_ms - 120_000, now_ms, wanted))

    assert found == [lake[0], lake[7], lake[29]]
    assert list(cloud.traffic.answers("triage", "1", now_ms - 120_000, now_ms, frozenset())) == []


def test_all_answers_are_the_records_of_the_window(lake: list[CaptureRecord], cloud: Any, now_ms: int) -> None:
    everything = {record.inference_id for record in lake}

    for window in ((now_ms - 120_000, now_ms), (now_ms - 59_995, now_ms), (0, 1)):
        assert list(cloud.traffic.answers("triage", "1", *window, everything)) == list(
            cloud.traffic.records("triage", "1", *window)
        )


def test_an_object_is_read_piece_by_piece(cloud: Any) -> None:
    text = b"login " * 2_000
    cloud.bucket.write("traffic/big.gz", gzip.compress(b"\n".join([text] * 5_000), 6))

    tracemalloc.start()
    found = sum(line == text for line in cloud.bucket.lines("traffic/big.gz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == 5_000
    assert peak < 6_000_000  # a tenth of the text; some of it is what the SDK takes by itself


def test_a_stored_dataset_is_left_alone_when_equal_rows_come_as_other_bytes(cloud: Any) -> None:
    datasets, frozen = Datasets(cloud.bucket), freeze("triage", {"train": [Row("hello", "other")]}, {})
    first = datasets.store(frozen)
    other = {name: data + b" " for name, data in frozen.files.items()}

    again = datasets.store(dataclasses.replace(frozen, files=other))

    assert again == first == f"s3://pawl-data/datasets/{frozen.digest}/"
    assert datasets.load(frozen.digest) == frozen
    assert [digest for digest, _ in datasets.manifests()] == datasets.digests() == [frozen.digest]


def test_profiles_that_are_read_ahead_come_in_the_order_of_their_batches(cloud: Any, now_ms: int) -> None:
    for number in range(50):
        profile = Profile.open()
        profile.update({"number": [float(number)]})
        uuid = uuid7_hex(now_ms - 100 + number, number.to_bytes(10, "big"))
        cloud.traffic.store_profile("triage", "1", f"{uuid}-0123456789ab", profile)

    found = [each.columns["number"].mean for each in cloud.traffic.profiles("triage", "1", now_ms - 100, now_ms)]

    assert found == list(range(50))


def test_an_object_that_is_gone_is_missed_where_it_would_have_come(cloud: Any) -> None:
    for number in range(40):
        cloud.bucket.write(f"profiles/{number:02}", b"%d" % number)
    cloud.bucket.remove("profiles/20")
    reading = cloud.bucket.read_each(f"profiles/{number:02}" for number in range(40))

    assert [next(reading) for _ in range(20)] == [b"%d" % number for number in range(20)]
    with pytest.raises(NotFound, match="profiles/20"):
        next(reading)


def test_a_version_s_oldest_and_newest_batch_are_found_beside_what_else_is_kept_of_it(cloud: Any) -> None:
    day_ms, at_ms = 86_400_000, 1_784_000_000_000
    assert (cloud.traffic.began_ms("m", "1"), cloud.traffic.newest_ms("m", "1", at_ms)) == (None, None)
    for name in ("reference.json", "rows.json", "reference/0a/000000000001.json"):
        cloud.bucket.write(f"profiles/m/1/{name}", b"{}")
    assert (cloud.traffic.began_ms("m", "1"), cloud.traffic.newest_ms("m", "1", at_ms)) == (None, None)

    for number in range(4):
        batch = uuid7_hex(at_ms + number * day_ms, number.to_bytes(10, "big")) + "-0123456789ab"
        cloud.traffic.store_profile("m", "1", batch, Profile.open())

    assert cloud.traffic.began_ms("m", "1") == at_ms
    for until_ms, newest in ((at_ms, None), (at_ms + 1, 0), (at_ms + 2 * day_ms, 1), (at_ms + 90 * day_ms, 3)):
        found = cloud.traffic.newest_ms("m", "1", until_ms)
        assert found == (None if newest is None else at_ms + newest * day_ms)
