"""A training run's files in S3: what is read, and that the manifest comes after everything else."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pawl.dataset import Row, freeze, thaw
from pawl.errors import NotFound
from training.handover import copy_files
from training.storage import Prefix, place_at


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="loop")
        yield client


@pytest.mark.parametrize("address", ["s3://loop/datasets/abc", "s3://loop/datasets/abc/"])
def test_a_dataset_stored_in_s3_is_read_back_whole(s3: Any, address: str) -> None:
    dataset = freeze("triage", {"train": [Row("hello", "a")], "holdout": [Row("bye", "b")]}, {"parent": None})
    place = place_at(address, lambda: s3)

    copy_files(dataset, place)

    assert isinstance(place, Prefix)
    assert thaw(place.read_all()) == dataset
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="loop")["Contents"]]
    assert keys == [f"datasets/abc/{name}" for name in sorted(dataset.files)]


def test_the_manifest_of_a_dataset_is_stored_last(s3: Any) -> None:
    written: list[str] = []
    s3.meta.events.register("before-parameter-build.s3.PutObject", lambda params, **_: written.append(params["Key"]))
    dataset = freeze("triage", {"train": [Row("hello", "a")], "holdout": [Row("bye", "b")]}, {"parent": None})

    copy_files(dataset, place_at("s3://loop/d", lambda: s3))

    assert written[-1] == "d/_manifest.json"
    assert len(written) == 3


def test_an_empty_prefix_is_not_found(s3: Any) -> None:
    with pytest.raises(NotFound):
        place_at("s3://loop/nothing", lambda: s3).read_all()


def test_one_object_is_read_by_its_whole_name(s3: Any) -> None:
    place = place_at("s3://loop/checkpoints/tiny", lambda: s3)
    place.write("checkpoint.zip.old", b"older")

    with pytest.raises(NotFound, match=r"no object 'checkpoints/tiny/checkpoint\.zip'"):
        place.read("checkpoint.zip")
    place.write("checkpoint.zip", b"newer")
    assert place.read("checkpoint.zip") == b"newer"
