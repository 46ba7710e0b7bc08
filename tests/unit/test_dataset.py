import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pawl.dataset import FrozenDataset, Row, freeze, thaw
from pawl.errors import InvalidDataset

LINEAGE = {"parent": None, "feedback": 2}
SPLITS = {
    "train": [Row("no light", "outage", {"channel": "app"}), Row("wrong sum\u2028\nagain", "billing", {}, "traffic")],
    "holdout": [Row("za\u017c\u00f3\u0142\u0107", "outage")],
}
FROZEN = freeze("triage", SPLITS, LINEAGE)

words = st.text(max_size=12)
rows = st.builds(Row, words, words, st.dictionaries(words, words, max_size=2), words, words, words)


@given(st.lists(rows, min_size=1, max_size=4), st.lists(rows, max_size=4), st.lists(rows, max_size=4))
def test_rows_come_back_as_they_were_frozen(train: list[Row], holdout: list[Row], recent: list[Row]) -> None:
    splits = {"train": train, "holdout": holdout, "recent": recent}

    frozen = freeze("triage", splits, LINEAGE)

    thawed = thaw(frozen.files)
    assert thawed == frozen
    assert thawed.splits == {split: given for split, given in splits.items() if given}
    assert (thawed.model, thawed.lineage) == ("triage", LINEAGE)


def test_equal_rows_give_equal_bytes_whatever_the_order_of_splits() -> None:
    again = freeze("triage", dict(reversed(SPLITS.items())), dict(reversed(LINEAGE.items())))

    assert (again.digest, again.files) == (FROZEN.digest, FROZEN.files)


@pytest.mark.parametrize(
    "other",
    [
        freeze("intent", SPLITS, LINEAGE),
        freeze("triage", SPLITS, {**LINEAGE, "feedback": 3}),
        freeze("triage", {**SPLITS, "recent": [Row("a", "b")]}, LINEAGE),
        freeze("triage", {**SPLITS, "train": SPLITS["train"][::-1]}, LINEAGE),
    ],
    ids=["model", "lineage", "split", "order"],
)
def test_anything_that_differs_gives_another_digest(other: FrozenDataset) -> None:
    assert other.digest != FROZEN.digest


def test_the_manifest_counts_the_rows_of_each_file() -> None:
    about = json.loads(FROZEN.files["manifest.json"])["files"]

    assert {name: each["rows"] for name, each in about.items()} == {"train.jsonl": 2, "holdout.jsonl": 1}


@pytest.mark.parametrize("name", ["train.jsonl", "holdout.jsonl"])
def test_a_file_with_any_byte_flipped_is_named(name: str) -> None:
    whole = FROZEN.files[name]

    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 0x20
        with pytest.raises(InvalidDataset, match=f"^{name} does not match its digest$"):
            thaw({**FROZEN.files, name: bytes(altered)})


def test_a_manifest_with_any_byte_flipped_is_refused_or_names_another_dataset() -> None:
    whole = FROZEN.files["manifest.json"]

    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 0x01
        try:
            thawed = thaw({**FROZEN.files, "manifest.json": bytes(altered)})
        except InvalidDataset:
            continue
        assert thawed.digest != FROZEN.digest


@pytest.mark.parametrize("name", sorted(FROZEN.files))
def test_a_missing_file_is_named(name: str) -> None:
    files = {each: data for each, data in FROZEN.files.items() if each != name}

    with pytest.raises(InvalidDataset, match=f"^{name} is missing$"):
        thaw(files)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"schema": 2}, "schema 2, want 1"),
        ({"schema": 1}, "is not a version 1 manifest"),
        ([], "is not a version 1 manifest"),
        ({"schema": 1, "model": "m", "lineage": {}, "files": {"train.jsonl": 5}}, "is not a version 1 manifest"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(manifest: Any, message: str) -> None:
    with pytest.raises(InvalidDataset, match=message):
        thaw({**FROZEN.files, "manifest.json": json.dumps(manifest).encode()})


def test_a_split_with_a_misspelt_name_is_refused_rather_than_left_out() -> None:
    with pytest.raises(InvalidDataset, match=r"splits \['tran'\]: want some of \['train', 'holdout', 'recent'\]"):
        freeze("triage", {"tran": SPLITS["train"]}, LINEAGE)


def test_a_row_of_nobody_is_stored_as_it_was_before_rows_knew_whose_they_are() -> None:
    assert FROZEN.files["holdout.jsonl"].decode() == (
        '{"label": "outage", "slices": {}, "source": "starter", "text": "za\u017c\u00f3\u0142\u0107"}'
    )


def test_a_card_is_part_of_the_dataset_and_no_split() -> None:
    carded = freeze("triage", SPLITS, LINEAGE, "# What is in it\n")

    assert carded.digest != FROZEN.digest
    assert thaw(carded.files) == carded
    assert (carded.splits, carded.files["card.md"]) == (FROZEN.splits, b"# What is in it\n")
    with pytest.raises(InvalidDataset, match=r"^card\.md does not match its digest$"):
        thaw({**carded.files, "card.md": b"# Something else\n"})
    with pytest.raises(InvalidDataset, match=r"^card\.md is missing$"):
        thaw({name: data for name, data in carded.files.items() if name != "card.md"})
