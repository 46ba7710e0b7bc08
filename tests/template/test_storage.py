"""Data outlives the stack, encrypted and recoverable."""

from collections.abc import Callable
from typing import Any

import pytest

Resources = dict[str, Any]
VERIFIERS = {"FeedbackFunction", "FeedbackInboxFunction"}
KEPT = {"Bucket", "StateTable", "FeedbackTable", "ReceiptSecret"}


def test_data_stays_when_the_stack_goes(resources: Resources) -> None:
    """But not what a failed first deployment leaves, which would hold nothing."""
    assert {(resources[name]["DeletionPolicy"], resources[name]["UpdateReplacePolicy"]) for name in KEPT} == {
        ("RetainExceptOnCreate", "Retain")
    }


def test_nothing_else_holds_data(resources: Resources) -> None:
    kinds = {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"}
    assert {name for name, resource in resources.items() if resource["Type"] in kinds} == KEPT


def test_layers_of_models_stay_and_their_name_is_the_one_releases_publish_under(
    template: dict[str, Any], resources: Resources
) -> None:
    models = template["Resources"]["ModelsLayer"]["Properties"]
    assert models["RetentionPolicy"] == "Retain"
    assert resources["ReleaseFunction"]["Properties"]["Environment"]["Variables"]["MODELS_LAYER"] == models["LayerName"]


@pytest.mark.parametrize("name", ["StateTable", "FeedbackTable"])
def test_a_table_is_on_demand_encrypted_and_recoverable_to_any_second(name: str, resources: Resources) -> None:
    table = resources[name]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]


def test_the_bucket_is_versioned_encrypted_and_closed(resources: Resources) -> None:
    bucket = resources["Bucket"]["Properties"]
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4


def test_the_bucket_refuses_plain_http(resources: Resources) -> None:
    (statement,) = resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_what_is_kept_for_a_while_ends_and_so_do_old_versions_and_unfinished_uploads(
    resources: Resources,
) -> None:
    rules = resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    traffic, dropped, pairs, queries, exports, checkpoints, leftovers = rules
    for rule in (traffic, dropped, pairs):
        assert rule["ExpirationInDays"] == {"Ref": "TrafficRetentionDays"}
    assert [rule["Prefix"] for rule in (traffic, dropped, pairs)] == ["traffic/", "inbox/", "pairs/"]
    for rule in (queries, exports, checkpoints):
        assert (rule["ExpirationInDays"], rule["NoncurrentVersionExpiration"]) == (7, {"NoncurrentDays": 1})
    assert [rule["Prefix"] for rule in (queries, exports, checkpoints)] == ["queries/", "exports/", "checkpoints/"]
    assert leftovers["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert leftovers["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_signer_and_verifiers_share_the_secret_look_nothing_up_and_a_verifier_knows_a_new_key_first(
    of_type: Callable[[str], Resources], resources: Resources
) -> None:
    keys = {
        name: function["Environment"]["Variables"]["RECEIPT_KEYS"]
        for name, function in of_type("AWS::Lambda::Function").items()
        if "RECEIPT_KEYS" in function["Environment"]["Variables"]
    }
    resolved = {"Fn::Sub": "${ReceiptKeyId}:{{resolve:secretsmanager:${ReceiptSecret}}}"}
    assert keys == dict.fromkeys(["InferenceFunction", *VERIFIERS], resolved)
    assert set(resources["InferenceFunction"]["DependsOn"]) == VERIFIERS


def test_pages_of_any_origin_may_post_what_they_are_permitted_to_and_read_nothing(resources: Resources) -> None:
    (rule,) = resources["Bucket"]["Properties"]["CorsConfiguration"]["CorsRules"]
    assert (rule["AllowedMethods"], rule["AllowedOrigins"]) == (["POST"], ["*"])
