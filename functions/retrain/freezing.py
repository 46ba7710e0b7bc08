"""Joins labelled feedback with captured traffic and freezes it, with the parent's data, as the next dataset."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pawl.dataset import FrozenDataset, Row, freeze
from pawl.identity import isoformat
from pawl.records import CaptureRecord

RECENT_SHARE = 0.25
NEW_LABEL_ROWS = 10


@dataclass(frozen=True, slots=True)
class Labelled:
    """A captured text with the label that people gave it, and the answer it belongs to."""

    inference_uuid: str
    row: Row


def label_votes(feedback: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The labels of each answer by the answer's inference_id: the majority of its raters, the earlier word on a tie."""
    votes: dict[str, list[tuple[str, list[str]]]] = {}
    for item in feedback:
        if item["metric"] == "label":
            votes.setdefault(item["inference_id"], []).append((item["given_at"], item["value"]))
    return {inference_id: _majority(sorted(given)) for inference_id, given in votes.items()}


def join(records: Iterable[CaptureRecord], labels: Mapping[str, list[str]]) -> list[Labelled]:
    """Each labelled text of the captured traffic once, however often it was asked."""
    found: dict[str, Labelled] = {}
    for record in records:
        uuid = record.inference_id.split(".")[1]
        for text, label in zip(record.inputs["text"], labels.get(record.inference_id, []), strict=False):
            found[text.casefold().strip()] = Labelled(uuid, Row(text, label, {}, "traffic"))
    return list(found.values())


def assemble(parent: FrozenDataset, labelled: Iterable[Labelled], window_ms: tuple[int, int]) -> FrozenDataset:
    """The next dataset: the parent's rows, the labelled traffic, and a quarter of it held out as `recent`.

    A text goes to `recent` by its own digest, so it stays on its side in every later dataset, and no text of the
    inherited holdout is ever trained on. A label that the parent does not know needs NEW_LABEL_ROWS rows to be
    learned: one person's slip of the pen is no new class; its rows are left out, and counted in the lineage.
    """
    known = {row.text.casefold().strip() for rows in parent.splits.values() for row in rows}
    offered = [each.row for each in labelled if each.row.text.casefold().strip() not in known]
    labels = _learnable_labels(parent, offered)
    fresh = [row for row in offered if row.label in labels]
    recent = [row for row in fresh if _is_held_out(row.text)]
    train = [row for row in fresh if not _is_held_out(row.text)]
    splits = {
        "train": [*parent.splits["train"], *train],
        "holdout": parent.splits["holdout"],
        "recent": [*parent.splits.get("recent", []), *recent],
    }
    lineage = {
        "parent": parent.digest,
        "traffic_window": [isoformat(each) for each in window_ms],
        "feedback": len(fresh),
        "left_out": len(offered) - len(fresh),
    }
    return freeze(parent.model, splits, lineage)


def _learnable_labels(parent: FrozenDataset, offered: Iterable[Row]) -> set[str]:
    """The parent's labels, and new ones with enough rows to train on."""
    new_rows = Counter(row.label for row in offered if not _is_held_out(row.text))
    return {row.label for row in parent.splits["train"]} | {
        label for label, rows in new_rows.items() if rows >= NEW_LABEL_ROWS
    }


def _majority(given: list[tuple[str, list[str]]]) -> list[str]:
    """The most frequent value, the earliest given among equals."""
    counts: dict[tuple[str, ...], int] = {}
    for _, value in given:
        counts[tuple(value)] = counts.get(tuple(value), 0) + 1
    return list(max(counts, key=lambda value: counts[value]))


def _is_held_out(text: str) -> bool:
    digest = hashlib.sha256(text.casefold().strip().encode()).digest()
    return digest[0] < 256 * RECENT_SHARE
