from dataclasses import replace

import pytest

from pawl.dataset import Row, freeze, thaw
from pawl.errors import InvalidDataset
from pawl.pairset import PairRow, freeze_pairs, thaw_pairs

LINEAGE = {"parent": None, "traffic_window": [], "feedback": 2}
SPLITS = {
    "train": [PairRow("Name a bird.", "A wren.", "A bat.", 0.5, 0.9, {"length": "short"}, "traffic", ("a", "b"), "s")],
    "holdout": [PairRow([{"role": "user", "content": "Hi"}], "Hello!", "What?\n")],
}


def test_comparisons_come_back_as_they_were_frozen() -> None:
    frozen = freeze_pairs("assistant", SPLITS, LINEAGE, "# Card")

    assert thaw_pairs(frozen.files) == frozen
    assert frozen.splits == SPLITS
    assert frozen.digest == freeze_pairs("assistant", SPLITS, LINEAGE, "# Card").digest


def test_whose_a_comparison_is_beside_its_subject_comes_back_as_well() -> None:
    splits = {"train": [*SPLITS["train"], replace(SPLITS["train"][0], people=("t", "u"))]}

    frozen = freeze_pairs("assistant", splits, LINEAGE)

    assert frozen.splits == splits
    assert [row.whose for row in frozen.splits["train"]] == [("s",), ("s", "t", "u")]


def test_comparisons_that_are_their_subject_s_alone_have_the_digest_that_they_had_before_there_was_more() -> None:
    frozen = freeze_pairs("assistant", SPLITS, LINEAGE)

    assert frozen.digest == "65497c5b41ac187ca29c5de0a19dd82c2f5c66b65f18829e44dc2eb58cdd9edf"


def test_a_comparison_that_was_changed_is_refused_by_the_name_of_its_file() -> None:
    files = freeze_pairs("assistant", SPLITS, LINEAGE).files
    changed = {**files, "train.parquet": files["train.parquet"].replace(b"wren", b"crow")}

    with pytest.raises(InvalidDataset, match=r"train\.parquet does not match"):
        thaw_pairs(changed)


def test_labels_are_not_read_as_comparisons_nor_comparisons_as_labels() -> None:
    labels = freeze("triage", {"train": [Row("where is it?", "delivery")]}, LINEAGE)

    with pytest.raises(InvalidDataset, match="a dataset of labels: want one of pairs"):
        thaw_pairs(labels.files)
    with pytest.raises(InvalidDataset, match="a dataset of pairs: want one of labels"):
        thaw(freeze_pairs("assistant", SPLITS, LINEAGE).files)
