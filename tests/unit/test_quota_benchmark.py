"""A process with one CPU's time, by whichever control groups the kernel offers."""

from pathlib import Path

import pytest

from benchmarks.quota import limited, measure


def test_where_no_group_can_be_made_the_process_is_pinned_and_the_figure_says_so(tmp_path: Path) -> None:
    with limited(tmp_path / "missing") as (prefix, how):
        assert prefix[:2] == ("taskset", "--cpu-list")
    assert "pinned" in how


def test_a_folder_that_is_no_control_group_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    with limited(tmp_path) as (prefix, _):
        assert prefix[0] == "taskset"
    assert [path.name for path in tmp_path.rglob("*")] == ["cpu"]


def test_the_figure_is_the_median_ratio_of_the_turns(tmp_path: Path) -> None:
    slow = iter([1100.0, 1050.0, 4000.0, 1200.0, 1100.0, 2000.0, 9000.0, 1300.0, 3000.0])
    asked: list[str] = []

    def probe(mode: str, prefix: tuple[str, ...]) -> dict[str, float]:
        asked.append(mode)
        return {"p50_us": 1000.0, "p99_us": next(slow)}

    one, alone, default = measure(probe, tmp_path / "missing")
    assert asked == ["steady", "alone", "threaded"] * 3
    assert [each.value for each in (one, alone, default)] == pytest.approx([1.2, 1.1, 3.0])
    assert not one.is_within
