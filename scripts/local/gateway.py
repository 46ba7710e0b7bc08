"""What API Gateway tells a function about its caller, and a caller about a failure.

MiniStack leaves out three things: which API key called (`requestContext.identity.apiKeyId`), the gateway responses that
a template gives an API inside its OpenAPI body, and silence towards the caller about how a function failed.
"""

import json
from typing import Any

from local.adaptation import part, replace

_GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"
_FUNCTION_FAILED = 502


def apply() -> None:
    from ministack.services import apigateway_v1

    _tell_key(apigateway_v1)
    _import_gateway_responses(apigateway_v1)
    _hide_failures(apigateway_v1)


def _tell_key(gateway: Any) -> None:
    build_event = part(gateway, "_build_lambda_event_v1")
    key_of_request = part(gateway, "_api_key_from_request")
    resolve_key = part(gateway, "_resolve_api_key")

    def event_with_key(*request: Any, **details: Any) -> dict[str, Any]:
        event: dict[str, Any] = build_event(*request, **details)
        key = resolve_key(key_of_request(event["headers"]))
        if key is not None:
            event["requestContext"]["identity"].update(apiKey=key["value"], apiKeyId=key["id"])
        return event

    replace(gateway, "_build_lambda_event_v1", event_with_key)


def _import_gateway_responses(gateway: Any) -> None:
    import_api = part(gateway, "_import_rest_api")
    put_response = part(gateway, "_put_gateway_response")

    def import_with_responses(body: dict[str, Any], settings: dict[str, Any] | None = None) -> str:
        api_id: str = import_api(body, settings)
        for kind, response in body.get(_GATEWAY_RESPONSES, {}).items():
            status, _, answer = put_response(api_id, kind, response)
            if status != 201:
                raise ValueError(json.loads(answer).get("message") or answer)
        return api_id

    replace(gateway, "_import_rest_api", import_with_responses)


def _hide_failures(gateway: Any) -> None:
    """A function that failed is answered for by the API's own response for errors of the server, with status 502."""
    failure = part(gateway, "_GatewayError")
    invoke = part(gateway, "_invoke_lambda_proxy_v1")
    proxy_response = part(gateway, "_lambda_proxy_response")
    render = part(gateway, "_gateway_error_response")

    class FunctionFailed(failure):  # type: ignore[misc, valid-type]
        pass

    def response_or_none(result: Any) -> Any:
        response, error = proxy_response(result)
        return ({"statusCode": _FUNCTION_FAILED, "body": None} if error else response), None

    async def invoke_discreetly(*request: Any, **details: Any) -> Any:
        answer = await invoke(*request, **details)
        if isinstance(answer, tuple) and answer[0] == _FUNCTION_FAILED and answer[2] is None:
            return FunctionFailed("DEFAULT_5XX", "Internal server error", "InternalServerErrorException")
        return answer

    def render_failure(error: Any, request: Any) -> Any:
        status, headers, body = render(error, request)
        return (_FUNCTION_FAILED if isinstance(error, FunctionFailed) else status), headers, body

    replace(gateway, "_lambda_proxy_response", response_or_none)
    replace(gateway, "_invoke_lambda_proxy_v1", invoke_discreetly)
    replace(gateway, "_gateway_error_response", render_failure)
