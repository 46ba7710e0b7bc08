"""Rows of a frozen dataset as a text classifier learns from them: divided, tokenized, weighed, in batches."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from pawl.dataset import FrozenDataset, Row
from pawl.errors import InvalidDataset


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows as the network takes them: token ids a row, label indices (rows,), weights (rows,) of mean 1."""

    ids: list[list[int]]
    labels: Tensor
    weights: Tensor

    def of(self, rows: Sequence[int]) -> "Examples":
        """Only the rows with these indices."""
        return Examples([self.ids[row] for row in rows], self.labels[list(rows)], self.weights[list(rows)])


def label_names(dataset: FrozenDataset) -> list[str]:
    """The labels to learn, sorted; InvalidDataset when a row to be judged by has a label that none is learned from."""
    labels = sorted({row.label for row in dataset.splits["train"]})
    for split, rows in dataset.splits.items():
        if unknown := {row.label for row in rows} - set(labels):
            raise InvalidDataset(f"{split} has labels that train has no row of: {sorted(unknown)}")
    return labels


def divide(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to learn from and rows to validate on: the share is taken from each label, of old rows and new alike."""
    groups: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.label, is_recent(row)), []).append(row)
    learned: list[Row] = []
    validation: list[Row] = []
    for key, group in sorted(groups.items()):
        random.Random(f"{seed} {key}").shuffle(group)
        cut = round(len(group) * share)
        validation.extend(group[:cut])
        learned.extend(group[cut:])
    return learned, validation


def is_recent(row: Row) -> bool:
    """Whether a row is labelled traffic rather than part of the starter data."""
    return row.source != "starter"


def encode(rows: Sequence[Row], labels: list[str], tokenizer: Tokenizer, recent_weight: float) -> Examples:
    """Tokenize rows and weigh them: each label as much as any other, labelled traffic more than starter rows."""
    counts = Counter(row.label for row in rows)
    weights = torch.tensor([(recent_weight if is_recent(row) else 1.0) / counts[row.label] for row in rows])
    ids = [encoding.ids for encoding in tokenizer.encode_batch([row.text for row in rows])]
    return Examples(ids, torch.tensor([labels.index(row.label) for row in rows]), weights / weights.mean())


def batches(ids: list[list[int]], size: int, shuffle: random.Random | None = None) -> list[list[int]]:
    """Row indices in batches of rows of like length; shuffled, neighbours and the order of batches change."""
    order = list(range(len(ids)))
    if shuffle:
        shuffle.shuffle(order)
    order.sort(key=lambda row: len(ids[row]) // (4 if shuffle else 1))
    cut = [order[start : start + size] for start in range(0, len(order), size)]
    if shuffle:
        shuffle.shuffle(cut)
    return cut
