"""An alias that shares its traffic out between two versions, as on Lambda.

MiniStack keeps an alias' `RoutingConfig` and sends everything to its main version. Invocations look their function up
in three places there: by reference (API Gateway, EventBridge, S3), in `Invoke`, and in the queues' poller. Each is
given the version that was drawn in the alias' stead; whoever only reads the alias' configuration is left alone.
"""

import random
from collections.abc import Mapping
from typing import Any

from local.adaptation import part, replace


def apply(randomness: random.Random) -> None:
    """Routes by weight; `randomness` decides, so a seeded one makes the sequence repeatable."""
    from ministack.services import lambda_svc

    draw = randomness.random
    functions = part(lambda_svc, "_functions")
    base_of_reference = part(lambda_svc, "_get_base_func_record_for_ref")
    qualifier_of_request = part(lambda_svc, "_qualifier_from_path_or_query")
    record_of_version = part(lambda_svc, "_effective_func_record_for_qualifier")
    invoke = part(lambda_svc, "_invoke")
    record_of_reference = part(lambda_svc, "_get_func_record_for_ref")
    run_sqs_batch = part(lambda_svc, "_run_sqs_batch")

    async def route_invoke(
        name: str, event: Any, headers: Any, path_qualifier: str | None = None, query_params: Any = None
    ) -> Any:
        qualifier = qualifier_of_request(path_qualifier, query_params)
        version = chosen_version(functions.get(name), qualifier, draw())
        return await invoke(name, event, headers, version, query_params)

    def route_reference(reference: str) -> Any:
        function, _, _ = base_of_reference(reference)
        qualifier = _qualifier(reference)
        version = chosen_version(function, qualifier, draw())
        if qualifier and version != qualifier:
            reference = f"{reference.removesuffix(qualifier)}{version}"
        return record_of_reference(reference)

    def route_batch(mapping: Any, record: Any, *rest: Any) -> None:
        function, qualifier = functions.get(mapping["FunctionName"]), mapping.get("Qualifier")
        version = chosen_version(function, qualifier, draw())
        if version != qualifier:
            record, _ = record_of_version(function, version)
        run_sqs_batch(mapping, record, *rest)

    replace(lambda_svc, "_invoke", route_invoke)
    replace(lambda_svc, "_get_func_record_for_ref", route_reference)
    replace(lambda_svc, "_run_sqs_batch", route_batch)


def chosen_version(function: Mapping[str, Any] | None, qualifier: str | None, draw: float) -> str | None:
    """The version that an invocation of `qualifier` goes to, or `qualifier` itself; `draw` is uniform in [0, 1).

    >>> function = {"aliases": {"live": {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}}}}}
    >>> [chosen_version(function, "live", draw) for draw in (0.0, 0.24, 0.25, 0.99)]
    ['2', '2', 'live', 'live']
    """
    if function is None or qualifier is None:
        return qualifier
    routing = function.get("aliases", {}).get(qualifier, {}).get("RoutingConfig") or {}
    for version, weight in (routing.get("AdditionalVersionWeights") or {}).items():
        if draw < weight:
            return str(version)
        draw -= weight
    return qualifier


def _qualifier(reference: str) -> str | None:
    """The last part of `arn:aws:lambda:region:account:function:name:qualifier` or of `name:qualifier`."""
    parts = reference.split(":")
    return parts[-1] if len(parts) in (2, 8) else None
