import math
from typing import Any

import pytest

from feedback.metrics import METRICS, check_value
from pawl.errors import InvalidRequest


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
    ],
)
def test_a_value_that_fits_its_metric_is_kept_as_it_is(metric: str, value: Any, rows: int) -> None:
    checked = check_value(metric, value, rows)

    assert (checked, type(checked)) == (value, type(value))


def test_one_label_stands_for_the_one_row_of_an_answer() -> None:
    assert check_value("label", "outage", 1) == ["outage"]


@pytest.mark.parametrize(
    ("metric", "value", "rows", "message"),
    [
        ("stars", 5, 1, r"no metric 'stars': want one of \['comment', 'label', 'rating', 'thumbs_up'\]"),
        ("thumbs_up", 1, 1, "thumbs_up takes true or false"),
        ("thumbs_up", "true", 1, "thumbs_up takes true or false"),
        ("rating", True, 1, "rating takes a number"),
        ("rating", "4", 1, "rating takes a number"),
        ("rating", ["4"], 1, "rating takes a number"),
        ("comment", "", 1, "comment takes 1 to 4000 characters"),
        ("comment", "x" * 4001, 1, "comment takes 1 to 4000 characters"),
        ("comment", 5, 1, "comment takes 1 to 4000 characters"),
        ("comment", ["x"], 1, "comment takes 1 to 4000 characters"),
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
        check_value(metric, value, rows)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e200, 1e-200, 10**400, -(10**40)])
def test_a_number_that_the_table_cannot_hold_is_refused(number: float) -> None:
    with pytest.raises(InvalidRequest, match=r"rating takes 0 or a number of 1e-09 to 1e\+09 in size"):
        check_value("rating", number, 1)


def test_every_metric_with_an_order_says_which_way_is_better() -> None:
    ordered = {name for name, metric in METRICS.items() if metric.type in ("boolean", "float")}

    assert {name for name, metric in METRICS.items() if metric.optimize} == ordered
