"""What int8 costs in right answers, and how sure that is, on answers that are written down here."""

import numpy as np
import pytest

from benchmarks.compression import table
from benchmarks.exactness import Answered, clustered_error, mean_lost
from training.search import Point


def answered(texts: list[str], lost: list[int]) -> Answered:
    """1: int8 spoils the answer, -1: it puts it right."""
    return Answered(texts, np.array(lost) >= 0, np.array(lost) <= 0, holdout=1, agreement=0.9)


def test_what_is_lost_is_a_mean_over_the_answers_of_all_trainings() -> None:
    one, other = answered(["a", "b", "c"], [1, 0, 0]), answered(["a", "d", "e"], [0, -1, 1])
    points, _ = mean_lost([one, other])
    assert points == pytest.approx(1 / 6)


def test_a_text_that_is_lost_in_every_training_counts_as_one_text() -> None:
    texts = [f"text {i}" for i in range(50)]
    once = [1 if i % 10 == 0 else 0 for i in range(50)]
    alone = mean_lost([answered(texts, once)])[1]
    together = mean_lost([answered(texts, once)] * 4)[1]
    assert together == pytest.approx(alone)


def test_answers_that_share_nothing_have_the_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    error = clustered_error(values, np.arange(400), np.zeros(400))
    assert error == pytest.approx(values.std() / 20)


def test_what_a_training_has_in_common_makes_the_mean_less_sure() -> None:
    trainings = np.repeat(np.arange(4), 100)
    shared = np.random.default_rng(0).normal(size=400) + trainings
    alone = clustered_error(shared, np.arange(400), np.zeros(400))
    assert clustered_error(shared, np.arange(400), trainings) > 5 * alone


def test_a_training_s_line_tells_the_holdout_apart() -> None:
    assert answered(["a", "b"], [1, 0]).line(3) == "| 3 | 2 | 100.00 | 50.00 | 50.00 | 100.00 | 90.00% |"


def test_the_table_of_a_search_tells_which_point_is_served_and_which_no_other_beats() -> None:
    points = [
        Point("float", 90_400_000, 0.9, 0.0, 6.3),
        Point("int8", 22_400_000, 0.9, 0.001, 2.38, is_chosen=True),
        Point("pruned", 18_800_000, 0.9, 0.02, 1.71, is_on_front=True),
    ]
    assert table(points, [0.8, 0.8125, 0.79]).splitlines()[2:] == [
        "| float | 90.4 | 6.30 | 90.0 | 80.0 | 0.0000 |  |",
        "| int8 | 22.4 | 2.38 | 90.0 | 81.2 | 0.0010 | chosen |",
        "| pruned | 18.8 | 1.71 | 90.0 | 79.0 | 0.0200 | front |",
    ]
