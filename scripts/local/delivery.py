"""Asynchronous invocations that are tried again and, if they never succeed, end where the function wants them.

MiniStack does so for `Invoke` and S3, but an EventBridge rule or a schedule there calls a function once and forgets it;
and it looks for the failure destination of an alias or a version in the wrong place.
"""

import json
from typing import Any

from local.adaptation import part, replace


def apply() -> None:
    from ministack.services import eventbridge, lambda_svc

    base_of_reference = part(lambda_svc, "_get_base_func_record_for_ref")
    record_of_reference = part(lambda_svc, "_get_func_record_for_ref")
    invoke_config = part(lambda_svc, "_event_invoke_config")
    invoke = part(lambda_svc, "invoke_async_with_retry")

    def invoke_asynchronously(record: dict[str, Any], event: Any) -> None:
        arn = record["config"]["FunctionArn"]
        function, _, _ = base_of_reference(arn)
        qualifier = arn.split(":")[7] if arn.count(":") == 7 else None
        config = invoke_config(function, qualifier) or (None if qualifier else invoke_config(function, "$LATEST"))
        invoke({**record, "event_invoke_config": config, "event_invoke_configs": {}}, event)

    def dispatch_to_function(arn: str, payload: str) -> None:
        record, config, _ = record_of_reference(arn)
        if record is None or config is None:
            raise LookupError(f"an event's target does not exist: {arn}")
        invoke_asynchronously({**record, "config": {**config, "FunctionArn": arn}}, json.loads(payload))

    replace(lambda_svc, "invoke_async_with_retry", invoke_asynchronously)
    replace(eventbridge, "_dispatch_to_lambda", dispatch_to_function)
