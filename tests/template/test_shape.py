"""The template as a whole: described parameters, no physical names, the outputs that scripts read."""

from typing import Any

Template = dict[str, Any]
PHYSICAL_NAMES = {
    "BucketName",
    "TableName",
    "QueueName",
    "FunctionName",
    "RoleName",
    "LogGroupName",
    "TopicName",
    "RepositoryName",
    "AlarmName",
    "JobQueueName",
    "JobDefinitionName",
    "ComputeEnvironmentName",
    "InstanceProfileName",
    "LaunchTemplateName",
    "GroupName",
    "UsagePlanName",
}
READ_BY_SCRIPTS = {
    "ApiUrl",
    "ApiKeyId",
    "Bucket",
    "StateTable",
    "FeedbackTable",
    "EventBus",
    "InferenceFunction",
    "DriftCheckFunction",
    "RetrainFunction",
    "ReleaseFunction",
    "JobQueue",
    "JobDefinition",
    "LiveLayerParameter",
    "CaptureQueueUrl",
    "RetrainQueueUrl",
    "ReleaseQueueUrl",
}
CHECKS = {"AllowedPattern", "AllowedValues", "MinValue"}
LISTS = {"TrainingSubnets", "TrainingInstanceTypes"}


def test_every_parameter_says_what_it_is_and_refuses_nonsense(template: Template) -> None:
    for name, about in template["Parameters"].items():
        assert about["Description"].endswith("."), name
        assert about.keys() & CHECKS or name in LISTS, name


def test_a_deployment_needs_no_parameter(template: Template) -> None:
    assert all("Default" in about for about in template["Parameters"].values())


def test_every_parameter_is_used(template: Template) -> None:
    body = str({name: part for name, part in template.items() if name != "Parameters"})
    used = {name for name in template["Parameters"] if f"'Ref': '{name}'" in body or f"${{{name}}}" in body}
    assert used == set(template["Parameters"])


def test_no_resource_has_a_physical_name(template: Template) -> None:
    named = {
        (name, key)
        for name, resource in template["Resources"].items()
        for key in resource.get("Properties", {})
        if key in PHYSICAL_NAMES
    }
    assert named == set()


def test_a_name_that_a_service_demands_comes_from_the_stack(template: Template) -> None:
    layers = {
        name: resource["Properties"]["LayerName"]["Fn::Sub"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::LayerVersion"
    }
    assert layers == {
        "CoreLayer": "${AWS::StackName}-core",
        "ServingLayer": "${AWS::StackName}-serving",
        "ModelsLayer": "${AWS::StackName}-models",
        "TablesLayer": "${AWS::StackName}-tables",
    }
    alias = template["Resources"]["SigningKeyAlias"]["Properties"]["AliasName"]
    assert alias == {"Fn::Sub": "alias/${AWS::StackName}-models"}
    assert template["Resources"]["EventBus"]["Properties"]["Name"] == {"Ref": "AWS::StackName"}
    assert template["Resources"]["WorkGroup"]["Properties"]["Name"] == {"Ref": "AWS::StackName"}
    database = template["Resources"]["Database"]["Properties"]["DatabaseInput"]["Name"]
    assert database == {"Fn::Join": ["_", {"Fn::Split": ["-", {"Ref": "AWS::StackName"}]}]}


def test_the_outputs_are_those_that_scripts_read_each_described(template: Template) -> None:
    assert set(template["Outputs"]) >= READ_BY_SCRIPTS
    assert all(output["Description"].endswith(".") for output in template["Outputs"].values())


def test_the_parameter_that_releases_move_is_the_one_that_the_next_deployment_reads(template: Template) -> None:
    written = template["Outputs"]["LiveLayerParameter"]["Value"]["Fn::Sub"]
    assert template["Parameters"]["LiveModelsLayer"]["Default"] == written.replace("${AWS::StackName}", "pawl")


def test_sam_build_takes_the_default_s_name_for_the_starter(template: Template) -> None:
    live, starter = {"Ref": "LiveModelsLayer"}, template["Conditions"]["IsStarter"]["Fn::Or"]
    default = template["Parameters"]["LiveModelsLayer"]["Default"]
    assert starter == [{"Fn::Equals": [live, "starter"]}, {"Fn::Equals": [live, default]}]


def test_globals_hold_only_what_all_functions_share(template: Template) -> None:
    assert template["Globals"] == {
        "Function": {
            "CodeUri": "functions/",
            "Runtime": {"Ref": "PythonRuntime"},
            "Architectures": [{"Ref": "Architecture"}],
            "Layers": [{"Ref": "CoreLayer"}, {"Ref": "ServingLayer"}],
            "Environment": {"Variables": {"ORT_DISABLE_TELEMETRY": "1"}},
        }
    }
