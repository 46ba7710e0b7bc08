"""The benchmark of alignment: how dialogues are read, folds cut and raters poisoned, and what its baselines learn."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.dialogues import FILE, read
from benchmarks.environments import Unavailable
from benchmarks.judging import Judged, by_length, by_words, folds_of, poisoned, table
from pawl.pairset import PairRow
from training.verdicts import rightness


def _rows(count: int) -> list[PairRow]:
    return [
        PairRow(f"question {number // 2}", f"a kind and long answer {number}", f"a rude one {number}")
        for number in range(count)
    ]


def _judged(rows: list[PairRow]) -> Judged:
    return Judged("reward", rows, np.ones(len(rows)), np.linspace(0.1, 0.5, len(rows)), 1.0)


def test_what_two_dialogues_share_is_the_prompt(tmp_path: Path) -> None:
    shared = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Why?\n\nAssistant:"
    pairs = [
        {"chosen": f"{shared} Because.", "rejected": f"{shared} No."},
        {"chosen": f"{shared} Because.", "rejected": f"{shared} Because."},
        {"chosen": f"{shared} Because.", "rejected": "\n\nHuman: Hi\n\nAssistant: What?"},
    ]
    with gzip.open(tmp_path / FILE, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(pair) + "\n" for pair in pairs)

    (row,) = read(tmp_path)

    assert [message["role"] for message in row.prompt if not isinstance(message, str)] == ["user", "assistant", "user"]
    assert (row.chosen, row.rejected, row.slices) == ("Because.", "No.", {"questions": "2"})
    with pytest.raises(Unavailable, match=FILE):
        read(None)


def test_folds_hold_every_row_once_and_a_prompt_is_in_one(tmp_path: Path) -> None:
    rows = _rows(60)

    folds = folds_of(rows, 5)

    assert sorted(index for fold in folds for index in fold) == list(range(60))
    assert all(index ^ 1 in fold for fold in folds for index in fold)


def test_a_fifth_of_the_raters_turn_their_pairs_and_are_found_out() -> None:
    rows = _rows(600)

    told, weighed = poisoned(rows)

    is_turned = np.array([after.chosen == before.rejected for before, after in zip(rows, told, strict=True)])
    weights = np.array([row.weight for row in weighed])
    assert 0.15 < is_turned.mean() < 0.25
    assert weights[is_turned].max() == 0.0
    assert weights[~is_turned].min() > 0.8
    assert [row.chosen for row in weighed] == [row.chosen for row in told]
    assert poisoned(rows)[1] == weighed


def test_baselines_learn_from_the_other_folds() -> None:
    rows = _rows(60)
    folds = folds_of(rows, 5)
    judged = _judged(rows)

    assert rightness(by_length(judged, rows, folds).apart).mean() == 1.0
    assert rightness(by_words(judged, rows, folds).apart).mean() == 1.0


def test_a_summary_has_an_interval_and_what_is_left_without_length() -> None:
    rows = _rows(50)
    gaps = np.where(np.arange(50) < 25, 0.5, -0.5)
    summary = Judged("length", rows, 2 * gaps, gaps, 3.0).summary()

    assert (summary["accuracy"], summary["length_correlation"], summary["accuracy_without_length"]) == (0.5, 1.0, 0.5)
    assert summary["low"] < 0.5 < summary["high"]
    assert "length" in table([summary]).splitlines()[1]
