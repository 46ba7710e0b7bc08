from dataclasses import replace

import pytest

from drift.incidents import Incident, event_id, follow
from drift.report import Report

DRIFTED = Report("triage", "3", 100, 300, "", "2026-07-14T09:00:00.000Z", "drifted", 2.0, "It moved.")
STABLE = replace(DRIFTED, status="stable", score=0.1, until="2026-07-14T10:00:00.000Z")
KEY = "reports/triage/3/now.json"


def _open() -> Incident:
    _, incident = follow(None, DRIFTED, KEY, 3)
    assert incident is not None
    return incident


def test_a_drift_opens_the_first_incident() -> None:
    step, incident = follow(None, DRIFTED, KEY, 3)

    assert (step, incident and incident.number, incident and incident.is_open) == ("open", 1, True)


def test_a_stable_check_without_an_incident_means_nothing() -> None:
    assert follow(None, STABLE, KEY, 3) == ("none", None)


@pytest.mark.parametrize("status", ["insufficient", "learning"])
def test_a_window_that_was_not_judged_means_nothing(status: str) -> None:
    incident = _open()
    assert follow(incident, replace(STABLE, status=status), KEY, 3) == ("none", incident)  # type: ignore[arg-type]


def test_the_same_window_again_means_nothing() -> None:
    incident = _open()
    assert follow(incident, DRIFTED, KEY, 3) == ("none", incident)


def test_a_drift_that_goes_on_keeps_number_and_beginning_and_begins_to_count_anew() -> None:
    calm = replace(_open(), stable_checks=2)
    later = replace(DRIFTED, until="2026-07-14T11:00:00.000Z", score=5.0)

    step, incident = follow(calm, later, KEY, 3)

    assert step == "update"
    assert incident == replace(_open(), until=later.until, score=5.0, stable_checks=0, stable_since="")


@pytest.mark.parametrize(("before", "step"), [(0, "update"), (1, "update"), (2, "close")])
def test_the_third_stable_check_in_a_row_ends_it(before: int, step: str) -> None:
    found, incident = follow(replace(_open(), stable_checks=before), STABLE, KEY, 3)

    assert incident is not None
    assert (found, incident.stable_checks, incident.is_open) == (step, before + 1, step != "close")


def test_stable_checks_end_it_after_hours_however_often_it_is_checked() -> None:
    incident, ended = _open(), list[str]()
    for minutes in range(15, 300, 15):
        until = f"2026-07-14T{10 + minutes // 60}:{minutes % 60:02d}:00.000Z"
        step, incident = follow(incident, replace(STABLE, until=until), KEY, 3, 2.0)
        assert incident is not None
        ended += [until] if step == "close" else []
        if ended:
            break

    assert ended == ["2026-07-14T12:15:00.000Z"]
    assert incident.closed_because == "9 stable checks in a row"


def test_an_incident_from_before_the_hours_were_kept_is_stable_since_its_last_window() -> None:
    old = replace(_open(), stable_checks=2, until="2026-07-14T09:30:00.000Z")

    assert follow(old, STABLE, KEY, 3, 0.5)[0] == "close"
    assert follow(old, STABLE, KEY, 3, 0.6)[0] == "update"


def test_a_drift_after_the_end_is_the_next_incident() -> None:
    ended = replace(_open(), closed_at="2026-07-14T09:30:00.000Z")
    later = replace(DRIFTED, until="2026-07-14T11:00:00.000Z")

    step, incident = follow(ended, later, KEY, 3)

    assert (step, incident and incident.number) == ("open", 2)


def test_an_incident_is_kept_without_an_end_while_it_is_open() -> None:
    incident = _open()
    ended = replace(incident, closed_at="now", closed_because="because")

    assert "closed_at" not in incident.to_item()
    assert Incident.from_item({"pk": "model#triage", "sk": "incident#3", **incident.to_item()}) == incident
    assert Incident.from_item(ended.to_item()) == ended


def test_an_event_names_version_and_incident() -> None:
    assert [event_id("triage", "3", number) for number in (1, 2)] == ["drift/triage/3", "drift/triage/3/2"]
