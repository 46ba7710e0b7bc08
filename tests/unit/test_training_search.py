"""Which candidate a search takes: pure, and by the budget alone."""

import pytest

from training.search import Budget, Point, choose, mark_front

FLOAT = Point("float", 1000, 0.92, 0.0, 10.0)
INT8 = Point("int8", 248, 0.92, 0.004, 2.0)
PRUNED = Point("pruned", 230, 0.918, 0.02, 1.8)
BLOCKS = Point("int4", 150, 0.90, 0.3, 4.0)


def test_of_those_within_the_budget_the_one_with_the_likest_answers_is_taken() -> None:
    assert choose([FLOAT, INT8, PRUNED, BLOCKS], Budget()) == 1


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        (Budget(bytes_share=0.24), "pruned"),
        (Budget(bytes_share=0.2, lost_points=3), "int4"),
        (Budget(bytes_share=1.0), "float"),
        (Budget(bytes_share=1.0, latency_share=0.5), "int8"),
        (Budget(latency_share=0.19), "pruned"),
        (Budget(bytes_share=0.24, lost_points=0.1), "int8"),
        (Budget(bytes_share=0.1), "pruned"),
        (Budget(bytes_share=0.1, lost_points=3), "int4"),
        (Budget(bytes_share=0.1, lost_points=3, latency_share=0.3), "pruned"),
        (Budget(latency_share=0.01), "pruned"),
    ],
)
def test_a_tighter_budget_takes_a_harsher_candidate_and_quality_goes_before_bytes(budget: Budget, name: str) -> None:
    points = [FLOAT, INT8, PRUNED, BLOCKS]
    assert points[choose(points, budget)].name == name


def test_of_equals_the_one_that_was_tried_first_is_taken() -> None:
    assert choose([FLOAT, INT8, INT8], Budget()) == 1


def test_the_front_holds_those_that_no_other_beats_in_everything() -> None:
    slower = Point("static", 250, 0.91, 0.01, 2.5)
    marked = mark_front([FLOAT, INT8, PRUNED, BLOCKS, slower])
    assert [point.name for point in marked if point.is_on_front] == ["int8", "pruned", "int4"]
