import json
from typing import Any

import pytest

from pawl.errors import SettingsError
from pawl.metrics import DEFAULTS, RESERVED, Metric, declared


def test_without_a_declaration_there_are_thumbs_ratings_and_the_reserved_names() -> None:
    assert declared("") == declared("{}") == {**DEFAULTS, **RESERVED}
    assert {
        "thumbs_up": Metric("boolean", "inference", "max"),
        "rating": Metric("float", "inference", "max"),
    } == DEFAULTS


def test_a_metric_is_declared_by_its_type_alone_or_in_full() -> None:
    full = {"type": "float", "level": "episode", "optimize": "min", "models": ["triage"], "teaches": True}
    found = declared(json.dumps({"solved": {"type": "boolean"}, "minutes": full}))

    assert found["solved"] == Metric("boolean", "inference", "max")
    assert found["minutes"] == Metric("float", "episode", "min", ("triage",), True)
    assert found["rating"] == DEFAULTS["rating"]


def test_a_default_may_be_declared_anew() -> None:
    found = declared('{"thumbs_up": {"type": "boolean", "teaches": true}}')

    assert found["thumbs_up"].teaches


def test_what_says_what_would_have_been_right_or_better_teaches() -> None:
    teaching = {name for name, metric in declared("").items() if metric.teaches}

    assert teaching == {"label", "correction", "demonstration", "preference", "ranking"}


def test_every_metric_with_an_order_says_which_way_is_better() -> None:
    ordered = {name for name, metric in declared("").items() if metric.type in ("boolean", "float")}

    assert {name for name, metric in declared("").items() if metric.optimize} == ordered


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("{", "metrics: want a JSON object"),
        ([], "metrics: want a JSON object"),
        ({"label": {"type": "float"}}, "metric 'label': want a name in small letters.* none of"),
        ({"Solved": {"type": "float"}}, "metric 'Solved': want a name in small letters"),
        ({"solved": "boolean"}, "metric 'solved': want its type"),
        ({"solved": {"level": "episode"}}, "metric 'solved': want its type"),
        ({"solved": {"type": "boolean", "unit": "m"}}, "metric 'solved': want its type, and at most type, level"),
        ({"solved": {"type": "string"}}, "metric 'solved': type is 'string', want boolean or float"),
        ({"solved": {"type": "boolean", "level": "either"}}, "level is 'either', want inference or episode"),
        ({"solved": {"type": "boolean", "optimize": "up"}}, "optimize is 'up', want max or min"),
        ({"solved": {"type": "boolean", "models": "triage"}}, "models is 'triage', want a list of models' names"),
        ({"solved": {"type": "boolean", "teaches": 1}}, "teaches is 1, want true or false"),
    ],
    ids=str,
)
def test_a_wrong_declaration_is_refused_with_what_is_wanted(declaration: Any, message: str) -> None:
    text = declaration if isinstance(declaration, str) else json.dumps(declaration)

    with pytest.raises(SettingsError, match=message):
        declared(text)
