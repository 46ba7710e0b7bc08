"""Items of DynamoDB as JSON has them, and what its errors mean."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pawl.narrowing import is_list, is_object

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


def query_all(table: "Table", pk: str, sk_prefix: str = "") -> Iterator[dict[str, Any]]:
    """Every item under a partition key whose sort key begins with the prefix, in order, read consistently."""
    condition, values = "pk = :pk", {":pk": pk}
    if sk_prefix:
        condition, values = "pk = :pk AND begins_with(sk, :sk)", {":pk": pk, ":sk": sk_prefix}
    return _query(table, condition, values)


def query_between(table: "Table", pk: str, low: str, high: str) -> Iterator[dict[str, Any]]:
    """The items under a partition key whose sort key lies between the two, in order, read consistently."""
    return _query(table, "pk = :pk AND sk BETWEEN :low AND :high", {":pk": pk, ":low": low, ":high": high})


def _query(table: "Table", condition: str, values: dict[str, str]) -> Iterator[dict[str, Any]]:
    start: dict[str, Any] = {}
    while True:
        page = table.query(
            KeyConditionExpression=condition, ExpressionAttributeValues=values, ConsistentRead=True, **start
        )
        yield from (from_item(item) for item in page["Items"])
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def to_item(body: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON-like body as DynamoDB takes it: floats become decimals of the same digits."""
    return json.loads(json.dumps(body), parse_float=Decimal)


def attributes(body: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON-like body as the low-level client takes it, which knows no resources and no decimals."""
    return {name: _attribute(value) for name, value in body.items()}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """The body that `to_item` stored: whole decimals become int, others float."""
    return {name: _plain(value) for name, value in item.items()}


def _attribute(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | float):
        return {"N": repr(value)}
    if is_object(value):
        return {"M": attributes(value)}
    return {"L": [_attribute(each) for each in value]} if is_list(value) else {"NULL": True}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if is_object(value):
        return from_item(value)
    return [_plain(each) for each in value] if is_list(value) else value


def error_code(error: ClientError) -> str:
    """The AWS error code of a failed call."""
    return error.response.get("Error", {}).get("Code", "")


def require_lost_condition(error: ClientError) -> None:
    """Return when a conditional write lost its condition; raise the error again when it failed otherwise."""
    if error_code(error) != "ConditionalCheckFailedException":
        raise error
