"""What labelled rows of a reference teach, and when they teach nothing."""

from typing import Any

import pytest

from drift.taught import LEAST_ROWS, MOST_LABELS, teach
from pawl.calibration import Labelled

NOTHING = {"calibration": None, "errors": None}


def _answers(rows: int = 60, **more: Any) -> dict[str, list[Any]]:
    """Classes in turn, every third of them wrong."""
    said = ["a", "b"] * (rows // 2)
    right = ["c" if n % 3 == 0 else label for n, label in enumerate(said)]
    return {"label": said, "target": right, "confidence": [0.8] * rows, **more}


def test_right_and_wrong_answers_are_counted_by_confidence() -> None:
    taught = teach(_answers(), wants_errors=True)

    found = Labelled.from_dict(taught["calibration"])
    assert (found.names, found.seen.sum(), found.right.sum()) == (("a", "b", "c"), 60, 40)
    assert taught["errors"] is None


def test_rows_without_an_answer_a_target_or_a_confidence_teach_nothing() -> None:
    columns = _answers()
    columns["label"][0] = columns["target"][1] = columns["confidence"][2] = None

    assert Labelled.from_dict(teach(columns, wants_errors=True)["calibration"]).seen.sum() == 57


@pytest.mark.parametrize(
    "columns",
    [
        {"label": ["a"] * 60, "confidence": [0.5] * 60},
        {"label": ["a"] * 60, "target": ["a"] * 60},
        {"label": [None] * 60, "target": ["a"] * 60, "confidence": [0.5] * 60},
        {"label": [1.5] * (LEAST_ROWS - 1), "target": [1.0] * (LEAST_ROWS - 1)},
        {
            "label": [f"label {n}" for n in range(MOST_LABELS + 1)],
            "target": ["a"] * (MOST_LABELS + 1),
            "confidence": [0.5] * (MOST_LABELS + 1),
        },
    ],
    ids=["no target", "no confidence", "no answer", "few rows", "many labels"],
)
def test_what_is_not_enough_teaches_nothing(columns: dict[str, list[Any]]) -> None:
    assert teach(columns, wants_errors=True) == NOTHING


def test_errors_are_learned_of_numbers_where_they_are_wanted_and_finite() -> None:
    columns: dict[str, list[Any]] = {
        "age": [float(n) for n in range(80)],
        "label": [1.0] * 80,
        "target": [float("nan")] + [1.0 + (n >= 40) for n in range(1, 80)],
    }

    taught = teach(columns, wants_errors=True)

    assert set(taught["errors"]["cuts"]) == {"age", "label"}
    assert taught["errors"]["losses"]["rows"] == 79
    assert teach(columns, wants_errors=False) == NOTHING


def test_counts_of_other_labels_are_put_together_by_name() -> None:
    one = Labelled.of(("a", "b"), [0, 1], [0.9, 0.8], [0, 0])
    other = Labelled.of(("b", "c"), [0, 1], [0.8, 0.7], [0, 0])
    names = ("a", "b", "c")

    both = one.over(names).merged(other.over(names))

    assert both.seen.sum(axis=1).tolist() == [1, 2, 1]
    assert both.right.sum(axis=1).tolist() == [1, 1, 0]
    assert both.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
