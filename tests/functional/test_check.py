"""`drift.check` as a whole: profiles in the bucket, a scheduled event, a report and at most one announcement."""

import json
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from pawl.bundle import Bundle
from pawl.dataset import FrozenDataset
from pawl.errors import SettingsError
from pawl.identity import isoformat
from pawl.ledger import Ledger
from pawl.profile import Profile
from pawl.records import CaptureRecord
from pawl.versions import Elsewhere, Live

ALIKE = ["refund", "invoice", "password", "login", "hello", "weather"] * 10
MOVED = ["gibberish"] * 60
HOUR_MS = 3_600_000
RIGHT = {"refund": "billing", "invoice": "billing", "password": "account", "login": "account", "hello": "other"}


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


@pytest.fixture
def look(check: ModuleType, now_ms: int, context: Any) -> Callable[..., dict[str, Any]]:
    """Checks one hour that began so many hours ago, and returns its report."""

    def check_hour(hours_ago: float) -> dict[str, Any]:
        since_ms = now_ms - round(hours_ago * HOUR_MS) - 1000
        window = {"since": isoformat(since_ms), "until": isoformat(since_ms + HOUR_MS)}
        return check.handler({"model": "triage", **window}, context)["reports"][0]

    return check_hour


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
        "kind": "data",
        "columns": report["drifted"],
        "began": report["attribution"]["since"],
        "cure": report["cure"],
        "sentence": report["sentence"],
        "since": report["since"],
        "until": report["until"],
        "report": f"reports/triage/1/{report['until']}.json",
        "page": f"reports/triage/1/{report['until']}.html",
    }
    assert (report["cure"]["action"], report["cure"]["estimated_cost_usd"]) == ("fine_tune_head", 0.1315)
    assert report["sentence"].startswith("triage 1 meets other questions than it was made for since ")


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


def test_a_report_is_kept_as_a_page_as_well(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    traffic(MOVED, hours_ago=2)

    report = look(2)

    page = cloud.bucket.read(f"reports/triage/1/{report['until']}.html").decode()
    assert report["sentence"] in page
    assert page.startswith("<!doctype html>")


def test_an_incident_is_opened_once_followed_and_ended_by_stable_checks_in_a_row(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    for hours_ago, texts in ((10, MOVED), (9, MOVED), (8, ALIKE), (7, ALIKE), (6, MOVED), (5, ALIKE), (4, ALIKE)):
        traffic(texts, hours_ago=hours_ago)
        last = look(hours_ago)
    incident = cloud.registry.incident("triage", "1")
    assert (incident["number"], incident["stable_checks"], incident["until"]) == (1, 2, last["until"])
    assert [each["type"] for each in cloud.announced()] == ["DriftDetected"]

    traffic(ALIKE, hours_ago=3)
    last = look(3)

    assert cloud.registry.incident("triage", "1") is None
    (ended,) = cloud.announced()
    assert (ended["type"], ended["id"], ended["subject"]) == ("DriftEnded", "drift/triage/1/ended", "triage")
    assert ended["data"]["sentence"] == "The drift of triage 1 has ended: 3 stable checks in a row."
    assert (last["incident"]["number"], last["incident"]["closed_at"]) == (1, last["until"])


def test_a_drift_after_an_ended_incident_is_a_new_one_with_a_name_of_its_own(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    for hours_ago, texts in ((10, MOVED), (9, ALIKE), (8, ALIKE), (7, ALIKE), (6, MOVED)):
        traffic(texts, hours_ago=hours_ago)
        look(hours_ago)

    assert [each["id"] for each in cloud.announced()] == ["drift/triage/1", "drift/triage/1/ended", "drift/triage/1/2"]
    assert cloud.registry.incident("triage", "1")["number"] == 2


def test_an_hour_that_was_not_judged_neither_ends_an_incident_nor_keeps_it_from_ending(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    for hours_ago, texts in ((10, MOVED), (9, ALIKE), (8, ALIKE[:5]), (7, ALIKE), (6, ALIKE)):
        traffic(texts, hours_ago=hours_ago)
        look(hours_ago)

    assert [each["type"] for each in cloud.announced()] == ["DriftDetected", "DriftEnded"]


def test_a_look_back_at_an_old_window_changes_no_incident(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    for hours_ago, texts in ((10, ALIKE), (9, MOVED)):
        traffic(texts, hours_ago=hours_ago)
        look(hours_ago)
    before = cloud.registry.incident("triage", "1")

    look(10)

    assert cloud.registry.incident("triage", "1") == before


def test_a_new_live_version_ends_the_incident_of_the_one_before(
    look: Callable[..., dict[str, Any]],
    traffic: Callable[..., None],
    cloud: Any,
    make_bundle: Callable[..., Bundle],
    dataset: FrozenDataset,
) -> None:
    traffic(MOVED, hours_ago=3)
    look(3)
    cloud.store_files("models/triage/2/", make_bundle("2", dataset.digest))
    cloud.registry.move_live(Live("triage", "2", reason="release"), "1")

    report = look(2)

    assert (report["version"], report["status"]) == ("2", "insufficient")
    assert cloud.registry.incident("triage", "1") is None
    assert [each["id"] for each in cloud.announced()] == ["drift/triage/1", "drift/triage/1/ended"]
    assert cloud.registry.incidents("triage")["1"]["closed_because"] == "version 2 is live"


@pytest.mark.parametrize(("hours", "expected"), [((5,), 1), ((5, 4, 3, 2), 2)])
def test_a_crash_before_any_call_of_a_check_leads_to_the_same_facts_when_it_is_checked_again(
    hours: Sequence[int], expected: int, look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    """The last of the hours is the one whose check dies: it opens an incident, or it ends one."""
    for hours_ago in (5, 4, 3, 2):
        traffic(MOVED if hours_ago == 5 else ALIKE, hours_ago=hours_ago)
    for number in range(1, 20):
        cloud.state.delete_item(Key={"pk": "model#triage", "sk": "incident#1"})
        for hours_ago in hours[:-1]:
            look(hours_ago)
        cloud.faults.die_at(number)
        try:
            look(hours[-1])
            break
        except cloud.faults.Died:
            cloud.faults.reset()
        look(hours[-1])

        assert len({each["id"] for each in cloud.announced()}) == expected, number
        assert (cloud.registry.incident("triage", "1") is None) == (expected == 2), number
    assert number == 5  # page, report, event, incident, and then nothing was left to die at


def test_a_window_is_judged_again_with_what_arrived_late_for_it(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    traffic(ALIKE, hours_ago=30)
    assert look(30)["status"] == "stable"

    traffic(MOVED, hours_ago=29.8)
    report = look(30)

    assert (report["status"], report["rows"]) == ("drifted", 120)
    assert json.loads(cloud.bucket.read(f"reports/triage/1/{report['until']}.json")) == report


def test_since_when_is_told_by_the_hours_of_the_window(
    check: ModuleType, traffic: Callable[..., None], now_ms: int, context: Any
) -> None:
    for hours_ago in range(12, 0, -1):
        traffic(MOVED if hours_ago <= 4 else ALIKE, hours_ago=hours_ago)
    until_ms = now_ms - 1800_000
    window = {"since": isoformat(until_ms - 12 * HOUR_MS), "until": isoformat(until_ms)}

    (report,) = check.handler({"model": "triage", **window}, context)["reports"]

    assert report["attribution"]["since"] == isoformat(until_ms - 4 * HOUR_MS)
    assert [moment["score"] > 1 for moment in report["timeline"]] == [False] * 8 + [True] * 4


def test_what_looks_as_it_did_at_these_hours_of_earlier_weeks_is_no_drift(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    for weeks in (0, 1, 2):
        traffic(MOVED, hours_ago=2 + weeks * 7 * 24)

    report = look(2)

    assert (report["status"], report["weeks"], cloud.announced()) == ("stable", [60, 60], [])
    label = next(column for column in report["columns"] if column["column"] == "label")
    assert (label["effect"] > 1, label["seasonal_effect"]) == (True, 0.0)


def test_one_earlier_week_is_no_season(look: Callable[..., dict[str, Any]], traffic: Callable[..., None]) -> None:
    for weeks in (0, 1):
        traffic(MOVED, hours_ago=2 + weeks * 7 * 24)

    assert look(2)["status"] == "drifted"


def test_a_drift_does_not_become_a_season_by_lasting(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None]
) -> None:
    traffic(MOVED, hours_ago=2 + 3 * 7 * 24)
    assert look(2 + 3 * 7 * 24)["status"] == "drifted"
    for weeks in (2, 1, 0):
        traffic(MOVED, hours_ago=2 + weeks * 7 * 24)

    assert look(2)["status"] == "drifted"


def test_silence_where_earlier_weeks_had_traffic_is_broken_data(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None]
) -> None:
    for weeks in (1, 2):
        traffic(ALIKE, hours_ago=2 + weeks * 7 * 24)
    traffic(ALIKE[:5], hours_ago=2)

    report = look(2)

    assert (report["status"], report["attribution"]["kind"], report["cure"]["action"]) == (
        "drifted",
        "quality",
        "nothing",
    )
    assert report["sentence"] == (
        "triage 1 has fallen silent: 5 rows in 1 h, where the same hours of earlier weeks had 60."
    )


@pytest.fixture
def labelled(
    start: Callable[[str], ModuleType],
    check: ModuleType,
    answered: Callable[..., CaptureRecord],
    batch_of: Callable[..., dict[str, Any]],
    say_label: Callable[[CaptureRecord, str], None],
    now_ms: int,
    context: Any,
) -> Callable[..., None]:
    """Answers texts an hour ago, collects them, and labels each: rightly, or with a changed meaning."""
    collect = start("drift.collect")

    def label(texts: Sequence[str], is_changed: bool) -> None:
        records = [answered(text, unix_ms=now_ms - HOUR_MS + i) for i, text in enumerate(texts)]
        for first in range(0, len(records), 10):
            event = batch_of(*(record.to_json() for record in records[first : first + 10]))
            assert collect.handler(event, context) == {"batchItemFailures": []}
        for record, text in zip(records, texts, strict=True):
            say_label(record, "other" if is_changed and RIGHT[text] == "account" else RIGHT[text])

    return label


def test_labels_that_say_that_the_same_questions_mean_something_else_are_concept_drift(
    labelled: Callable[..., None],
    event: Callable[[str], dict[str, Any]],
    start: Callable[[str], ModuleType],
    context: Any,
) -> None:
    labelled(["refund", "invoice", "password", "login", "hello"] * 12, is_changed=True)

    (report,) = start("drift.check").handler(event("scheduled_event"), context)["reports"]

    assert report["labels"]["rows"] == 60
    assert (report["labels"]["accuracy"], report["labels"]["promised"]) == (0.6, 0.8)
    assert (report["status"], report["attribution"]["kind"]) == ("drifted", "concept")
    assert report["cure"]["action"] == "fine_tune_head"


def test_labels_are_counted_once_however_often_it_is_checked(
    labelled: Callable[..., None],
    event: Callable[[str], dict[str, Any]],
    start: Callable[[str], ModuleType],
    context: Any,
) -> None:
    labelled(["refund", "password", "hello"] * 12, is_changed=False)
    check = start("drift.check")

    found = [check.handler(event("scheduled_event"), context)["reports"][0]["labels"] for _ in range(3)]

    assert [each["rows"] for each in found] == [36, 36, 36]
    assert [each["accuracy"] for each in found] == [1.0, 1.0, 1.0]


def test_a_label_that_comes_before_its_answer_is_collected_waits_for_it(
    check: ModuleType,
    answered: Callable[..., CaptureRecord],
    say_label: Callable[[CaptureRecord, str], None],
    start: Callable[[str], ModuleType],
    batch_of: Callable[..., dict[str, Any]],
    look: Callable[..., dict[str, Any]],
    now_ms: int,
    context: Any,
    cloud: Any,
) -> None:
    record = answered("refund", unix_ms=now_ms - 60_000)
    say_label(record, "billing")
    look(0.9)
    assert cloud.registry.label_state("triage", "1") is None

    start("drift.collect").handler(batch_of(record.to_json()), context)
    look(0.8)

    (hour,) = cloud.registry.label_state("triage", "1")["hours"].values()
    assert hour == [1, 1, pytest.approx(0.8, abs=1e-3)]


def test_a_policy_in_the_bucket_moves_the_limits_of_its_model(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], cloud: Any
) -> None:
    names = set(cloud.registry.reference("triage", "1").columns) - {"tokens"}
    cloud.bucket.write("models/triage/drift.json", json.dumps({"ignored_columns": sorted(names)}).encode())
    traffic(MOVED, hours_ago=2)

    report = look(2)

    assert (report["status"], [column["column"] for column in report["columns"]]) == ("stable", ["tokens"])


@pytest.mark.parametrize("policy", [b'{"wasserstein_limt": 0.2}', b"wasserstein_limit: 0.2"])
def test_a_model_that_cannot_be_checked_keeps_no_other_one_from_its_check(
    policy: bytes,
    check: ModuleType,
    traffic: Callable[..., None],
    event: Callable[[str], dict[str, Any]],
    cloud: Any,
    context: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The one that fails is neither the first nor the last of them."""
    cloud.bucket.write("profiles/aaa/1/reference.json", Profile.of({"x": [1.0, 2.0]}).to_json().encode())
    cloud.bucket.write("models/aaa/drift.json", policy)
    cloud.registry.see_elsewhere(Elsewhere("aaa", "1", 0))
    cloud.registry.see_elsewhere(Elsewhere("zzz", "1", 0))
    traffic(MOVED)

    with pytest.raises(ExceptionGroup, match="1 of 3 models could not be checked") as failure:
        check.handler(event("scheduled_event"), context)

    assert [type(each) for each in failure.value.exceptions] == [SettingsError]
    assert [each["subject"] for each in cloud.announced()] == ["triage"]
    assert len(list(cloud.bucket.keys("reports/zzz/1/"))) == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    assert {line["model"] for line in lines if "RowsChecked" in line} == {"triage", "zzz"}


def test_a_check_measures_its_figures_by_model(
    look: Callable[..., dict[str, Any]], traffic: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    traffic(ALIKE, hours_ago=2)
    report = look(2)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    measured = {name: value[0] for line in lines for name, value in line.items() if isinstance(value, list)}
    assert measured == {
        "RowsChecked": 60.0,
        "DriftScore": report["score"],
        "EstimatedAccuracy": report["estimate"]["accuracy"],
    }
    assert {line["model"] for line in lines} == {"triage"}


def test_the_notes_of_more_answers_than_one_read_takes_are_all_found(cloud: Any, now_ms: int) -> None:
    ledger = Ledger(cloud.state, "capture")
    for number in range(130):
        note = {"label": ["other"], "confidence": [number / 1000]} if number % 2 else None
        ledger.claim(f"{number:032x}", "batch", now_ms, note)

    found = ledger.notes(f"{number:032x}" for number in range(140))

    assert sorted(found) == [f"{number:032x}" for number in range(1, 130, 2)]
    assert found[f"{7:032x}"] == {"label": ["other"], "confidence": [0.007]}
