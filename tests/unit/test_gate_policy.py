"""A model's own policy: every field can be set, and nothing in it is ignored or guessed at."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pawl.errors import SettingsError
from release import policy
from release.policy import GatePolicy

DEFAULT = GatePolicy()


def test_what_a_file_leaves_out_keeps_its_default() -> None:
    assert GatePolicy.from_json('{"schema": 1}', DEFAULT) == DEFAULT
    read = GatePolicy.from_json('{"schema": 1, "holdout_margin": 0, "protected": ["channel"]}', DEFAULT)
    assert read == GatePolicy(holdout_margin=0.0, protected=("channel",))


@pytest.mark.parametrize("name", [each.name for each in fields(GatePolicy)])
def test_every_field_can_be_set_to_its_own_default_and_is_explained(name: str) -> None:
    value = getattr(DEFAULT, name)
    written = json.dumps({"schema": 1, name: value})

    assert GatePolicy.from_json(written, DEFAULT) == DEFAULT
    _, _, after = Path(policy.__file__).read_text().partition(f"    {name}: ")
    assert after.split("\n")[1].strip().startswith('"""') or "PERMISSIVE" in after.split("\n")[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "policy.json is no JSON"),
        ("[]", 'want an object with "schema": 1'),
        ("{}", 'want an object with "schema": 1'),
        ('{"schema": 2}', 'want an object with "schema": 1'),
        ('{"schema": 1, "holdout_margn": 0.1}', "no field holdout_margn: want some of "),
        ('{"schema": 1, "holdout_margin": "0.1"}', "holdout_margin='0.1': want a number"),
        ('{"schema": 1, "holdout_margin": true}', "holdout_margin=True: want a number"),
        ('{"schema": 1, "holdout_margin": 2}', "holdout_margin=2: want a number from 0 to 1"),
        ('{"schema": 1, "holdout_margin": -0.1}', "holdout_margin=-0.1: want a number from 0 to 1"),
        ('{"schema": 1, "holdout_margin": NaN}', "holdout_margin=nan: want a number from 0 to 1"),
        ('{"schema": 1, "latency_ratio": -1}', "latency_ratio=-1: want a number from 0"),
        ('{"schema": 1, "confidence": 1}', "confidence=1: want a number"),
        ('{"schema": 1, "attacked_rows": 2.5}', "attacked_rows=2.5: want a whole number from 0"),
        ('{"schema": 1, "resamples": 10}', "resamples=10: want a whole number from 100"),
        ('{"schema": 1, "rows_at_most": Infinity}', "rows_at_most=inf: want a whole number from 0"),
        ('{"schema": 1, "licences": "MIT"}', "licences='MIT': want a list of names"),
        ('{"schema": 1, "protected": [1]}', r"protected=\[1\]: want a list of names"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        GatePolicy.from_json(text, DEFAULT)


@pytest.mark.parametrize(("name", "value"), [("latency_ratio", 50), ("budget_s", 600), ("size_limit_bytes", 5)])
def test_numbers_that_are_no_shares_may_be_large(name: str, value: Any) -> None:
    assert getattr(GatePolicy.from_json(json.dumps({"schema": 1, name: value}), DEFAULT), name) == value
