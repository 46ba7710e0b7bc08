"""The starter data set: support messages to a made-up maker of smart-home devices, by what their writer wants.

A fifth of its rows, the traffic, is in no split of the frozen dataset: they are questions that the first model has
never seen and was never judged by, for the demo to ask.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pawl.dataset import FrozenDataset, Row, freeze

MODEL = "triage"
ROWS = Path(__file__).parent / "data" / "triage.jsonl"
SEED = 20
HOLDOUT_SHARE = 0.2
TRAFFIC_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Parts:
    """The three parts of the starter rows; no row is in two of them."""

    train: list[Row]
    holdout: list[Row]
    traffic: list[Row]


def dataset() -> FrozenDataset:
    """The starter dataset, frozen: the same digest on every machine."""
    parts = split(read_rows(ROWS.read_text(encoding="utf-8").splitlines()))
    lineage = {"parent": None, "traffic_window": [], "feedback": 0}
    return freeze(MODEL, {"train": parts.train, "holdout": parts.holdout}, lineage)


def traffic() -> list[Row]:
    """Starter rows that are neither trained on nor judged by, with their true labels."""
    return split(read_rows(ROWS.read_text(encoding="utf-8").splitlines())).traffic


def read_rows(lines: Iterable[str]) -> list[Row]:
    """Rows from JSON lines with the keys text, intent, channel and variety."""
    raws = [json.loads(line) for line in lines]
    return [Row(raw["text"], raw["intent"], {"channel": raw["channel"], "variety": raw["variety"]}) for raw in raws]


def split(rows: Sequence[Row], seed: int = SEED) -> Parts:
    """Deal the rows of each label into train, holdout and traffic; neither order nor other labels matter."""
    by_label: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.label, row.text)):
        by_label[row.label].append(row)
    parts = Parts([], [], [])
    for label, group in by_label.items():
        random.Random(f"{seed} {label}").shuffle(group)
        holdout = round(len(group) * HOLDOUT_SHARE)
        traffic = holdout + round(len(group) * TRAFFIC_SHARE)
        parts.holdout.extend(group[:holdout])
        parts.traffic.extend(group[holdout:traffic])
        parts.train.extend(group[traffic:])
    return parts
