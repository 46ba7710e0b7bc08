"""The feedback table, as those read it who learn from it; `pawl.opinions` writes it."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pawl.identity import day_of, days_within, unix_ms_of, uuids_from
from pawl.items import from_item, query_all, query_between
from pawl.tombstones import answers_in

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table


COMPARED = "compared/"
"""Begins the partitions of `feedback.tally`, whose items have the sort keys of the pieces that they were made of."""
LABEL_STUDIO, ARGILLA = TOOLS = ("label-studio", "argilla")
"""Annotation tools: a rater who comes with what one exports is called `<tool>/<name>`."""


def answers_of(item: Mapping[str, Any]) -> set[str]:
    """The uuids of all answers that a piece of feedback is about: a comparison names its answers in its value."""
    is_of_one = "inference_id" in item or "episode_id" in item
    named = set[str]() if is_of_one else answers_in(json.dumps(item["value"]).encode())
    return {str(item["sk"]).partition("#")[0], *named}


class FeedbackTable:
    """What people said of answers: one item an inference, metric and rater; a rater's later word counts."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def within(self, model: str, since_ms: int, until_ms: int) -> Iterator[dict[str, Any]]:
        """The feedback for answers that were given within [since, until)."""
        for day in days_within(since_ms, until_ms):
            for item in query_all(self._table, f"{model}#{day}"):
                if since_ms <= unix_ms_of(str(item["sk"]).partition("#")[0]) < until_ms:
                    yield item

    def answered(self, model: str, since_ms: int, until_ms: int) -> Iterator[dict[str, Any]]:
        """The same in the order of the answers, reading nothing else."""
        for day in days_within(since_ms, until_ms):
            yield from query_between(self._table, f"{model}#{day}", uuids_from(since_ms), uuids_from(until_ms))

    def of_answer(self, model: str, inference_uuid: str) -> Iterator[dict[str, Any]]:
        """All feedback for one answer."""
        yield from query_all(self._table, f"{model}#{day_of(unix_ms_of(inference_uuid))}", f"{inference_uuid}#")

    def all(self) -> Iterator[dict[str, Any]]:
        """All feedback there is, in no order: it reads the whole table, which costs what the table is long."""
        return self._scan(FilterExpression="attribute_exists(feedback_id)")

    def tallied(self) -> Iterator[dict[str, Any]]:
        """All that `feedback.tally` keeps of who has compared what, in no order: it reads the whole table too."""
        return self._scan(
            FilterExpression="begins_with(pk, :compared)", ExpressionAttributeValues={":compared": COMPARED}
        )

    def remove(self, item: Mapping[str, Any]) -> None:
        """Remove a piece of feedback, or what is tallied of one."""
        self._table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})

    def _scan(self, **wanted: Any) -> Iterator[dict[str, Any]]:
        start: dict[str, Any] = {}
        while True:
            page = self._table.scan(ConsistentRead=True, **wanted, **start)
            yield from (from_item(item) for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
