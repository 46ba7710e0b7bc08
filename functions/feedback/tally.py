"""Who has compared which answers, and for which they were: what the labelling page chooses pairs by.

Items `compared/<model>`, `<answer>#<metric>#<rater>` of the feedback table, beside the pieces that they are made of and
written after them: a crash in between asks a rater once more, whose later word takes the place of the same. Feedback
lies by the day of its answer; here one query finds a whole model's, of some 100 bytes each and without what was said.
"""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pawl.feedback import COMPARED
from pawl.items import attributes, require_lost_condition
from pawl.narrowing import is_object
from pawl.opinions import Piece

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

METRIC = "preference"
TIE = "tie"
_NEWER = "attribute_not_exists(said_ms) OR said_ms <= :said_ms"


class Tally:
    """The comparisons in a feedback table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def note(self, pieces: Iterable[Piece]) -> None:
        """Note the preferences among these pieces, unless their rater has said something later."""
        for piece in pieces:
            if piece.body["metric"] == METRIC:
                self._put(piece)

    def votes(self, model: str) -> dict[str, dict[str, str]]:
        """For what each rater was, by pair and rater, as `mark` has it."""
        found: dict[str, dict[str, str]] = {}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=attributes({":pk": _partition(model)}),
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                answer, about, rater = _text(item, "sk").split("#", 2)
                found.setdefault(f"{answer}#{about}", {})[rater] = _text(item, "mark")
        return found

    def _put(self, piece: Piece) -> None:
        item = {
            "pk": _partition(piece.model),
            "sk": piece.key[1],
            "mark": mark(piece.body["value"]),
            "said_ms": piece.said_ms,
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=attributes(item),
                ConditionExpression=_NEWER,
                ExpressionAttributeValues=attributes({":said_ms": piece.said_ms}),
            )
        except ClientError as error:
            require_lost_condition(error)


def mark(value: Any) -> str:
    """What a preference is for: TIE, or a digest of the answer that it chose."""
    return mark_of(str(value["chosen"])) if is_object(value) and "chosen" in value else TIE


def mark_of(answer: str) -> str:
    """The mark of an answer, by its inference_id or text."""
    return hashlib.sha256(answer.encode()).hexdigest()[:16]


def _partition(model: str) -> str:
    return f"{COMPARED}{model}"


def _text(item: Any, name: str) -> str:
    return str(item[name]["S"])
