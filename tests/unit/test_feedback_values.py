import math
from typing import Any

import pytest

from feedback.values import check_value
from pawl.errors import InvalidRequest
from pawl.metrics import declared

TYPES = {name: metric.type for name, metric in declared("").items()}


def nested(deep: int) -> Any:
    """A number within so many lists."""
    return [nested(deep - 1)] if deep else 0.5


def check(metric: str, value: Any, rows: int) -> Any:
    return check_value(metric, TYPES[metric], value, rows)


@pytest.mark.parametrize(
    ("metric", "value", "rows"),
    [
        ("thumbs_up", True, 1),
        ("thumbs_up", False, 9),
        ("rating", 4, 1),
        ("rating", -0.5, 1),
        ("rating", 0, 1),
        ("rating", 1e9, 1),
        ("comment", "x", 1),
        ("comment", "x" * 4000, 1),
        ("label", ["outage", "billing"], 2),
        ("label", ["x" * 128], 1),
        ("demonstration", "x" * 16_384, 1),
        ("correction", {"outputs": [{"name": "label", "data": ["billing"]}]}, 1),
        ("correction", {"outputs": [{"name": "p", "datatype": "FP32", "shape": [2, 2], "data": [0.1, 0, 1, 1e-9]}]}, 2),
        ("correction", {"outputs": [{"name": "p", "data": [[0.5, True], [-1, ""]]}]}, 2),
        ("correction", {"outputs": [{"name": "p", "data": nested(8)}]}, 1),
    ],
)
def test_a_value_that_fits_its_metric_is_kept_as_it_is(metric: str, value: Any, rows: int) -> None:
    checked = check(metric, value, rows)

    assert (checked, type(checked)) == (value, type(value))


def test_one_label_stands_for_the_one_row_of_an_answer() -> None:
    assert check("label", "outage", 1) == ["outage"]


@pytest.mark.parametrize(
    ("metric", "value", "rows", "message"),
    [
        ("thumbs_up", 1, 1, "thumbs_up takes true or false"),
        ("thumbs_up", "true", 1, "thumbs_up takes true or false"),
        ("rating", True, 1, "rating takes a number"),
        ("rating", "4", 1, "rating takes a number"),
        ("rating", ["4"], 1, "rating takes a number"),
        ("comment", "", 1, "comment takes 1 to 4000 characters"),
        ("comment", "x" * 4001, 1, "comment takes 1 to 4000 characters"),
        ("comment", 5, 1, "comment takes 1 to 4000 characters"),
        ("comment", ["x"], 1, "comment takes 1 to 4000 characters"),
        ("comment", "\ud800", 1, "comment takes 1 to 4000 characters"),
        ("label", "\ud800", 1, "label takes labels of 1 to 128 characters"),
        ("demonstration", "", 1, "demonstration takes 1 to 16384 characters"),
        ("demonstration", {"outputs": []}, 1, "demonstration takes 1 to 16384 characters"),
        ("correction", "billing", 1, r'correction takes \{"outputs": \[\{"name": ..., "data": \[...\]\}\]\}'),
        ("correction", {"outputs": []}, 1, "outputs: List should have at least 1 item"),
        (
            "correction",
            {"outputs": [{"name": "label", "data": ["x"], "why": 1}]},
            1,
            "no field 'why': want some of name",
        ),
        ("correction", {"outputs": [{"name": "label", "data": ["x"]}]}, 2, "takes outputs of 2 rows"),
        ("correction", {"outputs": [{"name": "p", "shape": [1, 2], "data": [1, 2]}]}, 2, "takes outputs of 2 rows"),
        ("correction", {"outputs": [{"name": "p", "data": [10**38]}]}, 1, "numbers with at most 38 digits"),
        ("correction", {"outputs": [{"name": "p", "data": [1e-200]}]}, 1, "numbers with at most 38 digits"),
        ("correction", {"outputs": [{"name": "p", "data": nested(9)}]}, 1, "nested in at most 8 dimensions"),
        ("correction", {"outputs": [{"name": "p", "shape": [1, 10**40], "data": [0]}]}, 1, "less than or equal to"),
        ("correction", {"outputs": [{"name": "p", "data": [None]}]}, 1, "takes data of booleans, texts and numbers"),
        (
            "correction",
            {"outputs": [{"name": "p", "data": ["\ud800"]}]},
            1,
            "takes data of booleans, texts and numbers",
        ),
        ("label", "outage", 2, "label takes the right label, or a list of 2"),
        ("label", ["outage"], 2, "label takes the right label, or a list of 2"),
        ("label", [], 1, "label takes the right label, or a list of 1"),
        ("label", True, 1, "label takes the right label, or a list of 1"),
        ("label", 4.0, 1, "label takes the right label, or a list of 1"),
        ("label", "", 1, "label takes labels of 1 to 128 characters"),
        ("label", ["outage", ""], 2, "label takes labels of 1 to 128 characters"),
        ("label", ["x" * 129], 1, "label takes labels of 1 to 128 characters"),
    ],
)
def test_a_value_that_does_not_fit_its_metric_is_refused(metric: str, value: Any, rows: int, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check(metric, value, rows)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e200, 1e-200, 10**400, -(10**40)])
def test_a_number_that_the_table_cannot_hold_is_refused(number: float) -> None:
    with pytest.raises(InvalidRequest, match=r"rating takes 0 or a number of 1e-09 to 1e\+09 in size"):
        check("rating", number, 1)
