"""A frozen dataset of compared answers, for reward models and for alignment; its files are those of `pawl.dataset`.

A row says that one text answers a prompt better than another. `recent` holds the newest comparisons that nothing learns
from, `holdout` those inherited from version to version.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pawl.dataset import MANIFEST, PEOPLE, Kind, bind, digest_of, unbind
from pawl.narrowing import is_object
from pawl.parquet import Values

PAIRS = Kind(
    "pairs",
    {
        "prompt": "VARCHAR",
        "messages": 'STRUCT("role" VARCHAR, "content" VARCHAR)[]',
        "chosen": "VARCHAR",
        "rejected": "VARCHAR",
        "margin": "DOUBLE",
        "weight": "DOUBLE",
        "slices": "MAP(VARCHAR, VARCHAR)",
        "source": "VARCHAR",
        "answers": "VARCHAR[]",
        "subject": "VARCHAR",
    },
    {**PEOPLE, "authors": "VARCHAR[]"},
)
"""A dataset of comparisons; a prompt that is a conversation stands in `messages`, and `prompt` is null."""
MOST_MARGIN = 3.0
"""No answer is better by more than so many times what its raters usually say."""
_JUDGE = "-reward"


@dataclass(frozen=True, slots=True)
class PairRow:
    """One comparison. `prompt` is a text, or a conversation as a list of `{"role", "content"}`.

    `margin` is by how much the chosen answer is better, where anybody said so, 1 for as much as is usual; `weight` what
    its raters are worth, 0 to 1; `answers` the uuids of both answers where they were captured, so that either can be
    erased; `subject` whose they are, by the digest of their name, `people` all who asked or were named too, and
    `authors` who wrote a text. A row that lacks one of its texts compares nothing: it is a thumb, up for what was
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
    people: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()

    @property
    def whose(self) -> tuple[str, ...]:
        """Everybody whose it is."""
        return (self.subject, *self.people, *self.authors)

    @property
    def askers(self) -> tuple[str, ...]:
        """Everybody who asked, as far as they are known, or is known by rating it alone."""
        return (self.subject, *self.people) if self.subject else ()

    @property
    def is_thumb(self) -> bool:
        """Whether it is of one answer alone."""
        return not (self.chosen and self.rejected)


@dataclass(frozen=True, slots=True)
class PairDataset:
    """Comparisons and thumbs by split, with the digest that names them; `files` are the bytes to store."""

    model: str
    digest: str
    splits: dict[str, list[PairRow]]
    lineage: dict[str, Any]
    files: dict[str, bytes]

    @property
    def compared(self) -> "PairDataset":
        """The same without its thumbs, for those who can learn nothing from them; a split without pairs is none."""
        pairs = {split: [row for row in rows if not row.is_thumb] for split, rows in self.splits.items()}
        return replace(self, splits={split: rows for split, rows in pairs.items() if rows})

    @property
    def thumbs(self) -> int:
        """How many rows are of one answer alone."""
        return sum(row.is_thumb for rows in self.splits.values() for row in rows)


def freeze_pairs(
    model: str, splits: Mapping[str, Sequence[PairRow]], lineage: Mapping[str, Any], card: str = ""
) -> PairDataset:
    """Freeze comparisons under a digest: equal rows, lineage and card give an equal digest."""
    values = {split: [_values_of(row) for row in rows] for split, rows in splits.items()}
    return thaw_pairs(bind(model, PAIRS, values, lineage, card))


def thaw_pairs(files: Mapping[str, bytes]) -> PairDataset:
    """The dataset in `files`, every digest checked; InvalidDataset names the file that does not match."""
    manifest, found = unbind(files, PAIRS)
    splits = {split: [_row_of(values) for values in rows] for split, rows in found.items()}
    return PairDataset(manifest["model"], digest_of(manifest), splits, manifest["lineage"], dict(files))


def holds_pairs(files: Mapping[str, bytes]) -> bool:
    """Whether files are of a dataset of compared answers, by what their manifest says; nothing is checked."""
    manifest: Any = json.loads(files.get(MANIFEST, b"{}"))
    return is_object(manifest) and manifest.get("kind") == PAIRS.name


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


def _values_of(row: PairRow) -> Values:
    is_text = isinstance(row.prompt, str)
    values = {name: getattr(row, name) for name in (*PAIRS.columns, *PAIRS.added) if name != "messages"}
    numbers = {"margin": None if row.margin is None else float(row.margin), "weight": float(row.weight)}
    prompt = {"prompt": row.prompt if is_text else None, "messages": None if is_text else row.prompt}
    return {
        **values,
        **numbers,
        **prompt,
        "answers": list(row.answers),
        "people": list(row.people),
        "authors": list(row.authors),
    }


def _row_of(values: Values) -> PairRow:
    text, messages = (values.pop(name) for name in ("prompt", "messages"))
    several = {name: tuple(values.pop(name, ())) for name in ("answers", "people", "authors")}
    return PairRow(text if messages is None else messages, **several, **values)
