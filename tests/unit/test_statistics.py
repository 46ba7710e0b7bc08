"""What the statistics extension reports."""

import threading
from dataclasses import replace
from typing import Any

from inference.statistics import Statistics
from pawl.bundle import Manifest
from pawl.model import Run


def _of(report: dict[str, Any]) -> dict[str, Any]:
    (only,) = report["model_stats"]
    return only


def test_a_version_that_answered_nothing_has_counts_of_nothing() -> None:
    about = _of(Statistics().report([("triage", "3")]))

    assert (about["name"], about["version"], about["last_inference"]) == ("triage", "3", 0)
    assert (about["inference_count"], about["execution_count"], about["batch_stats"]) == (0, 0, [])
    assert all(each == {"count": 0, "ns": 0} for each in about["inference_stats"].values())


def test_answers_are_counted_by_requests_rows_and_time(manifest: Manifest) -> None:
    statistics = Statistics()
    statistics.count_success(manifest, 4, 1000, unix_ms=7)
    statistics.count_success(manifest, 1, 500, unix_ms=8)
    statistics.count_failure(manifest, 70)

    about = _of(statistics.report([("triage", "3")]))

    assert (about["inference_count"], about["execution_count"]) == (5, 2)
    assert about["last_inference"] == 8
    assert about["inference_stats"] == {
        "success": {"count": 2, "ns": 1500},
        "fail": {"count": 1, "ns": 70},
        "queue": {"count": 2, "ns": 0},
        "compute_input": {"count": 2, "ns": 0},
        "compute_infer": {"count": 2, "ns": 1500},
        "compute_output": {"count": 2, "ns": 0},
    }


def test_a_run_that_requests_share_counts_once_and_what_they_waited_for_it_is_queueing(manifest: Manifest) -> None:
    statistics = Statistics()
    for place in range(16):
        statistics.count_success(manifest, 1, 60_000_000, unix_ms=7, run=Run(10_000_000, int(place == 0)))

    about = _of(statistics.report([("triage", "3")]))

    assert (about["inference_count"], about["execution_count"]) == (16, 1)
    assert about["inference_stats"]["success"] == {"count": 16, "ns": 960_000_000}
    assert about["inference_stats"]["queue"] == {"count": 16, "ns": 800_000_000}
    assert about["inference_stats"]["compute_infer"] == {"count": 16, "ns": 160_000_000}


def test_versions_are_counted_apart_and_reported_as_asked(manifest: Manifest) -> None:
    statistics = Statistics()
    statistics.count_success(manifest, 1, 1, unix_ms=7)
    statistics.count_success(replace(manifest, version="4"), 2, 1, unix_ms=7)

    reported = statistics.report([("triage", "4"), ("triage", "3"), ("other", "1")])["model_stats"]

    assert [(each["name"], each["version"], each["inference_count"]) for each in reported] == [
        ("triage", "4", 2),
        ("triage", "3", 1),
        ("other", "1", 0),
    ]


def test_no_answer_is_lost_when_many_threads_count(manifest: Manifest) -> None:
    statistics = Statistics()

    def count() -> None:
        for _ in range(2000):
            statistics.count_success(manifest, 2, 3, unix_ms=7)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    about = _of(statistics.report([("triage", "3")]))
    assert (about["execution_count"], about["inference_count"]) == (8000, 16_000)
    assert about["inference_stats"]["success"] == {"count": 8000, "ns": 24_000}
