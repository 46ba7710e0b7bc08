import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drift.cure import HOURS, Cure, Facts, choose_cure
from drift.flow import Flow
from drift.labels import LabelledQuality
from drift.policy import DEFAULT, DriftPolicy
from drift.quality import freshness, volume
from drift.report import Report, Scope
from drift.timeline import gather
from drift.verdict import Evidence, judge
from pawl.calibration import Labelled
from pawl.errors import SettingsError
from pawl.profile import Profile

SCOPE = Scope("triage", "3", "2026-07-13T09:00:00.000Z", "2026-07-14T09:00:00.000Z")
RANGES = {"confidence": (0.0, 1.0)}
FACTS = Facts("data", False, True, False, 0.3, False, 0)
LABELS = LabelledQuality(200, 0.9, 0.9, 0.9, "2026-07-13T09", 0.5, 0.5, (), False, False, False)


def _rows(seed: int, rows: int = 2000, **moved: Any) -> dict[str, Any]:
    """Two inputs, a script, a label and its confidence; `moved` changes how one of them is drawn."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "length": generator.normal(20 + moved.get("length", 0), 5, rows),
        "hour": generator.normal(0, 1, rows),
        "script": generator.choice(["latin", "greek"], rows, p=moved.get("script", (0.9, 0.1))).tolist(),
        "label": generator.choice(["outage", "billing"], rows, p=moved.get("label", (0.7, 0.3))).tolist(),
        "confidence": generator.beta(moved.get("confidence", 9), 1, rows),
    }
    columns["hour"][: round(moved.get("missing", 0) * rows)] = np.nan
    return columns


REFERENCE = Profile.of(_rows(1, 4000), RANGES)


def _recent(rows: int = 2000, **moved: Any) -> Profile:
    recent = Profile.like(REFERENCE)
    recent.update(_rows(2, rows, **moved))
    return recent


def _judge(policy: DriftPolicy = DEFAULT, evidence: Mapping[str, Any] | None = None, **moved: Any) -> Report:
    found = replace(Evidence(REFERENCE, _recent(**moved)), **(evidence or {}))
    return judge(found, SCOPE, policy=policy, minimum_rows=100, instance_hour_usd=0.526)


def test_traffic_like_the_reference_is_stable_and_says_so_in_one_sentence() -> None:
    report = _judge()

    assert (report.status, report.attribution.kind, report.cure.action) == ("stable", "none", "nothing")
    assert report.sentence == "triage 3 is stable: none of 5 columns has moved beyond chance and its limit."
    assert report.findings == ()


def test_inputs_that_moved_are_data_drift() -> None:
    report = _judge(length=10)

    assert (report.status, report.attribution.kind) == ("drifted", "data")
    assert [(part.column, part.share) for part in report.attribution.parts] == [("length", 1.0)]
    assert report.sentence.startswith("triage 3 meets other questions than it was made for: length moved")


def test_answers_that_moved_while_the_questions_did_not_are_prediction_drift() -> None:
    report = _judge(label=(0.2, 0.8))

    assert (report.attribution.kind, report.drifted) == ("prediction", ["label"])
    assert report.cure.action == "recalibrate_threshold"


def test_answers_that_moved_with_the_questions_are_data_drift() -> None:
    report = _judge(length=10, label=(0.2, 0.8))

    assert (report.attribution.kind, set(report.drifted)) == ("data", {"length", "label"})


def test_the_parts_of_a_shift_add_up_and_name_what_gained_most() -> None:
    report = _judge(script=(0.2, 0.8), length=3)

    parts = report.attribution.parts
    assert [part.column for part in parts] == report.drifted == ["script", "length"]
    assert sum(part.share for part in parts) == pytest.approx(1.0, abs=1e-3)
    assert (parts[0].slice, parts[0].before) == ("greek", pytest.approx(0.1, abs=0.02))
    assert parts[0].now == pytest.approx(0.8, abs=0.03)


def test_a_category_that_the_reference_never_saw_is_told_as_such() -> None:
    recent = Profile.like(REFERENCE)
    recent.update({**_rows(2), "script": ["cyrillic"] * 500 + ["latin"] * 1500})

    report = judge(Evidence(REFERENCE, recent), SCOPE, policy=DEFAULT, minimum_rows=100)

    assert report.attribution.parts[0].slice == "not in the reference"
    assert [(finding.kind, finding.now) for finding in report.findings] == [("new_category", 0.25)]
    assert report.findings[0].sentence == "script has a value that the reference never saw in 25% of rows"


def test_values_that_go_missing_are_broken_data_and_no_model_is_trained_on_them() -> None:
    report = _judge(missing=0.3)

    assert (report.status, report.attribution.kind, report.cure.action) == ("drifted", "quality", "nothing")
    assert [finding.sentence for finding in report.findings] == ["hour is missing in 30% of rows, before in 0%"]
    assert "broken at their source" in report.cure.because


def test_a_few_more_missing_values_are_no_matter() -> None:
    assert _judge(missing=0.02).status == "stable"


def test_a_column_that_comes_no_more_is_broken_data() -> None:
    report = _judge(missing=1.0)

    assert (report.attribution.kind, report.findings[0].kind) == ("quality", "schema")


def test_a_column_that_most_rows_came_without_is_broken_data() -> None:
    rows = _rows(2)
    recent, later = Profile.like(REFERENCE, is_open=True), Profile.like(REFERENCE, is_open=True)
    recent.update({name: values[:200] for name, values in rows.items()})
    later.update({name: values[200:] for name, values in rows.items() if name != "hour"})
    recent.merge(later)

    report = judge(Evidence(REFERENCE, recent), SCOPE, policy=DEFAULT, minimum_rows=100)

    assert (report.attribution.kind, report.findings[0].sentence) == (
        "quality",
        "hour is missing in 90% of rows, before in 0%",
    )


def test_a_column_that_the_reference_lacks_is_told_and_no_drift() -> None:
    recent = Profile.like(REFERENCE, is_open=True)
    recent.update({**_rows(2), "extra": ["a"] * 2000, "latency_ms": [1.0] * 2000})

    report = judge(Evidence(REFERENCE, recent), SCOPE, policy=DEFAULT, minimum_rows=100)

    assert (report.status, [finding.column for finding in report.findings]) == ("stable", ["extra"])
    assert report.sentence.endswith("beyond chance and its limit; extra is new: the reference has no value of it.")


@pytest.mark.parametrize(
    ("fitting", "left_out", "status", "kind"),
    [(2000, 100, "stable", "none"), (2000, 110, "drifted", "quality"), (0, 5000, "drifted", "quality")],
)
def test_rows_that_do_not_fit_the_reference_are_broken_data_where_they_are_many(
    fitting: int, left_out: int, status: str, kind: str
) -> None:
    recent = _recent() if fitting else Profile.like(REFERENCE)

    report = judge(Evidence(REFERENCE, recent, rows_left_out=left_out), SCOPE, policy=DEFAULT, minimum_rows=100)

    assert (report.rows, report.status, report.attribution.kind) == (fitting, status, kind)
    if kind == "quality":
        assert f"{left_out:,} of {left_out + fitting:,} rows do not fit the reference" in report.sentence


def test_a_column_that_was_empty_in_the_reference_keeps_no_batch_from_being_judged() -> None:
    learned = Profile.open()
    learned.update({"length": _rows(1)["length"], "note": [None] * 2000})
    later = Profile.open()
    later.update({"length": _rows(2, length=10)["length"], "note": ["hello"] * 2000})

    gathered = gather([later], learned, 0, 86_400_000, DEFAULT)

    assert (gathered.recent.rows, gathered.left_out, gathered.rows_left_out) == (2000, 0, 0)
    report = judge(Evidence(learned, gathered.recent), SCOPE, policy=DEFAULT, minimum_rows=100)
    assert (report.status, report.drifted) == ("drifted", ["length"])


def test_a_range_of_the_policy_is_held_against_the_values() -> None:
    allowed = replace(DEFAULT, ranges={"length": (0.0, 25.0)})
    reference = Profile.of({"length": [20.0] * 1000})
    recent = Profile.like(reference)
    recent.update({"length": [20.0] * 900 + [20.5] * 100})
    assert judge(Evidence(reference, recent), SCOPE, policy=allowed, minimum_rows=1).findings == ()

    strict = replace(DEFAULT, ranges={"length": (0.0, 20.2)})
    (finding,) = judge(Evidence(reference, recent), SCOPE, policy=strict, minimum_rows=1).findings

    assert (finding.kind, finding.now) == ("range", 0.1)


def test_confidences_tell_the_accuracy_that_falls() -> None:
    report = _judge(confidence=2)

    assert report.estimate is not None
    assert report.estimate.reference == pytest.approx(0.9, abs=0.01)
    assert report.estimate.accuracy == pytest.approx(2 / 3, abs=0.02)
    assert report.estimate.low < report.estimate.accuracy < report.estimate.high < report.estimate.reference
    assert (report.estimate.has_fallen, report.estimate.is_calibrated) == (True, False)
    assert "estimated accuracy falls (90% to 67%)" in report.sentence


def test_labelled_rows_correct_the_confidences_that_an_estimate_rests_on() -> None:
    generator = np.random.default_rng(8)
    sure = generator.beta(9, 1, 5000)
    predicted, true = np.zeros(5000, int), (generator.random(5000) >= sure * 0.5).astype(int)
    known = Labelled.of(["outage", "billing"], predicted, sure, true)

    report = _judge(evidence={"calibration": known})

    assert report.estimate is not None
    assert report.estimate.is_calibrated
    assert report.estimate.accuracy == pytest.approx(0.45, abs=0.03)


def test_labels_that_no_shift_explains_are_concept_drift() -> None:
    labels = replace(LABELS, accuracy=0.7, has_fallen=True, is_concept=True)

    report = _judge(evidence={"labels": labels})

    assert (report.status, report.attribution.kind, report.drifted) == ("drifted", "concept", [])
    assert report.cure.action == "fine_tune_head"
    assert report.sentence == (
        "triage 3 meets a changed meaning; 70% of labelled answers are right, where 90% were expected."
    )


SURGE = (Flow(2000, (200, 200, 200), 24),)
"""Earlier weeks in which a tenth of the rows came."""


def test_a_surge_of_traffic_alone_is_told_as_a_fault_of_the_data() -> None:
    report = _judge(evidence={"flows": SURGE})

    assert (report.status, report.attribution.kind, report.cure.action) == ("drifted", "quality", "nothing")
    assert "2,000 rows in 24 h, where the same hours of earlier weeks had 200" in report.sentence


@pytest.mark.parametrize("is_concept", [True, False])
def test_a_surge_of_traffic_does_not_hide_what_labels_prove(is_concept: bool) -> None:
    labels = replace(LABELS, accuracy=0.7, has_fallen=True, is_concept=is_concept)

    report = _judge(evidence={"labels": labels, "flows": SURGE})

    assert [finding.kind for finding in report.findings] == ["volume"]
    assert (report.attribution.kind, report.cure.action) == ("concept", "fine_tune_head")
    assert report.sentence == (
        "triage 3 meets a changed meaning; 70% of labelled answers are right, where 90% were expected."
    )


def test_a_surge_of_traffic_does_not_hide_an_estimated_accuracy_that_falls() -> None:
    report = _judge(evidence={"flows": SURGE}, confidence=2)

    assert (report.attribution.kind, report.cure.action) == ("prediction", "fine_tune_head")


def test_confidences_that_are_off_while_the_answers_are_right_want_to_be_recalibrated() -> None:
    labels = replace(LABELS, promised=0.7, is_miscalibrated=True)

    assert _judge(evidence={"labels": labels}, length=10).cure.action == "recalibrate_confidences"


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"kind": "none", "is_harmed": False}, "nothing"),
        ({"is_harmed": False}, "nothing"),
        ({"kind": "quality"}, "nothing"),
        ({"is_harmed": False, "is_miscalibrated": True}, "recalibrate_confidences"),
        ({"kind": "prediction", "is_harmed": False, "has_moved_labels": True}, "recalibrate_threshold"),
        ({"kind": "prediction"}, "fine_tune_head"),
        ({"kind": "concept"}, "fine_tune_head"),
        ({"moved_share": 0.3}, "fine_tune_head"),
        ({"moved_share": 0.5}, "full_retrain"),
        ({"moved_share": 0.9, "is_generator": True}, "rlhf"),
        ({"moved_share": 0.9, "cures_tried": 1}, "full_retrain"),
        ({"moved_share": 0.9, "cures_tried": 2}, "automl"),
    ],
)
def test_the_cheapest_cure_that_suffices_is_chosen(changes: dict[str, Any], action: str) -> None:
    cure = choose_cure(replace(FACTS, **changes), 0.5)

    assert cure.action == action
    assert cure.estimated_cost_usd == HOURS[cure.action] * 0.5
    assert cure.because.endswith(".")


def test_a_cure_costs_its_hours_at_the_instances_price() -> None:
    assert choose_cure(replace(FACTS, moved_share=1.0), 0.526) == Cure(
        "full_retrain", "100% of the inputs have moved and answers suffer: all must learn.", 0.526
    )


def test_a_policy_file_changes_what_it_names_and_nothing_else() -> None:
    text = json.dumps({"wasserstein_limit": 3, "ignored_columns": ["script"], "ranges": {"length": [0, 50]}})

    policy = DriftPolicy.from_json(text)

    assert policy == replace(
        DEFAULT, wasserstein_limit=3.0, ignored_columns=("script",), ranges={"length": (0.0, 50.0)}
    )
    judged = [column.column for column in _judge(policy).columns]
    assert judged == ["length", "hour", "label", "confidence", "columns together"]
    assert _judge(replace(policy, stability_limit=9.0), length=10).status == "stable"


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ([], "want an object with the fields of a drift policy"),
        ({"alpa": 0.1}, "no field alpa: want some of accuracy_drop, alpha"),
        ({"alpha": "low"}, "alpha='low': want something like 0.05"),
        ({"alpha": True}, "alpha=True: want something like 0.05"),
        ({"closing_checks": 2.5}, "closing_checks=2.5: want something like 3"),
        ({"ranges": {"length": [5, 1]}}, "ranges.length=[5, 1]: want [low, high]"),
    ],
)
def test_a_policy_file_with_a_fault_is_refused_by_name(raw: Any, wanted: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        DriftPolicy.from_json(json.dumps(raw))
    assert wanted in str(refusal.value)


@pytest.mark.parametrize(("rows", "is_bad"), [(99, True), (100, False), (2500, False), (2501, True)])
def test_traffic_is_held_against_the_median_of_earlier_weeks(rows: int, is_bad: bool) -> None:
    found = volume(rows, [400, 500, 9000], DEFAULT)

    assert found is not None
    assert (found.before, found.is_bad) == (500, is_bad)


def test_one_earlier_week_says_nothing_of_the_usual_volume() -> None:
    assert volume(5, [500], DEFAULT) is None


@pytest.mark.parametrize(("hours", "is_bad"), [(72, False), (73, True)])
def test_a_window_whose_newest_row_is_old_is_stale(hours: int, is_bad: bool) -> None:
    found = freshness(1_784_000_000_000, 1_784_000_000_000 + hours * 3_600_000, DEFAULT)

    assert found is not None
    assert (found.is_bad, found.sentence) == (is_bad, f"the newest row is {hours}.0 hours old")
