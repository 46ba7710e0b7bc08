"""The API: every route its own method, a key on each but health, IAM on the operators'."""

import asyncio
import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from fastapi.routing import APIRoute

import inference.web
import release.api
import retrain.api

Methods = dict[tuple[str, str], dict[str, Any]]
Resources = dict[str, Any]
OfType = Callable[[str], Resources]
HEALTH = {("get", "/v2/health/live"), ("get", "/v2/health/ready")}
# What holds no data: the API's own description, and a page that asks its reader for the key.
WITHOUT_DATA = {("get", "/openapi.json"), ("get", "/label")}
OPEN = HEALTH | WITHOUT_DATA
OPERATORS = {
    ("post", "/jobs"),
    ("get", "/jobs"),
    ("get", "/jobs/{id}"),
    ("post", "/jobs/{id}/cancel"),
    ("get", "/releases/{model}"),
    ("post", "/releases/{model}/rollback"),
    ("post", "/releases/{model}/promote"),
}
OPENAI = {
    (verb, f"{prefix}/{path}")
    for prefix in ("/v1", "/openai/v1")
    for verb, path in (
        ("post", "chat/completions"),
        ("post", "completions"),
        ("post", "embeddings"),
        ("get", "models"),
        ("get", "models/{model}"),
    )
}
CLIENTS = OPENAI | {
    ("get", "/v2"),
    ("get", "/v2/models"),
    ("get", "/v2/models/stats"),
    ("get", "/v2/models/{model}"),
    ("get", "/v2/models/{model}/ready"),
    ("get", "/v2/models/{model}/stats"),
    ("get", "/v2/models/{model}/versions/{version}"),
    ("get", "/v2/models/{model}/versions/{version}/ready"),
    ("get", "/v2/models/{model}/versions/{version}/stats"),
    ("post", "/v2/models/{model}/infer"),
    ("post", "/v2/models/{model}/versions/{version}/infer"),
    ("post", "/v2/repository/index"),
    ("post", "/v2/repository/models/{model}/load"),
    ("post", "/v2/repository/models/{model}/unload"),
    ("post", "/feedback"),
    ("post", "/feedback/bulk"),
    ("get", "/label/pairs"),
}
ENVIRONMENT = {
    "RECEIPT_KEYS": "1:" + "s" * 32,
    "TRUSTED_KEYS": "",
    "CAPTURE_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/capture",
    "FEEDBACK_TABLE": "feedback",
    "BUCKET": "data",
}
FUNCTIONS = {
    "InferenceFunction": "inference",
    "FeedbackFunction": "feedback",
    "RetrainFunction": "retrain",
    "ReleaseFunction": "release",
}


@pytest.fixture(scope="module")
def applications() -> Iterator[dict[str, Any]]:
    """Each function's web application, over nothing; in a loop that is closed, where Mangum leaves its own open."""
    nothing: Any = None
    with pytest.MonkeyPatch.context() as patch, closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        modules = {name: importlib.import_module(name) for name in ("inference.app", "feedback.app")}
        yield {
            "inference": inference.web.build(modules["inference.app"].service),
            "feedback": modules["feedback.app"].app,
            "retrain": retrain.api.build(nothing, nothing, nothing),
            "release": release.api.build(nothing, nothing),
            "hot": set(modules["inference.app"].HOT_ROUTES),
        }
        asyncio.set_event_loop(None)


def test_the_routes_are_these_and_each_is_a_method_of_its_own(methods: Methods) -> None:
    assert set(methods) == OPEN | OPERATORS | CLIENTS
    assert not any("+" in path or verb == "x-amazon-apigateway-any-method" for verb, path in methods)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_the_gateway_has_the_routes_of_each_application_and_no_other(
    function: str, methods: Methods, applications: dict[str, Any]
) -> None:
    served = {
        (verb.lower(), plain(route.path))
        for route in applications[FUNCTIONS[function]].routes
        if isinstance(route, APIRoute)
        for verb in route.methods
    }
    deployed = {
        (verb, plain(path))
        for (verb, path), method in methods.items()
        if function in str(method["x-amazon-apigateway-integration"]["uri"])
    }
    assert deployed == served


def test_what_is_answered_without_the_framework_is_a_route_of_it_too(
    methods: Methods, applications: dict[str, Any]
) -> None:
    posts = {path for verb, path in methods if verb == "post"}
    assert applications["hot"] <= posts
    assert applications["hot"] == {path for path in posts if re.search(r"/infer$|^(/openai)?/v1/", path)}


def plain(path: str) -> str:
    """The path with its parameters nameless."""
    return re.sub(r"\{\w+\}", "{}", path)


def test_clients_need_a_key(methods: Methods) -> None:
    assert {name: methods[name]["security"] for name in CLIENTS} == {name: [{"api_key": []}] for name in CLIENTS}


def test_operators_need_iam(methods: Methods) -> None:
    assert {name: methods[name]["security"] for name in OPERATORS} == {name: [{"AWS_IAM": []}] for name in OPERATORS}


def test_operators_need_no_right_to_the_function_itself(methods: Methods) -> None:
    assert not any("credentials" in methods[name]["x-amazon-apigateway-integration"] for name in OPERATORS)


def test_nothing_is_open_but_health_and_what_holds_no_data(methods: Methods) -> None:
    assert {name for name, method in methods.items() if not method.get("security")} == OPEN


def test_what_is_open_is_throttled(of_type: OfType) -> None:
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    throttled = {
        (each["HttpMethod"].lower(), each["ResourcePath"].removeprefix("/").replace("~1", "/")): each
        for each in stage["MethodSettings"]
    }
    assert set(throttled) == OPEN
    assert all(each["ThrottlingRateLimit"] > 0 and each["ThrottlingBurstLimit"] > 0 for each in throttled.values())


def test_a_key_is_throttled_and_has_a_quota(of_type: OfType) -> None:
    plan = of_type("AWS::ApiGateway::UsagePlan")["ApiUsagePlan"]
    assert plan["Throttle"] == {"RateLimit": {"Ref": "ThrottleRate"}, "BurstLimit": {"Ref": "ThrottleBurst"}}
    assert plan["Quota"] == {"Limit": {"Ref": "DailyQuota"}, "Period": "DAY"}
    assert plan["ApiStages"][0]["ApiId"] == {"Ref": "Api"}
    assert of_type("AWS::ApiGateway::UsagePlanKey")["ApiUsagePlanKey"]["UsagePlanId"] == {"Ref": "ApiUsagePlan"}


def test_clients_reach_the_alias_and_not_the_newest_code(methods: Methods) -> None:
    inference = {name for name in methods if name[1].startswith("/v2")}
    uris = {str(methods[name]["x-amazon-apigateway-integration"]["uri"]) for name in inference}
    assert len(uris) == 1
    assert "InferenceFunctionAliaslive" in uris.pop()


def test_bodies_of_every_kind_pass_as_they_are(of_type: OfType) -> None:
    assert of_type("AWS::ApiGateway::RestApi")["Api"]["BinaryMediaTypes"] == ["*/*"]


def test_compression_is_the_gateways(of_type: OfType) -> None:
    assert of_type("AWS::ApiGateway::RestApi")["Api"]["MinimumCompressionSize"] == 1024


def test_every_route_may_call_the_function_within_what_its_policy_holds(of_type: OfType) -> None:
    permissions = [
        each for each in of_type("AWS::Lambda::Permission").values() if "Inference" in str(each["FunctionName"])
    ]
    assert len(permissions) * 600 < 20 * 1024  # the longest statement, and what Lambda keeps of a policy


def test_the_gateway_refuses_in_the_protocol_s_own_shape(of_type: OfType) -> None:
    responses = of_type("AWS::ApiGateway::RestApi")["Api"]["Body"]["x-amazon-apigateway-gateway-responses"]
    templates = {kind: about["responseTemplates"]["application/json"] for kind, about in responses.items()}
    assert templates == dict.fromkeys(["DEFAULT_4XX", "DEFAULT_5XX"], '{"error":$context.error.messageString}')


def test_access_is_logged_without_what_was_said(of_type: OfType, resources: Resources) -> None:
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    assert stage["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLogs", "Arn"]}
    assert "body" not in stage["AccessLogSetting"]["Format"].lower()
    assert resources["Api"]["DependsOn"] in ("ApiLogsAccount", ["ApiLogsAccount"])


def test_server_errors_raise_an_alarm(of_type: OfType) -> None:
    alarm = of_type("AWS::CloudWatch::Alarm")["ApiErrorsAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/ApiGateway", "5XXError")
    title = of_type("AWS::ApiGateway::RestApi")["Api"]["Body"]["info"]["title"]
    assert alarm["Dimensions"] == [{"Name": "ApiName", "Value": title}, {"Name": "Stage", "Value": "live"}]
