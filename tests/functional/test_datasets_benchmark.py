"""`scripts/bench datasets`, small: the lake that it writes freezes, in a process of its own, into what was captured."""

from pathlib import Path

from benchmarks.datasets import Size, freeze_in, join_in, write_lake


def test_a_small_lake_freezes_and_its_labels_are_better_than_the_votes(tmp_path: Path) -> None:
    write_lake(tmp_path, Size(rows=12_000, feedback=3_000, raters=60))

    took = freeze_in(tmp_path)

    assert 1_400 < took["learned"] < 2_000  # half of the feedback is on answers of its own
    assert took["near_duplicates"] > 0
    assert took["right"] > took["right_votes"] > 0.8
    assert 0 < took["peak_mb"] < 500


def test_our_join_and_the_engine_s_come_to_the_same_votes(tmp_path: Path) -> None:
    write_lake(tmp_path, Size(rows=2_000, feedback=1_000, raters=60))

    ours, engine = (join_in(tmp_path, how) for how in ("hand", "engine"))

    assert ours["digest"] == engine["digest"]
    assert ours["votes"] == engine["votes"] > 900
