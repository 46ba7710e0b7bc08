"""A frozen dataset of compared answers, for reward models and for alignment; its files are those of `pawl.dataset`.

A row says that one text answers a prompt better than another. `recent` holds the newest comparisons that nothing learns
from, `holdout` those inherited from version to version.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pawl.dataset import MANIFEST, bind, check, digest_of
from pawl.narrowing import is_object

PAIRS = "pairs"
_JUDGE = "-reward"


@dataclass(frozen=True, slots=True)
class PairRow:
    """One comparison. `prompt` is a text, or a conversation as a list of `{"role", "content"}`.

    `margin` is by how much the chosen answer is better, where anybody said so; `weight` what its raters are worth, 0 to
    1; `answers` the uuids of both answers where they were captured, so that either can be erased; `subject` whose they
    are, by the digest of their name. A row that lacks one of its texts compares nothing: it is a thumb, up for what was
    chosen or down for what was rejected, of which only KTO can learn.
    """

    prompt: str | list[dict[str, str]]
    chosen: str
    rejected: str
    margin: float | None = None
    weight: float = 1.0
    slices: dict[str, str] = field(default_factory=dict[str, str])
    source: str = "traffic"
    answers: tuple[str, ...] = ()
    subject: str = ""


@dataclass(frozen=True, slots=True)
class PairDataset:
    """Comparisons by split, with the digest that names them; `files` are the exact bytes to store."""

    model: str
    digest: str
    splits: dict[str, list[PairRow]]
    lineage: dict[str, Any]
    files: dict[str, bytes]


def freeze_pairs(
    model: str, splits: Mapping[str, Sequence[PairRow]], lineage: Mapping[str, Any], card: str = ""
) -> PairDataset:
    """Freeze comparisons under a digest: equal rows, lineage and card give equal bytes."""
    packed = {split: (len(rows), _pack(rows)) for split, rows in splits.items()}
    return thaw_pairs(bind(model, packed, lineage, card, PAIRS))


def thaw_pairs(files: Mapping[str, bytes]) -> PairDataset:
    """The dataset in `files`, every digest checked; InvalidDataset names the file that does not match."""
    manifest = check(files, PAIRS)
    splits = {name.partition(".")[0]: _unpack(files[name]) for name in manifest["files"]}
    return PairDataset(manifest["model"], digest_of(files), splits, manifest["lineage"], dict(files))


def holds_pairs(files: Mapping[str, bytes]) -> bool:
    """Whether files are of a dataset of compared answers, by what their manifest says; nothing is checked."""
    manifest: Any = json.loads(files.get(MANIFEST, b"{}"))
    return is_object(manifest) and manifest.get("kind") == PAIRS


def judge_of(model: str) -> str:
    """The name of the reward model that learns from the comparisons of a model's answers.

    >>> judge_of("assistant")
    'assistant-reward'
    """
    return f"{model}{_JUDGE}"


def judged_by(judge: str) -> str:
    """The model whose answers a reward model judges.

    >>> judged_by("assistant-reward")
    'assistant'
    """
    return judge.removesuffix(_JUDGE)


def _pack(rows: Iterable[PairRow]) -> bytes:
    return "\n".join(json.dumps(asdict(row), sort_keys=True, ensure_ascii=False) for row in rows).encode()


def _unpack(packed: bytes) -> list[PairRow]:
    return [_row(**json.loads(line)) for line in packed.decode().split("\n")]


def _row(answers: Sequence[str], **fields: Any) -> PairRow:
    return PairRow(answers=tuple(answers), **fields)
