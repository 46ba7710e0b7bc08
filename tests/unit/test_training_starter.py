"""The starter data set: how its rows are dealt out, and that they stay where they were dealt."""

from collections import Counter

import pytest

from pawl.dataset import Row, thaw
from training import starter
from training.examples import divide


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return starter.read_rows(starter.ROWS.read_text(encoding="utf-8").splitlines())


def test_every_row_is_in_exactly_one_part(rows: list[Row]) -> None:
    parts = starter.split(rows)

    dealt = [row.text for part in (parts.train, parts.holdout, parts.traffic) for row in part]
    assert sorted(dealt) == sorted(row.text for row in rows)
    assert len(set(dealt)) == len(dealt)


def test_every_label_is_dealt_out_alike(rows: list[Row]) -> None:
    parts = starter.split(rows)

    assert set(Counter(row.label for row in parts.train).values()) == {46}
    assert set(Counter(row.label for row in parts.holdout).values()) == {15}
    assert set(Counter(row.label for row in parts.traffic).values()) == {15}


def test_the_order_of_the_file_does_not_matter(rows: list[Row]) -> None:
    assert starter.split(rows[::-1]) == starter.split(rows)


def test_another_seed_deals_otherwise(rows: list[Row]) -> None:
    assert starter.split(rows, seed=1).holdout != starter.split(rows, seed=2).holdout


def test_the_frozen_dataset_is_the_same_every_time() -> None:
    first, second = starter.dataset(), starter.dataset()

    assert first.digest == second.digest
    assert thaw(first.files) == first


def test_traffic_is_in_no_split_of_the_frozen_dataset() -> None:
    frozen = {row.text for rows in starter.dataset().splits.values() for row in rows}

    assert frozen.isdisjoint(row.text for row in starter.traffic())


def test_validation_takes_its_share_of_old_and_new_rows_of_each_label() -> None:
    rows = [
        Row(f"{label} {source} {i}", label, {}, source)
        for label in "ab"
        for source in ("starter", "traffic")
        for i in range(20)
    ]

    learned, validation = divide(rows, 0.15, seed=7)

    assert Counter((row.label, row.source) for row in validation) == {
        (label, source): 3 for label in "ab" for source in ("starter", "traffic")
    }
    assert sorted([*learned, *validation], key=lambda row: row.text) == sorted(rows, key=lambda row: row.text)
    assert divide(rows[::1], 0.15, seed=7) == (learned, validation)
