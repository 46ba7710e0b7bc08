"""Who has compared which answers, and for which they were: what the labelling page chooses pairs by.

Items `compared/<model>`, `<answer>#<metric>#<rater>` of the feedback table, beside the pieces that they are made of and
written after them: a crash in between asks a rater once more, whose later word takes the place of the same. Feedback
lies by the day of its answer; here one query finds a whole model's, of some 150 bytes each and without what was said.
An item leaves when no more can be said of its answer: then the page no longer offers its pair either.
"""

import hashlib
from collections.abc import Collection, Iterable
from math import ceil
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pawl.compared import pair_of
from pawl.feedback import COMPARED
from pawl.identity import unix_ms_of
from pawl.items import attributes, require_lost_condition
from pawl.narrowing import is_object
from pawl.opinions import Piece

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

METRIC = "preference"
TIE = "tie"
_DAY_S = 86_400
_AFTER_RATERS = "$"
"""Follows `#`, which stands between a pair and its rater."""
_NEWER = "attribute_not_exists(said_ms) OR said_ms <= :said_ms"


class Tally:
    """The comparisons in a feedback table."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def note(self, pieces: Iterable[Piece], valid_days: float) -> None:
        """Note the preferences among these pieces, unless their rater has said something later.

        What is noted is kept for so many days after the answer.
        """
        for piece in pieces:
            if piece.body["metric"] == METRIC:
                self._put(piece, unix_ms_of(piece.answer) // 1000 + ceil(valid_days * _DAY_S))

    def votes(self, model: str, pairs: Collection[str] | None = None) -> dict[str, dict[str, str]]:
        """For what each rater was, by pair and rater, as `mark` has it; of these pairs, or of all.

        Pairs begin with the time of their newest answer: what was said of answers before or after them is not read.
        """
        if pairs is None:
            return self._query("pk = :pk", {":pk": _partition(model)})
        if not pairs:
            return {}
        bounds = {":first": min(pairs), ":end": f"{max(pairs)}{_AFTER_RATERS}"}
        found = self._query("pk = :pk AND sk BETWEEN :first AND :end", {":pk": _partition(model), **bounds})
        return {pair: found[pair] for pair in pairs if pair in found}

    def _query(self, condition: str, values: dict[str, str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=attributes(values),
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                sort_key = _text(item, "sk")
                pair = pair_of(sort_key)
                found.setdefault(pair, {})[sort_key[len(pair) + 1 :]] = _text(item, "mark")
        return found

    def _put(self, piece: Piece, expires_at: int) -> None:
        item = {
            "pk": _partition(piece.model),
            "sk": piece.key[1],
            "mark": mark(piece.body["value"]),
            "said_ms": piece.said_ms,
            "expires_at": expires_at,
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
