"""A model's own knobs for a recipe: read from a file, checked against what the recipe has."""

import json
from pathlib import Path
from typing import Any

import pytest

from pawl.errors import SettingsError
from training.arguments import NONE, knobs_in

KINDS: dict[str, type] = {"method": str, "rate": float, "epochs": int}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a file of knobs, and returns its address."""

    def put(**knobs: Any) -> str:
        (tmp_path / "align.json").write_text(json.dumps(knobs))
        return str(tmp_path / "align.json")

    return put


def test_knobs_of_a_file_are_of_the_recipes_kinds(write: Any) -> None:
    assert knobs_in(write(method="kto", rate=1, epochs=3), KINDS) == {"method": "kto", "rate": 1.0, "epochs": 3}


def test_a_job_without_a_file_turns_none() -> None:
    assert knobs_in(NONE, KINDS) == {}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"speed": 1}, "align.json: no knob speed: want some of epochs, method, rate"),
        ({"rate": "fast"}, "align.json: rate='fast': want float"),
        ({"epochs": 1.5}, "align.json: epochs=1.5: want int"),
        ({"epochs": True}, "align.json: epochs=True: want int"),
    ],
)
def test_a_knob_that_there_is_not_or_that_does_not_fit_is_refused(
    knobs: dict[str, Any], message: str, write: Any
) -> None:
    with pytest.raises(SettingsError, match=message.replace("'", ".")):
        knobs_in(write(**knobs), KINDS)
