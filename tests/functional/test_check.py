"""`drift.check` as a whole: profiles in the bucket, a scheduled event, a report and at most one announcement."""

import json
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.identity import isoformat
from pawl.records import CaptureRecord

ALIKE = ["refund", "invoice", "password", "login", "hello", "weather"] * 10
MOVED = ["gibberish"] * 60


@pytest.fixture
def check(start: Callable[[str], ModuleType], cloud: Any, starter: Bundle, dataset: FrozenDataset) -> ModuleType:
    cloud.seed(starter, dataset)
    return start("drift.check")


@pytest.fixture
def traffic(
    answered: Callable[..., CaptureRecord], store_traffic: Callable[[Sequence[CaptureRecord]], None], now_ms: int
) -> Callable[..., None]:
    """Stores answers to texts, given an hour ago unless told otherwise."""

    def store(texts: Sequence[str], hours_ago: float = 1.0) -> None:
        began = now_ms - round(hours_ago * 3_600_000)
        store_traffic([answered(text, unix_ms=began + i) for i, text in enumerate(texts)])

    return store


def test_traffic_like_the_reference_is_stable(
    check: ModuleType, traffic: Callable[..., None], event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    traffic(ALIKE)

    (report,) = check.handler(event("scheduled_event"), context)["reports"]

    assert (report["status"], report["rows"], report["reference_rows"]) == ("stable", 60, 300)
    assert (report["score"], report["drifted"], report["version"]) == (0.0, [], "1")
    assert cloud.announced() == []


def test_too_little_traffic_is_not_judged(
    check: ModuleType, traffic: Callable[..., None], event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    traffic(MOVED[:29])

    (report,) = check.handler(event("scheduled_event"), context)["reports"]

    assert (report["status"], report["rows"], report["columns"]) == ("insufficient", 29, [])
    assert cloud.announced() == []


def test_traffic_outside_the_window_is_not_looked_at(
    check: ModuleType, traffic: Callable[..., None], event: Callable[[str], dict[str, Any]], context: Any
) -> None:
    traffic(MOVED, hours_ago=25)
    traffic(ALIKE, hours_ago=23)

    (report,) = check.handler(event("scheduled_event"), context)["reports"]

    assert (report["status"], report["rows"]) == ("stable", 60)


def test_a_drift_names_the_columns_that_moved_and_is_announced(
    check: ModuleType, traffic: Callable[..., None], event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    traffic(MOVED)

    (report,) = check.handler(event("scheduled_event"), context)["reports"]

    assert report["status"] == "drifted"
    assert {"label", "projection_6"} <= set(report["drifted"])
    assert not {"tokens", "projection_7"} & set(report["drifted"])
    (announced,) = cloud.announced()
    assert (announced["type"], announced["source"]) == ("DriftDetected", "pawl.drift")
    assert (announced["id"], announced["subject"]) == ("drift/triage/1", "triage")
    assert announced["data"] == {
        "model": "triage",
        "version": "1",
        "score": report["score"],
        "columns": report["drifted"],
        "since": report["since"],
        "until": report["until"],
        "report": f"reports/triage/1/{report['until']}.json",
    }


def test_the_report_is_kept_where_the_announcement_says(
    check: ModuleType, traffic: Callable[..., None], event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    traffic(MOVED)

    (report,) = check.handler(event("scheduled_event"), context)["reports"]

    assert json.loads(cloud.bucket.read(cloud.announced()[0]["data"]["report"])) == report


def test_two_checks_announce_one_drift_once(
    check: ModuleType, traffic: Callable[..., None], event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    traffic(MOVED)

    statuses = [check.handler(event("scheduled_event"), context)["reports"][0]["status"] for _ in range(2)]

    assert statuses == ["drifted", "drifted"]
    assert [each["id"] for each in cloud.announced()] == ["drift/triage/1"]


def test_a_check_that_died_before_it_noted_the_incident_announces_the_same_fact_again(
    check: ModuleType, traffic: Callable[..., None], event: Callable[[str], dict[str, Any]], cloud: Any, context: Any
) -> None:
    traffic(MOVED)
    cloud.faults.die_on("dynamodb.PutItem")
    with pytest.raises(cloud.faults.Died):
        check.handler(event("scheduled_event"), context)
    cloud.faults.reset()

    check.handler(event("scheduled_event"), context)

    assert [each["id"] for each in cloud.announced()] == ["drift/triage/1", "drift/triage/1"]
    assert cloud.registry.incident("triage", "1") is not None


def test_a_check_by_hand_looks_at_the_model_and_the_window_it_is_given(
    check: ModuleType, traffic: Callable[..., None], now_ms: int, context: Any
) -> None:
    traffic(ALIKE, hours_ago=50)
    window = {"since": isoformat(now_ms - 51 * 3_600_000), "until": isoformat(now_ms - 49 * 3_600_000)}

    (report,) = check.handler({"model": "triage", **window}, context)["reports"]

    assert (report["rows"], report["since"], report["until"]) == (60, window["since"], window["until"])
