"""What a dataset of comparisons leaves to whatever learns later: its rows, less those of whoever was erased since."""

from pawl.pairset import PairDataset, PairRow, freeze_pairs
from pawl.tombstones import Tombstones
from retrain.paircard import LEFT_OUT, pair_card

ERASED = "erased row"


def left_by(parent: PairDataset | None, erased: Tombstones) -> tuple[dict[str, list[PairRow]], int]:
    """The parent's rows less those of erased subjects and answers, and how many these are."""
    if parent is None:
        return {}, 0
    splits = {
        split: [row for row in rows if not erased.cover_any(row.answers, *row.whose)]
        for split, rows in parent.splits.items()
    }
    return splits, sum(map(len, parent.splits.values())) - sum(map(len, splits.values()))


def less_erased(dataset: PairDataset, erased: Tombstones) -> PairDataset:
    """A dataset that is to be learned from once more; with rows of somebody erased, another one, frozen without them.

    Every row stays on its side, and nothing is new.
    """
    kept, erased_rows = left_by(dataset, erased)
    if not erased_rows:
        return dataset
    splits = {split: rows for split, rows in kept.items() if rows}
    lineage = {
        **dataset.lineage,
        "parent": dataset.digest,
        "left_out": {**dict.fromkeys(LEFT_OUT, 0), ERASED: erased_rows},
        "quarantined": {},
        **dict.fromkeys(("feedback", "thumbs", "raters", "gold"), 0),
    }
    return freeze_pairs(dataset.model, splits, lineage, pair_card(dataset.model, splits, lineage))
