import json
from typing import Any

import pytest

from pawl.errors import SettingsError
from release.terms import CanaryPolicy


def test_a_file_says_what_differs_from_the_defaults() -> None:
    told = {"weights": [0.1, 0.5], "shadow": True, "smallest_sample": 5, "metrics": {"rating": [1, 5], "time": [1, 0]}}

    policy = CanaryPolicy.from_json(json.dumps(told))

    assert (policy.weights, policy.shadow, policy.smallest_sample) == ((0.1, 0.5), True, 5)
    assert policy.metrics == {"rating": (1.0, 5.0), "time": (1.0, 0.0)}
    assert policy.longest_hours == CanaryPolicy().longest_hours


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", "what is no JSON"),
        ("[]", "want an object"),
        ({"wieghts": [0.1]}, "no field wieghts: want some of"),
        ({"weights": [0.5, 0.1]}, "rising shares"),
        ({"weights": "all"}, "weights='all': want something like"),
        ({"smallest_sample": 1.5}, "smallest_sample=1.5"),
        ({"shadow": 1}, "shadow=1"),
        ({"otherwise": "hope"}, "otherwise='hope': want .'ask', 'promote', 'roll_back'."),
        ({"metrics": {"rating": [5, 5]}}, "metrics.rating: want the worst and the best value, which differ"),
        ({"metrics": {"rating": [1]}}, "metrics.rating=.1.: want .worst, best."),
        ({"slow_tolerance": 1}, "0 <= slow_tolerance < 1"),
        ({"rollback_depth": 0}, "rollback_depth >= 1"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else str(value)[:20],
)
def test_a_file_that_makes_no_sense_is_refused_by_its_field(told: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        CanaryPolicy.from_json(told if isinstance(told, str) else json.dumps(told))
