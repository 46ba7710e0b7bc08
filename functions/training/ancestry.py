"""What a run of `align` follows, found again: the live bundle, its judge, its adapter, and the base below them all.

What a version was taught is none of its bundle: it lies under `adapters/`, or in a folder beside a local candidate, to
be kept as long as that version may be aligned further. A base that is neither packaged nor on the hub is looked for in
`models/<model>/base/`, beside the versions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pawl.bundle import Bundle, Manifest, open_bundle
from pawl.errors import NotFound
from pawl.reward import RewardModel
from training.adapter import Weights, unpacked
from training.packaged import ASSISTANT_BASE, ASSISTANT_LICENCE, assistant_folder
from training.storage import Place, adapter_address, place_at

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3 = Callable[[], "S3Client"]
BASE = "base"


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The bundle that answers now, its adapter if it has one, and the judge if there is one."""

    live: Bundle
    adapter: Weights | None = None
    judge: RewardModel | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """A pretrained model: where it lies, what it is called, and its licence."""

    source: str
    name: str
    licence: str


def fetch(live: str, reward: str | None, output: str, scratch: Path, s3: S3) -> Ancestry:
    """What the run that writes to `output` follows; NotFound when the live version's adapter is gone."""
    bundle = open_bundle(unpack(place_at(live, s3), scratch / "live"))
    judge = RewardModel(open_bundle(unpack(place_at(reward, s3), scratch / "reward"))) if reward else None
    return Ancestry(bundle, adapter_of(bundle.manifest, output, s3), judge)


def adapter_of(manifest: Manifest, output: str, s3: S3) -> Weights | None:
    """What a version was taught, from beside the candidate that it was; None for one that was only packaged."""
    about = manifest.metrics.get("adapter")
    if about is None:
        return None
    sibling = f"{output.rstrip('/').rpartition('/')[0]}/{manifest.version}/"
    try:
        return unpacked(place_at(adapter_address(sibling), s3).read_all(), about)
    except NotFound as error:
        raise NotFound(
            f"the adapter of {manifest.name} {manifest.version} is gone: without it this version cannot be aligned on"
        ) from error


def base_of(asked: str | None, licence: str, live: str, manifest: Manifest, scratch: Path, s3: S3) -> Base:
    """The base that the live version comes from, unless another one is asked for."""
    known = manifest.lineage
    if asked:
        return Base(asked, Path(asked).name if Path(asked).exists() else asked, licence)
    if known.base_model == ASSISTANT_BASE:
        return Base(assistant_folder(), ASSISTANT_BASE, ASSISTANT_LICENCE)
    beside = f"{live.rstrip('/').rpartition('/')[0]}/{BASE}"
    try:
        return Base(str(unpack(place_at(beside, s3), scratch / BASE)), known.base_model, known.base_licence)
    except NotFound:
        return Base(known.base_model, known.base_model, known.base_licence)


def unpack(place: Place, folder: Path) -> Path:
    """The files of a place, in a new folder."""
    files = place.read_all()
    folder.mkdir(parents=True)
    for name, data in files.items():
        if "/" not in name:
            (folder / name).write_bytes(data)
    return folder
