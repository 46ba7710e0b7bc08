"""Each function: its code, its settings, its logs, its alarm."""

import copy
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pawl.masking import ALL_KINDS, NONE, REGIONS, Policy
from pawl.settings import variables

Resources = dict[str, Any]
ROOT = Path(__file__).parents[2]
SETTINGS = {
    "InferenceFunction": "inference.settings.Settings",
    "FeedbackFunction": "feedback.settings.Settings",
    "FeedbackInboxFunction": "feedback.settings.InboxSettings",
    "FeedbackReadyFunction": "feedback.settings.ReadySettings",
    "DriftCollectFunction": "drift.settings.CollectSettings",
    "DriftInboxFunction": "drift.settings.InboxSettings",
    "DriftCheckFunction": "drift.settings.CheckSettings",
    "RetrainFunction": "retrain.settings.Settings",
    "ReleaseFunction": "release.settings.Settings",
}
QUIET = "ORT_DISABLE_TELEMETRY"


@pytest.fixture(params=sorted(SETTINGS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def function(name: str, resources: Resources) -> dict[str, Any]:
    return resources[name]["Properties"]


def test_the_functions_are_those_of_the_loop(of_type: Callable[[str], Resources]) -> None:
    assert sorted(of_type("AWS::Lambda::Function")) == sorted(SETTINGS)


def test_the_environment_is_what_the_settings_read(name: str, function: dict[str, Any]) -> None:
    module, _, shape = SETTINGS[name].rpartition(".")
    read = variables(getattr(importlib.import_module(module), shape))
    given = set(function["Environment"]["Variables"]) - {QUIET}
    assert given <= set(read)
    assert {variable for variable, is_required in read.items() if is_required} <= given


def test_onnxruntime_reports_to_nobody_from_any_function_job_or_image(
    of_type: Callable[[str], Resources], resources: Resources
) -> None:
    for function in of_type("AWS::Lambda::Function").values():
        assert function["Environment"]["Variables"][QUIET] == "1"
    (nodes,) = resources["NodesJobDefinition"]["Properties"]["NodeProperties"]["NodeRangeProperties"]
    for job in (resources["JobDefinition"]["Properties"]["ContainerProperties"], nodes["Container"]):
        assert {"Name": QUIET, "Value": "1"} in job["Environment"]
    for image in ("inference", "training"):
        assert f"    {QUIET}=1 \\\n" in (ROOT / "functions" / image / "Dockerfile").read_text(encoding="utf-8")


def test_all_kinds_of_personal_data_that_can_be_found_are_masked_unless_told_otherwise(
    template: dict[str, Any],
) -> None:
    kinds, regions = (template["Parameters"][name] for name in ("MaskPersonalData", "PhoneRegions"))

    assert (kinds["Default"], regions["Default"]) == (ALL_KINDS, REGIONS)
    for told in (ALL_KINDS, *ALL_KINDS.split(","), NONE):
        assert re.fullmatch(kinds["AllowedPattern"], told)
        Policy.of(told, regions["Default"])
    assert not re.fullmatch(kinds["AllowedPattern"], "name")


def test_a_handler_is_a_module_of_the_functions(name: str, function: dict[str, Any]) -> None:
    module, _, handler = function["Handler"].rpartition(".")
    source = (ROOT / "functions" / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    assert handler == "handler"
    assert "\ndef handler(" in source or "\nhandler = " in source


def test_logs_go_to_a_group_of_its_own_that_ends(name: str, function: dict[str, Any], resources: Resources) -> None:
    group = name.replace("Function", "Logs")
    assert function["LoggingConfig"]["LogGroup"] == {"Ref": group}
    assert resources[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_every_log_group_ends(of_type: Callable[[str], Resources]) -> None:
    assert all("RetentionInDays" in group for group in of_type("AWS::Logs::LogGroup").values())


def test_errors_raise_an_alarm(name: str, of_type: Callable[[str], Resources]) -> None:
    alarm = of_type("AWS::CloudWatch::Alarm")[name.replace("Function", "ErrorsAlarm")]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": name}}]


def test_every_alarm_is_sent_somewhere_and_silence_is_none(of_type: Callable[[str], Resources]) -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    assert all(
        alarm["AlarmActions"] == [{"Fn::If": ["HasOwnTopic", {"Ref": "AlarmNotices"}, {"Ref": "AlarmTopic"}]}]
        for alarm in alarms.values()
    )
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}


def test_a_function_has_a_role_of_its_own(of_type: Callable[[str], Resources]) -> None:
    roles = {name: function["Role"]["Fn::GetAtt"][0] for name, function in of_type("AWS::Lambda::Function").items()}
    assert roles == {name: name.replace("Function", "Role") for name in SETTINGS}


def test_the_models_come_after_the_layers_that_all_share(template: dict[str, Any], resources: Resources) -> None:
    shared, models = (
        template["Globals"]["Function"]["Layers"],
        {"Fn::If": ["IsStarter", {"Ref": "ModelsLayer"}, {"Ref": "LiveModelsLayer"}]},
    )
    assert template["Resources"]["InferenceFunction"]["Properties"]["Layers"] == [models]
    assert shared == [{"Ref": "CoreLayer"}, {"Ref": "ServingLayer"}]
    assert resources["InferenceFunction"]["Properties"]["Layers"][-1]["Fn::If"][0] == "IsStarter"


@pytest.mark.parametrize("name", ["RetrainFunction", "ReleaseFunction"])
def test_whoever_opens_a_dataset_has_the_engine_for_it(name: str, template: dict[str, Any]) -> None:
    assert template["Resources"][name]["Properties"]["Layers"] == [{"Ref": "TablesLayer"}]


@pytest.mark.parametrize("layer", ["CoreLayer", "ServingLayer"])
def test_a_changed_layer_goes_live(
    layer: str, template: Resources, resources: Resources, expand: Callable[[Resources], Resources]
) -> None:
    changed = copy.deepcopy(template)
    changed["Resources"][layer]["Properties"]["ContentUri"] += "changed"
    assert resources["InferenceFunctionAliaslive"] != expand(changed)["InferenceFunctionAliaslive"]


def test_a_version_that_is_no_longer_live_stays_for_a_rollback(resources: Resources) -> None:
    versions = [each for each in resources.values() if each["Type"] == "AWS::Lambda::Version"]
    assert [version["DeletionPolicy"] for version in versions] == ["Retain"]
