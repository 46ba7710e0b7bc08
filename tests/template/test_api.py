"""The API: every route its own method, a key on each but health, IAM on the operators'."""

from collections.abc import Callable
from typing import Any

Methods = dict[tuple[str, str], dict[str, Any]]
Resources = dict[str, Any]
OfType = Callable[[str], Resources]
OPEN = {("get", "/v2/health/live"), ("get", "/v2/health/ready")}
OPERATORS = {
    ("post", "/jobs"),
    ("get", "/jobs"),
    ("get", "/jobs/{id}"),
    ("post", "/jobs/{id}/cancel"),
    ("get", "/releases/{model}"),
    ("post", "/releases/{model}/rollback"),
    ("post", "/releases/{model}/promote"),
}
CLIENTS = {
    ("get", "/v2"),
    ("get", "/v2/models"),
    ("get", "/v2/models/{model}"),
    ("get", "/v2/models/{model}/ready"),
    ("get", "/v2/models/{model}/versions/{version}"),
    ("get", "/v2/models/{model}/versions/{version}/ready"),
    ("post", "/v2/models/{model}/infer"),
    ("post", "/v2/models/{model}/versions/{version}/infer"),
    ("post", "/v2/repository/index"),
    ("post", "/feedback"),
    ("post", "/feedback/bulk"),
}


def test_the_routes_are_these_and_each_is_a_method_of_its_own(methods: Methods) -> None:
    assert set(methods) == OPEN | OPERATORS | CLIENTS
    assert not any("+" in path or verb == "x-amazon-apigateway-any-method" for verb, path in methods)


def test_clients_need_a_key(methods: Methods) -> None:
    assert {name: methods[name]["security"] for name in CLIENTS} == {name: [{"api_key": []}] for name in CLIENTS}


def test_operators_need_iam(methods: Methods) -> None:
    assert {name: methods[name]["security"] for name in OPERATORS} == {name: [{"AWS_IAM": []}] for name in OPERATORS}


def test_operators_need_no_right_to_the_function_itself(methods: Methods) -> None:
    assert not any("credentials" in methods[name]["x-amazon-apigateway-integration"] for name in OPERATORS)


def test_nothing_is_open_but_health(methods: Methods) -> None:
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


def test_tensors_pass_as_they_are(of_type: OfType) -> None:
    assert of_type("AWS::ApiGateway::RestApi")["Api"]["BinaryMediaTypes"] == ["application/octet-stream"]


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
