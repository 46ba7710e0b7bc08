import base64
import json
import math
from importlib.metadata import version

import pytest

from benchmarks.comparison import Column, Comparison, medians
from benchmarks.environments import Environment
from benchmarks.load import percentile
from benchmarks.memory import Curve
from benchmarks.subjects.fuzzing import BIG_BODY_BYTES, events

LATENCY = Column("p50_ms", "p50 ms")
THROUGHPUT = Column("rps", "requests/s", lower_is_better=False)


def comparison() -> Comparison:
    return Comparison(
        "ours",
        (LATENCY, THROUGHPUT),
        {
            "ours": {"p50_ms": 2.0, "rps": 100.0},
            "slow": {"p50_ms": 6.0, "rps": 25.0, "versions": "slow 1.0"},
            "absent": {"missing": "not installed: no compiler"},
        },
    )


def test_a_ratio_is_a_peers_figure_as_a_multiple_of_ours():
    assert comparison().ratio("slow", "p50_ms") == 3.0
    assert comparison().ratio("absent", "p50_ms") is None


def test_the_json_has_values_and_ratios_under_their_names():
    assert comparison().to_json() == {
        "ours": {"p50_ms": 2.0, "rps": 100.0, "p50_ms_ratio": 1.0, "rps_ratio": 1.0},
        "slow": {"p50_ms": 6.0, "rps": 25.0, "versions": "slow 1.0", "p50_ms_ratio": 3.0, "rps_ratio": 0.25},
        "absent": {"missing": "not installed: no compiler"},
    }


def test_an_advantage_is_above_one_where_ours_is_better_whichever_way_better_is():
    figures = comparison().advantages(["slow", "absent"], (LATENCY, THROUGHPUT))
    assert {figure.key: figure.value for figure in figures} == {"p50_ms_vs_slow": 3.0, "rps_vs_slow": 4.0}


def test_a_peer_that_is_not_there_is_in_the_table_with_the_reason():
    lines = comparison().table().splitlines()
    assert len(lines) == 4
    assert "missing: not installed: no compiler" in lines[3]
    assert "6 (3.00)" in lines[2] and "25 (0.25)" in lines[2]


def test_a_figure_that_not_every_round_has_is_the_median_of_those_that_have_it():
    assert medians([{"a": 1.0, "b": 5.0}, {"a": 9.0}, {"a": 2.0}]) == {"a": 2.0, "b": 5.0}


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_the_nearest_rank(share: float, value: int):
    assert percentile(range(1, 101), share) == value


def test_nothing_has_no_percentile():
    assert math.isnan(percentile([], 0.5))


def test_a_slope_is_that_of_the_second_half_since_caches_fill_in_the_first():
    curve = Curve([0, 1000, 2000, 3000, 4000, 5000], [10.0, 60.0, 80.0, 81.0, 82.0, 83.0])
    assert curve.slope_bytes == pytest.approx(1000.0)
    assert "+1000.0 bytes a call" in curve.svg()


def test_what_runs_the_model_has_the_projects_own_version():
    environment = Environment("peer", ("litserve",), ("numpy",), ("litserve",))
    assert environment.words() == [f"numpy=={version('numpy')}", "litserve", "--no-binary", "litserve"]


def test_the_same_seed_breaks_the_same_requests():
    assert list(events(200, 1)) == list(events(200, 1)) != list(events(200, 2))


def test_broken_requests_reach_every_route_and_hold_every_kind_of_body():
    made = list(events(1500, 0))
    bodies = [base64.b64decode(each["body"]) if each["isBase64Encoded"] else each["body"].encode() for each in made]
    assert len({each["resource"] for each in made}) == 5
    assert 5_000_000 < max(map(len, bodies)) <= BIG_BODY_BYTES
    assert any(body.startswith(b"[" * 100_000) for body in bodies)
    assert any(b"NaN" in body for body in bodies)
    assert any(not body for body in bodies)
    assert 0 < sum(_is_unicode(body) for body in bodies) < len(bodies)
    assert sum(_is_json(body) for body in bodies) > 300


def _is_unicode(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
