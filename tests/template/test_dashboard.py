"""The dashboard: what it shows is measured somewhere, and every alarm says where its runbook is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Resources = dict[str, Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def widgets(of_type: Callable[[str], Resources]) -> dict[str, dict[str, Any]]:
    """The properties of each widget by its title."""
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
    return {widget["properties"]["title"].partition(",")[0]: widget["properties"] for widget in body["widgets"]}


def test_the_dashboard_shows_traffic_latency_errors_drift_accuracy_and_feedback(
    widgets: dict[str, dict[str, Any]],
) -> None:
    assert list(widgets) == ["Traffic", "Latency", "Errors", "Drift score", "Accuracy", "Feedback"]
    assert {widget["region"] for widget in widgets.values()} == {"${AWS::Region}"}


def test_every_function_on_the_dashboard_is_one_of_the_template(
    widgets: dict[str, dict[str, Any]], of_type: Callable[[str], Resources]
) -> None:
    named = {
        metric[3].strip("${}")
        for widget in widgets.values()
        for metric in widget["metrics"]
        if metric[0] == "AWS/Lambda"
    }
    assert named and named <= set(of_type("AWS::Lambda::Function"))


@pytest.mark.parametrize("metric", ["DriftScore", "EstimatedAccuracy", "EstimatedError", "LabelledAccuracy"])
def test_a_figure_of_drift_is_searched_by_the_name_that_a_check_measures_it_under(
    metric: str, widgets: dict[str, dict[str, Any]]
) -> None:
    searches = [each[0]["expression"] for name in ("Drift score", "Accuracy") for each in widgets[name]["metrics"]]
    measured = (ROOT / "functions" / "drift" / "check.py").read_text(encoding="utf-8")
    assert len([search for search in searches if f'{{Pawl,model}} MetricName="{metric}"' in search]) == 1
    assert f'"{metric}"' in measured


def test_every_alarm_says_where_its_runbook_is(of_type: Callable[[str], Resources]) -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    told = {alarm["AlarmDescription"]["Fn::Sub"].partition(". ")[2] for alarm in alarms.values()}
    assert told == {"See ${Runbook}"}
    assert "## Operate" in (ROOT / "README.md").read_text(encoding="utf-8")
