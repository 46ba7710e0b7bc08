"""What API Gateway tells a function about its caller, a caller about a failure, and what it does to bodies.

MiniStack leaves out five things: which API key called (`requestContext.identity.apiKeyId`), the gateway responses that
a template gives an API inside its OpenAPI body, silence towards the caller about how a function failed, that a message
without a media type counts as JSON where binary types are matched, and compression.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from local.adaptation import part, replace

_GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"
_FUNCTION_FAILED = 502
_INFLATE: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
_DEFLATE: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


def apply() -> None:
    from ministack.services import apigateway_v1

    _tell_key(apigateway_v1)
    _import_gateway_responses(apigateway_v1)
    _hide_failures(apigateway_v1)
    _assume_json(apigateway_v1)
    _compress(apigateway_v1)


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


def _assume_json(gateway: Any) -> None:
    matches = part(gateway, "_media_type_matches")
    replace(gateway, "_media_type_matches", lambda given, types: matches(given or "application/json", types))


def _compress(gateway: Any) -> None:
    """Bodies are inflated before anything sees them, and deflated where the API says from which size on."""
    execute = part(gateway, "_handle_execute_in_scope")
    apis = part(gateway, "_rest_apis")

    async def execute_inflated(
        api_id: str, stage: str, method: str, path: str, headers: dict[str, Any], body: bytes, *rest: Any
    ) -> Any:
        coding = headers.get("content-encoding", "identity")
        try:
            body = _INFLATE[coding](body) if coding != "identity" else body
        except (KeyError, OSError, EOFError, zlib.error):
            return 415, {"Content-Type": "application/json"}, b'{"message":"Unsupported Media Type"}'
        plain = {name: value for name, value in headers.items() if name != "content-encoding"}
        answer = await execute(api_id, stage, method, path, plain, body, *rest)
        smallest = (apis.get(api_id) or {}).get("minimumCompressionSize")
        return answer if smallest is None else deflated(answer, headers.get("accept-encoding", ""), int(smallest))

    replace(gateway, "_handle_execute_in_scope", execute_inflated)


def deflated(answer: tuple[int, dict[str, Any], bytes], accepted: str, smallest: int) -> tuple[int, Any, bytes]:
    """The answer compressed, where it is large enough and one of the codings is accepted.

    >>> deflated((200, {}, b"a" * 100), "br, gzip;q=1", 100)[1]
    {'Content-Encoding': 'gzip'}
    >>> deflated((200, {}, b"a" * 99), "br, gzip;q=1", 100)[1]
    {}
    """
    status, headers, body = answer
    coding = next((each for each in _DEFLATE if each in re.split(r"[,;\s]+", accepted)), None)
    if coding is None or len(body) < smallest:
        return answer
    return status, {**headers, "Content-Encoding": coding}, _DEFLATE[coding](body)
