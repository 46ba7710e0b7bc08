from typing import Any

import pytest

from inference.arms import Arms, names_version


class Lambda:
    """The alias `live` of one function, counting who asks for it."""

    def __init__(self, main: str, **weights: float) -> None:
        self.main, self.weights, self.asked = main, weights, 0

    def get_alias(self, *, FunctionName: str, Name: str) -> dict[str, Any]:
        assert (FunctionName, Name) == ("inference", "live")
        self.asked += 1
        routing = {"RoutingConfig": {"AdditionalVersionWeights": self.weights}} if self.weights else {}
        return {"FunctionVersion": self.main, **routing}


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def arms_of(version: str, functions: Any, clock: Clock | None = None) -> Arms:
    return Arms("inference", version, lambda: functions, clock or Clock())


@pytest.mark.parametrize(
    ("version", "own", "other"), [("3", "live", "4"), ("4", "candidate", "3"), ("2", "", ""), ("$LATEST", "", "")]
)
def test_the_alias_tells_which_arm_a_version_is(version: str, own: str, other: str) -> None:
    arms = arms_of(version, Lambda("3", **{"4": 0.2}))

    assert (arms.own(), arms.other()) == (own, other)


def test_a_version_that_has_all_traffic_is_live_and_alone() -> None:
    arms = arms_of("3", Lambda("3"))

    assert (arms.own(), arms.other()) == ("live", "")


def test_outside_lambda_nobody_is_asked() -> None:
    functions = Lambda("")

    assert (arms_of("", functions).own(), functions.asked) == ("", 0)


def test_two_arms_are_remembered_for_ten_seconds() -> None:
    functions, clock = Lambda("3", **{"4": 0.2}), Clock()
    arms = arms_of("4", functions, clock)
    assert arms.own() == "candidate"
    functions.main, functions.weights = "4", {}

    clock.now_s += 9.9
    assert (arms.own(), arms.other(), functions.asked) == ("candidate", "3", 1)
    clock.now_s += 0.1
    assert (arms.own(), arms.other(), functions.asked) == ("live", "", 2)


def test_a_canary_that_has_just_begun_is_found_after_two_seconds_where_something_is_missing() -> None:
    functions, clock = Lambda("3"), Clock()
    arms = arms_of("3", functions, clock)
    assert arms.other() == ""
    functions.weights = {"4": 0.05}

    clock.now_s += 1.9
    assert (arms.other(), functions.asked) == ("", 1)
    clock.now_s += 0.1
    assert (arms.other(), functions.asked) == ("4", 2)


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ({"model": "triage", "version": "2"}, "{}", True),
        ({"model": "triage@2"}, None, True),
        ({"model": "triage%402"}, None, True),
        ({"model": "triage"}, '{"model": "a@b"}', False),
        (None, '{"model": "embed@2", "input": "a"}', True),
        (None, '{"model": "embed", "input": "a@b"}', False),
        (None, "no JSON", False),
        (None, "[]", False),
        (None, '{"model": 7}', False),
        (None, None, False),
    ],
)
def test_a_version_is_named_in_the_path_or_behind_the_model_s_name(path: Any, body: str | None, names: bool) -> None:
    assert names_version({"pathParameters": path, "body": body}) is names
