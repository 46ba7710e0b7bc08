"""Least privilege: each role names its actions and its prefixes, and every exception gives its reason here."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from pawl.drops import ERRORS

Resources = dict[str, Any]
Statements = dict[str, list[dict[str, Any]]]
WHOLE_RESOURCES = {
    ("ReleaseRole", "ReadMetrics"): "cloudwatch:GetMetricData cannot be limited to resources",
    ("RetrainRole", "FollowJobs"): "batch:DescribeJobs cannot be limited to resources",
}
ANY_NAME = {
    ("RetrainRole", "EndJobs"): "a job's ARN ends in an id that nobody knows beforehand",
}
MANAGED = {
    "ApiLogsRole": "API Gateway checks the account's role for this very policy",
    "TrainingInstanceRole": "what the ECS agent needs is ECS's to say",
}
FEEDBACK_TABLE = {"Fn::GetAtt": ["FeedbackTable", "Arn"]}
VERBS = {
    "Announce",
    "Ask",
    "Attach",
    "Capture",
    "Claim",
    "Consume",
    "End",
    "Follow",
    "Freeze",
    "Keep",
    "List",
    "Move",
    "Name",
    "Open",
    "Publish",
    "Read",
    "Refuse",
    "Report",
    "Sign",
    "Store",
    "Submit",
    "Take",
    "Tell",
    "Write",
}
PREFIXES = {
    "DriftCollectRole": ({"profiles", "models"}, {"traffic", "profiles"}),
    "DriftInboxRole": ({"inbox", "profiles", "models"}, {"inbox", "profiles"}),
    "FeedbackRole": ({"pairs"}, set()),
    "FeedbackInboxRole": ({"inbox"}, {"inbox"}),
    "DriftCheckRole": ({"profiles", "models"}, {"reports", "profiles"}),
    "RetrainRole": ({"traffic", "models", "datasets", "pairs", "candidates"}, {"datasets", "quarantine"}),
    "TrainingRole": ({"datasets", "models", "checkpoints", "adapters"}, {"candidates", "checkpoints", "adapters"}),
    "ReleaseRole": ({"candidates", "datasets", "models", "layers", "profiles"}, {"models", "layers", "cards"}),
}


@pytest.fixture
def everything(statements: Statements) -> list[tuple[str, dict[str, Any]]]:
    return [(role, statement) for role, found in statements.items() for statement in found]


def test_every_action_is_named(everything: list[tuple[str, dict[str, Any]]]) -> None:
    assert [action for _, statement in everything for action in statement["Action"] if "*" in action] == []


def test_every_statement_is_on_a_resource_or_gives_its_reason(everything: list[tuple[str, dict[str, Any]]]) -> None:
    bare = {(role, statement["Sid"]) for role, statement in everything if "*" in statement["Resource"]}
    assert bare == set(WHOLE_RESOURCES)


def test_no_resource_is_any_name_of_its_kind_without_a_reason(everything: list[tuple[str, dict[str, Any]]]) -> None:
    any_name = {
        (role, statement["Sid"])
        for role, statement in everything
        for resource in statement["Resource"]
        if re.search(r"AccountId\}:[a-z-]+[/:]\*", json.dumps(resource))
    }
    assert any_name == set(ANY_NAME)


def test_every_statement_is_a_verb_phrase(everything: list[tuple[str, dict[str, Any]]]) -> None:
    assert {re.findall("[A-Z][a-z]+", statement["Sid"])[0] for _, statement in everything} <= VERBS


def test_managed_policies_are_the_exception(of_type: Callable[[str], Resources]) -> None:
    assert {name for name, role in of_type("AWS::IAM::Role").items() if "ManagedPolicyArns" in role} == set(MANAGED)


def test_a_role_is_taken_by_one_service_only(of_type: Callable[[str], Resources]) -> None:
    for name, role in of_type("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert isinstance(statement["Principal"]["Service"], str), name


@pytest.mark.parametrize("role", sorted(PREFIXES))
def test_a_role_reads_and_writes_its_prefixes_of_the_bucket_only(role: str, statements: Statements) -> None:
    reads, writes = PREFIXES[role]
    assert _prefixes(statements[role], "s3:GetObject") == reads
    assert _prefixes(statements[role], "s3:PutObject") == writes


def test_only_these_roles_reach_the_bucket(statements: Statements) -> None:
    reaching = {role for role, found in statements.items() if any("s3:" in a for each in found for a in each["Action"])}
    assert reaching == set(PREFIXES)


@pytest.mark.parametrize("role", sorted(PREFIXES))
def test_who_reads_a_prefix_may_list_it_so_that_a_missing_key_is_no_refusal(role: str, statements: Statements) -> None:
    listing = [each for each in statements[role] if each["Action"] == ["s3:ListBucket"]]
    listed = {prefix for each in listing for prefix in each["Condition"]["StringLike"]["s3:prefix"]}
    assert {f"{prefix}/*" for prefix in PREFIXES[role][0]} <= listed
    assert len(listing) == 1


def test_nobody_deletes_from_the_bucket_or_reads_the_secret(everything: list[tuple[str, dict[str, Any]]]) -> None:
    actions = {action for _, statement in everything for action in statement["Action"]}
    assert not {action for action in actions if action.startswith(("s3:Delete", "secretsmanager:", "iam:"))}


def test_release_alone_signs_and_nobody_else_touches_a_key(everything: list[tuple[str, dict[str, Any]]]) -> None:
    found = [(role, each) for role, each in everything if any(action.startswith("kms:") for action in each["Action"])]
    ((role, statement),) = found
    assert (role, statement["Resource"]) == ("ReleaseRole", [{"Fn::GetAtt": ["SigningKey", "Arn"]}])
    assert set(statement["Action"]) == {"kms:GetPublicKey", "kms:Sign"}


def test_the_trusted_keys_are_written_by_release_and_read_by_the_template(
    everything: list[tuple[str, dict[str, Any]]], template: dict[str, Any]
) -> None:
    writers = {
        role
        for role, each in everything
        if "ssm:PutParameter" in each["Action"] and "trusted-keys" in json.dumps(each["Resource"])
    }
    written = template["Resources"]["ReleaseFunction"]["Properties"]["Environment"]["Variables"]
    assert writers == {"ReleaseRole"}
    default = template["Parameters"]["TrustedKeys"]["Default"]
    assert written["TRUSTED_KEYS_PARAMETER"]["Fn::Sub"].replace("${AWS::StackName}", "pawl") == default
    read = template["Resources"]["InferenceFunction"]["Properties"]["Environment"]["Variables"]
    assert read["TRUSTED_KEYS"] == {"Ref": "TrustedKeys"}
    assert "ALLOW_UNSIGNED" not in read


def test_the_key_signs_on_the_curve_that_inference_verifies(of_type: Callable[[str], Resources]) -> None:
    (key,) = of_type("AWS::KMS::Key").values()
    assert (key["KeySpec"], key["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")


def test_a_function_speaks_on_the_bus_in_its_own_name(everything: list[tuple[str, dict[str, Any]]]) -> None:
    sources = {
        role: statement["Condition"]["ForAllValues:StringEquals"]["events:source"]
        for role, statement in everything
        if "events:PutEvents" in statement["Action"]
    }
    assert sources == {
        "FeedbackReadyRole": "pawl.feedback",
        "DriftCheckRole": "pawl.drift",
        "RetrainRole": "pawl.retrain",
        "ReleaseRole": "pawl.release",
    }


def test_of_feedback_its_function_reads_repeated_requests_and_who_compared_what_alone(statements: Statements) -> None:
    found = [each for each in statements["FeedbackRole"] if each["Resource"] == [FEEDBACK_TABLE]]
    allowed = {tuple(each["Action"]): each.get("Condition") for each in found}
    assert allowed == {
        ("dynamodb:PutItem",): None,
        ("dynamodb:UpdateItem",): None,  # of counts, in one transaction with pieces under other keys
        ("dynamodb:GetItem",): {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["requests"]}},
        ("dynamodb:Query",): {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["compared/*"]}},
    }


def test_collect_touches_nothing_of_the_state_table_but_its_ledger_late_days_and_the_canary(
    statements: Statements,
) -> None:
    found = [each for each in statements["DriftCollectRole"] if each["Action"][0].startswith("dynamodb:")]
    assert [each["Condition"] for each in found] == [
        {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["once#*"]}},
        {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["late"]}},
        {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["canary"]}},
    ]
    claims = {"dynamodb:GetItem", "dynamodb:PartiQLInsert", "dynamodb:PutItem"}
    follows = {"dynamodb:GetItem", "dynamodb:UpdateItem"}
    assert [set(each["Action"]) for each in found] == [claims, {"dynamodb:PutItem"}, follows]


def test_a_check_deletes_nothing_but_the_days_that_it_has_judged_again(statements: Statements) -> None:
    (statement,) = [each for each in statements["DriftCheckRole"] if "dynamodb:DeleteItem" in each["Action"]]
    assert statement["Action"] == ["dynamodb:DeleteItem"]
    assert statement["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["late"]}}


def test_versions_are_asked_and_deleted_by_their_number_and_never_the_function_itself(statements: Statements) -> None:
    numbered = [{"Fn::Sub": "${InferenceFunction.Arn}:*"}]
    for role, action in (
        ("InferenceRole", "lambda:InvokeFunction"),
        ("DriftCollectRole", "lambda:InvokeFunction"),
        ("ReleaseRole", "lambda:DeleteFunction"),
    ):
        (statement,) = [each for each in statements[role] if action in each["Action"]]
        assert (statement["Action"], statement["Resource"]) == ([action], numbered)


def test_retrain_sets_feedback_aside_and_restores_or_erases_nothing_by_itself(statements: Statements) -> None:
    written = _written(statements["RetrainRole"])
    assert written == {"datasets/*", "quarantine/*.jsonl"}
    (listing,) = [each for each in statements["RetrainRole"] if each["Action"] == ["s3:ListBucket"]]
    assert {"quarantine/*/restored/", "tombstones/*"} <= set(listing["Condition"]["StringLike"]["s3:prefix"])


def test_the_inbox_writes_what_is_wrong_with_a_file_beside_it_and_never_a_file(statements: Statements) -> None:
    assert _written(statements["DriftInboxRole"]) == {"profiles/*", f"inbox/traffic/*{ERRORS}*"}


def test_a_file_of_feedback_is_read_and_only_its_faults_are_written(statements: Statements) -> None:
    touched = {
        action: resource["Fn::Sub"].removeprefix("${Bucket.Arn}/")
        for statement in statements["FeedbackInboxRole"]
        for action in statement["Action"]
        for resource in statement["Resource"]
        if action in ("s3:GetObject", "s3:PutObject")
    }
    assert touched == {"s3:GetObject": "inbox/feedback/*", "s3:PutObject": f"inbox/feedback/*{ERRORS}*"}


def test_files_of_feedback_change_nothing_of_the_state_table_but_how_far_they_were_read(statements: Statements) -> None:
    state = {"Fn::GetAtt": ["StateTable", "Arn"]}
    (statement,) = [each for each in statements["FeedbackInboxRole"] if each["Resource"] == [state]]
    assert statement["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["inbox"]}}


def test_the_inbox_moves_no_live_pointer(statements: Statements) -> None:
    writing = [each for each in statements["DriftInboxRole"] if "dynamodb:PutItem" in each["Action"]]
    keys = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["inbox", "elsewhere", "columns", "late"]}}
    assert [each["Condition"] for each in writing] == [keys]


def test_every_role_writes_its_own_logs_only(statements: Statements, of_type: Callable[[str], Resources]) -> None:
    for name in of_type("AWS::Lambda::Function"):
        (statement,) = [each for each in statements[name.replace("Function", "Role")] if each["Sid"] == "WriteLogs"]
        assert statement["Resource"] == [{"Fn::GetAtt": [name.replace("Function", "Logs"), "Arn"]}]


def _written(found: list[dict[str, Any]]) -> set[str]:
    storing = [each for each in found if each["Action"] == ["s3:PutObject"]]
    return {resource["Fn::Sub"].removeprefix("${Bucket.Arn}/") for each in storing for resource in each["Resource"]}


def _prefixes(found: list[dict[str, Any]], action: str) -> set[str]:
    resources = [resource["Fn::Sub"] for each in found if action in each["Action"] for resource in each["Resource"]]
    return {resource.removeprefix("${Bucket.Arn}/").partition("/")[0] for resource in resources}
